//! Ambiguous headers, and values that only look like an id.

use http::StatusCode;
use tests::raw::{parse_replies, status};
use tests::{Customer, Reply, expect_json};

use super::victim::Scene;

/// Headers that name the victim beside or instead of the attacker. No parser may read `victim` as the id.
const AMBIGUOUS_HEADERS: [&[u8]; 63] = [
    // Two headers, in either order, and lists of ids.
    b"X-User-ID: attacker\r\nX-User-ID: victim",
    b"X-User-ID: victim\r\nX-User-ID: attacker",
    b"X-User-ID: attacker\r\nx-user-id: victim",
    b"X-USER-ID: victim\r\nX-User-ID: attacker",
    b"X-User-ID: attacker\r\nX-User-ID:",
    b"X-User-ID:\r\nX-User-ID: victim\r\nX-User-ID: attacker",
    b"X-User-ID: attacker, victim",
    b"X-User-ID: victim,attacker",
    b"X-User-ID: victim,",
    b"X-User-ID: ,victim",
    b"X-User-ID: victim;attacker",
    b"X-User-ID: victim attacker",
    b"X-User-ID: attacker\tvictim",
    // Folded lines, and unusual line ends.
    b"X-User-ID: attacker\r\n victim",
    b"X-User-ID: attacker\r\n\tX-User-ID: victim",
    b"X-User-ID:\r\n victim\r\nX-User-ID: attacker",
    b"X-User-ID: attacker\nX-User-ID: victim",
    b"X-User-ID: attacker\rX-User-ID: victim",
    b"X-User-ID: attacker\r\r\nX-User-ID: victim",
    b"X-User-ID: attacker\n\rX-User-ID: victim",
    // Names that resemble `X-User-ID`.
    b"X-User-ID: attacker\r\nX-User-ID : victim",
    b"X-User-ID: attacker\r\n X-User-ID: victim",
    b"X-User-ID : victim",
    b"X-User-ID\t: victim",
    b"X_User_ID: victim\r\nX-User-ID: attacker",
    b"X-User_ID: victim",
    b"X-User-I\xc4\x90: victim\r\nX-User-ID: attacker",
    b"X-User-\xc4\xb0D: victim\r\nX-User-ID: attacker",
    b"X-User-ID\0: victim\r\nX-User-ID: attacker",
    b"\0X-User-ID: victim\r\nX-User-ID: attacker",
    b"X-User-ID\xc2\xa0: victim\r\nX-User-ID: attacker",
    b"X-User-ID: attacker\r\n: victim",
    b"X-User-ID: attacker\r\nX-User-ID",
    // Inside other headers that the dispatcher reads.
    b"CF-Ray: 1\n:victim\r\nX-User-ID: attacker",
    b"CF-Ray: 1\r\n :1\r\n :victim\r\nX-User-ID: attacker",
    b"CF-Worker: 1\n:victim\r\nX-User-ID: attacker",
    b"CF-Worker: 1\r:victim\r\nX-User-ID: attacker",
    b"CF-Worker: 1\r\n\t:victim\r\nX-User-ID: attacker",
    // Values that resemble the id.
    b"X-User-ID: Victim",
    b"X-User-ID: VICTIM",
    b"X-User-ID: victim\0",
    b"X-User-ID: \0victim",
    b"X-User-ID: attacker\0victim",
    b"X-User-ID: victim\x01",
    b"X-User-ID: \x0bvictim\x0c",
    b"X-User-ID: victim\x7f",
    b"X-User-ID: \xc2\xa0victim",
    b"X-User-ID: victim\xe2\x80\x8b",
    b"X-User-ID: \xef\xbb\xbfvictim",
    b"X-User-ID: v\xc4\xb1ctim",
    b"X-User-ID: \xd1\xb5ictim",
    b"X-User-ID: \xef\xbd\x96ictim",
    b"X-User-ID: victim\xcc\x81",
    b"X-User-ID: \"victim\"",
    b"X-User-ID: 'victim'",
    b"X-User-ID: ./victim",
    b"X-User-ID: ../victim",
    b"X-User-ID: victim/",
    b"X-User-ID: %76ictim",
    b"X-User-ID: victim%00",
    b"X-User-ID: customer-victim",
    b"X-User-ID: =?utf-8?Q?victim?=",
    b"X-User-ID: victim:443",
];

/// Returns requests with these headers that read or delete a file or a value.
fn requests(headers: &[u8]) -> [Vec<u8>; 4] {
    ["GET /files?key=plain", "GET /data?key=plain", "DELETE /files?key=plain", "DELETE /data?key=folder/page"].map(
        |request| {
            let (first, last) = (format!("{request} HTTP/1.1\r\nHost: x\r\n"), b"\r\nConnection: close\r\n\r\n");
            [first.as_bytes(), headers, last].concat()
        },
    )
}

#[tokio::test]
async fn ambiguous_user_ids_never_name_the_victim() {
    let scene = Scene::new("ids").await;
    let longest = "v".repeat(60_000);
    let many = "X-User-ID: victim\r\n".repeat(90) + "X-User-ID: attacker";
    let long = [
        format!("X-User-ID: attacker{}victim", " ".repeat(60_000)),
        format!("X-User-ID: {longest}"),
        format!("X-User-ID: victim{}", ",victim".repeat(5000)),
        format!("X-{longest}: x\r\nX-User-ID: victim, attacker"),
        many,
    ];
    for headers in AMBIGUOUS_HEADERS.into_iter().chain(long.iter().map(String::as_bytes)) {
        for request in requests(headers) {
            let received = scene.attempt_raw(&request).await;
            // The request is rejected, or is the attacker's own.
            let is_expected = [200, 400, 404, 431].contains(&status(&received));
            assert!(is_expected, "{}: {}", String::from_utf8_lossy(&request), String::from_utf8_lossy(&received));
        }
    }
    scene.end().await;
}

/// Only `X-User-ID` names the customer of a request.
#[tokio::test]
async fn only_x_user_id_names_a_customer() {
    let scene = Scene::new("other-headers").await;
    for headers in [
        "MF-Route-Override: customer-victim",
        "mf-route-override: victim",
        "MF_Route_Override: customer-victim",
        "MF-Original-URL: http://x/cdn-cgi/local/r2/public/customer-victim/plain",
        "MF-Original-Hostname: customer-victim",
        "MF-Custom-Fetch-Service: customer-victim",
        "MF-Custom-Node-Service: customer-victim",
        "MF-Proxy-Shared-Secret: x",
        "MF-Op: GET",
        "MF-Binding: customer-victim",
        "MF-CF-Blob: {\"worker\":\"customer-victim\"}",
        "CF-Worker: customer-victim",
        "CF-Connecting-IP: 127.0.0.1",
        "Cloudflare-Workers-Version-Key: victim",
        "Cloudflare-Workers-Version-Overrides: customer-victim=\"dc8dcd28-271b-4367-9840-6c244f84cb40\"",
        "Platform-Storage: null",
        "Platform-Storage: undefined",
        "Platform-Storage:",
        "Test-User-ID: victim",
        "Test-Dispatcher: guarded",
        "X-User: victim",
        "X-User-ID-Override: victim",
        "X-Original-User-ID: victim",
        "X-Forwarded-User: victim",
        "X-Forwarded-Host: customer-victim",
        "X-Original-URL: /files?key=plain&X-User-ID=victim",
        "X-Rewrite-URL: /cdn-cgi/explorer",
        "X-HTTP-Method-Override: DELETE",
        "Forwarded: for=victim;host=customer-victim",
        "Cookie: X-User-ID=victim",
        "Authorization: Bearer victim",
        "X-Request-Id: victim",
        "CF-Ray: victim",
        "Via: 1.1 victim",
        "Referer: http://x/?X-User-ID=victim",
    ] {
        for request in requests(format!("X-User-ID: attacker\r\n{headers}").as_bytes()) {
            let received = scene.attempt_raw(&request).await;
            assert!([200, 404].contains(&status(&received)), "{headers}: {}", String::from_utf8_lossy(&received));
        }
        // Nor do these headers replace a missing id.
        let [request, ..] = requests(headers.as_bytes());
        assert_eq!(status(&scene.attempt_raw(&request).await), 400, "{headers}");
    }
    for path in ["/data?key=plain&X-User-ID=victim", "/data?X-User-ID=victim&key=plain&user=victim"] {
        scene.attempt(scene.attacker.get(path)).await;
    }
    scene.end().await;
}

/// Clients can neither choose a Worker's version nor claim to be a Worker.
#[tokio::test]
async fn headers_that_only_cloudflare_sets_are_removed() {
    let token_holder = Customer::behind("token", "echo").with_token(&tests::token::valid_token("echo"));
    for user in [Customer::new("echo"), Customer::behind("cors", "echo"), token_holder] {
        for (name, value) in [
            ("Cloudflare-Workers-Version-Overrides", "customer-echo=\"dc8dcd28-271b-4367-9840-6c244f84cb40\""),
            ("cloudflare-workers-version-overrides", "dispatcher=\"x\", customer-echo=\"y\""),
            ("CLOUDFLARE-WORKERS-VERSION-KEY", "victim"),
            ("Cloudflare-Workers-Version-Key", ""),
            ("CF-Worker", "example.com"),
        ] {
            for request in [user.get("/"), user.post("/").body("content")] {
                let request = request.header(name, value).header(name, "twice").header("X-Other", "kept");
                let reply = Reply::to(request).await;
                assert_eq!(reply.status, 200, "{reply}");
                // Behind the dispatcher `token`, a stand-in for the Worker returns the request in the body.
                let echo = reply.headers.get("Echo").map_or(&*reply.body, |echo| echo.as_bytes());
                let received: serde_json::Value = serde_json::from_slice(echo).expect("JSON");
                let headers = received["headers"].as_object().expect("headers");
                assert!(!headers.keys().any(|header| header.eq_ignore_ascii_case(name)), "{name}: {received}");
                assert_eq!(headers["x-other"], "kept");
            }
        }
    }
}

/// The headers in `Connection` are for the platform only. A request that lists `X-User-ID` there has no id.
#[tokio::test]
async fn hop_by_hop_headers_name_no_customer() {
    let scene = Scene::new("hop-by-hop").await;
    for (connection, expected) in [
        ("X-User-ID", 400),
        ("x-user-id", 400),
        ("close, X-User-ID", 400),
        ("X-User-ID,X-User-ID", 400),
        ("X-User-ID\r\nConnection: Host", 400),
        ("Host", 200),
        ("X-User-Id-", 200),
        ("Accept-Encoding, MF-Disable-Pretty-Error", 200),
    ] {
        let headers = format!("X-User-ID: attacker\r\nConnection: {connection}");
        for request in requests(headers.as_bytes()) {
            let received = scene.attempt_raw(&request).await;
            let allowed = if expected == 200 { [200, 404] } else { [400, 400] };
            assert!(allowed.contains(&status(&received)), "{connection}: {}", String::from_utf8_lossy(&received));
        }
    }
    scene.end().await;
}

/// A page of another origin, in the browser of a user who has the victim's token.
#[tokio::test]
async fn pages_of_other_origins_cannot_read_replies() {
    let scene = Scene::new("pages-in-browsers").await;
    let victim = Customer::behind("guarded", "victim").with_token(&tests::token::valid_token("victim"));
    for origin in [
        "https://evil.example",
        "https://app.example.evil.example",
        "https://app.example@evil.example",
        "https://evil.example, https://app.example",
        "https://app.example, https://evil.example",
        "https://app.example ",
        "https://app.example/",
        "https://app.example:8443",
        "http://app.example",
        "https://APP.example.",
        "https://app.example\t.evil.example",
        "null",
        "*",
        "",
    ] {
        // These are the victim's own requests, so they succeed. No CORS header may let the page read the reply.
        let reply = Reply::to(victim.get("/files?key=plain").header("Origin", origin)).await;
        let allowed = reply.headers.get("Access-Control-Allow-Origin").map(|allowed| allowed.to_str().expect("text"));
        assert!(
            allowed.is_none_or(|allowed| origin.trim() == "https://app.example" && allowed == origin.trim()),
            "{origin}: {reply}"
        );
        assert!(!reply.headers.contains_key("Access-Control-Allow-Credentials"), "{origin}: {reply}");
        // A page may send simple requests without a preflight, but without a token they must not change anything.
        let without_token = Customer::behind("guarded", "victim");
        let reply = scene.attempt(without_token.post("/files").header("Origin", origin).body("x")).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{origin}: {reply}");
        let preflight = without_token.request(http::Method::OPTIONS, "/files?key=plain").header("Origin", origin);
        scene.attempt(preflight.header("Access-Control-Request-Method", "DELETE")).await;
    }
    scene.end().await;
}

/// The control: the name of the header is case-insensitive, and blanks around its value are ignored.
#[tokio::test]
async fn the_victims_own_header_is_accepted() {
    let version = env!("CARGO_PKG_VERSION");
    let health = serde_json::json!({"status": "ok", "worker": "victim", "version": version});
    expect_json(Customer::new("victim").get("/"), health.clone()).await;
    for header in ["X-User-ID: victim", "x-user-id: victim", "X-USER-ID:victim", "X-User-ID: \t victim \t"] {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{header}\r\nConnection: close\r\n\r\n");
        let received = tests::raw::exchange(&request).await;
        assert_eq!(parse_replies(&received)[0].json(), health, "{header}");
    }
}
