//! The doors stay shut: customers' Workers reach public addresses, their own storage, and nothing of the platform.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use axum::response::IntoResponse;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tests::processes::{ports, processes};
use tests::{Dev, Reply, escaped, expect_success, run_to_failure};
use tokio::net::TcpListener;

use super::Platform;

/// Answers every request on an address with a 200, or a redirect.
pub async fn server(address: &str, redirect: Option<String>) -> std::net::SocketAddr {
    let listener = TcpListener::bind((address, 0)).await.expect("a free port");
    let listens = listener.local_addr().expect("an address");
    let app = axum::Router::new().fallback(move || {
        let redirect = redirect.clone();
        async move {
            match redirect {
                Some(location) => axum::response::Redirect::temporary(&location).into_response(),
                None => "reached".into_response(),
            }
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    listens
}

#[tokio::test]
async fn scripts_reach_no_address_of_this_machine() {
    let platform = Platform::start(&["script"]).await;
    platform.upload("script", "v1").await;
    let other = server("127.0.0.1", None).await;
    let ports = [
        platform.dev.url.rsplit(':').next().expect("a port").to_owned(),
        platform.api.environment["CLOUDFLARE_API_BASE_URL"].split([':', '/']).nth(4).expect("a port").to_owned(),
        other.port().to_string(),
    ];
    for port in ports {
        for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "127.1", "2130706433"]
        {
            let url = format!("http://{host}:{port}/");
            let fetched = platform.text("script", &format!("/fetch?url={}", escaped(&url))).await;
            assert!(fetched.starts_with("refused: "), "{url}: {fetched}");
            let address = format!("{host}:{port}");
            let connected = platform.text("script", &format!("/connect?address={}", escaped(&address))).await;
            assert!(connected.starts_with("refused: "), "{address}: {connected}");
        }
    }
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn an_allowed_address_can_be_reached_and_leads_nowhere_else() {
    let allowed = server("127.0.0.2", None).await;
    let forbidden = server("127.0.0.1", None).await;
    let redirecting = server("127.0.0.2", Some(format!("http://{forbidden}/"))).await;
    let platform = Platform::start_with(&["script"], &["--allow", "127.0.0.2"]).await;
    platform.upload("script", "v1").await;
    let fetch = async |url: String| platform.text("script", &format!("/fetch?url={}", escaped(&url))).await;
    assert_eq!(fetch(format!("http://{allowed}/")).await, "reached 200");
    assert!(fetch(format!("http://{forbidden}/")).await.starts_with("refused: "));
    assert!(fetch(format!("http://{redirecting}/")).await.starts_with("refused: "));
    let connected = platform.text("script", &format!("/connect?address={allowed}")).await;
    assert_eq!(connected, "reached");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn addresses_of_the_platform_cannot_be_allowed() {
    let state = tempfile::TempDir::new().expect("a folder");
    for address in ["127.0.0.1", "127.0.0.0/8", "0.0.0.0/0", "::1"] {
        let error = run_to_failure(state.path(), &["--allow", address]).await;
        assert!(error.contains("give the other server an address of its own, such as 127.0.0.2"), "{error}");
    }
}

#[tokio::test]
async fn only_the_owner_can_look_into_the_state_folder_and_its_sockets() {
    let state = TempDir::new().expect("a folder");
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o755)).expect("the owner's");
    let dev = Dev::start(state.path(), &["--customer", "script"]).await;
    let platform = Platform { api: dev.api(), dev, state };
    for folder in [platform.state().to_owned(), platform.state().join("run")] {
        let mode = fs::metadata(&folder).expect("the folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
    }
    // Other users could connect to ports.
    expect_success(platform.customer("script").get("/stats")).await;
    let is_runtime = |line: &String| line.contains("workerd") && line.contains("serve");
    let runtimes: Vec<String> = processes(platform.state()).into_iter().filter(is_runtime).collect();
    assert!(runtimes.len() >= 3, "{runtimes:?}");
    assert_eq!(ports(&runtimes), [0; 0], "{runtimes:?}");
    let error = run_to_failure(platform.state(), &[]).await;
    assert!(error.contains("another local platform uses"), "{error}");
    let state = platform.state;
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
    assert_eq!(fs::read_dir(state.path().join("run")).map_or(0, Iterator::count), 0, "sockets are left over");
}

#[tokio::test]
async fn caches_are_each_scripts_own() {
    let platform = Platform::start(&["one", "two"]).await;
    platform.upload("one", "v1").await;
    platform.upload("two", "v1").await;
    let one = platform.customer("one");
    for (path, body) in [("/cache", "default"), ("/cache?name=a", "a")] {
        assert_eq!(Reply::to(one.put(path).body(body)).await.text(), body);
    }
    assert_eq!(platform.text("one", "/cache").await, "default");
    assert_eq!(platform.text("one", "/cache?name=a").await, "a");
    assert_eq!(platform.text("one", "/cache?name=b").await, "nothing");
    for path in ["/cache", "/cache?name=a", "/cache?name=customer-one:default", "/cache?name=default"] {
        assert_eq!(platform.text("two", path).await, "nothing", "{path}");
    }
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn logs_are_known_by_script() {
    let platform = Platform::start(&["one", "two"]).await;
    platform.upload("one", "v1").await;
    platform.upload("two", "v1").await;
    platform.text("one", "/log?text=from-one").await;
    platform.text("two", "/throw?text=from-two").await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let logs = async |arguments: &[&str]| {
        let state = platform.state().to_str().expect("UTF-8");
        let output = platform.api.platform(&[&["logs", "--local", "--state", state], arguments].concat()).await;
        assert!(output.status.success(), "{}", tests::api::text(&output.stderr));
        tests::api::text(&output.stdout)
    };
    let all = logs(&[]).await;
    assert!(all.contains(" one log from-one\n") && all.contains(" two error Uncaught Error: from-two"), "{all}");
    let of_one = logs(&["one", "--json"]).await;
    let line: serde_json::Value = serde_json::from_str(of_one.trim()).expect("one line of JSON");
    assert_eq!((&line["script"], &line["message"]), (&"one".into(), &"from-one".into()));
    let refused = platform.api.platform(&["logs", "one"]).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(tests::api::text(&refused.stderr).contains("add --local"));
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
