//! The local runtime's own pages, which can read all storage.

use tests::raw::status;

use super::victim::Scene;

/// Pages that show data of the victim, or control the runtime, without the dispatcher.
const PAGES: [&str; 6] = [
    "cdn-cgi/local/r2/public/customer-victim/plain",
    "cdn-cgi/local/explorer/api/r2/buckets/customer-victim/objects/plain",
    "cdn-cgi/explorer/api/storage/kv/namespaces",
    "cdn-cgi/mf/reload",
    "cdn-cgi/handler/scheduled",
    "cdn-cgi/platform-proxy",
];

/// Spellings of the path of a page, with `{}` for the page.
const TARGETS: [&str; 32] = [
    "/{}",
    "//{}",
    "///{}",
    "/./{}",
    "/.//{}",
    "/x/../{}",
    "/x/y/../../{}",
    "/../{}",
    "/..//{}",
    "/%2e/{}",
    "/%2E%2e/{}",
    "/x/%2e%2E/{}",
    "/x/.%2e/{}",
    "/x/%2e./{}",
    "/%2f{}",
    "/%5c{}",
    "/\\{}",
    "\\{}",
    "/x/..\\{}",
    "/x\\..\\{}",
    "/;/{}",
    "/.;/{}",
    "http://x/{}",
    "http://127.0.0.1/{}",
    "http://customer-victim/{}",
    "https://x/{}",
    "http://user:pass@x/{}",
    "http://x//{}",
    "HTTP://x/{}",
    "/{}#",
    "/{}?x=/",
    "/\t{}",
];

/// Spellings of the path's first segment.
const FIRST_SEGMENTS: [&str; 6] = ["cdn-cgi", "CDN-CGI", "%63dn-cgi", "cdn%2dcgi", "cdn-cg%69", "cdn-cgi%2f."];

#[tokio::test]
async fn no_path_reaches_the_runtimes_own_pages() {
    let scene = Scene::new("paths").await;
    for (number, target) in TARGETS.iter().enumerate() {
        for (at, page) in PAGES.iter().enumerate() {
            let segment = FIRST_SEGMENTS[(at + number) % FIRST_SEGMENTS.len()];
            let target = target.replace("{}", &page.replace("cdn-cgi", segment));
            let method = ["GET", "POST", "DELETE", "PUT"][number % 4];
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: x\r\nX-User-ID: attacker\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let received = scene.attempt_raw(&request).await;
            // The platform rejects the request, or no Worker has such a route.
            assert!([400, 404].contains(&status(&received)), "{target}: {}", String::from_utf8_lossy(&received));
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn no_host_reaches_the_runtimes_own_pages() {
    let scene = Scene::new("hosts").await;
    for page in PAGES {
        for host in [
            format!("127.0.0.1/{page}?"),
            format!("x/{page}#"),
            format!("x\\{page}?"),
            format!("x?/../{page}"),
            format!("x#/{page}"),
            format!("user@x/{page}"),
            format!("x:80/{page}?"),
            format!("[::1]/{page}?"),
            format!("x%2f{page}"),
            format!("x\t/{page}?"),
            format!("x,y/{page}"),
            format!("x\r\nHost: x/{page}?"),
            format!("x\r\n /{page}?"),
        ] {
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-User-ID: attacker\r\nConnection: close\r\n\r\n");
            assert_eq!(status(&scene.attempt_raw(&request).await), 400, "{host}");
        }
    }
    // A valid host does not choose the customer.
    for host in ["victim", "customer-victim", "victim.localhost", "localhost:8788", "[::1]", "0x7f.1"] {
        for target in ["/files?key=plain", "http://victim/files?key=plain", "http://customer-victim/data?key=plain"] {
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nX-User-ID: attacker\r\nConnection: close\r\n\r\n");
            // The attacker's own file, or 404 if another test has just deleted it.
            assert!([200, 404].contains(&status(&scene.attempt_raw(&request).await)), "{host} {target}");
        }
    }
    scene.end().await;
}
