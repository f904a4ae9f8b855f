//! `/stats`.

use futures::{StreamExt, stream};
use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tests::{Customer, expect_json, expect_success};

fn stats(files: usize, total_size: usize, kv_keys: usize) -> Value {
    json!({"files": {"count": files, "totalSize": total_size}, "storage": {"kvKeys": kv_keys, "r2Objects": files}})
}

fn store_file(user: &Customer, number: usize) -> RequestBuilder {
    let file = Part::bytes(vec![b'x'; number]).file_name("f");
    user.post("/files").multipart(Form::new().text("key", format!("f/{number}")).part("file", file))
}

fn store_value(user: &Customer, number: usize) -> RequestBuilder {
    user.post_json("/data", json!({"key": format!("v/{number}"), "value": number}).to_string())
}

/// One page of a listing has 1000 entries, so this takes two; and 50 clients write at once, so none may be lost.
#[tokio::test]
async fn everything_is_counted_however_much_there_is() {
    const COUNT: usize = 1100;
    let user = &Customer::new("count1");
    expect_json(user.get("/stats"), stats(0, 0, 0)).await;

    stream::iter(0..COUNT)
        .for_each_concurrent(50, async |number| drop(expect_success(store_file(user, number)).await))
        .await;
    let size = COUNT * (COUNT - 1) / 2;
    expect_json(user.get("/stats"), stats(COUNT, size, 0)).await;

    stream::iter(0..COUNT)
        .for_each_concurrent(50, async |number| drop(expect_success(store_value(user, number)).await))
        .await;
    expect_json(user.get("/stats"), stats(COUNT, size, COUNT)).await;

    // Written again they are still the same; deleted they are gone.
    expect_success(store_file(user, 7)).await;
    expect_success(store_value(user, 7)).await;
    expect_success(user.delete("/files?key=f/10")).await;
    expect_success(user.delete("/data?key=v/10")).await;
    expect_json(user.get("/stats"), stats(COUNT - 1, size - 10, COUNT - 1)).await;
}
