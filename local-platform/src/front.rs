//! The listener in front of the dispatcher: what comes from outside goes to the dispatcher and nowhere else.
//!
//! Bodies are streamed both ways, as they are. A request's body without a length gets a mark at its end, which tells the
//! dispatcher's entry whether it is complete; see `local-platform/namespace/entry.js`.

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

/// How long a request tries to reach a dispatcher that does not run.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a request goes on after its client has gone in the middle of a body, so that the dispatcher learns of it.
const CANCELLATION: Duration = Duration::from_secs(2);

/// The last byte of a body without a length.
const COMPLETE: Bytes = Bytes::from_static(&[0]);
const BROKEN: Bytes = Bytes::from_static(&[1]);

type DispatcherClient = Client<BoxCloneSyncService<Uri, TokioIo<Stream>, io::Error>, Body>;

/// Listens on a port of 127.0.0.1 that is taken already, in front of the dispatcher.
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
    // A connection of its own for each request: the next one may be for another process.
    let client =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(BoxCloneSyncService::new(connect));
    // Not a `Router`, which would give the reply to a HEAD the length of its empty body.
    let service = Shared::new(service_fn(move |request| answer(client.clone(), request)));
    Listener::start(socket, |socket, stopped| {
        axum::serve(socket.tap_io(without_delay), service)
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
    *request.uri_mut() = inward(request.uri());
    if is_websocket(&request) {
        return Ok(websocket(client, request, &id).await);
    }
    let is_marked = has_body_without_length(&request);
    clean(request.headers_mut());
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        // Such a body means nothing (RFC 9110, 9.3.1), and the local runtime fails at it.
        request.headers_mut().remove(header::CONTENT_LENGTH);
        *request.body_mut() = Body::empty();
    }
    let body_ends = Arc::new(Notify::new());
    if is_marked {
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::from_stream(marked(body.into_data_stream(), body_ends.clone()));
    }
    // A task of its own: when the client goes, this function is dropped, but the mark must still be sent.
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
        // The client has gone while it sent, or what it sent was not HTTP.
        Ok(Err(error)) if error.source().is_some_and(is_clients) => {
            problem(&Problem::invalid_body("it broke off, or its chunks are malformed"), &id)
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

/// Whether a request has a body and does not say how long it is. A PUT always has one: it must not get a length of 0 on its
/// way that its client did not send.
fn has_body_without_length(request: &Request) -> bool {
    let (method, headers) = (request.method(), request.headers());
    !matches!(*method, Method::GET | Method::HEAD)
        && !headers.contains_key(header::CONTENT_LENGTH)
        && (*method == Method::PUT || headers.contains_key(header::TRANSFER_ENCODING))
}

/// Removes what is not for the dispatcher: headers of this connection, and those that only Cloudflare or the runtime sets.
fn clean(headers: &mut HeaderMap) {
    strip(headers);
    headers.remove(CONNECTING_IP);
    headers.insert(CONNECTING_IP, HeaderValue::from_static("127.0.0.1"));
}

const CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");

/// A body with a mark at its end. A body that fails ends with another mark.
fn marked(body: BodyDataStream, ends: Arc<Notify>) -> impl stream::Stream<Item = Result<Bytes, Infallible>> + Send {
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

/// Ends a request when its client has gone: at once, or when its body has ended.
struct Cancellation {
    task: Option<tokio::task::AbortHandle>,
    body_ends: Option<Arc<Notify>>,
}

impl Cancellation {
    /// The request has been answered.
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
                // Whether or not it ends in time, the request does.
                if timeout(CANCELLATION, body_ends.notified()).await.is_ok() {
                    sleep(CANCELLATION).await;
                }
                task.abort();
            })),
        }
    }
}

/// Whether a request is a WebSocket's handshake (RFC 6455, 4.1).
fn is_websocket(request: &Request) -> bool {
    *request.method() == Method::GET
        && !request.headers().contains_key(header::CONTENT_LENGTH)
        && request
            .headers()
            .get(header::UPGRADE)
            .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Passes on a WebSocket's handshake, and then all bytes both ways.
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
                // How it ends makes no difference: both sides see it.
                let _ = copy_bidirectional(&mut TokioIo::new(outside), &mut TokioIo::new(inside)).await;
            }
        });
    }
    reply.map(Body::new)
}

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

/// The id under which a problem is told: the request's own, or a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let id = |name| headers.get(name).and_then(|id| RequestId::parse(id.to_str().ok()?));
    let new = || RequestId::parse(Uuid::new_v4().to_string()).expect("a UUID is a well-formed id");
    id("CF-Ray").or_else(|| id("X-Request-Id")).unwrap_or_else(new)
}

/// A small reply should not wait for the next one. That this fails costs time and nothing else.
fn without_delay(stream: &mut TcpStream) {
    let _ = stream.set_nodelay(true);
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

/// Drops what is not for the other side: headers of this connection, and those that the runtime would obey.
fn strip(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    let runtimes: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("mf-")).cloned().collect();
    for name in runtimes {
        headers.remove(name);
    }
}

/// Drops headers of this connection.
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
