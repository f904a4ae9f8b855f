//! Reads the deployed wrangler files and adapts them to the local platform.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::json;
use toml::{Table, Value};

use super::account::NAMESPACE;
use super::{Auth, Customer, Options, Var};
use cloudflare_api::wrangler_config::add_binding;

/// Returns the dispatcher's wrangler file with the changes that the options ask for: authentication, variables and the
/// binding to customers' records. The dispatch namespaces are removed, because the local platform binds its own.
pub fn deployed_dispatcher(repository: &Path, options: &Options, records: Option<&str>) -> Result<Table> {
    let mut config = built(options, "dispatcher", &repository.join("wrangler.toml"))?;
    config.insert("name".to_owned(), Value::String("dispatcher".to_owned()));
    config.remove("dispatch_namespaces");
    let vars = config.entry("vars").or_insert_with(|| Value::Table(Table::new()));
    let vars = vars.as_table_mut().context("`vars` in wrangler.toml is not a table")?;
    let auth = match options.auth {
        Auth::TrustedHeader => "trusted-header",
        Auth::Token => "token",
    };
    vars.insert("AUTH".to_owned(), Value::String(auth.to_owned()));
    if options.auth == Auth::TrustedHeader {
        // Pages of this machine and of `ALLOWED_ORIGINS` can open WebSockets.
        vars.insert("TRUST_WEBSOCKET_PROTOCOL".to_owned(), Value::String("true".to_owned()));
    }
    for Var { name, value } in &options.vars {
        match &**name {
            "AUTH" => bail!("AUTH is not for --var: use --auth"),
            "TOKEN_SECRETS" if options.auth == Auth::Token => {
                bail!("TOKEN_SECRETS is not for --var with --auth token, which makes them in the state folder")
            }
            _ => {}
        }
        vars.insert(name.clone(), Value::String(value.clone()));
    }
    if let Some(id) = records
        && bound_records(&config).is_none()
    {
        let binding = json!({ "type": "kv_namespace", "name": RECORDS, "namespace_id": id });
        add_binding(&mut config, &binding).context("wrangler.toml cannot have CUSTOMERS besides")?;
    }
    Ok(config)
}

/// Returns the dispatcher's bindings as Cloudflare's API describes them.
pub fn dispatcher_bindings(
    repository: &Path,
    options: &Options,
    records: Option<&str>,
) -> Result<Vec<serde_json::Value>> {
    let config = deployed_dispatcher(repository, options, records)?;
    let namespace = json!({ "type": "dispatch_namespace", "name": "DISPATCHER", "namespace": NAMESPACE });
    Ok([namespace].into_iter().chain(api_bindings(&config)).collect())
}

/// A list of bindings in a wrangler file: their type in the API, the list's key, the member that contains a binding's
/// name, and the other members as pairs of their names in the API and in the file.
struct List {
    kind: &'static str,
    key: &'static str,
    name: &'static str,
    members: &'static [(&'static str, &'static str)],
}

const LISTS: [List; 6] = [
    List { kind: "d1", key: "d1_databases", name: "binding", members: &[("id", "database_id")] },
    List { kind: "r2_bucket", key: "r2_buckets", name: "binding", members: &[("bucket_name", "bucket_name")] },
    List { kind: "kv_namespace", key: "kv_namespaces", name: "binding", members: &[("namespace_id", "id")] },
    List {
        kind: "ratelimit",
        key: "ratelimits",
        name: "name",
        members: &[("namespace_id", "namespace_id"), ("simple", "simple")],
    },
    List {
        kind: "analytics_engine",
        key: "analytics_engine_datasets",
        name: "binding",
        members: &[("dataset", "dataset")],
    },
    List {
        kind: "service",
        key: "services",
        name: "binding",
        members: &[("service", "service"), ("entrypoint", "entrypoint")],
    },
];

/// Converts the bindings of a wrangler file to the API's format: those in [`LISTS`], the variables and the version
/// metadata.
pub fn api_bindings(config: &Table) -> Vec<serde_json::Value> {
    let mut bindings = Vec::new();
    for List { kind, key, name, members } in LISTS {
        for entry in config.get(key).and_then(Value::as_array).into_iter().flatten() {
            let mut binding = json!({ "type": kind, "name": entry.get(name) });
            for (api, file) in members {
                if let Some(value) = entry.get(file) {
                    binding[*api] = json!(value);
                }
            }
            bindings.push(binding);
        }
    }
    for (name, value) in config.get("vars").and_then(Value::as_table).into_iter().flatten() {
        bindings.push(match value {
            Value::String(text) => json!({ "type": "plain_text", "name": name, "text": text }),
            other => json!({ "type": "json", "name": name, "json": other }),
        });
    }
    if let Some(name) = config.get("version_metadata").and_then(|section| section.get("binding")) {
        bindings.push(json!({ "type": "version_metadata", "name": name }));
    }
    bindings
}

/// Returns the id of the KV namespace with customers' records, if the dispatcher's wrangler file binds it.
pub fn records(repository: &Path) -> Result<Option<String>> {
    Ok(bound_records(&read(&repository.join("wrangler.toml"))?).map(ToOwned::to_owned))
}

fn bound_records(config: &Table) -> Option<&str> {
    let namespaces = config.get("kv_namespaces").and_then(Value::as_array).into_iter().flatten();
    let mut bound = namespaces.filter(|namespace| namespace.get("binding").and_then(Value::as_str) == Some(RECORDS));
    bound.find_map(|namespace| namespace.get("id")?.as_str())
}

/// The name of the dispatcher's binding to customers' records.
const RECORDS: &str = "CUSTOMERS";

/// Returns the wrangler file that the options name for a customer. Only its name is changed.
pub fn hosted_worker(customer: &Customer) -> Result<Table> {
    let file = customer.worker.as_deref().context("the options name a wrangler file")?;
    let file = file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
    let mut config = deployed(&file)?;
    config.insert("name".to_owned(), Value::String(customer.id.resource_name()));
    Ok(config)
}

/// Reads a wrangler file, and makes the paths in it absolute: `main` and the packages of plugins.
pub fn deployed(path: &Path) -> Result<Table> {
    let mut config = read(path)?;
    let main = config.get("main").and_then(Value::as_str).with_context(|| format!("{} has no main", path.display()))?;
    let main = path.with_file_name(main);
    let main =
        main.canonicalize().with_context(|| format!("{} is missing: run `cargo xtask build`", main.display()))?;
    config.insert("main".to_owned(), Value::String(text(&main)?));
    for package in plugin_packages(&mut config) {
        if package.starts_with('.') {
            *package = text(&path.with_file_name(&*package))?;
        }
    }
    Ok(config)
}

/// Reads the wrangler file of one of the platform's own Workers. If the options name a folder of builds, `main` is the
/// build in that folder.
pub fn built(options: &Options, worker: &str, path: &Path) -> Result<Table> {
    // The Worker's own build need not exist.
    let Some(builds) = &options.builds else { return deployed(path) };
    let main = builds.join(worker).join("index.js");
    let main = main.canonicalize().with_context(|| format!("there is no {}", main.display()))?;
    let mut config = read(path)?;
    config.insert("main".to_owned(), Value::String(text(&main)?));
    Ok(config)
}

/// Reads a wrangler file.
pub fn read(path: &Path) -> Result<Table> {
    let source = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    source.parse().with_context(|| format!("{} is not valid TOML", path.display()))
}

/// Returns the packages of the Miniflare plugins that provide bindings.
fn plugin_packages(config: &mut Table) -> impl Iterator<Item = &mut String> {
    let bindings = config.get_mut("unsafe").and_then(|section| section.get_mut("bindings"));
    let bindings = bindings.and_then(Value::as_array_mut).into_iter().flatten();
    bindings.filter_map(|binding| match binding.get_mut("dev")?.get_mut("plugin")?.get_mut("package")? {
        Value::String(package) => Some(package),
        _ => None,
    })
}

pub fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}

#[cfg(test)]
mod tests {
    use toml::toml;

    use super::*;

    #[test]
    fn bindings_have_the_formats_of_the_api() {
        let config = toml! {
            vars = { AUTH = "token", LIMITS = { a = 1 } }
            kv_namespaces = [{ binding = "CUSTOMERS", id = "k" }]
            ratelimits = [{ name = "RATE_LIMIT", namespace_id = "1001", simple = { limit = 9, period = 60 } }]
            analytics_engine_datasets = [{ binding = "ANALYTICS", dataset = "d" }]
            services = [{ binding = "BILLING", service = "b" }, { binding = "MAIL", service = "m", entrypoint = "Mail" }]
            version_metadata = { binding = "VERSION" }
        };
        let expected = json!([
            { "type": "kv_namespace", "name": "CUSTOMERS", "namespace_id": "k" },
            { "type": "ratelimit", "name": "RATE_LIMIT", "namespace_id": "1001", "simple": { "limit": 9, "period": 60 } },
            { "type": "analytics_engine", "name": "ANALYTICS", "dataset": "d" },
            { "type": "service", "name": "BILLING", "service": "b" },
            { "type": "service", "name": "MAIL", "service": "m", "entrypoint": "Mail" },
            { "type": "plain_text", "name": "AUTH", "text": "token" },
            { "type": "json", "name": "LIMITS", "json": { "a": 1 } },
            { "type": "version_metadata", "name": "VERSION" },
        ]);
        assert_eq!(serde_json::Value::from(api_bindings(&config)), expected);
        assert!(api_bindings(&Table::new()).is_empty());
    }
}
