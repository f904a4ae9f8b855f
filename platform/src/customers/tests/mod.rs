//! Customers are made, changed and removed against a stand-in for the API that breaks off where a test wants.

mod api;
mod audit;
mod lifecycle;
mod ownership;
mod uploads;

use crate::manifest::Manifest;
use bytes::Bytes;
use shared::customer::UserId;

use super::*;
use crate::code::{CodeOwner, RuntimeSettings, ScriptCode};
use cloudflare_api::Module;

fn id(id: &str) -> UserId {
    id.parse().expect("an id")
}

fn manifest(text: &str) -> Manifest {
    manifest_of("user1", text)
}

fn manifest_of(user: &str, text: &str) -> Manifest {
    Manifest::parse(text, &id(user)).expect(text)
}

/// A Worker of one module.
fn code(whose: CodeOwner) -> ScriptCode {
    ScriptCode {
        whose,
        main: "index.js".to_owned(),
        modules: vec![Module {
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
    async fn try_create(&self, user: &str, text: &str) -> Report {
        self.try_create_with(user, text, &code(CodeOwner::Platform), &RunCache::default()).await
    }

    async fn try_create_with(&self, user: &str, text: &str, code: &ScriptCode, run: &RunCache) -> Report {
        let manifest = &manifest_of(user, text);
        let order =
            async |id: &UserId, steps: &mut Steps| self.create(CustomerSpec { id, manifest, code }, run, steps).await;
        Report::of(id(user), order).await
    }

    async fn try_create_dry(&self, user: &str, text: &str) -> Report {
        let manifest = &manifest_of(user, text);
        let dry_run =
            async |id: &UserId, steps: &mut Steps| self.create_dry_run(id, manifest, &RunCache::default(), steps).await;
        Report::of(id(user), dry_run).await
    }

    async fn try_deploy(&self, targets: Targets, text: &str, whose: CodeOwner) -> Vec<Report> {
        let (manifest, code) = (manifest(text), code(whose));
        let (ids, run) = self.deployment(targets, false).await.expect("a run");
        let (manifest, code, run) = (&manifest, &code, &run);
        let work = async |id: UserId| {
            let deploy = async |id: &UserId, steps: &mut Steps| {
                self.deploy(CustomerSpec { id, manifest, code }, run, steps).await
            };
            Report::of(id, deploy).await
        };
        for_each(ids, 4, work, |_| ()).await
    }

    async fn try_delete(&self, user: &str, keep_data: bool) -> Report {
        let delete = async |id: &UserId, steps: &mut Steps| {
            let found = self.inspect(id, &Manifest::default().storage).await?;
            self.delete(&found, keep_data, steps).await
        };
        Report::of(id(user), delete).await
    }

    async fn try_suspend(&self, user: &str, suspended: bool) -> Report {
        Report::of(id(user), async |id, steps| self.suspend(id, suspended, steps).await).await
    }
}

impl Report {
    /// What failed.
    fn error(&self) -> String {
        format!("{:#}", self.failure.as_ref().expect("a failure"))
    }

    /// That nothing failed.
    fn all_done(self) -> Self {
        assert!(self.failure.is_none(), "{}", self.error());
        self
    }

    fn outcomes(&self) -> Vec<(Component, Outcome)> {
        self.steps.iter().map(|step| (step.what, step.outcome)).collect()
    }
}
