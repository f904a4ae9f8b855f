//! Durable Objects of customers' own Workers: their data, alarms and `WebSocket`s, over uploads and restarts.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::api::{expect_error, expect_result};
use tests::{Customer, Dev, LocalApi, Reply};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::Platform;
use super::websockets::{Socket, connect};

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

/// Uploads a script with the class `Room` for the customer `objects`.
pub async fn upload(api: &LocalApi, version: &str, migrations: Value) {
    let binding = json!({ "type": "durable_object_namespace", "name": "ROOM", "class_name": "Room" });
    let mut metadata = json!({ "compatibility_date": "2026-11-17", "bindings": [binding] });
    metadata.as_object_mut().expect("an object").extend(migrations.as_object().cloned().unwrap_or_default());
    let source = SOURCE.replace("\"v1\"", &format!("{version:?}"));
    expect_result(api.upload("objects", &source, metadata)).await;
}

#[tokio::test]
async fn objects_keep_their_data_and_alarms_over_uploads_and_restarts() {
    for classes in ["new_classes", "new_sqlite_classes"] {
        let platform = Platform::start(&["objects", "other"]).await;
        upload(&platform.api, "v1", json!({ "migrations": { "new_tag": "v1", classes: ["Room"] } })).await;
        assert_eq!(platform.text("objects", "/").await, "v1 1");
        let mut socket = connect(&platform.dev.url, "objects").await;
        socket.send(Message::text("hello")).await.expect("sent");
        assert_eq!(socket.next().await.expect("a message").expect("no error"), Message::text("v1 hello"));

        // The old process ends before the new one has the objects, so its WebSockets close.
        upload(&platform.api, "v2", json!({})).await;
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

/// `memory` is lost when the object is evicted from memory, and `made` counts how often it was created again.
const HIBERNATING: &str = r#"
export class Room {
  constructor(ctx) {
    this.ctx = ctx;
    this.memory = 0;
    ctx.blockConcurrencyWhile(async () => {
      this.made = ((await ctx.storage.get("made")) ?? 0) + 1;
      await ctx.storage.put("made", this.made);
    });
  }
  fetch(request) {
    const [client, server] = Object.values(new WebSocketPair());
    const name = new URL(request.url).searchParams.get("name");
    this.ctx.acceptWebSocket(server, [name]);
    server.serializeAttachment({ name, since: this.made });
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(socket, message) {
    this.memory += 1;
    const sockets = this.ctx.getWebSockets().length;
    const reply = JSON.stringify({ message, memory: this.memory, made: this.made, sockets, ...socket.deserializeAttachment() });
    // To the socket itself, and to all with its tag, which are the same.
    for (const receiver of this.ctx.getWebSockets(socket.deserializeAttachment().name)) receiver.send(reply);
  }
  webSocketClose(socket, code) {
    for (const other of this.ctx.getWebSockets()) if (other !== socket) other.send(JSON.stringify({ closed: code }));
  }
}
export default { fetch: (request, env) => env.ROOM.get(env.ROOM.idFromName("room")).fetch(request) };
"#;

/// The runtime evicts an object that only waits for messages after about ten seconds.
#[tokio::test]
async fn a_websocket_wakes_an_object_that_was_evicted_from_memory() {
    let platform = Platform::start(&["objects"]).await;
    let metadata = json!({
        "compatibility_date": "2026-11-17",
        "bindings": [{ "type": "durable_object_namespace", "name": "ROOM", "class_name": "Room" }],
        "migrations": { "new_tag": "v1", "new_sqlite_classes": ["Room"] },
    });
    expect_result(platform.api.upload("objects", HIBERNATING, metadata)).await;
    let mut sockets = [
        connect(&format!("{}/?name=a", platform.dev.url), "objects").await,
        connect(&format!("{}/?name=b", platform.dev.url), "objects").await,
    ];
    for (socket, name) in sockets.iter_mut().zip(["a", "b"]) {
        let reply = ask(socket, "hello").await;
        assert_eq!((&reply["name"], &reply["made"]), (&name.into(), &1.into()), "{reply}");
    }
    // Each message keeps the object in memory, so the pauses get longer.
    let mut woken = Value::Null;
    for pause in [13, 25] {
        sleep(Duration::from_secs(pause)).await;
        woken = ask(&mut sockets[0], "still there?").await;
        if woken["made"] == 2 {
            break;
        }
    }
    let expected = json!({ "message": "still there?", "memory": 1, "made": 2, "sockets": 2, "name": "a", "since": 1 });
    assert_eq!(woken, expected);
    // The other one is still connected to the same object, and learns that the first one closes.
    let reply = ask(&mut sockets[1], "hello").await;
    assert_eq!((&reply["memory"], &reply["made"], &reply["name"]), (&2.into(), &2.into(), &"b".into()), "{reply}");
    let [first, second] = &mut sockets;
    first.close(None).await.expect("sent");
    assert!(received(second).await["closed"].is_u64());
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}

/// Sends a message, and returns the reply.
async fn ask(socket: &mut Socket, message: &str) -> Value {
    socket.send(Message::text(message)).await.expect("sent");
    received(socket).await
}

/// Returns the next message, which must be JSON.
async fn received(socket: &mut Socket) -> Value {
    let message = timeout(Duration::from_secs(10), socket.next()).await.expect("a message in time");
    let message = message.expect("a message").expect("no error");
    serde_json::from_str(message.to_text().expect("a text")).unwrap_or_else(|error| panic!("{error}: {message:?}"))
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
