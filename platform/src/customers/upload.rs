//! What is uploaded as a customer's script.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::code::{CodeOwner, ScriptCode};
use crate::manifest::{MAX_TAGS, NamedBinding};
use cloudflare_api::ScriptUpload;

/// The types of bindings that an upload keeps besides those that the script has: what was bound since it was looked at stays,
/// too.
const KEPT: [&str; 4] = ["json", "plain_text", "secret_key", "secret_text"];

/// What the script is to be, and what of the one that is there stays.
pub struct ScriptSpec<'s> {
    pub code: &'s ScriptCode,
    pub tags: &'s BTreeSet<String>,
    pub bindings: &'s [NamedBinding],
}

/// What stays of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepBindings {
    /// The bindings and tags that are not named.
    Unnamed,
    /// Secrets alone, whose texts may be nowhere else.
    Secrets,
}

impl ScriptSpec<'_> {
    /// The upload that makes it, or puts it in the place of the script with these settings.
    pub fn upload(&self, settings: Option<&Value>, keep: KeepBindings) -> Result<ScriptUpload> {
        let Self { code, tags, bindings } = self;
        let mut keep_bindings: BTreeSet<String> = BTreeSet::new();
        let mut all_tags: BTreeSet<String> = (*tags).clone();
        if let (Some(settings), KeepBindings::Unnamed) = (settings, keep) {
            let there = settings["bindings"].as_array().into_iter().flatten();
            keep_bindings.extend(there.filter_map(|binding| Some(binding["type"].as_str()?.to_owned())));
            keep_bindings.extend(KEPT.map(str::to_owned));
            all_tags.extend(super::state::tags(settings));
        } else if settings.is_some() {
            keep_bindings.extend(["secret_key", "secret_text"].map(str::to_owned));
        }
        for whose in [CodeOwner::Platform, CodeOwner::Customer] {
            all_tags.remove(whose.tag());
        }
        all_tags.insert(code.whose.tag().to_owned());
        if all_tags.len() > MAX_TAGS {
            let tags: Vec<&str> = all_tags.iter().map(String::as_str).collect();
            bail!(
                "with those that it has already the script would have {} tags, and may have {MAX_TAGS}: {}. With --exact it keeps none that the manifest does not name",
                tags.len(),
                tags.join(", ")
            );
        }
        let mut metadata = json!({
            "main_module": code.main,
            "compatibility_date": code.settings.compatibility_date,
            "compatibility_flags": code.settings.compatibility_flags,
            "bindings": bindings,
            "tags": all_tags,
        });
        if !keep_bindings.is_empty() {
            metadata["keep_bindings"] = json!(keep_bindings);
        }
        if let Some(observability) = &code.settings.observability {
            metadata["observability"] = observability.clone();
        }
        Ok(ScriptUpload { metadata, modules: code.modules.clone() })
    }
}
