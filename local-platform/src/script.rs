//! A script of the dispatch namespace as a Worker of the local runtime.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use toml::Table;

use super::account::{Account, Code, Modules, Script, Storage};
use super::binding_types::works;
use super::check::ModuleKind;
use super::config::{built, text};
use super::options::Options;
use super::store::modules_folder;
use cloudflare_api::wrangler_config::add_binding;
use cloudflare_api::{Resource, ResourceKind};

/// The name of a script's Worker. No other Worker's name starts like that.
pub fn worker_name(script: &str) -> String {
    format!("customer-{script}")
}

/// The Worker's configuration for `wrangler dev`. It is JSON, because TOML has no null.
pub fn config(options: &Options, state: &Path, name: &str, script: &Script, account: &Account) -> Result<Value> {
    let mut config = match &script.code {
        Code::Built => built(options, "customer-worker", &options.repository.join("customer-worker/wrangler.toml"))?,
        Code::Uploaded(modules) => uploaded(state, script, modules)?,
    };
    let mut vars = Map::new();
    for binding in &script.bindings {
        let member = |name: &str| binding.get(name).cloned().unwrap_or_default();
        let (kind, called) = (member("type"), member("name"));
        let called = called.as_str().context("a binding has a name")?;
        match kind.as_str() {
            // Secrets, too: wrangler's files for them cannot hold every text.
            Some("plain_text" | "secret_text") => drop(vars.insert(called.to_owned(), member("text"))),
            Some("json") => drop(vars.insert(called.to_owned(), member("json"))),
            // What is deleted must not come back because somebody writes to it.
            Some(_) if works(binding) && stored(binding).is_none_or(|storage| account.has(&storage)) => {
                bind(&mut config, binding).with_context(|| format!("the script {name}"))?;
            }
            _ => {}
        }
    }
    let mut config = serde_json::to_value(&config).context("a table is JSON as well")?;
    config["name"] = worker_name(name).into();
    config["vars"] = vars.into();
    if !script.durable_objects.is_empty() {
        let classes = |sqlite: bool| -> Vec<&String> {
            script.durable_objects.iter().filter(|(_, kind)| **kind == sqlite).map(|(class, _)| class).collect()
        };
        config["migrations"] =
            json!([{ "tag": "v1", "new_classes": classes(false), "new_sqlite_classes": classes(true) }]);
    }
    Ok(config)
}

fn uploaded(state: &Path, script: &Script, modules: &Modules) -> Result<Table> {
    let folder = modules_folder(state, &modules.digest);
    let mut files: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for (name, media_type) in &modules.media_types {
        if let Some(kind) = ModuleKind::of(media_type) {
            files.entry(kind.wrangler()).or_default().push(name);
        }
    }
    let rules: Vec<Value> =
        files.into_iter().map(|(kind, globs)| json!({ "type": kind, "globs": globs, "fallthrough": true })).collect();
    let config = json!({
        "main": text(&folder.join(modules.entry()))?,
        "base_dir": text(&folder)?,
        "compatibility_date": script.compatibility_date,
        "compatibility_flags": script.compatibility_flags,
        "no_bundle": true,
        "find_additional_modules": true,
        "rules": rules,
    });
    serde_json::from_value(config).context("this is a table")
}

/// Puts a binding that the local runtime has into a Worker's configuration.
pub fn bind(config: &mut Table, binding: &Map<String, Value>) -> Result<()> {
    let mut binding = binding.clone();
    if let Some(Storage::D1(id)) = stored(&binding) {
        // What wrangler wants in a file, and has no use for.
        binding.insert("database_name".to_owned(), id.into());
    }
    add_binding(config, &binding.into()).context("a binding cannot be in wrangler's configuration")
}

/// The storage that a binding names, if it is of such a kind.
pub fn stored(binding: &Map<String, Value>) -> Option<Storage> {
    let Resource { kind, name, .. } = Resource::named_by(&binding.clone().into())?;
    Some(match kind {
        ResourceKind::KvNamespace => Storage::Kv(name),
        ResourceKind::Bucket => Storage::R2(name),
        ResourceKind::Database => Storage::D1(name),
        _ => return None,
    })
}
