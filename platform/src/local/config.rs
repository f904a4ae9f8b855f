//! The wrangler files of the local platform, made from those that are deployed, and the command that runs them.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use toml::{Table, Value, toml};

use super::{Auth, Customer, Options, Var};
use crate::token::{state_secrets, write_private};

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

/// Writes the wrangler files into the state folder, the one that is reached first. What a former run left there goes.
pub fn write(options: &Options, state: &Path) -> Result<Command> {
    let repository = &options.repository.canonicalize().context("cannot find the repository")?;
    for (at, customer) in options.customers.iter().enumerate() {
        if options.customers[..at].iter().any(|other| other.id == customer.id) {
            bail!("customer {} is there twice", customer.id);
        }
    }
    let folder = state.join("workers");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;

    let mut arguments: Vec<OsString> = vec!["dev".into()];
    let mut add = |name: &str, config: &Table| -> Result<()> {
        // One folder for each: beside a Worker's file, wrangler looks for its secrets.
        let folder = folder.join(name);
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join("wrangler.toml");
        write_private(&path, &config.to_string())?;
        arguments.extend(["-c".into(), path.into()]);
        Ok(())
    };
    add("entry", &entry(&folder)?)?;
    add("dispatcher", &dispatcher(repository, options)?)?;
    for config in &options.customers {
        add(&config.id.resource_name(), &customer(repository, config)?)?;
    }
    for path in &options.others {
        let config = deployed(path)?;
        let name = config.get("name").and_then(Value::as_str);
        add(name.with_context(|| format!("{} has no name", path.display()))?, &config)?;
    }

    if options.auth == Auth::Token {
        // Not a variable, which wrangler prints. In single quotes, nothing in it means anything.
        let secrets = format!("TOKEN_SECRETS='{}'\n", state_secrets(state)?);
        write_private(&folder.join("dispatcher/.dev.vars"), &secrets)?;
    }

    // A port of 0 is any that is free: nobody but the front may know wrangler's own.
    for flag in ["--ip=127.0.0.1", "--port=0", "--inspector-port=0", "--show-interactive-dev-session=false"] {
        arguments.push(flag.into());
    }
    arguments.extend(["--persist-to".into(), state.join("storage").into()]);
    let environment = vec![
        ("CLOUDFLARE_CF_FETCH_ENABLED", "false".into()),
        ("WRANGLER_DISABLE_EXPERIMENTAL_WARNING", "1".into()),
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
        services = [{ binding = "DISPATCHER", service = "dispatcher" }]
    })
}

/// The dispatcher as deployed, but for how it knows who is asking, and for its namespace: the local one, with a script for
/// each customer.
fn dispatcher(repository: &Path, options: &Options) -> Result<Table> {
    let mut config = deployed(&repository.join("wrangler.toml"))?;
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
    let scripts: Table = options
        .customers
        .iter()
        .map(|customer| (customer.id.to_string(), Value::String(customer.id.resource_name())))
        .collect();
    let package = text(&repository.join("local-namespace/index.js"))?;
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

/// The customer Worker as deployed, with this customer's own storage.
fn customer(repository: &Path, customer: &Customer) -> Result<Table> {
    let name = customer.id.resource_name();
    if let Some(own) = customer.worker.as_ref().filter(|own| own.extension().is_some_and(|kind| kind == "toml")) {
        let mut config = deployed(own)?;
        config.insert("name".to_owned(), Value::String(name));
        return Ok(config);
    }
    let mut config = deployed(&repository.join("customer-worker/wrangler.toml"))?;
    if let Some(own) = &customer.worker {
        let own = own.canonicalize().with_context(|| format!("cannot find {}", own.display()))?;
        config.insert("main".to_owned(), Value::String(text(&own)?));
    }
    config.extend(toml! {
        name = (name.clone())
        [[kv_namespaces]]
        binding = "USER_KV"
        id = (name.clone())
        [[r2_buckets]]
        binding = "USER_R2"
        bucket_name = (name.clone())
        [[d1_databases]]
        binding = "USER_DB"
        database_name = (name.clone())
        database_id = (name)
    });
    Ok(config)
}

/// A wrangler file, as it is but for `[build]`, and for what is relative to its folder: `main`, and plugins.
///
/// The Workers are built and bundled already. wrangler's own bundler would wrap them besides: what they throw would
/// become a reply, and a body that they pass on would be read first.
fn deployed(path: &Path) -> Result<Table> {
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

/// The packages of the Miniflare plugins that make bindings.
fn plugin_packages(config: &mut Table) -> impl Iterator<Item = &mut String> {
    let bindings = config.get_mut("unsafe").and_then(|section| section.get_mut("bindings"));
    let bindings = bindings.and_then(Value::as_array_mut).into_iter().flatten();
    bindings.filter_map(|binding| match binding.get_mut("dev")?.get_mut("plugin")?.get_mut("package")? {
        Value::String(package) => Some(package),
        _ => None,
    })
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}
