//! nginx in front of the platform, with TLS and HTTP/2.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::sleep;

/// What to do if nginx is not installed.
pub const HINT: &str = "these tests put nginx in front of the platform: on Debian, install the package nginx";

/// Creates the command that runs nginx with an argument.
pub fn nginx(argument: &str) -> Command {
    let mut command = Command::new("nginx");
    // Debian installs it into a folder that only root has in its PATH.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin")).arg(argument);
    command
}

/// A running nginx. It stops when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    version: String,
    folder: TempDir,
    _process: Child,
}

impl Proxy {
    /// Starts nginx on a free port, with a new certificate.
    pub async fn start(platform: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        create_certificate(&folder);
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a port").port();
        let template = fs::read_to_string(tests::repository().join("tests/clients/nginx.conf"))
            .expect("the template is in the repository");
        let path = folder.path().to_str().expect("UTF-8");
        let configuration = template.replace("@FOLDER@", path).replace("@PORT@", &port.to_string());
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration.replace("@PLATFORM@", platform)).expect("the folder is writable");

        let mut command = tokio::process::Command::from(nginx("-p"));
        command.arg(folder.path()).arg("-c").arg(file).kill_on_drop(true).stdin(Stdio::null());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("cannot run nginx: {error}; {HINT}"));
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let status = process.try_wait().expect("nginx's status");
            assert!(status.is_none(), "nginx ended, see its output above: {status:?}");
            sleep(Duration::from_millis(20)).await;
        }
        Self { url: format!("https://127.0.0.1:{port}"), version: version(), folder, _process: process }
    }

    /// Returns the environment variables that tell the scripts about the proxy.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        let certificate = self.folder.path().join("certificate.pem").to_str().expect("UTF-8").to_owned();
        [
            ("PROXY_URL", self.url.clone()),
            ("PROXY_VERSION", self.version.clone()),
            ("PROXY_CERTIFICATE", certificate.clone()),
            // Makes Node trust the certificate.
            ("NODE_EXTRA_CA_CERTS", certificate),
        ]
    }
}

/// Returns the version, for example `nginx 1.22.1`.
fn version() -> String {
    let output = nginx("-v").output().expect("nginx runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    let version = errors.trim().rsplit('/').next().expect("a version");
    format!("nginx {version}")
}

fn create_certificate(folder: &TempDir) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder).args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    openssl.args(["-keyout", "key.pem", "-out", "certificate.pem", "-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    let output = openssl.output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
