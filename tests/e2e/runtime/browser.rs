//! `WebSocket`s of pages in Chromium. The variable `CHROMIUM` names the program, by default `chromium`.

use std::env;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Html;
use axum::routing::{get, post};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Platform;

/// Opens a WebSocket for each of `OFFERS`, one after another, and reports the chosen subprotocol and the reply, or the
/// code with which Chromium has closed the WebSocket.
const PAGE: &str = r#"<!doctype html><title>test</title><script>
const open = ([path, protocols]) => new Promise((resolve) => {
  const socket = new WebSocket("ws://PLATFORM" + path, protocols);
  socket.onopen = () => socket.send("hello");
  socket.onmessage = ({ data }) => resolve(`${socket.protocol}: ${data}`);
  socket.onclose = ({ code }) => resolve(`closed: ${code}`);
});
(async () => {
  const results = [];
  for (const offer of OFFERS) results.push(await open(offer));
  await fetch("/results", { method: "POST", body: JSON.stringify(results) });
})();
</script>"#;

/// A server of a web page, and what the page reports.
struct Site {
    origin: String,
    listener: TcpListener,
}

impl Site {
    async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self { origin: format!("http://{}", listener.local_addr().expect("an address")), listener }
    }

    /// Opens the page in Chromium, and returns what it reports.
    async fn visit(self, page: String) -> Value {
        let (sender, mut reports) = mpsc::channel(1);
        let report = async |State(sender): State<mpsc::Sender<String>>, body: String| {
            sender.send(body).await.expect("the test waits");
        };
        let router =
            Router::new().route("/", get(async move || Html(page))).route("/results", post(report)).with_state(sender);
        let server = tokio::spawn(axum::serve(self.listener, router).into_future());
        let profile = TempDir::new().expect("a folder");
        let program = env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        let mut browser = Command::new(&program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(&self.origin)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program}, which this test needs: {error}"));
        let report = timeout(Duration::from_mins(1), reports.recv()).await.expect("the page reports in time");
        browser.kill().await.expect("Chromium ends");
        server.abort();
        serde_json::from_str(&report.expect("a report")).expect("JSON")
    }
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn only_pages_of_allowed_origins_open_websockets_in_a_browser() {
    let (allowed, other) = (Site::bind().await, Site::bind().await);
    let origins = format!("ALLOWED_ORIGINS:{}", allowed.origin);
    let platform = Platform::start_with(&["socket"], &["--var", &origins]).await;
    platform.upload("socket", "v1").await;
    let offers = json!([
        ["/", ["platform", "platform.user.socket"]],
        ["/?choose=chat", ["chat", "platform.user.socket"]],
        // The customer's Worker chooses none.
        ["/", ["chat", "platform.user.socket"]],
        ["/", ["platform"]],
        ["/", []],
    ]);
    let page =
        PAGE.replace("PLATFORM", platform.dev.url.trim_start_matches("http://")).replace("OFFERS", &offers.to_string());
    let closed = "closed: 1006";
    assert_eq!(
        allowed.visit(page.clone()).await,
        json!(["platform: v1 hello", "chat: v1 hello", closed, closed, closed])
    );
    assert_eq!(other.visit(page).await, json!([closed, closed, closed, closed, closed]));
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
