//! `/stats`: what a customer has stored.

use futures::try_join;
use shared::{Problem, reply};
use web_sys::Response;

use crate::bindings::{Bindings, Files};
use crate::files::size;

/// `GET /stats`. Counted by listing what is really there, all of it: a number that is read, changed and written back
/// would lose one of two uploads at once.
pub async fn stats(bindings: &Bindings) -> Result<Response, Problem> {
    let (files, data) = (bindings.files()?, bindings.data()?);
    let (files, kv_keys) = try_join!(count(&files), data.count())?;
    let storage = reply::Storage { kv_keys, r2_objects: files.count };
    Ok(edge::json_reply(&reply::to_json(&reply::Stats { files, storage }).into()))
}

async fn count(files: &Files) -> Result<reply::Files, Problem> {
    let mut counted = reply::Files::default();
    files
        .for_each(|file| {
            counted.count += 1;
            counted.total_size += size(&file);
        })
        .await?;
    Ok(counted)
}
