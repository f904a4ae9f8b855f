//! The hub: a Node.js program that runs Miniflare with the simulators and with the Workers whose wrangler files the
//! options name.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};
use toml::Table;

use super::config::api_bindings;
use super::log::Log;
use super::ping::answers;
use super::run_folder::RunFolder;
use super::workerd::{HUB, SCRIPTS, SUPERVISOR};

/// The time that the hub may take to start.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The time that the hub has to end by itself before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The time after which a hub that does not answer has failed, and the pause between two questions. The simulator of R2
/// may be busy for many seconds when it joins the parts of a large file.
const SILENCE: Duration = Duration::from_mins(1);
const PING_EVERY: Duration = Duration::from_secs(1);

/// One of the hub's sockets. The Worker behind it answers at once; see `queue.js`.
const PING: &str = "queue";

/// The socket on which Miniflare's runtime would serve its Workers. Nobody uses it.
const ENTRY: &str = "entry";

/// The file that the hub creates when it is ready.
const READY: &str = "ready";

/// What the hub runs.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The Workers.
    pub workers: Vec<HubWorker>,
    /// The scripts of the dispatch namespace that run in the hub, and the names of their Workers.
    pub hosted: BTreeMap<String, String>,
    /// The folder in which the simulators store their data.
    pub storage: PathBuf,
}

/// A Worker in the hub.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HubWorker {
    /// The Worker's name.
    name: String,
    /// The file of the main module.
    main: String,
    compatibility_date: String,
    compatibility_flags: Vec<String>,
    /// The bindings in Miniflare's format.
    env: Map<String, Value>,
}

impl HubWorker {
    /// Creates a Worker from its wrangler file.
    pub fn new(config: &Table) -> Result<Self> {
        let text = |name: &str| {
            let value = config.get(name).and_then(toml::Value::as_str).map(str::to_owned);
            value.with_context(|| format!("a wrangler file has no `{name}`"))
        };
        let flags = config.get("compatibility_flags").and_then(toml::Value::as_array).into_iter().flatten();
        Ok(Self {
            name: text("name")?,
            main: text("main")?,
            compatibility_date: text("compatibility_date")?,
            compatibility_flags: flags.filter_map(|flag| flag.as_str().map(str::to_owned)).collect(),
            env: env(config),
        })
    }
}

/// Returns the bindings of a wrangler file in Miniflare's format.
fn env(config: &Table) -> Map<String, Value> {
    let bindings = api_bindings(config);
    let known = bindings.iter().filter_map(|binding| Some((binding["name"].as_str()?, miniflare_binding(binding)?)));
    let plugins = json!(config)["unsafe"]["bindings"].as_array().cloned().unwrap_or_default();
    let plugins = plugins.iter().filter_map(|binding| {
        let kind = format!("unsafe:{}", binding["type"].as_str()?);
        Some((binding["name"].as_str()?, json!({ "type": kind, "dev": binding["dev"] })))
    });
    known.chain(plugins).map(|(name, binding)| (name.to_owned(), binding)).collect()
}

/// Converts a binding from the API's format to Miniflare's.
fn miniflare_binding(binding: &Value) -> Option<Value> {
    let member = |name: &str| &binding[name];
    Some(match binding["type"].as_str()? {
        "kv_namespace" => json!({ "type": "kv", "id": member("namespace_id") }),
        "r2_bucket" => json!({ "type": "r2", "name": member("bucket_name") }),
        "d1" => json!({ "type": "d1", "id": member("id") }),
        "ratelimit" => {
            json!({ "type": "rate-limit", "namespace": member("namespace_id"), "simple": member("simple") })
        }
        "analytics_engine" => json!({ "type": "analytics-engine-dataset", "name": member("dataset") }),
        "service" => match member("entrypoint") {
            Value::Null => json!({ "type": "worker", "worker": member("service") }),
            entrypoint => json!({ "type": "worker", "worker": member("service"), "exportName": entrypoint }),
        },
        "plain_text" => json!({ "type": "text", "value": member("text") }),
        "json" => json!({ "type": "json", "value": member("json") }),
        "version_metadata" => json!({ "type": "version-metadata" }),
        _ => return None,
    })
}

/// A running hub. It is killed when this is dropped.
#[derive(Debug)]
pub struct Hub {
    process: Child,
    /// Closing it ends the hub.
    stdin: Option<ChildStdin>,
    /// The socket on which the hub is asked for signs of life.
    ping: PathBuf,
}

impl Hub {
    /// Starts the hub in the run folder. Returns when the hub is ready.
    pub async fn start(repository: &Path, folder: &RunFolder, contents: &Contents, log: &Log) -> Result<Self> {
        let node_modules = repository.join("node_modules");
        let node = node_modules.join("node/bin/node");
        if !node.exists() {
            bail!("{} is missing: run `cargo xtask setup`", node.display());
        }
        let workerd = folder.path().join("workerd");
        // The wrapper is needed because Miniflare does not end its runtime when Miniflare is killed, and offers its entry
        // and the debug port only on TCP, where every user of this machine can connect. It also removes the sockets that
        // a crashed runtime has left behind.
        let wrapper = format!(
            "#!/bin/sh
rm -f {HUB} {ENTRY}
shift
for argument do
  shift
  case $argument in --socket-addr=entry=*) argument=--socket-addr=entry=unix:{ENTRY} ;; esac
  set -- \"$@\" \"$argument\"
done
exec setpriv --pdeathsig KILL '{}' serve --debug-port=unix:{HUB} \"$@\"
",
            node_modules.join("workerd/bin/workerd").display()
        );
        fs::write(&workerd, wrapper)
            .and_then(|()| fs::set_permissions(&workerd, fs::Permissions::from_mode(0o700)))
            .with_context(|| format!("cannot write {}", workerd.display()))?;
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&node)
            .arg(repository.join("local-platform/namespace/hub.js"))
            .current_dir(folder.path())
            .env("MINIFLARE_WORKERD_PATH", &workerd)
            .env("TZ", "UTC")
            // Miniflare leaves files there when it is killed.
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The hub has a process group of its own, so that Ctrl-C in the terminal does not reach it. This process
            // stops the hub in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the hub: is setpriv (util-linux) installed?")?;
        tokio::spawn(log.clone().lines(BufReader::new(process.stdout.take().context("piped")?).lines()));
        tokio::spawn(log.clone().lines(BufReader::new(process.stderr.take().context("piped")?).lines()));
        let mut options = serde_json::to_value(contents).context("this is JSON")?;
        options["folder"] = folder.path().to_str().context("the state folder's path is not UTF-8")?.into();
        options["scripts"] = SCRIPTS.into();
        options["hub"] = HUB.into();
        options["supervisor"] = SUPERVISOR.into();
        options["ready"] = READY.into();
        let mut stdin = process.stdin.take().context("piped")?;
        stdin.write_all(format!("{options}\n").as_bytes()).await.context("the hub has ended at once")?;
        let mut hub = Self { process, stdin: Some(stdin), ping: folder.path().join(PING) };
        hub.serves(folder).await?;
        Ok(hub)
    }

    async fn serves(&mut self, folder: &RunFolder) -> Result<()> {
        let (started, ready) = (Instant::now(), folder.path().join(READY));
        while !ready.exists() {
            if let Some(status) = self.process.try_wait().context("cannot wait for the hub")? {
                bail!("the hub has ended ({status})");
            }
            if started.elapsed() > START_TIMEOUT {
                bail!("the hub does not serve after {} seconds", START_TIMEOUT.as_secs());
            }
            sleep(Duration::from_millis(5)).await;
        }
        fs::remove_file(&ready).with_context(|| format!("cannot remove {}", ready.display()))
    }

    /// Waits until the hub ends by itself or does not answer any more. In both cases it has ended when this returns.
    /// Describes the failure.
    pub async fn failed(&mut self) -> String {
        let ended = |status| match status {
            Ok(status) => format!("the hub has ended ({status})"),
            Err(error) => format!("cannot wait for the hub: {error}"),
        };
        tokio::select! {
            status = self.process.wait() => ended(status),
            () = is_silent(&self.ping) => match self.process.kill().await {
                Ok(()) => format!("the hub has not answered for {} seconds", SILENCE.as_secs()),
                Err(error) => format!("cannot end the hub: {error}"),
            }
        }
    }

    /// Ends the hub. Returns when it has ended.
    pub async fn stop(&mut self) -> Result<()> {
        drop(self.stdin.take());
        if timeout(STOP_TIMEOUT, self.process.wait()).await.is_err() {
            self.process.kill().await.context("cannot end the hub")?;
        }
        Ok(())
    }
}

/// Returns when the hub's runtime has not answered for [`SILENCE`]: it hangs, or Miniflare has failed to restart it.
async fn is_silent(socket: &Path) {
    let first_answer = async || {
        while !answers(socket, SILENCE).await {
            sleep(PING_EVERY).await;
        }
    };
    while timeout(SILENCE, first_answer()).await.is_ok() {
        sleep(PING_EVERY).await;
    }
}
