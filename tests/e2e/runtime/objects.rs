//! Durable Objects of customers' own Workers: their data, alarms and `WebSocket`s, over uploads and restarts.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use nix::sys::signal::Signal;
use serde_json::json;
use tests::api::{expect_error, expect_result};
use tests::{Customer, Dev, Reply};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::Platform;
use super::websockets::connect;

const SOURCE: &str = r#"
const VERSION = "v1";
export class Room {
  constructor(ctx) {
    this.ctx = ctx;
    this.storage = ctx.storage;
  }
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    if (request.headers.has("Upgrade")) {
      const [client, server] = Object.values(new WebSocketPair());
      this.ctx.acceptWebSocket(server);
      return new Response(null, { status: 101, webSocket: client });
    }
    if (pathname === "/rings") return new Response(String(await this.count("rings", 0)));
    if (pathname === "/ring") {
      await this.storage.setAlarm(Date.now() + Number(searchParams.get("after")));
      return new Response("set");
    }
    return new Response(`${VERSION} ${await this.count("visits", 1)}`);
  }
  alarm() {
    return this.count("rings", 1);
  }
  webSocketMessage(socket, message) {
    socket.send(`${VERSION} ${message}`);
  }
  async count(name, more) {
    const count = ((await this.storage.get(name)) ?? 0) + more;
    await this.storage.put(name, count);
    return count;
  }
}
export default { fetch: (request, env) => env.ROOM.get(env.ROOM.idFromName("room")).fetch(request) };
"#;

#[tokio::test]
async fn objects_keep_their_data_and_alarms_over_uploads_and_restarts() {
    for classes in ["new_classes", "new_sqlite_classes"] {
        let platform = Platform::start(&["objects", "other"]).await;
        let upload = async |version: &str, migrations: serde_json::Value| {
            let binding = json!({ "type": "durable_object_namespace", "name": "ROOM", "class_name": "Room" });
            let mut metadata = json!({ "compatibility_date": "2026-11-17", "bindings": [binding] });
            metadata.as_object_mut().expect("an object").extend(migrations.as_object().cloned().unwrap_or_default());
            let source = SOURCE.replace("\"v1\"", &format!("{version:?}"));
            expect_result(platform.api.upload("objects", &source, metadata)).await;
        };
        upload("v1", json!({ "migrations": { "new_tag": "v1", classes: ["Room"] } })).await;
        assert_eq!(platform.text("objects", "/").await, "v1 1");
        let mut socket = connect(&platform.dev.url, "objects").await;
        socket.send(Message::text("hello")).await.expect("sent");
        assert_eq!(socket.next().await.expect("a message").expect("no error"), Message::text("v1 hello"));

        // The old process ends before the new one has the objects, so its WebSockets close.
        upload("v2", json!({})).await;
        assert_eq!(platform.text("objects", "/").await, "v2 2");
        let closed = timeout(Duration::from_secs(10), socket.next()).await.expect("it closes in time");
        assert!(!matches!(closed, Some(Ok(Message::Text(_)))), "{closed:?}");

        platform.text("objects", "/ring?after=300").await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(platform.text("objects", "/rings").await, "1");

        // An alarm that comes due while nothing runs rings after the start, without a request.
        platform.text("objects", "/ring?after=1000").await;
        let state = platform.state;
        assert!(platform.dev.stop(Signal::SIGINT).await.success());
        let dev = Dev::start(state.path(), &[]).await;
        sleep(Duration::from_secs(5)).await;
        let objects = Customer::at(&dev.url, "objects");
        assert_eq!(Reply::to(objects.get("/rings")).await.text(), "2");
        assert_eq!(Reply::to(objects.get("/")).await.text(), "v2 3");
        assert!(dev.stop(Signal::SIGINT).await.success());
    }
}

/// The files of `a-b`'s class `C` and of `a`'s class `b-C` would be the same.
#[tokio::test]
async fn a_class_cannot_be_named_like_another_scripts() {
    let platform = Platform::start(&["a", "a-b"]).await;
    let source = "class C { fetch() { return new Response(); } }; export { C as 'b-C' }; export default {};";
    let binding = json!({ "type": "durable_object_namespace", "name": "OBJECTS", "class_name": "b-C" });
    let migrations = json!({ "new_tag": "v1", "new_classes": ["b-C"] });
    let metadata = json!({ "compatibility_date": "2026-11-17", "bindings": [binding], "migrations": migrations });
    let message = expect_error(platform.api.upload("a", source, metadata), 400, 10021).await;
    assert!(message.contains("is not the name of a class"), "{message}");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
