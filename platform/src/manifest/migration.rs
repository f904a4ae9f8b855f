//! Migrations of Durable Objects, as in wrangler files:
//! <https://developers.cloudflare.com/durable-objects/reference/durable-objects-migrations/>.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A step: the changes of a script's classes from one tag to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Migration {
    /// The tag that the script has after this step.
    #[serde(skip_serializing)]
    pub tag: String,
    /// New classes that store keys and values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_classes: Vec<String>,
    /// New classes that store their data in SQLite.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_sqlite_classes: Vec<String>,
    /// Classes that get new names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub renamed_classes: Vec<RenamedClass>,
    /// Classes that are deleted together with their data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleted_classes: Vec<String>,
}

/// A class that gets a new name and keeps its data.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RenamedClass {
    /// The old name.
    pub from: String,
    /// The new name.
    pub to: String,
}

/// Returns the member `migrations` of the upload that brings a script from its tag to the last one. `None` if the
/// script has the last tag. A new script has no tag, and gets all steps.
///
/// # Errors
///
/// If the migrations do not have the script's tag, or if a step deletes a class of an existing script and `delete_data`
/// is false.
pub fn pending(migrations: &[Migration], tag: Option<&str>, delete_data: bool) -> Result<Option<Value>> {
    let Some(last) = migrations.last() else { return Ok(None) };
    let done = match tag {
        None => 0,
        Some(tag) => 1 + migrations.iter().position(|migration| migration.tag == tag).with_context(|| {
            format!("the script's last migration is {tag}, which is not among the manifest's migrations: add the steps up to it")
        })?,
    };
    let steps = &migrations[done..];
    if steps.is_empty() {
        return Ok(None);
    }
    let deleted = steps.iter().find_map(|step| Some((step, step.deleted_classes.first()?)));
    if let (Some(_), Some((step, class)), false) = (tag, deleted, delete_data) {
        bail!("the migration {} deletes the class {class} with all its data: add --delete-data to do so", step.tag);
    }
    let mut upload = json!({ "new_tag": last.tag, "steps": steps });
    if let Some(tag) = tag {
        upload["old_tag"] = tag.into();
    }
    Ok(Some(upload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrations() -> Vec<Migration> {
        let class = |name: &str| vec![name.to_owned()];
        vec![
            Migration { tag: "v1".to_owned(), new_sqlite_classes: class("Room"), ..Migration::default() },
            Migration {
                tag: "v2".to_owned(),
                renamed_classes: vec![RenamedClass { from: "Room".to_owned(), to: "Hall".to_owned() }],
                ..Migration::default()
            },
            Migration { tag: "v3".to_owned(), deleted_classes: class("Hall"), ..Migration::default() },
        ]
    }

    #[test]
    fn a_script_gets_the_steps_that_it_has_not_had() {
        let steps = json!([
            { "new_sqlite_classes": ["Room"] },
            { "renamed_classes": [{ "from": "Room", "to": "Hall" }] },
            { "deleted_classes": ["Hall"] },
        ]);
        let all = migrations();
        assert_eq!(pending(&[], None, false).expect("valid"), None);
        assert_eq!(pending(&all, None, false).expect("valid"), Some(json!({ "new_tag": "v3", "steps": steps })));
        assert_eq!(
            pending(&all[..2], Some("v1"), false).expect("valid"),
            Some(json!({ "old_tag": "v1", "new_tag": "v2", "steps": [steps[1]] }))
        );
        assert_eq!(pending(&all, Some("v3"), false).expect("valid"), None);
    }

    #[test]
    fn data_is_deleted_only_on_request() {
        let error = pending(&migrations(), Some("v2"), false).expect_err("refused").to_string();
        assert!(error.contains("v3 deletes the class Hall") && error.contains("--delete-data"), "{error}");
        let upload = pending(&migrations(), Some("v2"), true).expect("allowed").expect("a step");
        assert_eq!(upload, json!({ "old_tag": "v2", "new_tag": "v3", "steps": [{ "deleted_classes": ["Hall"] }] }));
    }

    #[test]
    fn an_unknown_tag_is_refused() {
        let error = pending(&migrations(), Some("v0"), true).expect_err("refused").to_string();
        assert!(error.contains("the script's last migration is v0"), "{error}");
    }
}
