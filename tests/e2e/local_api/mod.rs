//! The local Cloudflare API, asked by wrangler, by curl as Cloudflare's pages have it, by the operator's tool and over HTTP.
//! What is uploaded restarts the runtime, so that each of these has a platform of its own.

mod creation;
mod customers;
mod databases;
mod interrupted;
mod modules;
mod refusals;
mod restarts;
mod scripts;
mod storage;
mod values;
mod warnings;
mod wrangler;

use tempfile::TempDir;
use tests::{Dev, LocalApi};
use tokio::sync::{Semaphore, SemaphorePermit};

/// So many platforms run at a time: each restarts its runtime again and again, and more would be slower together than one after
/// the other.
static PLATFORMS: Semaphore = Semaphore::const_new(3);

/// A platform with its state folder.
pub struct Platform {
    pub state: TempDir,
    dev: Dev,
    pub api: LocalApi,
    _permit: SemaphorePermit<'static>,
}

impl Platform {
    pub async fn start(arguments: &[&str]) -> Self {
        let permit = PLATFORMS.acquire().await.expect("it is never closed");
        let state = TempDir::new().expect("a folder");
        let dev = Dev::start(state.path(), arguments).await;
        let api = dev.api();
        Self { state, dev, api, _permit: permit }
    }

    /// A customer of it.
    pub fn customer(&self, id: &str) -> tests::Customer {
        tests::Customer::at(&self.dev.url, id)
    }
}
