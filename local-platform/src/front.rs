//! The listener in front of `wrangler dev`.
//!
//! wrangler's own port has doors past the dispatcher: request headers (`MF-Route-Override` and others) that name any
//! Worker, and pages under `/cdn-cgi/` that read all local storage, which a path leads to, or a `Host` with a path in it.
//! They are shut here. Bodies are streamed both ways.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri, Version, uri};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use shared::http::cors::ALLOWED_METHODS;
use shared::http::{CUSTOMER_ROUTES, PROBLEM_MEDIA_TYPE, Problem, RequestId, Route};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tower::make::Shared;
use tower::service_fn;
use tower::util::BoxCloneSyncService;
use url::Url;
use uuid::Uuid;

use super::gate::Gate;
use super::listener::{Listener, bind};

/// How long a request tries to reach a runtime that is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Headers that belong to one connection and are not forwarded (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Listens on a port of 127.0.0.1, 0 for any that is free. Requests go through the gate. `shield` is the start of the names
/// under which `entry.js` sends headers that the runtime must not see.
pub async fn start(port: u16, gate: Gate, shield: &str) -> Result<Listener> {
    let client = Client::builder(TokioExecutor::new()).build(connector(gate.clone()));
    let shield: Arc<str> = shield.into();
    // Not a `Router`, which would give the reply to a HEAD the length of its empty body.
    let service =
        Shared::new(service_fn(move |request| forward(client.clone(), gate.clone(), shield.clone(), request)));
    Listener::start(bind(port, "--port").await?, |socket, stopped| {
        axum::serve(socket.tap_io(without_delay), service)
            .with_graceful_shutdown(async { drop(stopped.await) })
            .into_future()
    })
}

type RuntimeClient = Client<Connector, Body>;
type Connector = BoxCloneSyncService<Uri, TokioIo<TcpStream>, io::Error>;

/// Connects to the runtime, and tries again for a while if it is not there: it has crashed, and restarts.
fn connector(gate: Gate) -> Connector {
    let connect = service_fn(move |_: Uri| {
        let gate = gate.clone();
        async move {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let error = match gate.runtime() {
                    None => io::Error::new(io::ErrorKind::NotConnected, "the runtime is not running"),
                    Some(runtime) => match TcpStream::connect(runtime).await {
                        Ok(mut stream) => {
                            without_delay(&mut stream);
                            return Ok(TokioIo::new(stream));
                        }
                        Err(error) => error,
                    },
                };
                if Instant::now() > deadline {
                    return Err(error);
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
    });
    BoxCloneSyncService::new(connect)
}

/// A small reply should not wait for the next one. That this fails costs time and nothing else.
fn without_delay(stream: &mut TcpStream) {
    let _ = stream.set_nodelay(true);
}

async fn forward(
    client: RuntimeClient,
    gate: Gate,
    shield: Arc<str>,
    mut request: Request,
) -> Result<Response, Infallible> {
    let id = request_id(request.headers());
    if let Err(refusal) = check(&request) {
        return Ok(problem(&refusal, &id));
    }
    *request.uri_mut() = inward(request.uri());
    strip(request.headers_mut());
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        // Such a body means nothing (RFC 9110, 9.3.1), and the local runtime fails at it.
        request.headers_mut().remove(header::CONTENT_LENGTH);
        *request.body_mut() = Body::empty();
    }
    if *request.method() == Method::PUT && !says_length(request.headers()) {
        // On its way in it would get a length of 0, which its client did not say.
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::from_stream(body.into_data_stream());
    }
    // The local runtime would compress for a client that takes it, and drop the length; for one that does not, it would
    // take encoded files apart. Only a client of which it knows nothing gets what the Worker says.
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(""));
    // And would show a page with the source to a browser, where Cloudflare's says nothing.
    request.headers_mut().insert("MF-Disable-Pretty-Error", HeaderValue::from_static("true"));
    let Some(pass) = gate.enter().await else {
        eprintln!("a request has waited too long for the local runtime");
        return Ok(problem(&Problem::runtime_unavailable(), &id));
    };
    Ok(match client.request(request).await {
        Ok(response) if is_runtimes_own(&response) => problem(&runtimes_problem(response, &id).await, &id),
        Ok(mut response) => {
            strip(response.headers_mut());
            unshield(response.headers_mut(), &shield);
            response.map(|body| pass.until_end(body))
        }
        // The client has gone while it sent, or what it sent was not HTTP.
        Err(error) if error.source().is_some_and(is_clients) => {
            problem(&Problem::invalid_body("it broke off, or its chunks are malformed"), &id)
        }
        Err(error) => {
            eprintln!("the local runtime did not reply to {}: {}", id.as_str(), chain(&error));
            problem(&Problem::runtime_unavailable(), &id)
        }
    })
}

/// Whether a reply is a failure that the dispatcher does not know of: all of its replies say what they vary with. The local
/// runtime's say where on this machine its programs are.
fn is_runtimes_own<B>(response: &Response<B>) -> bool {
    response.status().is_server_error() && !response.headers().contains_key(header::VARY)
}

/// What the client is told instead: that the runtime is not there, which has crashed then, or that the dispatcher threw.
async fn runtimes_problem(response: Response<Incoming>, id: &RequestId) -> Problem {
    const CRASHES: [&str; 4] = ["Network connection lost", "disconnected", "fetch failed", "restarted mid-request"];
    /// It has a stack in it.
    const MAX_LEN: usize = 64 << 10;

    let text = axum::body::to_bytes(Body::new(response.into_body()), MAX_LEN).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let cause = text.lines().next().unwrap_or_default().to_owned();
    if cause.contains("Unrecognized request method") {
        return Problem::method_not_allowed(ALLOWED_METHODS);
    }
    eprintln!("the local runtime failed at {}: {cause}", id.as_str());
    if CRASHES.iter().any(|crash| cause.contains(crash)) {
        Problem::runtime_unavailable()
    } else {
        Problem::internal_error(cause)
    }
}

fn says_length(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING)
}

/// Lets nothing in but requests that the dispatcher gets to see as they are.
fn check(request: &Request) -> Result<(), Problem> {
    if !leads_to_dispatcher(request.uri()) {
        return Err(Route::not_found(CUSTOMER_ROUTES));
    }
    if *request.method() == Method::CONNECT {
        return Err(Problem::method_not_allowed(ALLOWED_METHODS));
    }
    // The runtime puts the URL together from `Host` and path as texts: a `Host` with a path in it would be a way past.
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (None, None) if request.version() == Version::HTTP_10 => Ok(()),
        _ => Err(Problem::invalid_parameter("send one header Host, a host name with or without a port")),
    }
}

/// Whether it is `host` or `host:port` and nothing else, as the runtime, which reads URLs after the WHATWG standard, sees
/// it.
fn is_host(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    !host.is_empty()
        && host.bytes().all(plain)
        && Url::parse(&format!("http://{host}/")).is_ok_and(|url| url.path() == "/" && url.host().is_some())
}

/// The id under which a problem is told: the request's own, or a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let id = |name| headers.get(name).and_then(|id| RequestId::parse(id.to_str().ok()?));
    let new = || RequestId::parse(Uuid::new_v4().to_string()).expect("a UUID is a well-formed id");
    id("CF-Ray").or_else(|| id("X-Request-Id")).unwrap_or_else(new)
}

/// An error with its causes, in a line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ", &error.to_string()]);
        cause = error.source();
    }
    text
}

/// Whether it was the request's body that failed.
fn is_clients(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user)
}

/// Whether the runtime, which reads URLs after the WHATWG standard, would see any path but those under `/cdn-cgi`.
fn leads_to_dispatcher(uri: &Uri) -> bool {
    let path = uri.path_and_query().map_or("/", uri::PathAndQuery::as_str);
    let url = Url::parse(&format!("http://runtime{path}"));
    path.starts_with('/')
        && url.is_ok_and(|url| {
            let first = url.path().trim_start_matches('/').split('/').next();
            first.is_some_and(|first| !first.eq_ignore_ascii_case("cdn-cgi"))
        })
}

fn inward(uri: &Uri) -> Uri {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(uri::Scheme::HTTP);
    parts.authority = Some(uri::Authority::from_static("runtime"));
    parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or_else(|| uri::PathAndQuery::from_static("/")));
    Uri::from_parts(parts).expect("scheme, authority and path make a URI")
}

/// Drops what is not for the other side: headers of this connection, and those that the runtime would obey.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let runtimes = headers.keys().filter(|name| name.as_str().starts_with("mf-")).cloned();
    let dropped: Vec<HeaderName> = runtimes.chain(named).chain(HOP_BY_HOP).collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// Gives headers that `entry.js` has sent under another name their own name back.
fn unshield(headers: &mut HeaderMap, shield: &str) {
    let shielded: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(shield)).cloned().collect();
    for name in shielded {
        let value = headers.remove(&name);
        let own_name = HeaderName::from_bytes(&name.as_str().as_bytes()[shield.len()..]);
        if let (Ok(own_name), Some(value)) = (own_name, value) {
            headers.insert(own_name, value);
        }
    }
}

fn problem(problem: &Problem, id: &RequestId) -> Response {
    let status = StatusCode::from_u16(problem.status()).expect("a problem has a valid status");
    let headers = [
        (header::CONTENT_TYPE, PROBLEM_MEDIA_TYPE),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "X-User-ID, Authorization"),
    ];
    let mut response = (status, headers, problem.to_json(id.as_str())).into_response();
    if let Some((name, value)) = problem.header() {
        let value = HeaderValue::from_str(value).expect("a problem's header is visible ASCII");
        response.headers_mut().insert(name, value);
    }
    response
}

/// The status that a path is answered with, asked from outside.
pub async fn get_status(front: SocketAddr, path: &str) -> Result<u16> {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    Ok(client.get(format!("http://{front}{path}").parse()?).await?.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_hosts_and_nothing_else() {
        for host in
            ["localhost", "127.0.0.1:8787", "user1.example.com", "[::1]:8787", "a_b", "xn--bcher-kva.example:80"]
        {
            assert!(is_host(&HeaderValue::from_static(host)), "{host}");
        }
        for host in [
            "",
            "127.0.0.1/cdn-cgi/local/r2/public/customer-user1/logo.png?",
            "x/",
            "x?a",
            "x#a",
            "x\\cdn-cgi",
            "user@x",
            "x:abc",
            "127.0.0.1:99999",
            "a b",
            "a,b",
            "%2f",
            "[::1",
            ":80",
        ] {
            assert!(!is_host(&HeaderValue::from_str(host).expect("a header")), "{host}");
        }
        assert!(!is_host(&HeaderValue::from_bytes(b"\xc3\xa9").expect("a header")));
    }

    #[test]
    fn only_shielded_headers_get_another_name() {
        let sent = [
            ("platform-1f-content-type", "text/html"),
            ("content-type", "text/plain"),
            ("platform-1f-mf-op", "GET"),
            ("platform-content-type", "a script's own"),
            ("platform-1f-", "no name"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(name, HeaderValue::from_static(value));
        }
        unshield(&mut headers, "platform-1f-");
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        left.sort_unstable();
        let expected: [(&str, &[u8]); 3] =
            [("content-type", b"text/html"), ("mf-op", b"GET"), ("platform-content-type", b"a script's own")];
        assert_eq!(left, expected);
    }

    #[test]
    fn only_the_runtimes_own_pages_are_kept_from_the_dispatcher() {
        for (uri, leads) in [
            ("/", true),
            ("/files?key=/cdn-cgi/x", true),
            ("/x/cdn-cgi/y", true),
            ("/cdn-cgi-x", true),
            ("/%63dn-cgi/x", true),
            ("http://x/files", true),
            ("/cdn-cgi", false),
            ("/cdn-cgi/x", false),
            ("/CDN-cgi/x", false),
            ("//cdn-cgi/x", false),
            ("/./cdn-cgi/x", false),
            ("/x/../cdn-cgi/x", false),
            ("/x/%2e%2E/cdn-cgi/x", false),
            ("http://x/cdn-cgi/x", false),
            ("*", false),
        ] {
            assert_eq!(leads_to_dispatcher(&uri.parse().expect(uri)), leads, "{uri}");
        }
    }
}
