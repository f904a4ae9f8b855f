//! `WebSocket`s reach customers' own Workers through the dispatcher.

use futures::{SinkExt, StreamExt};
use nix::sys::signal::Signal;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::Platform;

/// A client's side of a WebSocket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a WebSocket to a customer's Worker.
pub async fn connect(url: &str, id: &str) -> Socket {
    let mut request = url.replace("http://", "ws://").into_client_request().expect("a URL");
    request.headers_mut().insert("X-User-ID", id.parse().expect("a header"));
    connect_async(request).await.expect("the WebSocket opens").0
}

#[tokio::test]
async fn messages_and_close_codes_pass_both_ways() {
    let platform = Platform::start(&["socket", "other"]).await;
    platform.upload("socket", "v1").await;
    let mut socket = connect(&platform.dev.url, "socket").await;
    socket.send(Message::text("hello")).await.expect("sent");
    assert_eq!(socket.next().await.expect("a message").expect("no error"), Message::text("v1 hello"));
    let bytes = tests::noise(500_000, 1);
    socket.send(Message::binary(bytes.clone())).await.expect("sent");
    assert_eq!(socket.next().await.expect("a message").expect("no error"), Message::binary(bytes));
    let close = |code, reason: &'static str| CloseFrame { code: CloseCode::Library(code), reason: reason.into() };
    socket.close(Some(close(4001, "enough"))).await.expect("sent");
    let closed = socket.next().await.expect("a message").expect("no error");
    assert_eq!(closed, Message::Close(Some(close(4001, "enough"))));
    // The Worker has seen the code, and closes another one itself.
    let mut socket = connect(&platform.dev.url, "socket").await;
    socket.send(Message::text("last code")).await.expect("sent");
    assert_eq!(socket.next().await.expect("a message").expect("no error"), Message::text("4001 enough"));
    socket.send(Message::text("close")).await.expect("sent");
    let closed = socket.next().await.expect("a message").expect("no error");
    assert_eq!(closed, Message::Close(Some(close(4002, "bye"))));

    // A Worker that takes no WebSockets answers as it does otherwise.
    let mut request = platform.dev.url.replace("http://", "ws://").into_client_request().expect("a URL");
    request.headers_mut().insert("X-User-ID", "other".parse().expect("a header"));
    match connect_async(request).await {
        Err(Error::Http(reply)) => assert_eq!(reply.status(), 200),
        other => panic!("{other:?}"),
    }
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
