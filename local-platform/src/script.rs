//! The names of scripts' Workers, and the storage that bindings refer to.

use serde_json::{Map, Value};

use super::account::Storage;
use cloudflare_api::{Resource, ResourceKind};

/// Returns the name of a script's Worker. No other Worker's name has this prefix.
pub fn worker_name(script: &str) -> String {
    format!("customer-{script}")
}

/// Returns the storage that a binding refers to, or `None` if it is another kind of binding.
pub fn stored(binding: &Map<String, Value>) -> Option<Storage> {
    let Resource { kind, name, .. } = Resource::named_by(&binding.clone().into())?;
    Some(match kind {
        ResourceKind::KvNamespace => Storage::Kv(name),
        ResourceKind::Bucket => Storage::R2(name),
        ResourceKind::Database => Storage::D1(name),
        _ => return None,
    })
}
