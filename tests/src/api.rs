//! A client of the local Cloudflare API, and programs that use it.
//!
//! The address and the token come from the file `env` in the platform's state folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, Write};
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
const TIMEOUT: Duration = Duration::from_mins(2);

/// A client of the local Cloudflare API.
#[derive(Debug)]
pub struct LocalApi {
    /// The variables that the state folder's `env` exports.
    pub environment: BTreeMap<String, String>,
    http: Client,
}

impl LocalApi {
    /// Creates a client from the file `env` in a state folder.
    #[must_use]
    pub fn from_state_folder(state: &Path) -> Self {
        let text = fs::read_to_string(state.join("env")).expect("the platform has written `env`");
        let exported = text.lines().map(|line| line.strip_prefix("export ").expect("every line starts with `export `"));
        let environment = exported
            .map(|line| line.split_once('=').expect("NAME=VALUE"))
            .map(|(name, value)| (name.into(), value.into()));
        Self { environment: environment.collect(), http: crate::client() }
    }

    /// Creates a request to a path below the account, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let [base, account, token] = ["CLOUDFLARE_API_BASE_URL", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN"]
            .map(|name| &self.environment[name]);
        self.http.request(method, format!("{base}/accounts/{account}{path}")).bearer_auth(token)
    }

    /// Creates a `GET` request.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// Posts JSON, expects a success, and returns its `result`.
    pub async fn post(&self, path: &str, json: Value) -> Value {
        expect_result(self.request(Method::POST, path).body(json.to_string())).await
    }

    /// Creates a KV namespace and returns its id.
    pub async fn kv_namespace(&self, title: &str) -> String {
        let namespace = self.post("/storage/kv/namespaces", json!({ "title": title })).await;
        namespace["id"].as_str().expect("an id").to_owned()
    }

    /// Returns the path of the customers' records. The platform must have been started with `--records`.
    pub async fn records(&self) -> String {
        let settings = expect_result(self.get("/workers/scripts/dispatcher/settings")).await;
        let bindings = settings["bindings"].as_array().expect("a list").clone();
        let records = bindings.iter().find(|binding| binding["name"] == "CUSTOMERS").expect("the binding CUSTOMERS");
        format!("/storage/kv/namespaces/{}/values", records["namespace_id"].as_str().expect("an id"))
    }

    /// Creates a request that uploads a script with one module.
    pub fn upload(&self, script: &str, source: &str, mut metadata: Value) -> RequestBuilder {
        metadata["main_module"] = "index.js".into();
        let module = Part::text(source.to_owned()).file_name("index.js");
        let module = module.mime_str("application/javascript+module").expect("a media type");
        let form = Form::new().text("metadata", metadata.to_string()).part("index.js", module);
        self.request(Method::PUT, &format!("{SCRIPTS}/{script}")).multipart(form)
    }

    /// Creates a command with the variables of `env` set, as after `source <state>/env`.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.envs(&self.environment).env("WRANGLER_SEND_METRICS", "false").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs wrangler, expects it to succeed, and returns its standard output.
    pub async fn wrangler(&self, arguments: &[&str]) -> String {
        let modules = crate::repository().join("node_modules");
        let mut command = self.command(&modules.join("node/bin/node"));
        let output = run(command.arg(modules.join("wrangler/bin/wrangler.js")).args(arguments)).await;
        let (printed, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "wrangler {arguments:?}: {printed}{errors}");
        printed
    }

    /// Runs `cargo platform customer --json`, expects it to succeed, and returns its JSON.
    pub async fn customer(&self, arguments: &[&str]) -> Value {
        let output = self.platform(&[&["customer"], arguments, &["--json"]].concat()).await;
        let (printed, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "customer {arguments:?}: {printed}{errors}");
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// Runs `cargo platform`.
    pub async fn platform(&self, arguments: &[&str]) -> Output {
        self.platform_with_input(arguments, "").await
    }

    /// Runs `cargo platform` with a text on standard input.
    pub async fn platform_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let platform =
            std::env::var_os("PLATFORM").expect("PLATFORM is not set: run the tests with `cargo xtask test`");
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(input.as_bytes()).and_then(|()| file.rewind()).expect("the input is written");
        let mut command = self.command(Path::new(&platform));
        run(command.current_dir(crate::repository()).args(arguments).stdin(file)).await
    }
}

/// The path of the scripts in the dispatcher's namespace.
pub const SCRIPTS: &str = "/workers/dispatch/namespaces/customers/scripts";

async fn run(command: &mut Command) -> Output {
    timeout(TIMEOUT, command.output()).await.expect("the program ends in time").expect("the program runs")
}

/// Decodes a program's output, which must be UTF-8.
#[must_use]
pub fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_owned()).expect("text")
}

/// Sends a request, expects a success in the API's envelope, and returns its `result`.
pub async fn expect_result(request: RequestBuilder) -> Value {
    let reply = Reply::to(request).await;
    let envelope = reply.json();
    assert!(reply.status.is_success() && envelope["success"] == true, "{reply}");
    assert_eq!(envelope["errors"], json!([]), "{reply}");
    assert!(envelope["messages"].is_array(), "{reply}");
    envelope["result"].clone()
}

/// Sends a request, expects one error in the API's envelope, and returns its message.
pub async fn expect_error(request: RequestBuilder, status: u16, code: u64) -> String {
    let reply = Reply::to(request).await;
    let envelope = reply.json();
    assert_eq!((reply.status.as_u16(), &envelope["success"]), (status, &json!(false)), "{reply}");
    assert_eq!(envelope["errors"][0]["code"], code, "{reply}");
    assert_eq!(envelope["result"], Value::Null, "{reply}");
    envelope["errors"][0]["message"].as_str().expect("a message").to_owned()
}
