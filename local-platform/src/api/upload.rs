//! What is uploaded as a script: <https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/>.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::Multipart;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::reply::{INVALID, Refusal, json_body};
use crate::account::{Modules, hex};
use crate::workerd::ModuleKind;
use platform::code::{PYTHON_IS_NOT_SUPPORTED, is_python, json_module};

/// An upload: what it says of the script, and its modules, none if the script keeps those that it has.
#[derive(Debug)]
pub struct Upload {
    /// What describes the script.
    pub metadata: Metadata,
    /// The modules, by name.
    pub modules: BTreeMap<String, Module>,
}

/// A module.
#[derive(Debug)]
pub struct Module {
    /// What it is.
    pub media_type: String,
    /// Its bytes.
    pub content: Bytes,
}

/// What is in modules, by name.
pub type Contents = BTreeMap<String, Bytes>;

/// What describes a script.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The module with the exports.
    pub main_module: Option<String>,
    /// The part with a script of the old kind.
    pub body_part: Option<String>,
    /// The bindings.
    pub bindings: Option<Vec<Map<String, Value>>>,
    /// The types of the bindings that stay as they are if `bindings` has none of their name.
    pub keep_bindings: Option<BTreeSet<String>>,
    /// What the script is tagged with.
    pub tags: Option<BTreeSet<String>>,
    /// Of what date the runtime behaves.
    pub compatibility_date: Option<String>,
    /// And how it differs.
    pub compatibility_flags: Option<Vec<String>>,
    /// What becomes of classes of Durable Objects.
    pub migrations: Option<Migrations>,
    /// What the script exports, which says the same of classes of Durable Objects without steps.
    pub exports: Option<Map<String, Value>>,
    /// Static assets.
    pub assets: Option<Value>,
    /// Everything else.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Steps after the last one that was taken, or one step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Migrations {
    /// The tag of the last step.
    pub new_tag: Option<String>,
    /// The tag that the script has.
    pub old_tag: Option<String>,
    /// Several,
    pub steps: Vec<Migration>,
    /// or one.
    #[serde(flatten)]
    pub step: Migration,
}

/// What becomes of classes.
#[expect(clippy::struct_field_names, reason = "the API's own names")]
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Migration {
    /// New ones that keep their data as keys and values,
    pub new_classes: Vec<String>,
    /// or in `SQLite`.
    pub new_sqlite_classes: Vec<String>,
    /// Old ones with new names.
    pub renamed_classes: Vec<Renamed>,
    /// Those that are gone, with their data.
    pub deleted_classes: Vec<String>,
}

/// A class that gets a new name.
#[derive(Clone, Debug, Deserialize)]
pub struct Renamed {
    /// The old one.
    pub from: String,
    /// The new one.
    pub to: String,
}

impl Migrations {
    /// Does to the classes what is said here. A class is there with whether it keeps its data in `SQLite`.
    pub fn apply(self, classes: &mut BTreeMap<String, bool>) -> Result<(), Refusal> {
        for step in self.steps.into_iter().chain([self.step]) {
            for Renamed { from, to } in step.renamed_classes {
                let kind = classes.remove(&from).ok_or_else(|| no_class(&from))?;
                classes.insert(to, kind);
            }
            for class in step.deleted_classes {
                classes.remove(&class).ok_or_else(|| no_class(&class))?;
            }
            classes.extend(step.new_classes.into_iter().map(|class| (class, false)));
            classes.extend(step.new_sqlite_classes.into_iter().map(|class| (class, true)));
        }
        Ok(())
    }
}

/// Does to the classes what is said of exports: <https://developers.cloudflare.com/durable-objects/reference/>.
pub fn apply_exports(exports: &Map<String, Value>, classes: &mut BTreeMap<String, bool>) -> Result<(), Refusal> {
    for (class, export) in exports.iter().filter(|(_, export)| export["type"] == "durable-object") {
        match export["state"].as_str().unwrap_or("created") {
            "created" => drop(classes.entry(class.clone()).or_insert_with(|| export["storage"] != "legacy-kv")),
            "deleted" => drop(classes.remove(class)),
            "renamed" => {
                let new = export["renamed_to"].as_str();
                let new = new.ok_or_else(|| Refusal::bad(INVALID, format!("export {class} has no `renamed_to`")))?;
                if let Some(kind) = classes.remove(class) {
                    classes.insert(new.to_owned(), kind);
                }
            }
            state => {
                let message = format!("export {class} is {state}: classes do not move between scripts here");
                return Err(Refusal::bad(INVALID, message));
            }
        }
    }
    Ok(())
}

fn no_class(name: &str) -> Refusal {
    Refusal::bad(10061, format!("a migration names the class {name}, which the script does not have"))
}

impl Upload {
    /// Reads the form.
    pub async fn read(mut form: Multipart) -> Result<Self, Refusal> {
        let mut metadata: Option<Metadata> = None;
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await.map_err(bad_form)? {
            let name = field.name().ok_or_else(|| Refusal::bad(INVALID, "a part of the form has no name"))?.to_owned();
            let file_name = field.file_name().map(str::to_owned);
            let media_type = field.content_type().unwrap_or("text/plain").to_owned();
            let content = field.bytes().await.map_err(bad_form)?;
            // Where the settings are sent alone, they are called so.
            if ["metadata", "settings"].contains(&&*name) {
                metadata = Some(json_body(&content)?);
            } else {
                parts.push((name, file_name, Module { media_type, content }));
            }
        }
        let metadata = metadata.ok_or_else(|| Refusal::bad(INVALID, "the form has no part `metadata`"))?;
        // Cloudflare's own clients call all parts the same, and the modules by their files' names.
        let main = metadata.main_module.as_ref().or(metadata.body_part.as_ref());
        let by_part = parts.iter().any(|(name, ..)| Some(name) == main);
        let mut modules = BTreeMap::new();
        for (name, file_name, module) in parts {
            let name = if by_part { name } else { file_name.unwrap_or(name) };
            if modules.insert(name.clone(), module).is_some() {
                return Err(Refusal::bad(INVALID, format!("there are two modules called {name}")));
            }
        }
        Ok(Self { metadata, modules })
    }

    /// The modules as they are kept, and what is kept of them; `None` if there are none.
    pub fn modules(&mut self) -> Result<Option<(Modules, Contents)>, Refusal> {
        let service_worker = self.metadata.body_part.is_some();
        let mut main = self.metadata.main_module.take().or(self.metadata.body_part.take());
        let mut parts = std::mem::take(&mut self.modules);
        if let (true, Some(name)) = (service_worker, &mut main)
            && let Some(part) = parts.remove(name)
        {
            // wrangler knows a script by its ending, and nobody imports this one.
            name.push_str(".js");
            parts.insert(name.clone(), part);
        }
        let Some(main) = main else {
            if parts.is_empty() {
                return Ok(None);
            }
            return Err(Refusal::bad(INVALID, "there are modules, but `metadata` has no main_module"));
        };
        let mut modules =
            Modules { digest: String::new(), main: file_name(&main)?, service_worker, media_types: BTreeMap::new() };
        let mut contents = Contents::new();
        for (name, Module { media_type, content }) in parts {
            let name = file_name(&name)?;
            let mut media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            if media_type.starts_with("text/x-python") || is_python(&name) {
                return Err(Refusal::bad(INVALID, format!("the module {name}: {PYTHON_IS_NOT_SUPPORTED}")));
            }
            if name == modules.main && media_type == "application/json" {
                let message = format!("the main module {name} is JSON: a script starts with an ECMAScript module");
                return Err(Refusal::bad(INVALID, message));
            }
            if name == modules.main && !service_worker {
                // Not all clients know that it is no file like others.
                "application/javascript+module".clone_into(&mut media_type);
            }
            let content = match ModuleKind::of(&media_type) {
                Some(ModuleKind::Json) => json_module::wrapped(&content)
                    .map_err(|error| Refusal::bad(INVALID, format!("the module {name} is not valid JSON: {error}")))?,
                Some(_) => content,
                None if media_type == "application/source-map" => content,
                None => {
                    let message = format!("the module {name} is {media_type}, which the local platform cannot run");
                    return Err(Refusal::bad(INVALID, message));
                }
            };
            modules.media_types.insert(name.clone(), media_type);
            if contents.insert(name.clone(), content).is_some() {
                return Err(Refusal::bad(INVALID, format!("there are two modules called {name}")));
            }
        }
        if !contents.contains_key(&modules.main) {
            return Err(Refusal::bad(INVALID, format!("No such module \"{main}\": it is the main module")));
        }
        if contents[&modules.main].trim_ascii().is_empty() {
            return Err(Refusal::bad(10068, "The uploaded script has no registered event handlers."));
        }
        modules.digest = digest(&modules, &contents);
        Ok(Some((modules, contents)))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn bad_form(error: axum::extract::multipart::MultipartError) -> Refusal {
    Refusal::bad(INVALID, format!("the form cannot be read: {}", error.body_text()))
}

/// The name of a module as that of a file, which cannot leave its folder.
fn file_name(name: &str) -> Result<String, Refusal> {
    let path = name.strip_prefix("./").unwrap_or(name);
    let plain = |character: char| !character.is_control() && !"\\\"*:".contains(character);
    let whole = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
    if path.len() > 200 || !path.chars().all(plain) || !path.split('/').all(whole) {
        let message = format!("{name:?} cannot be a module's name here: it is a path without `..`, \\, \", * and :");
        return Err(Refusal::bad(INVALID, message));
    }
    Ok(path.to_owned())
}

/// A name for modules that no others have.
fn digest(modules: &Modules, contents: &Contents) -> String {
    let mut hash = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    put(modules.main.as_bytes());
    for (name, content) in contents {
        put(name.as_bytes());
        put(modules.media_types[name].as_bytes());
        put(content);
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn modules_stay_in_their_folder() {
        for (name, file) in [("./index_bg.wasm", "index_bg.wasm"), ("a/b.js", "a/b.js"), ("a b@1[x].js", "a b@1[x].js")]
        {
            assert_eq!(file_name(name).expect(name), file);
        }
        for name in ["", ".", "./", "..", "../a", "a/../b", "/a", "a//b", "a/", "a\\b", "a\"b", "a\0", "*.js", "c:a"] {
            assert!(file_name(name).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_a_folder(name in "[./a-c\\\\]{0,12}|\\PC{0,12}") {
            if let Ok(file) = file_name(&name) {
                let components = std::path::Path::new(&file).components();
                prop_assert!(components.into_iter().all(|part| matches!(part, std::path::Component::Normal(_))), "{file}");
            }
        }
    }

    #[test]
    fn migrations_are_taken_step_by_step() {
        let migrations = |json: &str| serde_json::from_str::<Migrations>(json).expect(json);
        let mut classes = BTreeMap::new();
        migrations(r#"{"new_tag":"v1","new_classes":["A"]}"#).apply(&mut classes).expect("applied");
        let steps = r#"{"old_tag":"v1","new_tag":"v3","steps":[
            {"new_sqlite_classes":["B"],"renamed_classes":[{"from":"A","to":"C"}]}, {"deleted_classes":["C"]}]}"#;
        migrations(steps).apply(&mut classes).expect("applied");
        assert_eq!(classes, BTreeMap::from([("B".to_owned(), true)]));
        for unknown in [r#"{"deleted_classes":["A"]}"#, r#"{"renamed_classes":[{"from":"A","to":"B"}]}"#] {
            assert!(migrations(unknown).apply(&mut classes).is_err(), "{unknown}");
        }
    }

    #[test]
    fn exports_say_which_classes_there_are() {
        let apply = |json: &str, classes: &mut BTreeMap<String, bool>| {
            apply_exports(&serde_json::from_str(json).expect(json), classes)
        };
        let mut classes = BTreeMap::new();
        let first = r#"{"A": {"type": "durable-object", "storage": "sqlite"}, "W": {"type": "worker"},
            "B": {"type": "durable-object", "storage": "legacy-kv", "state": "created"}}"#;
        apply(first, &mut classes).expect("applied");
        assert_eq!(classes, BTreeMap::from([("A".to_owned(), true), ("B".to_owned(), false)]));
        let second = r#"{"A": {"type": "durable-object", "state": "deleted"},
            "B": {"type": "durable-object", "state": "renamed", "renamed_to": "C"}}"#;
        for _ in 0..2 {
            apply(second, &mut classes).expect("applied, and again");
            assert_eq!(classes, BTreeMap::from([("C".to_owned(), false)]));
        }
        for wrong in [
            r#"{"C": {"type": "durable-object", "state": "transferred", "transferred_to": "x"}}"#,
            r#"{"C": {"type": "durable-object", "state": "renamed"}}"#,
        ] {
            assert!(apply(wrong, &mut classes).is_err(), "{wrong}");
        }
    }
}
