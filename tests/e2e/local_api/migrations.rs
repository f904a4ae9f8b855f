//! Durable Objects by manifest: `[[migrations]]` create and delete classes, and deployments keep the objects' data.

use std::fs;

use nix::sys::signal::Signal;
use tests::api::text;
use tests::{Customer, Reply};

use super::Platform;

/// Counts the visits of an object of each class that is bound.
const SOURCE: &str = r#"
import { DurableObject } from "cloudflare:workers";
class Counter extends DurableObject {
  async count() {
    const visits = ((await this.ctx.storage.get("visits")) ?? 0) + 1;
    await this.ctx.storage.put("visits", visits);
    return visits;
  }
}
export class Room extends Counter {}
export class Log extends Counter {}
export default {
  async fetch(request, { ROOM, LOG }) {
    const count = (binding) => binding?.get(binding.idFromName("one")).count();
    return Response.json([await count(ROOM), (await count(LOG)) ?? null]);
  },
};
"#;

const ROOM: &str = "[[migrations]]\ntag = 'v1'\nnew_sqlite_classes = ['Room']
[[bindings]]\nname = 'ROOM'\ntype = 'durable_object_namespace'\nclass_name = 'Room'\n";
const LOG: &str = "[[migrations]]\ntag = 'v2'\nnew_classes = ['Log']\n";
const LOG_BINDING: &str = "[[bindings]]\nname = 'LOG'\ntype = 'durable_object_namespace'\nclass_name = 'Log'\n";
const WITHOUT_LOG: &str = "[[migrations]]\ntag = 'v3'\ndeleted_classes = ['Log']\n";

async fn counts(customer: &Customer) -> String {
    Reply::to(customer.get("/")).await.text().to_owned()
}

#[tokio::test]
async fn migrations_in_a_manifest_create_and_delete_classes() {
    let platform = Platform::start(&["--customer", "other"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let script = write("index.js", SOURCE);
    let manifest = |content: &[&str]| write("rooms.toml", &content.concat());
    let run = async |command: &str, manifest: &str, more: &[&str]| {
        let arguments = [command, "rooms", "--manifest", manifest, "--script", &script];
        platform.api.platform(&[&["customer"], &arguments[..], more].concat()).await
    };
    let expect = async |command: &str, manifest: &str, more: &[&str]| {
        let output = run(command, manifest, more).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    let rooms = platform.customer("rooms");
    expect("create", &manifest(&[ROOM]), &[]).await;
    assert_eq!(counts(&rooms).await, "[1,null]");
    expect("deploy", &manifest(&[ROOM]), &[]).await;
    assert_eq!(counts(&rooms).await, "[2,null]");
    expect("deploy", &manifest(&[ROOM, LOG, LOG_BINDING]), &[]).await;
    assert_eq!(counts(&rooms).await, "[3,1]");

    // Neither a step that was removed nor one that deletes data is applied by mistake.
    let without_log = manifest(&[ROOM, LOG, WITHOUT_LOG]);
    for (manifest, reason) in
        [(without_log.clone(), "add --delete-data"), (write("old.toml", ROOM), "last migration is v2")]
    {
        let output = run("deploy", &manifest, &[]).await;
        let printed = [text(&output.stdout), text(&output.stderr)].concat();
        assert!(!output.status.success() && printed.contains(reason), "{printed}");
    }
    assert_eq!(counts(&rooms).await, "[4,2]");
    expect("deploy", &without_log, &["--delete-data", "--exact"]).await;
    assert_eq!(counts(&rooms).await, "[5,null]");
    assert!(platform.dev.stop(Signal::SIGINT).await.success());
}
