//! The local Cloudflare API, called by wrangler, by curl commands from Cloudflare's documentation, by the operator's
//! tool and over HTTP. Each test starts its own platform, because it changes what is in the account.

mod creation;
mod customers;
mod databases;
mod interrupted;
mod migrations;
mod modules;
mod refusals;
mod scripts;
mod secrets;
mod storage;
mod uploads;
mod values;
mod warnings;
mod wrangler;

use tempfile::TempDir;
use tests::{Dev, LocalApi};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Limits how many platforms run at the same time. More of them would take longer together than one after another.
static PLATFORMS: Semaphore = Semaphore::const_new(3);

/// A platform with a state folder of its own.
pub struct Platform {
    pub state: TempDir,
    dev: Dev,
    pub api: LocalApi,
    _permit: SemaphorePermit<'static>,
}

impl Platform {
    /// Starts a platform with arguments for `cargo xtask dev`. Waits while too many others run.
    pub async fn start(arguments: &[&str]) -> Self {
        let permit = PLATFORMS.acquire().await.expect("the semaphore is never closed");
        let state = TempDir::new().expect("a folder");
        let dev = Dev::start(state.path(), arguments).await;
        let api = dev.api();
        Self { state, dev, api, _permit: permit }
    }

    /// A client that sends requests as a customer of this platform.
    pub fn customer(&self, id: &str) -> tests::Customer {
        tests::Customer::at(&self.dev.url, id)
    }
}
