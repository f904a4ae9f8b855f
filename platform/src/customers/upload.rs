//! Builds the upload of a customer's script.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use cloudflare_api::ScriptUpload;
use serde_json::{Value, json};

use crate::code::{CodeOwner, ScriptCode};
use crate::manifest::{MAX_TAGS, NamedBinding};

/// Types of bindings that an upload always keeps, in addition to the types that the script had when its settings were
/// read. Bindings of these types may have been added since then.
const ALWAYS_KEPT: [&str; 4] = ["json", "plain_text", "secret_key", "secret_text"];

/// The code, tags and bindings of a script.
pub struct ScriptSpec<'s> {
    pub code: &'s ScriptCode,
    pub tags: &'s BTreeSet<String>,
    pub bindings: &'s [NamedBinding],
    /// The member `migrations` of the metadata; see [`crate::manifest::pending`].
    pub migrations: Option<Value>,
}

/// Which bindings and tags of an existing script an upload keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepBindings {
    /// All bindings and tags that the manifest does not name.
    NotInManifest,
    /// Only secrets: their texts may not be stored anywhere else.
    SecretsOnly,
}

impl ScriptSpec<'_> {
    /// Returns the upload that creates the script or, with the settings of an existing script, replaces it.
    pub fn upload(&self, settings: Option<&Value>, keep: KeepBindings) -> Result<ScriptUpload> {
        let Self { code, tags, bindings, migrations } = self;
        let mut keep_bindings: BTreeSet<String> = BTreeSet::new();
        let mut all_tags: BTreeSet<String> = (*tags).clone();
        if let (Some(settings), KeepBindings::NotInManifest) = (settings, keep) {
            let existing = settings["bindings"].as_array().into_iter().flatten();
            keep_bindings.extend(existing.filter_map(|binding| Some(binding["type"].as_str()?.to_owned())));
            keep_bindings.extend(ALWAYS_KEPT.map(str::to_owned));
            all_tags.extend(super::state::tags(settings));
        } else if settings.is_some() {
            keep_bindings.extend(["secret_key", "secret_text"].map(str::to_owned));
        }
        for owner in [CodeOwner::Platform, CodeOwner::Customer] {
            all_tags.remove(owner.tag());
        }
        all_tags.insert(code.owner.tag().to_owned());
        if all_tags.len() > MAX_TAGS {
            let tags: Vec<&str> = all_tags.iter().map(String::as_str).collect();
            bail!(
                "with its existing tags the script would have {} tags, more than the maximum of {MAX_TAGS}: {}. Use --exact to remove tags that the manifest does not name",
                tags.len(),
                tags.join(", ")
            );
        }
        let mut metadata = json!({
            "main_module": code.main_module,
            "compatibility_date": code.settings.compatibility_date,
            "compatibility_flags": code.settings.compatibility_flags,
            "bindings": bindings,
            "tags": all_tags,
        });
        if !keep_bindings.is_empty() {
            metadata["keep_bindings"] = json!(keep_bindings);
        }
        if let Some(migrations) = migrations {
            metadata["migrations"] = migrations.clone();
        }
        if let Some(observability) = &code.settings.observability {
            metadata["observability"] = observability.clone();
        }
        Ok(ScriptUpload { metadata, modules: code.modules.clone() })
    }
}
