//! A client of the local Cloudflare API, and programs that are pointed at it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::Reply;

/// How long a program may run.
const PATIENCE: Duration = Duration::from_mins(2);

/// The local Cloudflare API as a state folder's `env` names it.
#[derive(Debug)]
pub struct Api {
    /// What the file exports.
    pub environment: BTreeMap<String, String>,
    http: Client,
}

impl Api {
    /// Reads the file.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        let text = fs::read_to_string(state.join("env")).expect("a platform has written it");
        let exported = text.lines().map(|line| line.strip_prefix("export ").expect("export lines alone"));
        let environment =
            exported.map(|line| line.split_once('=').expect("a name and a value")).map(|(a, b)| (a.into(), b.into()));
        Self { environment: environment.collect(), http: crate::client() }
    }

    /// A request about something of the account's, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let of = |name: &str| &self.environment[name];
        let url = format!("{}/accounts/{}{path}", of("CLOUDFLARE_API_BASE_URL"), of("CLOUDFLARE_ACCOUNT_ID"));
        self.http.request(method, url).bearer_auth(of("CLOUDFLARE_API_TOKEN"))
    }

    /// A request without a body.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// Sends JSON, and expects a success, whose result it answers.
    pub async fn post(&self, path: &str, json: Value) -> Value {
        expect_result(self.request(Method::POST, path).body(json.to_string())).await
    }

    /// Makes a KV namespace, and answers its id.
    pub async fn kv_namespace(&self, title: &str) -> String {
        let namespace = self.post("/storage/kv/namespaces", json!({ "title": title })).await;
        namespace["id"].as_str().expect("an id").to_owned()
    }

    /// An upload of a script with one module.
    pub fn upload(&self, script: &str, source: &str, mut metadata: Value) -> RequestBuilder {
        metadata["main_module"] = "index.js".into();
        let module = Part::text(source.to_owned()).file_name("index.js");
        let module = module.mime_str("application/javascript+module").expect("a media type");
        let form = Form::new().text("metadata", metadata.to_string()).part("index.js", module);
        self.request(Method::PUT, &format!("{SCRIPTS}/{script}")).multipart(form)
    }

    /// A program that is pointed at the API, as by `source <state>/env`, and has nothing else of Cloudflare's.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.envs(&self.environment).env("WRANGLER_SEND_METRICS", "false").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs wrangler, which must succeed, and answers what it printed.
    pub async fn wrangler(&self, arguments: &[&str]) -> String {
        let modules = root().join("node_modules");
        let mut command = self.command(&modules.join("node/bin/node"));
        let output = run(command.arg(modules.join("wrangler/bin/wrangler.js")).args(arguments)).await;
        let (printed, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "wrangler {arguments:?}: {printed}{errors}");
        printed
    }

    /// Runs `cargo platform customer`, which must succeed, and answers its JSON.
    pub async fn customer(&self, arguments: &[&str]) -> Value {
        let output = self.platform(&[&["customer"], arguments, &["--json"]].concat()).await;
        let (printed, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "customer {arguments:?}: {printed}{errors}");
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// Runs the operator's tool.
    pub async fn platform(&self, arguments: &[&str]) -> Output {
        let platform =
            std::env::var_os("PLATFORM").expect("PLATFORM is not set: run the tests with `cargo xtask test`");
        run(self.command(Path::new(&platform)).current_dir(root()).args(arguments)).await
    }
}

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent folder")
}

/// The scripts of the dispatcher's namespace.
pub const SCRIPTS: &str = "/workers/dispatch/namespaces/customers/scripts";

async fn run(command: &mut Command) -> Output {
    timeout(PATIENCE, command.output()).await.expect("it ends").expect("it runs")
}

/// What a program printed.
#[must_use]
pub fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_owned()).expect("text")
}

/// Expects the API's envelope with a success, and answers the result.
pub async fn expect_result(request: RequestBuilder) -> Value {
    let reply = Reply::to(request).await;
    let envelope = reply.json();
    assert!(reply.status.is_success() && envelope["success"] == true, "{reply}");
    assert_eq!(envelope["errors"], json!([]), "{reply}");
    assert!(envelope["messages"].is_array(), "{reply}");
    envelope["result"].clone()
}

/// Expects the API's envelope with one error, and answers what it says.
pub async fn expect_error(request: RequestBuilder, status: u16, code: u64) -> String {
    let reply = Reply::to(request).await;
    let envelope = reply.json();
    assert_eq!((reply.status.as_u16(), &envelope["success"]), (status, &json!(false)), "{reply}");
    assert_eq!(envelope["errors"][0]["code"], code, "{reply}");
    assert_eq!(envelope["result"], Value::Null, "{reply}");
    envelope["errors"][0]["message"].as_str().expect("a message").to_owned()
}
