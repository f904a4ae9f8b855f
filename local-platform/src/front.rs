//! The HTTP listener in front of the dispatcher. Requests from outside can reach the dispatcher and nothing else.
//!
//! Bodies are streamed unchanged in both directions, with one exception: if the length of a request's body is unknown,
//! a byte is appended to it. This mark tells the dispatcher's entry Worker whether the body is complete; see
//! `local-platform/namespace/entry.js`.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri, Version, uri};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use shared::http::cors::ALLOWED_METHODS;
use shared::http::{CUSTOMER_ROUTES, PROBLEM_MEDIA_TYPE, Problem, RequestId, Route};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tower::make::Shared;
use tower::service_fn;
use tower::util::BoxCloneSyncService;
use url::Url;
use uuid::Uuid;

use super::listener::Listener;
use super::supervisor::{Name, Stream, Supervisor};

/// How long a request waits for a dispatcher that is not running.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time for which a request continues after its client has disconnected in the middle of the body. The dispatcher
/// needs it to notice.
const CANCELLATION: Duration = Duration::from_secs(2);

/// The mark at the end of a complete body of unknown length.
const COMPLETE: Bytes = Bytes::from_static(&[0]);
/// The mark at the end of a body of unknown length that broke off.
const BROKEN: Bytes = Bytes::from_static(&[1]);

type DispatcherClient = Client<BoxCloneSyncService<Uri, TokioIo<Stream>, io::Error>, Body>;

/// Serves on a bound port of 127.0.0.1, and forwards requests to the dispatcher.
pub fn start(socket: TcpListener, supervisor: Arc<Supervisor>) -> Result<Listener> {
    let connect = service_fn(move |_: Uri| {
        let supervisor = supervisor.clone();
        async move {
            let deadline = Instant::now() + PATIENCE;
            loop {
                match supervisor.connect(&Name::Dispatcher).await {
                    Ok(stream) => return Ok(TokioIo::new(stream)),
                    Err(error) if Instant::now() > deadline => return Err(error),
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
            }
        }
    });
    // Connections are not reused, because the next request may be for another process.
    let client =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(BoxCloneSyncService::new(connect));
    // This is not a `Router`, because that would give the reply to a HEAD request the length of its empty body.
    let service = Shared::new(service_fn(move |request| answer(client.clone(), request)));
    Listener::start(socket, |socket, stopped| {
        axum::serve(socket.tap_io(set_nodelay), service)
            .with_graceful_shutdown(async { drop(stopped.await) })
            .into_future()
    })
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

async fn answer(client: DispatcherClient, mut request: Request) -> Result<Response, Infallible> {
    let id = request_id(request.headers());
    if let Err(refusal) = check(&request) {
        return Ok(problem(&refusal, &id));
    }
    *request.uri_mut() = dispatcher_uri(request.uri());
    if is_websocket(&request) {
        return Ok(websocket(client, request, &id).await);
    }
    let is_marked = has_body_without_length(&request);
    clean(request.headers_mut());
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        // The body of a GET or HEAD request has no meaning (RFC 9110, 9.3.1), and the local runtime fails if there is
        // one.
        request.headers_mut().remove(header::CONTENT_LENGTH);
        *request.body_mut() = Body::empty();
    }
    let body_ends = Arc::new(Notify::new());
    if is_marked {
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::from_stream(with_end_mark(body.into_data_stream(), body_ends.clone()));
    }
    // The request runs in a task of its own: this function is dropped when the client disconnects, but the mark must
    // still be sent.
    let task = tokio::spawn(async move { client.request(request).await });
    let cancellation = Cancellation { task: Some(task.abort_handle()), body_ends: is_marked.then_some(body_ends) };
    let reply = task.await;
    drop(cancellation.done());
    Ok(match reply {
        Ok(Ok(reply)) if is_runtimes_own(&reply) => problem(&runtimes_problem(reply, &id).await, &id),
        Ok(Ok(mut reply)) => {
            strip_hop_by_hop(reply.headers_mut());
            reply.map(Body::new)
        }
        // The client has disconnected while it sent the body, or the body was malformed.
        Ok(Err(error)) if error.source().is_some_and(is_client_error) => {
            problem(&Problem::invalid_body("it broke off, or its chunks are malformed"), &id)
        }
        // Only customers' Workers send headers that are so long.
        Ok(Err(error)) if error.source().is_some_and(is_too_large) => {
            eprintln!("the reply to {}: {}", id.as_str(), chain(&error));
            problem(&Problem::customer_worker_failed(chain(&error)), &id)
        }
        Ok(Err(error)) => {
            eprintln!("the local runtime did not reply to {}: {}", id.as_str(), chain(&error));
            problem(&Problem::runtime_unavailable(), &id)
        }
        Err(error) => {
            eprintln!("the request {} was not passed on: {error}", id.as_str());
            problem(&Problem::runtime_unavailable(), &id)
        }
    })
}

/// Whether a request has a body of unknown length. A PUT without a length counts even if it has no body: otherwise it
/// would reach the dispatcher with a length of 0, which its client did not send.
fn has_body_without_length(request: &Request) -> bool {
    let (method, headers) = (request.method(), request.headers());
    !matches!(*method, Method::GET | Method::HEAD)
        && !headers.contains_key(header::CONTENT_LENGTH)
        && (*method == Method::PUT || headers.contains_key(header::TRANSFER_ENCODING))
}

/// Removes headers of this connection and headers that only Cloudflare or the runtime sets. Sets `CF-Connecting-IP`.
fn clean(headers: &mut HeaderMap) {
    strip(headers);
    headers.remove(CONNECTING_IP);
    headers.insert(CONNECTING_IP, HeaderValue::from_static("127.0.0.1"));
}

const CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");

/// Appends a mark to a body: [`COMPLETE`], or [`BROKEN`] if the body fails.
fn with_end_mark(
    body: BodyDataStream,
    ends: Arc<Notify>,
) -> impl stream::Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(Some((body, ends)), |state| async {
        let (mut body, ends) = state?;
        match body.next().await {
            Some(Ok(piece)) => Some((Ok(piece), Some((body, ends)))),
            end => {
                ends.notify_one();
                Some((Ok(if end.is_none() { COMPLETE } else { BROKEN }), None))
            }
        }
    })
}

/// Aborts a request when its client has disconnected: at once, or, if its body is marked, after the body has ended.
struct Cancellation {
    task: Option<tokio::task::AbortHandle>,
    body_ends: Option<Arc<Notify>>,
}

impl Cancellation {
    /// Prevents the abort, because the request has been answered.
    fn done(mut self) -> Self {
        self.task = None;
        self
    }
}

impl Drop for Cancellation {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        match self.body_ends.take() {
            None => task.abort(),
            Some(body_ends) => drop(tokio::spawn(async move {
                // The request is aborted even if its body does not end in time.
                if timeout(CANCELLATION, body_ends.notified()).await.is_ok() {
                    sleep(CANCELLATION).await;
                }
                task.abort();
            })),
        }
    }
}

/// Whether a request is a WebSocket handshake (RFC 6455, 4.1).
fn is_websocket(request: &Request) -> bool {
    *request.method() == Method::GET
        && !request.headers().contains_key(header::CONTENT_LENGTH)
        && request
            .headers()
            .get(header::UPGRADE)
            .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Forwards a WebSocket handshake, and then all bytes in both directions.
async fn websocket(client: DispatcherClient, mut request: Request, id: &RequestId) -> Response {
    let outside = request.extensions_mut().remove::<OnUpgrade>();
    clean(request.headers_mut());
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    *request.body_mut() = Body::empty();
    let mut reply = match client.request(request).await {
        Ok(reply) => reply,
        Err(error) => {
            eprintln!("the local runtime did not reply to {}: {}", id.as_str(), chain(&error));
            return problem(&Problem::runtime_unavailable(), id);
        }
    };
    if is_runtimes_own(&reply) {
        return problem(&runtimes_problem(reply, id).await, id);
    }
    let inside = reply.extensions_mut().remove::<OnUpgrade>();
    strip_hop_by_hop(reply.headers_mut());
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(inside), Some(outside)) = (reply.status(), inside, outside) {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        reply.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        tokio::spawn(async move {
            if let (Ok(outside), Ok(inside)) = tokio::join!(outside, inside) {
                // The outcome is ignored: both sides see how the connection ends.
                let _ = copy_bidirectional(&mut TokioIo::new(outside), &mut TokioIo::new(inside)).await;
            }
        });
    }
    reply.map(Body::new)
}

/// The headers that belong to one connection and are not forwarded (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Refuses requests that would not reach the dispatcher unchanged.
fn check(request: &Request) -> Result<(), Problem> {
    if !leads_to_dispatcher(request.uri()) {
        return Err(Route::not_found(CUSTOMER_ROUTES));
    }
    if *request.method() == Method::CONNECT {
        return Err(Problem::method_not_allowed(ALLOWED_METHODS));
    }
    // The runtime concatenates `Host` and path to the URL. A `Host` that contains a path would bypass the check of the
    // path.
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (None, None) if request.version() == Version::HTTP_10 => Ok(()),
        _ => Err(Problem::invalid_parameter("send one header Host, a host name with or without a port")),
    }
}

/// Whether a `Host` header is `host` or `host:port` and nothing else. It is parsed by the WHATWG URL standard, as in
/// the runtime.
fn is_host(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    !host.is_empty()
        && host.bytes().all(plain)
        && Url::parse(&format!("http://{host}/")).is_ok_and(|url| url.path() == "/" && url.host().is_some())
}

/// Whether a path leads to the dispatcher, that is, not to `/cdn-cgi`. It is parsed by the WHATWG URL standard, as in
/// the runtime.
fn leads_to_dispatcher(uri: &Uri) -> bool {
    let path = uri.path_and_query().map_or("/", uri::PathAndQuery::as_str);
    let url = Url::parse(&format!("http://runtime{path}"));
    path.starts_with('/')
        && url.is_ok_and(|url| {
            let first = url.path().trim_start_matches('/').split('/').next();
            first.is_some_and(|first| !first.eq_ignore_ascii_case("cdn-cgi"))
        })
}

fn dispatcher_uri(uri: &Uri) -> Uri {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(uri::Scheme::HTTP);
    parts.authority = Some(uri::Authority::from_static("runtime"));
    parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or_else(|| uri::PathAndQuery::from_static("/")));
    Uri::from_parts(parts).expect("scheme, authority and path make a URI")
}

/// Returns the request id for a problem: the request's own, or a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let id = |name| headers.get(name).and_then(|id| RequestId::parse(id.to_str().ok()?));
    let new = || RequestId::parse(Uuid::new_v4().to_string()).expect("a UUID is a well-formed id");
    id("CF-Ray").or_else(|| id("X-Request-Id")).unwrap_or_else(new)
}

/// Sends small replies without delay. Errors are ignored, because they only cost time.
fn set_nodelay(stream: &mut TcpStream) {
    let _ = stream.set_nodelay(true);
}

/// Whether a reply is a server error of the runtime and not of the dispatcher, whose replies all have `Vary`. The
/// runtime's errors contain paths of this machine and must not be forwarded.
fn is_runtimes_own<B>(response: &Response<B>) -> bool {
    response.status().is_server_error() && !response.headers().contains_key(header::VARY)
}

/// Returns the problem that replaces a server error of the runtime: the runtime has crashed and is unavailable, the
/// dispatcher threw an exception, or the request's method is unknown.
async fn runtimes_problem(response: Response<Incoming>, id: &RequestId) -> Problem {
    const CRASHES: [&str; 4] = ["Network connection lost", "disconnected", "fetch failed", "restarted mid-request"];
    /// The largest reply that is read, in bytes. It contains a stack trace.
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

/// Formats an error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ", &error.to_string()]);
        cause = error.source();
    }
    text
}

/// Whether the headers of a reply are longer than the HTTP client accepts.
fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large)
}

/// Whether a request failed because of its body.
fn is_client_error(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user)
}

/// Removes headers of this connection and headers that the runtime would act on.
fn strip(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    let runtimes: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("mf-")).cloned().collect();
    for name in runtimes {
        headers.remove(name);
    }
}

/// Removes headers of this connection.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
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

/// Sends a GET request through the front and returns the reply's status.
pub async fn get_status(front: SocketAddr, path: &str) -> Result<u16> {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    Ok(client.get(format!("http://{front}{path}").parse()?).await?.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_are_accepted() {
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
    fn only_the_runtimes_own_pages_are_withheld() {
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
