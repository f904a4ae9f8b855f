//! The wrangler files of the local platform, made from those that are deployed, and the command that runs them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;
use toml::{Table, Value, toml};

use super::account::{Account, NAMESPACE, Storage};
use super::door::Door;
use super::store::fresh_folder;
use super::{Auth, Customer, Options, Var, script};
use cloudflare_api::wrangler_config::add_binding;
use platform::token::{state_secrets, write_private};

/// `wrangler dev` over the Workers of the platform.
#[derive(Debug)]
pub struct Command {
    /// Node, of the version that wrangler needs.
    pub node: PathBuf,
    /// wrangler itself, as `npx wrangler` finds it.
    pub wrangler: PathBuf,
    /// What follows `wrangler`.
    pub arguments: Vec<OsString>,
    /// What must be set besides.
    pub environment: Vec<(&'static str, OsString)>,
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(formatter, "{name}={} ", quoted(&value.to_string_lossy()))?;
        }
        formatter.write_str("npx wrangler")?;
        self.arguments.iter().try_for_each(|argument| write!(formatter, " {}", quoted(&argument.to_string_lossy())))
    }
}

/// Quotes a word for a POSIX shell where that is necessary.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:,".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// What runs besides what the options say.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The local account, with its scripts and its storage,
    pub account: &'a Account,
    /// but for scripts that are left out, by name.
    pub without: &'a BTreeSet<String>,
    /// The KV namespace of customers' records, if there are any,
    pub records: Option<&'a str>,
    /// The secrets of this run.
    pub door: &'a Door,
}

/// Writes the wrangler files into the state folder, the one that is reached first. What a former run left there goes.
pub fn write(options: &Options, state: &Path, contents: &Contents<'_>) -> Result<Command> {
    let repository = &options.repository.canonicalize().context("cannot find the repository")?;
    let folder = state.join("workers");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;

    let mut arguments: Vec<OsString> = vec!["dev".into()];
    let mut add = |name: &str, file: &str, config: &str| -> Result<()> {
        // One folder for each: beside a Worker's file, wrangler looks for its secrets.
        let folder = folder.join(name);
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join(file);
        write_private(&path, config)?;
        arguments.extend(["-c".into(), path.into()]);
        Ok(())
    };
    let toml = "wrangler.toml";
    add("entry", toml, &entry(&folder)?.to_string())?;
    let own = options.customers.iter().filter(|customer| customer.worker.is_some());
    let own: Vec<(&str, &Customer)> = own.map(|customer| (customer.id.as_str(), customer)).collect();
    let scripts = contents
        .account
        .scripts()
        .filter(|(name, _)| !contents.without.contains(*name) && !own.iter().any(|(customer, _)| customer == name));
    let scripts: Vec<_> = scripts.collect();
    let names = own.iter().map(|(name, _)| *name).chain(scripts.iter().map(|(name, _)| name.as_str()));
    add("dispatcher", toml, &dispatcher(repository, options, contents.records, names)?.to_string())?;
    add("storage", toml, &storage(&folder, contents.account)?.to_string())?;
    for (name, customer) in own {
        add(
            &script::worker_name(name),
            toml,
            &customer_of_options(repository, customer, contents.account)?.to_string(),
        )?;
    }
    for (name, script) in scripts {
        let config = script::config(options, state, name, script, contents.account)?;
        add(&script::worker_name(name), "wrangler.json", &config.to_string())?;
    }
    for path in &options.others {
        let config = deployed(path)?;
        let name = config.get("name").and_then(Value::as_str);
        add(name.with_context(|| format!("{} has no name", path.display()))?, toml, &config.to_string())?;
    }

    // Not variables, which wrangler prints.
    let Door { secret, shield, .. } = contents.door;
    for name in ["entry", "storage"] {
        let secrets = format!("STORAGE_SECRET={secret}\nSHIELD={shield}\n");
        write_private(&folder.join(name).join(".dev.vars"), secrets)?;
    }
    if options.auth == Auth::Token {
        // In single quotes, nothing in it means anything.
        let secrets = format!("TOKEN_SECRETS='{}'\n", state_secrets(state)?);
        write_private(&folder.join("dispatcher/.dev.vars"), secrets)?;
    }

    // A port of 0 is any that is free: nobody but the front may know wrangler's own.
    for flag in ["--ip=127.0.0.1", "--port=0", "--inspector-port=0", "--show-interactive-dev-session=false"] {
        arguments.push(flag.into());
    }
    arguments.extend(["--persist-to".into(), state.join("storage").into()]);
    let environment = vec![
        ("CLOUDFLARE_CF_FETCH_ENABLED", "false".into()),
        ("WRANGLER_DISABLE_EXPERIMENTAL_WARNING", "1".into()),
        // It writes down what it prints, variables and secrets among it.
        ("WRANGLER_LOG_PATH", fresh_folder(&state.join("logs"))?.into()),
        ("WRANGLER_REGISTRY_PATH", state.join("registry").into()),
        ("WRANGLER_SEND_METRICS", "false".into()),
        ("X_LOCAL_EXPLORER", "false".into()),
        // Would keep a trace of every request on disk.
        ("X_LOCAL_OBSERVABILITY", "false".into()),
    ];
    let node_modules = repository.join("node_modules");
    let command = Command {
        node: node_modules.join("node/bin/node"),
        wrangler: node_modules.join("wrangler/bin/wrangler.js"),
        arguments,
        environment,
    };
    for file in [&command.node, &command.wrangler] {
        if !file.exists() {
            bail!("{} is missing: run `cargo xtask setup`", file.display());
        }
    }
    Ok(command)
}

/// The Worker that requests from outside come to.
fn entry(folder: &Path) -> Result<Table> {
    let main = folder.join("entry.js");
    fs::write(&main, include_str!("entry.js")).with_context(|| format!("cannot write {}", main.display()))?;
    let main = text(&main)?;
    Ok(toml! {
        name = "entry"
        main = main
        compatibility_date = "2026-11-17"
        no_bundle = true
        services = [
            { binding = "DISPATCHER", service = "dispatcher" },
            { binding = "STORAGE", service = "storage" },
        ]
    })
}

/// The Worker that has all storage, for the local API.
fn storage(folder: &Path, account: &Account) -> Result<Table> {
    let main = folder.join("storage.js");
    fs::write(&main, include_str!("storage.js")).with_context(|| format!("cannot write {}", main.display()))?;
    let all = account.storage();
    let bound = |bind: &dyn Fn(&Storage, String) -> Option<serde_json::Value>| -> Vec<serde_json::Value> {
        all.iter().filter_map(|storage| bind(storage, storage.binding())).collect()
    };
    let config = json!({
        "name": "storage",
        "main": text(&main)?,
        "compatibility_date": "2026-11-17",
        "no_bundle": true,
        "kv_namespaces": bound(&|storage, binding| match storage {
            Storage::Kv(id) => Some(json!({ "binding": binding, "id": id })),
            _ => None,
        }),
        "r2_buckets": bound(&|storage, binding| match storage {
            Storage::R2(name) => Some(json!({ "binding": binding, "bucket_name": name })),
            _ => None,
        }),
        "d1_databases": bound(&|storage, binding| match storage {
            Storage::D1(id) => Some(json!({ "binding": binding, "database_name": id, "database_id": id })),
            _ => None,
        }),
    });
    serde_json::from_value(config).context("this is a table")
}

/// The dispatcher as deployed, but for how it knows who is asking, and for its namespace.
fn deployed_dispatcher(repository: &Path, options: &Options, records: Option<&str>) -> Result<Table> {
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

/// The dispatcher with the local namespace, which has these scripts.
fn dispatcher<'a>(
    repository: &Path,
    options: &Options,
    records: Option<&str>,
    scripts: impl Iterator<Item = &'a str>,
) -> Result<Table> {
    let mut config = deployed_dispatcher(repository, options, records)?;
    let scripts: Table = scripts.map(|name| (name.to_owned(), Value::String(script::worker_name(name)))).collect();
    let package = text(&repository.join("local-platform/namespace/index.js"))?;
    config.extend(toml! {
        [[unsafe.bindings]]
        name = "DISPATCHER"
        type = "local-namespace"
        dev.plugin.package = package
        dev.plugin.name = "local-namespace"
        dev.options.scripts = scripts
    });
    Ok(config)
}

/// The dispatcher's bindings, as Cloudflare's API tells them.
pub fn dispatcher_bindings(
    repository: &Path,
    options: &Options,
    records: Option<&str>,
) -> Result<Vec<serde_json::Value>> {
    let config = deployed_dispatcher(repository, options, records)?;
    let namespace = json!({ "type": "dispatch_namespace", "name": "DISPATCHER", "namespace": NAMESPACE });
    Ok([namespace].into_iter().chain(api_bindings(&config)).collect())
}

/// Where a wrangler file has bindings of a type that the dispatcher may have, and what it calls the name and other members.
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
    List { kind: "service", key: "services", name: "binding", members: &[("service", "service")] },
];

/// The bindings of a wrangler file in the API's words: lists of the types above, and variables.
fn api_bindings(config: &Table) -> Vec<serde_json::Value> {
    let mut bindings = Vec::new();
    for List { kind, key, name, members } in LISTS {
        for entry in config.get(key).and_then(Value::as_array).into_iter().flatten() {
            let mut binding = json!({ "type": kind, "name": entry.get(name) });
            for (api, file) in members {
                binding[*api] = json!(entry.get(file));
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
    bindings
}

/// The KV namespace that the dispatcher reads customers' records from, as its wrangler file has it.
pub fn records(repository: &Path) -> Result<Option<String>> {
    Ok(bound_records(&deployed(&repository.join("wrangler.toml"))?).map(ToOwned::to_owned))
}

fn bound_records(config: &Table) -> Option<&str> {
    let namespaces = config.get("kv_namespaces").and_then(Value::as_array).into_iter().flatten();
    let mut bound = namespaces.filter(|namespace| namespace.get("binding").and_then(Value::as_str) == Some(RECORDS));
    bound.find_map(|namespace| namespace.get("id")?.as_str())
}

/// The dispatcher's binding of customers' records.
const RECORDS: &str = "CUSTOMERS";

/// A customer whose Worker the options say: a module in place of the customer Worker's, with this customer's own storage, or a
/// wrangler file, as it is but for the name.
fn customer_of_options(repository: &Path, customer: &Customer, account: &Account) -> Result<Table> {
    let name = customer.id.resource_name();
    let own = customer.worker.as_deref().context("the options say a Worker")?;
    let own = own.canonicalize().with_context(|| format!("cannot find {}", own.display()))?;
    if own.extension().is_some_and(|kind| kind == "toml") {
        let mut config = deployed(&own)?;
        config.insert("name".to_owned(), Value::String(name));
        return Ok(config);
    }
    let mut config = deployed(&repository.join("customer-worker/wrangler.toml"))?;
    config.insert("main".to_owned(), Value::String(text(&own)?));
    config.insert("name".to_owned(), Value::String(name.clone()));
    for binding in account.storage_of(&name) {
        script::bind(&mut config, &binding)?;
    }
    Ok(config)
}

/// A wrangler file, as it is but for `[build]`, and for what is relative to its folder: `main`, and plugins.
///
/// The Workers are built and bundled already. wrangler's own bundler would wrap them besides: what they throw would
/// become a reply, and a body that they pass on would be read first.
pub fn deployed(path: &Path) -> Result<Table> {
    let source = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut config: Table = source.parse().with_context(|| format!("{} is not valid TOML", path.display()))?;
    config.remove("build");
    config.insert("no_bundle".to_owned(), Value::Boolean(true));
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

/// The wrangler file of one of the platform's own Workers, with the build that the options say.
pub fn built(options: &Options, worker: &str, path: &Path) -> Result<Table> {
    let mut config = deployed(path)?;
    if let Some(builds) = &options.builds {
        let main = builds.join(worker).join("index.js");
        let main = main.canonicalize().with_context(|| format!("there is no {}", main.display()))?;
        config.insert("main".to_owned(), Value::String(text(&main)?));
    }
    Ok(config)
}

/// The packages of the Miniflare plugins that make bindings.
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
    use super::*;

    #[test]
    fn what_the_dispatcher_shares_by_name_is_told() {
        let config = toml! {
            vars = { AUTH = "token", LIMITS = { a = 1 } }
            kv_namespaces = [{ binding = "CUSTOMERS", id = "k" }]
            ratelimits = [{ name = "RATE_LIMIT", namespace_id = "1001", simple = { limit = 9, period = 60 } }]
            analytics_engine_datasets = [{ binding = "ANALYTICS", dataset = "d" }]
            services = [{ binding = "BILLING", service = "b" }]
        };
        let expected = json!([
            { "type": "kv_namespace", "name": "CUSTOMERS", "namespace_id": "k" },
            { "type": "ratelimit", "name": "RATE_LIMIT", "namespace_id": "1001", "simple": { "limit": 9, "period": 60 } },
            { "type": "analytics_engine", "name": "ANALYTICS", "dataset": "d" },
            { "type": "service", "name": "BILLING", "service": "b" },
            { "type": "plain_text", "name": "AUTH", "text": "token" },
            { "type": "json", "name": "LIMITS", "json": { "a": 1 } },
        ]);
        assert_eq!(serde_json::Value::from(api_bindings(&config)), expected);
        assert_eq!(api_bindings(&Table::new()), [serde_json::Value::Null; 0]);
    }
}
