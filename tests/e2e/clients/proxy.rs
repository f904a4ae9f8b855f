//! nginx in front of the platform, with TLS and HTTP/2.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::sleep;

use super::root;

/// What to do without nginx.
pub const HINT: &str = "these tests put nginx in front of the platform: Debian has it in its package nginx";

/// nginx with an argument.
pub fn nginx(argument: &str) -> Command {
    let mut command = Command::new("nginx");
    // Debian has it where only root looks.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin")).arg(argument);
    command
}

/// nginx that runs, until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    version: String,
    folder: TempDir,
    _process: Child,
}

impl Proxy {
    /// Starts it on a free port with a certificate of its own.
    pub async fn start(platform: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        make_certificate(&folder);
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a port").port();
        let template = fs::read_to_string(root().join("tests/clients/nginx.conf")).expect("it is in the repository");
        let path = folder.path().to_str().expect("text");
        let configuration = template.replace("@FOLDER@", path).replace("@PORT@", &port.to_string());
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration.replace("@PLATFORM@", platform)).expect("it can be written");

        let mut command = tokio::process::Command::from(nginx("-p"));
        command.arg(folder.path()).arg("-c").arg(file).kill_on_drop(true).stdin(Stdio::null());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("cannot run nginx: {error}; {HINT}"));
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let ended = process.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "nginx does not start, and says above why: {ended:?}");
            sleep(Duration::from_millis(20)).await;
        }
        Self { url: format!("https://127.0.0.1:{port}"), version: version(), folder, _process: process }
    }

    /// What tells the scripts of it.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        let certificate = self.folder.path().join("certificate.pem").to_str().expect("text").to_owned();
        [
            ("PROXY_URL", self.url.clone()),
            ("PROXY_VERSION", self.version.clone()),
            ("PROXY_CERTIFICATE", certificate.clone()),
            // Node trusts what is in it, too.
            ("NODE_EXTRA_CA_CERTS", certificate),
        ]
    }
}

/// `nginx 1.22.1`.
fn version() -> String {
    let output = nginx("-v").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let version = said.trim().rsplit('/').next().expect("a text has a part that is last");
    format!("nginx {version}")
}

fn make_certificate(folder: &TempDir) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder).args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    openssl.args(["-keyout", "key.pem", "-out", "certificate.pem", "-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    let output = openssl.output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
