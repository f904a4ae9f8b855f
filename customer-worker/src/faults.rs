//! `/faults/`: routes that fail on purpose, for tests. See [`edge::faults`].

use std::collections::HashMap;
use std::time::Duration;

use futures::join;
use shared::http::Problem;
use web_sys::{Request, Response};
use worker::{Bucket, D1Database, Delay, Env, UploadedPart};

use crate::body::Chunks;

/// Runs a fault. `fault` is the rest of the path after `/faults/`.
pub async fn act(fault: &str, request: &Request, env: &Env) -> Result<Response, Problem> {
    match fault {
        "panic-reading" => {
            let mut chunks = Chunks::from_stream(request.body());
            drop(chunks.next().await);
            panic!("{}", edge::faults::PANIC_MESSAGE);
        }
        "sdk" => {
            let (kv, r2, d1) = join!(use_kv(env), use_r2(env), use_d1(env));
            let used = (|| Ok(HashMap::from([("kv", kv?), ("r2", r2?), ("d1", d1?)])))();
            used.map(|used| edge::json_reply(&used))
                .map_err(|error: worker::Error| Problem::internal_error(error.to_string()))
        }
        _ => edge::faults::run(fault).await,
    }
}

async fn use_kv(env: &Env) -> worker::Result<String> {
    let kv = env.kv("USER_KV")?;
    kv.put("data/sdk", "value")?.execute().await?;
    Delay::from(Duration::from_millis(5)).await;
    let (value, listed) = join!(kv.get("data/sdk").text(), kv.list().prefix("data/sdk".to_owned()).execute());
    kv.delete("data/sdk").await?;
    Ok(format!("{} of {}", value?.unwrap_or_default(), listed?.keys.len()))
}

async fn use_r2(env: &Env) -> worker::Result<String> {
    let bucket: Bucket = env.bucket("USER_R2")?;
    bucket.put("sdk", "content".to_owned()).execute().await?;
    let object = bucket.get("sdk").execute().await?.ok_or("it was stored")?;
    let content = object.body().ok_or("it has content")?.text().await?;
    let upload = bucket.create_multipart_upload("sdk").execute().await?;
    let part = upload.upload_part(1, "part".to_owned()).await?;
    let part = UploadedPart::new(part.part_number(), part.etag());
    let completed = upload.complete([part]).await?;
    let (head, listed) = join!(bucket.head("sdk"), bucket.list().prefix("sdk").execute());
    let sizes = (completed.size(), head?.ok_or("it was stored")?.size(), listed?.objects().len());
    bucket.delete("sdk").await?;
    Ok(format!("{content}, then {sizes:?}"))
}

async fn use_d1(env: &Env) -> worker::Result<String> {
    let database: D1Database = env.d1("USER_DB")?;
    let statement = database.prepare("SELECT ?1 + 1 AS sum").bind(&[41.into()])?;
    let (sum, rows) = join!(statement.first::<u32>(Some("sum")), statement.all());
    Ok(format!("{:?} in {} row", sum?, rows?.results::<HashMap<String, u32>>()?.len()))
}
