//! What was done for a customer, step by step.

use std::fmt;

use anyhow::Error;
use futures::StreamExt;
use futures::stream;
use serde::{Serialize, Serializer};
use shared::customer::UserId;

/// What a customer consists of.
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
    /// The record for the dispatcher.
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
    /// It was created.
    Created,
    /// A dry run: it would be created.
    WouldBeCreated,
    /// It existed before, and is as it should be.
    AlreadyExists,
    /// It existed before, and was changed.
    Updated,
    /// A dry run: it would be changed.
    WouldBeUpdated,
    /// It was deleted.
    Deleted,
    /// It was kept on request.
    Kept,
    /// It was not changed.
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

/// A step that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// With what.
    pub what: Component,
    /// What it is called.
    pub name: String,
    /// What it is bound by, if that is not its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// What there is to know besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
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

/// The steps, as they are done.
#[derive(Debug, Default)]
pub struct Steps(Vec<Step>);

impl Steps {
    /// A step with what is bound by its name.
    pub fn add(&mut self, what: Component, name: &str, outcome: Outcome) {
        self.0.push(Step { what, name: name.to_owned(), id: None, outcome, note: None });
    }

    /// A step with what is bound by an id.
    pub fn add_with_id(&mut self, what: Component, name: &str, id: Option<String>, outcome: Outcome) {
        self.0.push(Step { what, name: name.to_owned(), id, outcome, note: None });
    }

    /// A step with what the API said of it.
    pub fn add_with_notes(&mut self, what: Component, name: &str, outcome: Outcome, notes: &[String]) {
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        self.0.push(Step { what, name: name.to_owned(), id: None, outcome, note });
    }

    /// A step that needs a word.
    pub fn add_with_note(&mut self, what: Component, name: &str, outcome: Outcome, note: impl Into<String>) {
        self.0.push(Step { what, name: name.to_owned(), id: None, outcome, note: Some(note.into()) });
    }
}

/// What was done for a customer, and what went wrong.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Who it is.
    pub id: UserId,
    /// What was done, also if something went wrong after it.
    pub steps: Vec<Step>,
    /// What went wrong.
    #[serde(rename = "error", skip_serializing_if = "Option::is_none", serialize_with = "error_text")]
    pub failure: Option<Error>,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn error_text<S: Serializer>(failure: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    match failure {
        Some(error) => serializer.collect_str(&format_args!("{error:#}")),
        None => serializer.serialize_none(),
    }
}

impl Report {
    /// Does it, and tells what was done.
    pub async fn of(id: UserId, work: impl AsyncFnOnce(&UserId, &mut Steps) -> Result<(), Error>) -> Self {
        let mut steps = Steps::default();
        let failure = work(&id, &mut steps).await.err();
        Self { id, steps: steps.0, failure }
    }

    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.failure.is_none()
            && self.steps.iter().all(|step| matches!(step.outcome, Outcome::AlreadyExists | Outcome::Unchanged))
    }
}

/// Does it for each customer, several at a time, and goes on past failures. The reports come in the order of the customers;
/// `done` sees them as they are finished.
pub async fn for_each<C, F: Future<Output = Report>>(
    customers: Vec<C>,
    at_a_time: usize,
    work: impl Fn(C) -> F,
    mut done: impl FnMut(&Report),
) -> Vec<Report> {
    let works = customers.into_iter().map(work).enumerate();
    let mut running = stream::iter(works.map(async |(place, work)| (place, work.await))).buffer_unordered(at_a_time);
    let mut reports = Vec::new();
    while let Some((place, report)) = running.next().await {
        done(&report);
        reports.push((place, report));
    }
    reports.sort_by_key(|(place, _)| *place);
    reports.into_iter().map(|(_, report)| report).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::bail;
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reports_come_in_order_whichever_is_done_first() {
        let ids = ["a", "b", "c", "d"].map(|id| id.parse().expect("an id"));
        let mut finished = Vec::new();
        let work = |id: UserId| {
            Report::of(id, async |id, steps| {
                steps.add(Component::Script, id.as_str(), Outcome::Created);
                let wait = if id.as_str() == "a" { 20 } else { 5 };
                tokio::time::sleep(Duration::from_secs(wait)).await;
                if id.as_str() == "b" {
                    bail!("no");
                }
                steps.add_with_note(Component::Record, id.as_str(), Outcome::AlreadyExists, "a word");
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
        assert_eq!(reports[0].steps[1].to_string(), "record a: already exists; a word");
        assert_eq!(
            reports.iter().map(|report| report.failure.is_some()).collect::<Vec<_>>(),
            [false, true, false, false]
        );
    }
}
