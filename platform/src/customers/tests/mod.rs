//! Tests that create, change and delete customers with a fake API, which can fail at any request.

mod api;
mod audit;
mod lifecycle;
mod ownership;
mod uploads;

use bytes::Bytes;
use cloudflare_api::ScriptModule;
use shared::customer::UserId;

use super::*;
use crate::code::{CodeOwner, RuntimeSettings, ScriptCode};
use crate::manifest::Manifest;

fn id(id: &str) -> UserId {
    id.parse().expect("an id")
}

fn manifest(text: &str) -> Manifest {
    manifest_of("user1", text)
}

fn manifest_of(user: &str, text: &str) -> Manifest {
    Manifest::parse(text, &id(user)).expect(text)
}

/// Returns the code of a Worker with one module.
fn code(owner: CodeOwner) -> ScriptCode {
    ScriptCode {
        owner,
        main_module: "index.js".to_owned(),
        modules: vec![ScriptModule {
            name: "index.js".to_owned(),
            media_type: "application/javascript+module",
            content: Bytes::from_static(b"export default {}"),
        }],
        settings: RuntimeSettings {
            compatibility_date: "2026-11-17".to_owned(),
            compatibility_flags: Vec::new(),
            observability: Some(serde_json::json!({"enabled": true})),
        },
    }
}

impl Customers {
    async fn try_create(&self, user: &str, text: &str) -> CustomerReport {
        self.try_create_with(user, text, &code(CodeOwner::Platform), &RunCache::default()).await
    }

    async fn try_create_with(&self, user: &str, text: &str, code: &ScriptCode, cache: &RunCache) -> CustomerReport {
        let manifest = &manifest_of(user, text);
        let create =
            async |id: &UserId, steps: &mut Steps| self.create(CustomerSpec { id, manifest, code }, cache, steps).await;
        CustomerReport::run(id(user), create).await
    }

    async fn try_create_dry_run(&self, user: &str, text: &str) -> CustomerReport {
        let manifest = &manifest_of(user, text);
        let dry_run =
            async |id: &UserId, steps: &mut Steps| self.create_dry_run(id, manifest, &RunCache::default(), steps).await;
        CustomerReport::run(id(user), dry_run).await
    }

    async fn try_deploy(&self, targets: Targets, text: &str, owner: CodeOwner) -> Vec<CustomerReport> {
        let (manifest, code) = (manifest(text), code(owner));
        let (ids, run) = self.start_deploy(targets, Removals::default()).await.expect("a run");
        let (manifest, code, run) = (&manifest, &code, &run);
        let work = async |id: UserId| {
            let deploy = async |id: &UserId, steps: &mut Steps| {
                self.deploy(CustomerSpec { id, manifest, code }, run, steps).await
            };
            CustomerReport::run(id, deploy).await
        };
        for_each(ids, 4, work, |_| ()).await
    }

    async fn try_delete(&self, user: &str, keep_data: bool) -> CustomerReport {
        let delete = async |id: &UserId, steps: &mut Steps| {
            let state = self.read_state(id, &Manifest::default().storage).await?;
            self.delete(&state, keep_data, steps).await
        };
        CustomerReport::run(id(user), delete).await
    }

    async fn try_suspend(&self, user: &str, suspended: bool) -> CustomerReport {
        CustomerReport::run(id(user), async |id, steps| self.suspend(id, suspended, steps).await).await
    }
}

impl CustomerReport {
    /// Returns the error message.
    fn error(&self) -> String {
        format!("{:#}", self.failure.as_ref().expect("a failure"))
    }

    /// Asserts that there was no error.
    fn expect_success(self) -> Self {
        assert!(self.failure.is_none(), "{}", self.error());
        self
    }

    fn outcomes(&self) -> Vec<(Component, Outcome)> {
        self.steps.iter().map(|step| (step.what, step.outcome)).collect()
    }
}
