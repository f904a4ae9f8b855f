//! Parses uploads of scripts: <https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/>.

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

/// An upload. If it has no modules, the script keeps those that it has.
#[derive(Debug)]
pub struct Upload {
    /// The script's metadata.
    pub metadata: Metadata,
    /// The modules, by name.
    pub modules: BTreeMap<String, Module>,
}

/// A module.
#[derive(Debug)]
pub struct Module {
    /// The module's media type.
    pub media_type: String,
    /// The module's content.
    pub content: Bytes,
}

/// The contents of modules, by name.
pub type Contents = BTreeMap<String, Bytes>;

/// The metadata of a script.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The main module, which has the exports.
    pub main_module: Option<String>,
    /// The part that contains a service-worker script.
    pub body_part: Option<String>,
    /// The bindings.
    pub bindings: Option<Vec<Map<String, Value>>>,
    /// The types of the existing bindings that are kept unless `bindings` has one of the same name.
    pub keep_bindings: Option<BTreeSet<String>>,
    /// The script's tags.
    pub tags: Option<BTreeSet<String>>,
    /// The compatibility date.
    pub compatibility_date: Option<String>,
    /// The compatibility flags.
    pub compatibility_flags: Option<Vec<String>>,
    /// The migrations of Durable Objects.
    pub migrations: Option<Migrations>,
    /// The script's exports. For Durable Objects, they are an alternative to `migrations`.
    pub exports: Option<Map<String, Value>>,
    /// Static assets.
    pub assets: Option<Value>,
    /// All other members.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Migrations of Durable Objects: several steps or a single one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Migrations {
    /// The tag of the last step.
    pub new_tag: Option<String>,
    /// The tag that the script is expected to have.
    pub old_tag: Option<String>,
    /// Several steps.
    pub steps: Vec<Migration>,
    /// A single step.
    #[serde(flatten)]
    pub step: Migration,
}

/// A step of a migration.
#[expect(clippy::struct_field_names, reason = "the API's own names")]
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Migration {
    /// New classes that store their data as keys and values.
    pub new_classes: Vec<String>,
    /// New classes that store their data in SQLite.
    pub new_sqlite_classes: Vec<String>,
    /// Classes that get new names.
    pub renamed_classes: Vec<Renamed>,
    /// Classes that are deleted together with their data.
    pub deleted_classes: Vec<String>,
}

/// A class that gets a new name.
#[derive(Clone, Debug, Deserialize)]
pub struct Renamed {
    /// The old name.
    pub from: String,
    /// The new name.
    pub to: String,
}

impl Migrations {
    /// Applies the migrations to a script's classes. The values say whether a class stores its data in SQLite.
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

/// Applies a script's exports to its classes: <https://developers.cloudflare.com/durable-objects/reference/>.
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
    /// Reads an upload from a form.
    pub async fn read(mut form: Multipart) -> Result<Self, Refusal> {
        let mut metadata: Option<Metadata> = None;
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await.map_err(bad_form)? {
            let name = field.name().ok_or_else(|| Refusal::bad(INVALID, "a part of the form has no name"))?.to_owned();
            let file_name = field.file_name().map(str::to_owned);
            let media_type = field.content_type().unwrap_or("text/plain").to_owned();
            let content = field.bytes().await.map_err(bad_form)?;
            // The part is called `settings` in a request that only changes settings.
            if ["metadata", "settings"].contains(&&*name) {
                metadata = Some(json_body(&content)?);
            } else {
                parts.push((name, file_name, Module { media_type, content }));
            }
        }
        let metadata = metadata.ok_or_else(|| Refusal::bad(INVALID, "the form has no part `metadata`"))?;
        // Cloudflare's own clients use one name for all parts, and put the modules' names into the file names.
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

    /// Checks the modules and takes them out of the upload. Returns their description and their contents, or `None` if
    /// there are none.
    pub fn modules(&mut self) -> Result<Option<(Modules, Contents)>, Refusal> {
        let service_worker = self.metadata.body_part.is_some();
        let mut main = self.metadata.main_module.take().or(self.metadata.body_part.take());
        let mut parts = std::mem::take(&mut self.modules);
        if let (true, Some(name)) = (service_worker, &mut main)
            && let Some(part) = parts.remove(name)
        {
            // wrangler recognizes such a script by its file extension. No module imports it, so its name does not
            // matter.
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
                // Some clients send another media type for the main module.
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

/// Converts a module's name to the name of a file, which cannot be outside of its folder.
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

/// Returns a digest that identifies the modules.
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
        fn no_file_name_leaves_its_folder(name in "[./a-c\\\\]{0,12}|\\PC{0,12}") {
            if let Ok(file) = file_name(&name) {
                let components = std::path::Path::new(&file).components();
                prop_assert!(components.into_iter().all(|part| matches!(part, std::path::Component::Normal(_))), "{file}");
            }
        }
    }

    #[test]
    fn migrations_apply_in_order() {
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
