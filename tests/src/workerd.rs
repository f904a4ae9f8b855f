//! workerd without a local platform: it runs the Workers of `cargo xtask build --faults` with any bindings. Clients
//! connect to it directly, and its storage is an HTTP server of the test.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The bindings of the two Workers, in workerd's configuration language, such as `(name = "AUTH", text = "token")`
/// (<https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp>). The service `storage` is the
/// HTTP server at `storage_port`.
#[derive(Debug)]
pub struct Configuration<'a> {
    /// The dispatcher's bindings without `DISPATCHER`, which is a namespace with the customer `one`.
    pub dispatcher: &'a str,
    /// The binding `DISPATCHER`, if it is not that namespace.
    pub namespace: Option<&'a str>,
    /// The customer Worker's bindings.
    pub customer: &'a str,
    /// The port of the storage on 127.0.0.1.
    pub storage_port: u16,
}

/// A running workerd. It is killed when this is dropped.
#[derive(Debug)]
pub struct RunningWorkerd {
    /// The dispatcher's URL.
    pub url: String,
    address: String,
    _process: Child,
    _folder: TempDir,
}

impl RunningWorkerd {
    /// Starts workerd on a free port.
    pub async fn start(configuration: &Configuration<'_>) -> Self {
        let repository = crate::repository();
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("workerd.capnp");
        std::fs::write(&file, configuration.to_capnp(repository)).expect("the configuration can be written");
        let mut process = Command::new(repository.join("node_modules/workerd/bin/workerd"))
            .args(["serve", "--experimental", "--control-fd=1", "--import-path=/"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // The output is discarded, because these tests provoke errors in the Workers.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("workerd starts");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let port = loop {
            let line = lines.next_line().await.expect("text").expect("workerd listens");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(port) = event["port"].as_u64() {
                break port;
            }
        };
        // The Workers' log has to be read, because a full pipe would block workerd.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = format!("127.0.0.1:{port}");
        Self { url: format!("http://{address}"), address, _process: process, _folder: folder }
    }

    /// Sends bytes on a new connection, and returns the connection without waiting for a reply.
    pub async fn send(&self, bytes: Vec<u8>) -> TcpStream {
        let mut connection = TcpStream::connect(&self.address).await.expect("workerd listens");
        connection.write_all(&bytes).await.expect("workerd reads");
        connection
    }
}

impl Configuration<'_> {
    fn to_capnp(&self, repository: &Path) -> String {
        let embed = |path: &str| format!("embed {:?}", repository.join(path).to_str().expect("text"));
        let built = |file: &str| embed(&format!("target/workers-with-faults/{file}"));
        let modules = |worker: &str| {
            let [script, wasm] = ["index.js", "index_bg.wasm"].map(|file| built(&format!("{worker}/{file}")));
            format!("(name = \"index.js\", esModule = {script}), (name = \"index_bg.wasm\", wasm = {wasm})")
        };
        let namespace = "(name = \"DISPATCHER\", wrapped = (moduleName = \"tests:namespace\", innerBindings = \
                         [(name = \"one\", service = \"one\")]))";
        format!(
            r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "storage", external = (address = "127.0.0.1:{storage_port}", http = ())),
    (name = "one", worker = (
      modules = [{customer_modules}],
      compatibilityDate = "2026-11-17",
      bindings = [{customer}],
    )),
    (name = "dispatcher", worker = (
      modules = [{dispatcher_modules}, (name = "openapi.txt", text = {description})],
      compatibilityDate = "2026-11-17",
      bindings = [{dispatcher}, {namespace}],
    )),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "dispatcher")],
  extensions = [(modules = [(name = "tests:namespace", internal = true, esModule = {namespace_module})])],
);
"#,
            storage_port = self.storage_port,
            customer_modules = modules("customer-worker"),
            dispatcher_modules = modules("dispatcher"),
            description = built("dispatcher/openapi.txt"),
            customer = self.customer,
            dispatcher = self.dispatcher,
            namespace = self.namespace.unwrap_or(namespace),
            namespace_module = embed("tests/fixtures/namespace.js"),
        )
    }
}
