//! Runs the local platform until a signal stops it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_platform::{AddressBlock, Auth, Builds, Customer, LocalPlatform, Options, Var};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

use crate::build;
use crate::setup::Tools;
use crate::watch::{self, SourceWatcher};

/// Run the platform on this machine.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub struct DevArguments {
    /// The dispatcher's port on 127.0.0.1; 0 for any free port
    #[arg(long, default_value_t = 8787)]
    port: u16,

    /// The port of the local Cloudflare API on 127.0.0.1; 0 for any free port
    #[arg(long, default_value_t = 8788)]
    api_port: u16,

    /// The token that clients of the local Cloudflare API must send [default: created at the first start and stored]
    #[arg(long, value_name = "TOKEN", value_parser = parse_token)]
    api_token: Option<String>,

    /// The state folder, where storage is kept between runs [default: .platform in the repository]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// A customer to create unless it exists; may be repeated. ID=FILE replaces its Worker in this run with a
    /// JavaScript module or with the Worker of a wrangler file [default: user1 and user2 at the first start]
    #[arg(long = "customer", value_name = "ID[=FILE]")]
    customers: Vec<Customer>,

    /// How the dispatcher authenticates clients: it trusts X-User-ID, or it requires a token, which `cargo platform
    /// token issue` creates
    #[arg(long, value_enum, default_value_t = Auth::TrustedHeader)]
    auth: Auth,

    /// A variable of the dispatcher; may be repeated. wrangler.toml lists them
    #[arg(long = "var", value_name = "NAME:VALUE")]
    vars: Vec<Var>,

    /// Bind the customers' records (CUSTOMERS) to the dispatcher, so that customers can be suspended and have plans.
    /// Customers without a record are then unknown
    #[arg(long)]
    records: bool,

    /// Run the builds that are deployed. By default, the Workers are built quickly, and again whenever their sources change
    #[arg(long, conflicts_with = "builds")]
    release: bool,

    /// Run the Workers in this folder instead of the repository's builds, for tests: for example
    /// target/workers-with-faults, where `cargo xtask build --faults` writes
    #[arg(long, value_name = "DIR")]
    builds: Option<PathBuf>,

    /// An address or a block of addresses, such as 127.0.0.2 or 10.0.0.0/8, that customers' Workers may connect to
    /// besides public ones; may be repeated. 127.0.0.1 is the platform's own and refused
    #[arg(long, value_name = "ADDRESS")]
    allow: Vec<AddressBlock>,

    /// After how many seconds a process that nobody uses is ended, for tests
    #[arg(long, value_name = "SECONDS", default_value_t = Options::IDLE.as_secs(), hide = true,
        value_parser = clap::value_parser!(u64).range(1..))]
    idle: u64,
}

/// Parses a token. It is sent in a header and written to a file that a shell sources, so its characters are restricted.
fn parse_token(text: &str) -> Result<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte);
    ensure!(text.len() >= 8 && text.bytes().all(is_allowed), "a token is 8 or more letters, digits and -_.~+/=");
    Ok(text.to_owned())
}

/// Builds the Workers, and runs the platform.
pub fn run(repository: &Path, tools: &Tools, arguments: DevArguments) -> Result<()> {
    let is_developing = !arguments.release && arguments.builds.is_none();
    // The watcher starts before the build, so that no change is missed.
    let watcher = is_developing.then(|| SourceWatcher::new(repository)).transpose()?;
    let builds = if is_developing {
        build::for_development(repository, tools, &watch::WORKERS)?;
        Some(repository.join(build::DEVELOPMENT_BUILDS))
    } else {
        if arguments.builds.is_none() {
            build::run(repository, tools, &build::BuildArguments::default())?;
        }
        arguments.builds
    };
    let rebuilder =
        watcher.map(|watcher| Rebuilder { repository: repository.to_owned(), tools: tools.clone(), watcher });
    let options = Options {
        repository: repository.to_owned(),
        builds,
        state: arguments.state.unwrap_or_else(|| repository.join(".platform")),
        port: arguments.port,
        api_port: arguments.api_port,
        api_token: arguments.api_token,
        records: arguments.records,
        auth: arguments.auth,
        vars: arguments.vars,
        customers: arguments.customers,
        others: Vec::new(),
        allow: arguments.allow,
        idle: Duration::from_secs(arguments.idle),
        log: None,
    };
    tokio::runtime::Runtime::new().context("cannot start the async runtime")?.block_on(serve(options, rebuilder))
}

/// Runs the platform until a signal stops it. With a rebuilder, Workers whose sources change are built again.
async fn serve(options: Options, rebuilder: Option<Rebuilder>) -> Result<()> {
    // From here on, a signal no longer ends this process before it has stopped the processes that it started.
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let mut stop = std::pin::pin!(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    });

    println!("Starting the platform; its storage is in {} ...", options.state.display());
    let mut platform = tokio::select! {
        started = LocalPlatform::start(options) => started?,
        () = &mut stop => return Ok(()),
    };
    let customers: Vec<String> = platform.scripts().into_iter().collect();
    println!("Customers: {}", if customers.is_empty() { "none".to_owned() } else { customers.join(", ") });
    println!("Cloudflare API on {}; for wrangler: source {}", platform.api(), platform.environment().display());
    println!("Ready on http://{}", platform.address());
    let builds = platform.builds();
    let building = async {
        match rebuilder {
            Some(rebuilder) => rebuilder.run(builds).await,
            None => std::future::pending().await,
        }
    };
    let failure = tokio::select! {
        () = stop => {
            println!("Stopping ...");
            None
        }
        error = building => Some(error),
        error = platform.keep_running() => Some(error),
    };
    platform.stop().await?;
    failure.map_or(Ok(()), Err)
}

/// Builds Workers whose sources change.
struct Rebuilder {
    repository: PathBuf,
    tools: Tools,
    watcher: SourceWatcher,
}

impl Rebuilder {
    /// Builds the Workers, and lets the platform run them. Returns only if it cannot go on.
    async fn run(mut self, builds: Builds) -> anyhow::Error {
        loop {
            let workers = self.watcher.changed().await;
            let (repository, tools) = (self.repository.clone(), self.tools.clone());
            let built = spawn_blocking(move || build::for_development(&repository, &tools, &workers)).await;
            match built {
                Ok(Ok(changed)) => {
                    for worker in &changed {
                        builds.reload(worker.name()).await;
                    }
                    let names: Vec<&str> = changed.iter().map(|worker| worker.name()).collect();
                    if !names.is_empty() {
                        println!("The platform runs the new {}", names.join(", "));
                    }
                }
                // Cargo has printed what is wrong.
                Ok(Err(error)) => eprintln!("The platform runs what it ran before: {error:#}"),
                Err(error) => return anyhow::Error::new(error).context("cannot build the Workers"),
            }
        }
    }
}
