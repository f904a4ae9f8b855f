//! `cargo platform customer`

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use platform::customers::{
    Audit, ConfigFile, CustomerSpec, CustomerState, Customers, ListedCustomer, Report, ResourceClaims, RunCache,
    Targets, for_each, stats,
};
use platform::token::{Grant, Secrets};
use serde_json::{Value, json};
use shared::auth::Scope;
use shared::customer::UserId;
use url::Url;

use super::output::{EXIT_CODES, OutputFormat, UsageError, say};
use super::specs::{CodeArguments, ManifestArguments, PreparedSpec, Specs};
use super::target::ApiTarget;
use super::{repository, token, view};

/// How long the token for `stats` is good for.
const STATS_TOKEN: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Print one JSON document, failures included
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    target: ApiTarget,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make customers: storage, script, record. What is there already stays; run again, it finishes what was begun
    #[command(after_help = EXIT_CODES)]
    Create(Create),

    /// List all customers
    #[command(after_help = EXIT_CODES)]
    List,

    /// Report each customer's script that is bound to what others have as well, however it was uploaded
    #[command(after_help = EXIT_CODES)]
    Audit(AuditArguments),

    /// Show all there is of a customer
    #[command(after_help = EXIT_CODES)]
    Show(Show),

    /// Upload the current Worker to customers, with the bindings of their manifests; their data stays
    #[command(after_help = EXIT_CODES)]
    Deploy(Deploy),

    /// Have all requests of customers refused; takes effect within about two minutes
    #[command(after_help = EXIT_CODES)]
    Suspend(Ids),

    /// Let suspended customers' requests in again
    #[command(after_help = EXIT_CODES)]
    Resume(Ids),

    /// Delete customers, with their data
    #[command(after_help = EXIT_CODES)]
    Delete(Delete),

    /// Show what a customer has stored and done
    #[command(after_help = EXIT_CODES)]
    Stats(Stats),

    /// Print a wrangler file of a customer's, with that customer's own ids
    #[command(after_help = EXIT_CODES)]
    Config(Config),
}

#[derive(Debug, Args)]
struct Ids {
    /// The customers' user ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<UserId>,

    #[command(flatten)]
    speed: Speed,
}

#[derive(Debug, Args)]
struct Speed {
    /// How many customers are worked on at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    ids: Ids,

    /// Say what would be made, and make nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    manifests: ManifestArguments,

    #[command(flatten)]
    code: CodeArguments,
}

#[derive(Debug, Args)]
struct AuditArguments {
    #[command(flatten)]
    manifests: ManifestArguments,
}

#[derive(Debug, Args)]
struct Show {
    /// The customer's user id
    id: UserId,

    #[command(flatten)]
    manifests: ManifestArguments,
}

#[derive(Debug, Args)]
struct Deploy {
    /// The customers' user ids
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
    ids: Vec<UserId>,

    /// All customers, but for those with code of their own that no manifest names
    #[arg(long, conflicts_with_all = ["script", "manifest"])]
    all: bool,

    /// With --all: those whose script has this tag
    #[arg(long, requires = "all", conflicts_with = "ids")]
    tag: Option<String>,

    /// Take bindings and tags away that the manifest does not name, but for secrets; else they stay
    #[arg(long)]
    exact: bool,

    #[command(flatten)]
    speed: Speed,

    #[command(flatten)]
    manifests: ManifestArguments,

    #[command(flatten)]
    code: CodeArguments,
}

#[derive(Debug, Args)]
struct Delete {
    #[command(flatten)]
    ids: Ids,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Keep the storage, with what is in it
    #[arg(long)]
    keep_data: bool,

    #[command(flatten)]
    manifests: ManifestArguments,
}

#[derive(Debug, Args)]
struct Stats {
    /// The customer's user id
    id: UserId,

    /// Where the platform is [default: the variable `PLATFORM_URL`]
    #[arg(long)]
    url: Option<Url>,

    #[command(flatten)]
    parties: token::Parties,
}

#[derive(Debug, Args)]
struct Config {
    /// The customer's user id
    id: UserId,

    /// Where to write it, in place of what is there; else it is printed
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    manifests: ManifestArguments,
}

/// Does what the command line says.
pub fn run(arguments: Arguments) -> ExitCode {
    let Arguments { command, target, json } = arguments;
    let output = if json { OutputFormat::Json } else { OutputFormat::Text };
    if let Err(usage) = target.check() {
        return output.answer(Err::<(), _>(usage.into()), |()| String::new());
    }
    match tokio::runtime::Runtime::new().context("cannot start a runtime") {
        Ok(runtime) => runtime.block_on(command.run(&target, output)),
        Err(error) => output.answer(Err::<(), _>(error), |()| String::new()),
    }
}

impl Command {
    async fn run(self, target: &ApiTarget, output: OutputFormat) -> ExitCode {
        let reports = match self {
            Self::Create(create) => create.run(target, output).await,
            Self::Deploy(deploy) => deploy.run(target, output).await,
            Self::Suspend(ids) => suspend(ids, true, target, output).await,
            Self::Resume(ids) => suspend(ids, false, target, output).await,
            Self::Delete(delete) => delete.run(target, output).await,
            Self::List => return output.answer(list(target, output).await, |listed| view::list(&listed["customers"])),
            Self::Audit(audit) => return output.audit(audit.run(target, output).await),
            Self::Show(show) => return output.answer(show.run(target, output).await, view::customer),
            Self::Stats(stats) => return output.answer(stats.run(target).await, |stats| format!("{stats:#}")),
            Self::Config(config) => {
                let file = config.output.clone();
                return output.answer(config.run(target, output).await, |config| match file {
                    Some(file) => format!("{} is written", file.display()),
                    None => config["config"].as_str().unwrap_or_default().trim_end().to_owned(),
                });
            }
        };
        match reports {
            Ok(reports) => output.summary(&reports),
            Err(error) => output.answer(Err::<(), _>(error), |()| String::new()),
        }
    }
}

/// Each once, in the order in which they were named.
fn distinct(ids: Vec<UserId>) -> Vec<UserId> {
    let mut seen = BTreeSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

impl Create {
    async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Vec<Report>> {
        let customers = target.customers(output).await?;
        let repository = repository()?;
        let specs = Specs::new(&repository, &self.manifests, &self.code)?;
        let prepared = prepare(&specs, distinct(self.ids.ids));
        if !self.dry_run {
            specs.build(prepared.iter().map(|(_, prepared)| prepared))?;
        }
        let (customers, specs, run) = (&customers, &specs, &RunCache::default());
        let work = async |(id, prepared): (UserId, Result<PreparedSpec>)| {
            Report::of(id, async |id, steps| {
                let prepared = prepared?;
                let manifest = &prepared.manifest;
                if self.dry_run {
                    return customers.create_dry_run(id, manifest, run, steps).await;
                }
                customers.create(CustomerSpec { id, manifest, code: specs.code(&prepared)? }, run, steps).await
            })
            .await
        };
        let mut progress = output.progress(prepared.len());
        let at_a_time = self.ids.speed.concurrency.into();
        Ok(for_each(prepared, at_a_time, work, |report| progress.done(report)).await)
    }
}

fn prepare(specs: &Specs<'_>, ids: Vec<UserId>) -> Vec<(UserId, Result<PreparedSpec>)> {
    let mut claims = ResourceClaims::default();
    let prepared = ids.into_iter().map(|id| {
        let prepared = specs.prepare(&id).and_then(|prepared| {
            claims.claim(&id, &prepared.manifest)?;
            Ok(prepared)
        });
        (id, prepared)
    });
    prepared.collect()
}

impl Deploy {
    async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Vec<Report>> {
        let customers = target.customers(output).await?;
        let repository = repository()?;
        let specs = Specs::new(&repository, &self.manifests, &self.code)?;
        let targets = if self.all { Targets::All { tag: self.tag } } else { Targets::Named(distinct(self.ids)) };
        let whose = match &targets {
            Targets::All { tag: Some(tag) } => format!("script with the tag {tag}"),
            _ => "script".to_owned(),
        };
        let (ids, deployment) = customers.deployment(targets, self.exact).await?;
        if ids.is_empty() {
            // It is no failure, but a tag may be misspelt.
            say(format_args!("nobody is deployed to: no customer has a {whose}"));
        }
        let prepared = prepare(&specs, ids);
        specs.build(prepared.iter().map(|(_, prepared)| prepared))?;
        let (customers, specs, deployment) = (&customers, &specs, &deployment);
        let work = async |(id, prepared): (UserId, Result<PreparedSpec>)| {
            Report::of(id, async |id, steps| {
                let prepared = prepared?;
                let order = CustomerSpec { id, manifest: &prepared.manifest, code: specs.code(&prepared)? };
                customers.deploy(order, deployment, steps).await
            })
            .await
        };
        let mut progress = output.progress(prepared.len());
        Ok(for_each(prepared, self.speed.concurrency.into(), work, |report| progress.done(report)).await)
    }
}

async fn suspend(ids: Ids, suspended: bool, target: &ApiTarget, output: OutputFormat) -> Result<Vec<Report>> {
    let customers = &target.customers(output).await?;
    let work = async |id: UserId| Report::of(id, async |id, steps| customers.suspend(id, suspended, steps).await).await;
    let each = distinct(ids.ids);
    let mut progress = output.progress(each.len());
    Ok(for_each(each, ids.speed.concurrency.into(), work, |report| progress.done(report)).await)
}

impl Delete {
    async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Vec<Report>> {
        let ids = distinct(self.ids.ids);
        let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !self.yes && !can_ask {
            bail!(UsageError("say --yes where nobody can be asked: this deletes customers".to_owned()));
        }
        let customers = &target.customers(output).await?;
        let manifests = self.manifests.manifests(&repository()?)?;
        if !self.yes && !confirmed(&ids, self.keep_data)? {
            bail!("nothing is deleted");
        }
        let (manifests, keep_data) = (&manifests, self.keep_data);
        let work = async |id: UserId| {
            Report::of(id, async |id, steps| {
                let found = customers.inspect(id, &manifests.read(id)?.storage).await?;
                customers.delete(&found, keep_data, steps).await
            })
            .await
        };
        let mut progress = output.progress(ids.len());
        Ok(for_each(ids, self.ids.speed.concurrency.into(), work, |report| progress.done(report)).await)
    }
}

/// Asks whether they are to be deleted.
fn confirmed(ids: &[UserId], keep_data: bool) -> Result<bool> {
    let data = if keep_data { "but not their data" } else { "with all their data" };
    let ids: Vec<&str> = ids.iter().map(UserId::as_str).collect();
    let mut stderr = io::stderr();
    write!(stderr, "Delete {}, {data}? [y/N] ", ids.join(", ")).context("cannot ask")?;
    stderr.flush().context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn list(target: &ApiTarget, output: OutputFormat) -> Result<Value> {
    let listed: Vec<ListedCustomer> = target.customers(output).await?.list().await?;
    Ok(json!({ "customers": listed }))
}

impl AuditArguments {
    async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Audit> {
        let customers = target.customers(output).await?;
        let manifests = self.manifests.manifests(&repository()?)?;
        customers.audit(|id| manifests.read(id)).await
    }
}

impl Show {
    async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Value> {
        let customers: Customers = target.customers(output).await?;
        let manifest = self.manifests.manifests(&repository()?)?.read(&self.id)?;
        let found: CustomerState = customers.inspect(&self.id, &manifest.storage).await?;
        if found.is_nothing() {
            bail!("there is no customer {}: no script, no record, no storage", self.id);
        }
        // The API does not give secrets' texts away; if it did, they would not be shown.
        let bindings = found.bindings().iter().cloned().map(|mut binding| {
            if binding["type"] == "secret_text"
                && let Some(members) = binding.as_object_mut()
            {
                members.remove("text");
            }
            binding
        });
        // A record that is not well-formed is shown as it is.
        let record =
            found.record.as_ref().map(|text| serde_json::from_str(text).unwrap_or(Value::String(text.clone())));
        Ok(json!({
            "id": found.id,
            "messages": found.messages,
            "script": found.settings.is_some().then_some(&found.script),
            "tags": found.tags(),
            "modified_on": found.modified_on,
            "bindings": bindings.collect::<Vec<_>>(),
            "record": record,
            "storage": {"kv": found.kv, "r2": found.buckets, "d1": found.database},
        }))
    }
}

impl Stats {
    async fn run(self, target: &ApiTarget) -> Result<Value> {
        let url = target.url(self.url)?;
        let secrets = if target.local { Secrets::of_state(&target.state())? } else { token::of_environment()? };
        let grant = Grant { user_id: &self.id, scopes: &[Scope::Read], ttl: STATS_TOKEN, trust: self.parties.trust() };
        let token = secrets.map(|secrets| secrets.issue(&grant)).transpose()?;
        stats(&url, &self.id, token.as_deref()).await
    }
}

impl Config {
    async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Value> {
        let customers = target.customers(output).await?;
        let repository = repository()?;
        let manifest = self.manifests.manifests(&repository)?.read(&self.id)?;
        let folder = self.output.as_deref().map(folder).transpose()?;
        let file = ConfigFile { repository: &repository, folder: folder.as_deref() };
        let text = customers.config(&self.id, &manifest, file).await?;
        if let Some(path) = &self.output {
            fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(json!({ "file": self.output, "config": text }))
    }
}

/// The folder of a file, from the root, with no links in its path.
fn folder(file: &Path) -> Result<PathBuf> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))
}
