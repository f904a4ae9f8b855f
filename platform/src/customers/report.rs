//! Reports of the steps that were done for a customer.

use std::fmt;

use anyhow::Error;
use futures::StreamExt;
use futures::stream;
use serde::{Serialize, Serializer};
use shared::customer::UserId;

/// A part of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// A KV namespace.
    Kv,
    /// An R2 bucket.
    R2,
    /// A D1 database.
    D1,
    /// The script in the dispatch namespace.
    Script,
    /// The customer's record, which the dispatcher reads.
    Record,
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kv => "KV namespace",
            Self::R2 => "R2 bucket",
            Self::D1 => "D1 database",
            Self::Script => "script",
            Self::Record => "record",
        })
    }
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The component was created.
    Created,
    /// In a dry run: the component would be created.
    WouldBeCreated,
    /// The component already existed and was not changed.
    AlreadyExists,
    /// The component already existed and was changed.
    Updated,
    /// In a dry run: the component would be changed.
    WouldBeUpdated,
    /// The component was deleted.
    Deleted,
    /// The component was not deleted because of `--keep-data`.
    Kept,
    /// The component was not changed.
    Unchanged,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Created => "created",
            Self::WouldBeCreated => "would be created",
            Self::AlreadyExists => "already exists",
            Self::Updated => "updated",
            Self::WouldBeUpdated => "would be updated",
            Self::Deleted => "deleted",
            Self::Kept => "kept",
            Self::Unchanged => "unchanged",
        })
    }
}

/// A step and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The component.
    pub what: Component,
    /// The component's name.
    pub name: String,
    /// The id that bindings refer to, if they do not refer to the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The outcome.
    pub outcome: Outcome,
    /// Further information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Step {
    /// Creates a step without an id or a note.
    pub fn new(what: Component, name: &str, outcome: Outcome) -> Self {
        Self { what, name: name.to_owned(), id: None, outcome, note: None }
    }

    /// Sets the id.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// Sets the note.
    #[must_use]
    pub fn with_note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    /// Sets the API's messages, if there are any, as the note.
    #[must_use]
    pub fn with_messages(self, messages: &[String]) -> Self {
        if messages.is_empty() { self } else { self.with_note(messages.join("; ")) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.what, self.name)?;
        if let Some(id) = &self.id {
            write!(formatter, " ({id})")?;
        }
        write!(formatter, ": {}", self.outcome)?;
        self.note.iter().try_for_each(|note| write!(formatter, "; {note}"))
    }
}

/// The steps that were done so far.
#[derive(Debug, Default)]
pub struct Steps(Vec<Step>);

impl Steps {
    /// Adds a step.
    pub fn add(&mut self, step: Step) {
        self.0.push(step);
    }
}

/// The steps that were done for a customer, and the error if there was one.
#[derive(Debug, Serialize)]
pub struct CustomerReport {
    /// The customer's user id.
    pub id: UserId,
    /// The steps that were done before the error, or all steps.
    pub steps: Vec<Step>,
    /// The error.
    #[serde(rename = "error", skip_serializing_if = "Option::is_none", serialize_with = "error_text")]
    pub failure: Option<Error>,
}

#[expect(clippy::ref_option, reason = "the signature that serde requires")]
fn error_text<S: Serializer>(failure: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    match failure {
        Some(error) => serializer.collect_str(&format_args!("{error:#}")),
        None => serializer.serialize_none(),
    }
}

impl CustomerReport {
    /// Runs `work` for a customer and reports its steps and its error.
    pub async fn run(id: UserId, work: impl AsyncFnOnce(&UserId, &mut Steps) -> Result<(), Error>) -> Self {
        let mut steps = Steps::default();
        let failure = work(&id, &mut steps).await.err();
        Self { id, steps: steps.0, failure }
    }

    /// Whether the work succeeded and changed nothing.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.failure.is_none()
            && self.steps.iter().all(|step| matches!(step.outcome, Outcome::AlreadyExists | Outcome::Unchanged))
    }
}

/// Runs `work` for each customer, up to `concurrency` at the same time, and continues after failures. Returns the
/// reports in the order of the customers. `on_report` is called with each report as soon as it is available.
pub async fn for_each<C, F: Future<Output = CustomerReport>>(
    customers: Vec<C>,
    concurrency: usize,
    work: impl Fn(C) -> F,
    mut on_report: impl FnMut(&CustomerReport),
) -> Vec<CustomerReport> {
    let works = customers.into_iter().map(work).enumerate();
    let mut running = stream::iter(works.map(async |(index, work)| (index, work.await))).buffer_unordered(concurrency);
    let mut reports = Vec::new();
    while let Some((index, report)) = running.next().await {
        on_report(&report);
        reports.push((index, report));
    }
    reports.sort_by_key(|(index, _)| *index);
    reports.into_iter().map(|(_, report)| report).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::bail;
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reports_are_in_the_order_of_the_customers() {
        let ids = ["a", "b", "c", "d"].map(|id| id.parse().expect("an id"));
        let mut finished = Vec::new();
        let work = |id: UserId| {
            CustomerReport::run(id, async |id, steps| {
                steps.add(Step::new(Component::Script, id.as_str(), Outcome::Created));
                let wait = if id.as_str() == "a" { 20 } else { 5 };
                tokio::time::sleep(Duration::from_secs(wait)).await;
                if id.as_str() == "b" {
                    bail!("no");
                }
                steps.add(Step::new(Component::Record, id.as_str(), Outcome::AlreadyExists).with_note("a note"));
                Ok(())
            })
        };
        let reports = for_each(ids.to_vec(), 2, work, |report| finished.push(report.id.to_string())).await;
        assert_eq!(finished, ["b", "c", "d", "a"]);
        let step = json!({"what": "script", "name": "b", "outcome": "created"});
        assert_eq!(
            serde_json::to_value(&reports[1]).expect("JSON"),
            json!({"id": "b", "steps": [step], "error": "no"})
        );
        assert_eq!(reports[0].steps[1].to_string(), "record a: already exists; a note");
        assert_eq!(
            reports.iter().map(|report| report.failure.is_some()).collect::<Vec<_>>(),
            [false, true, false, false]
        );
    }
}
