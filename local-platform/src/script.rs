//! What a script of the dispatch namespace is called, and which storage its bindings name.

use serde_json::{Map, Value};

use super::account::Storage;
use cloudflare_api::{Resource, ResourceKind};

/// The name of a script's Worker. No other Worker's name starts like that.
pub fn worker_name(script: &str) -> String {
    format!("customer-{script}")
}

/// The storage that a binding names, if it is of such a kind.
pub fn stored(binding: &Map<String, Value>) -> Option<Storage> {
    let Resource { kind, name, .. } = Resource::named_by(&binding.clone().into())?;
    Some(match kind {
        ResourceKind::KvNamespace => Storage::Kv(name),
        ResourceKind::Bucket => Storage::R2(name),
        ResourceKind::Database => Storage::D1(name),
        _ => return None,
    })
}
