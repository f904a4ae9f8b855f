//! A page in a browser sends its user id and its token in `Sec-WebSocket-Protocol`, and pages of other origins cannot.

use futures::{SinkExt, StreamExt};
use nix::sys::signal::Signal;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use tests::{Customer, Reply};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::Platform;
use crate::auth::cli::printed;

const ALLOWED: &str = "https://app.example";

/// Opens a WebSocket. Returns it with the chosen subprotocol, or the status and the code of the problem.
async fn open(
    platform: &Platform,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, String), (u16, String)> {
    let url = format!("{}{path}", platform.dev.url.replace("http://", "ws://"));
    let mut request = url.into_client_request().expect("a URL");
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a name");
        request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
    }
    match connect_async(request).await {
        Ok((socket, reply)) => {
            let chosen = reply.headers().get("Sec-WebSocket-Protocol").map(|value| value.to_str().expect("text"));
            Ok((socket, chosen.unwrap_or_default().to_owned()))
        }
        Err(Error::Http(reply)) => {
            let problem: Value = serde_json::from_slice(reply.body().as_deref().unwrap_or_default()).expect("JSON");
            Err((reply.status().as_u16(), problem["code"].as_str().expect("a code").to_owned()))
        }
        Err(error) => panic!("{path} {headers:?}: {error}"),
    }
}

/// Opens a WebSocket, and returns the chosen subprotocol and the headers that the customer's Worker has received.
async fn received(platform: &Platform, path: &str, headers: &[(&str, &str)]) -> (String, Value) {
    let (mut socket, chosen) = open(platform, path, headers).await.unwrap_or_else(|problem| panic!("{problem:?}"));
    socket.send(Message::text("headers")).await.expect("sent");
    let message = socket.next().await.expect("a message").expect("no error");
    (chosen, serde_json::from_str(message.to_text().expect("text")).expect("JSON"))
}

async fn refusal(platform: &Platform, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    match open(platform, path, headers).await {
        Ok((_, chosen)) => panic!("{headers:?} opened a WebSocket with the subprotocol {chosen:?}"),
        Err(problem) => problem,
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_choose_their_customer() {
    let allowed = format!("ALLOWED_ORIGINS:{ALLOWED}");
    let platform = Platform::start_with(&["socket", "other"], &["--var", &allowed]).await;
    platform.upload("socket", "v1").await;
    let (url, protocol, user) = (platform.dev.url.clone(), "Sec-WebSocket-Protocol", "platform, platform.user.socket");
    for origin in [&*url, ALLOWED] {
        let (chosen, headers) = received(&platform, "/", &[("Origin", origin), (protocol, user)]).await;
        assert_eq!((&*chosen, &headers["sec-websocket-protocol"]), ("platform", &Value::Null), "{origin}");
    }

    // A token has no meaning here, and the customer's Worker does not see it.
    let with_token = format!("{user}, platform.token.secret");
    let (chosen, headers) = received(&platform, "/", &[("Origin", &url), (protocol, &with_token)]).await;
    assert_eq!(chosen, "platform");
    assert!(!headers.to_string().contains("secret"), "{headers}");

    // The application has a protocol of its own, in one header or in two.
    let own = "chat, platform.user.socket";
    for headers in [vec![(protocol, own)], vec![(protocol, "chat"), (protocol, "platform.user.socket")]] {
        let headers = [&[("Origin", ALLOWED)][..], &headers].concat();
        let (chosen, headers) = received(&platform, "/?choose=chat", &headers).await;
        assert_eq!((&*chosen, &headers["sec-websocket-protocol"]), ("chat", &"chat".into()));
    }
    // The customer's Worker chooses none, and learns that the client has gone.
    let refused = refusal(&platform, "/", &[("Origin", ALLOWED), (protocol, own)]).await;
    assert_eq!(refused, (400, "invalid_websocket_protocol".to_owned()));
    let mut socket = super::websockets::connect(&platform.dev.url, "socket").await;
    socket.send(Message::text("last code")).await.expect("sent");
    let closed = socket.next().await.expect("a message").expect("no error");
    assert_eq!(closed, Message::text("1002 no protocol was chosen"));

    // A client that can set headers may offer `platform` as well.
    let (chosen, _) = received(&platform, "/", &[("X-User-ID", "socket"), (protocol, "platform")]).await;
    assert_eq!(chosen, "platform");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn other_pages_and_ambiguous_offers_are_refused() {
    let allowed = format!("ALLOWED_ORIGINS:{ALLOWED}");
    let platform = Platform::start_with(&["socket", "other"], &["--var", &allowed]).await;
    platform.upload("socket", "v1").await;
    let (url, protocol, user) = (platform.dev.url.clone(), "Sec-WebSocket-Protocol", "platform, platform.user.socket");
    let port = url.rsplit(':').next().expect("a port");
    let (other_host, other_port) = (format!("http://localhost:{port}"), "http://127.0.0.1:1".to_owned());
    for origin in ["https://evil.example", "https://app.example.evil.example", "null", "", &other_host, &other_port] {
        let refused = refusal(&platform, "/", &[("Origin", origin), (protocol, user)]).await;
        assert_eq!(refused, (403, "origin_not_allowed".to_owned()), "{origin}");
    }
    let refused = refusal(&platform, "/", &[(protocol, user)]).await;
    assert_eq!(refused, (403, "origin_not_allowed".to_owned()));

    for (header, code) in [
        ("platform, platform.user.socket, platform.user.other", "invalid_websocket_protocol"),
        ("platform, platform.users.socket", "invalid_websocket_protocol"),
        ("platform.user.socket", "invalid_websocket_protocol"),
        ("platform", "missing_user_id"),
        ("platform, platform.user.", "invalid_user_id"),
        ("platform, platform.user.Socket", "invalid_user_id"),
    ] {
        let refused = refusal(&platform, "/", &[("Origin", &url), (protocol, header)]).await;
        assert_eq!(refused, (400, code.to_owned()), "{header}");
    }
    let refused = refusal(&platform, "/", &[("Origin", &url), (protocol, "platform, platform.user.nobody")]).await;
    assert_eq!(refused, (404, "unknown_user".to_owned()));
    // Whoever sets the header cannot be overruled by a page, nor the page by the header.
    for id in ["other", "socket"] {
        let refused = refusal(&platform, "/", &[("X-User-ID", id), ("Origin", &url), (protocol, user)]).await;
        assert_eq!(refused, (400, "invalid_websocket_protocol".to_owned()));
    }
    // Only a WebSocket has the offer.
    let plain = Customer::anonymous_at(&url).get("/").header("Origin", &url).header(protocol, user);
    let reply = Reply::to(plain).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (400, &"missing_user_id".into()), "{reply}");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// A proxy in front has authenticated `X-User-ID`, but not what a page offers.
#[tokio::test]
async fn behind_a_proxy_the_offer_does_not_count() {
    let platform = Platform::start_with(&["socket", "other"], &["--var", "TRUST_WEBSOCKET_PROTOCOL:false"]).await;
    platform.upload("socket", "v1").await;
    let (url, protocol, user) = (platform.dev.url.clone(), "Sec-WebSocket-Protocol", "platform, platform.user.other");
    let refused = refusal(&platform, "/", &[("Origin", &url), (protocol, user)]).await;
    assert_eq!(refused, (400, "missing_user_id".to_owned()));
    let headers = [("X-User-ID", "socket"), ("Origin", &*url), (protocol, user)];
    let (chosen, headers) = received(&platform, "/", &headers).await;
    assert_eq!((&*chosen, &headers["sec-websocket-protocol"]), ("platform", &Value::Null));
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn a_token_in_the_offer_is_checked_like_one_in_the_header() {
    let platform = Platform::start_with(&["socket", "other"], &["--auth", "token"]).await;
    platform.upload("socket", "v1").await;
    let state = platform.state().to_string_lossy().into_owned();
    let issue = |id: &str, scope: &str| printed(&["issue", id, "--scope", scope, "--state", &state], None);
    let (token, of_other) = (issue("socket", "read,write"), issue("other", "read,write"));
    let protocol = "Sec-WebSocket-Protocol";
    let offer = format!("platform, platform.user.socket, platform.token.{token}");
    // Any page may open it that has a token.
    for origin in ["https://app.example", "null"] {
        let (chosen, headers) = received(&platform, "/", &[("Origin", origin), (protocol, &offer)]).await;
        assert_eq!((&*chosen, &headers["sec-websocket-protocol"]), ("platform", &Value::Null));
        assert!(!headers.to_string().contains(&token), "{headers}");
    }
    let bearer = format!("Bearer {token}");
    let offered_user = "platform, platform.user.socket";
    received(&platform, "/", &[("Authorization", &bearer), (protocol, offered_user)]).await;
    let offered_token = format!("platform, platform.token.{token}");
    received(&platform, "/", &[("X-User-ID", "socket"), (protocol, &offered_token)]).await;

    for (header, status, code) in [
        (offered_user.to_owned(), 401, "missing_token"),
        (format!("{offered_user}, platform.token."), 401, "invalid_token"),
        (format!("{offered_user}, platform.token.{}", token.to_uppercase()), 401, "invalid_token"),
        (format!("{offered_user}, platform.token.{of_other}"), 403, "user_mismatch"),
        (format!("{offered_user}, platform.token.{}", issue("socket", "write")), 403, "insufficient_scope"),
        (format!("{offer}, platform.token.{of_other}"), 400, "invalid_websocket_protocol"),
        (offered_token.clone(), 400, "missing_user_id"),
    ] {
        assert_eq!(refusal(&platform, "/", &[(protocol, &header)]).await, (status, code.to_owned()), "{header}");
    }
    let both = refusal(&platform, "/", &[("Authorization", &bearer), (protocol, &offer)]).await;
    assert_eq!(both, (400, "invalid_websocket_protocol".to_owned()));
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
