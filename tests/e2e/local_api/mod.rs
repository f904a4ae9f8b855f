//! The local Cloudflare API, asked by wrangler, by curl as Cloudflare's pages have it, by the operator's tool and over HTTP.
//! What is uploaded restarts the runtime, so that each of these has a platform of its own.

mod customers;
mod interrupted;
mod restarts;
mod scripts;
mod storage;
mod wrangler;

use tempfile::TempDir;
use tests::{Api, Dev};

/// A platform with its state folder.
struct Platform {
    state: TempDir,
    dev: Dev,
    api: Api,
}

impl Platform {
    async fn start(arguments: &[&str]) -> Self {
        let state = TempDir::new().expect("a folder");
        let dev = Dev::start(state.path(), arguments).await;
        let api = dev.api();
        Self { state, dev, api }
    }

    /// A customer of it.
    fn customer(&self, id: &str) -> tests::Customer {
        tests::Customer::of(&self.dev.url, id)
    }
}
