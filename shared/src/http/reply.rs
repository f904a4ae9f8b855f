//! Reply bodies that several routes share.

use serde::Serialize;

/// The reply to `GET /` of the customer Worker and to `GET /healthz` of the dispatcher.
#[derive(Debug, Serialize)]
pub struct Health {
    /// `"ok"`.
    pub status: &'static str,
    /// The Worker that replies: the customer's user id, or `"dispatcher"`. `null` if a customer Worker is called
    /// without a dispatcher.
    pub worker: Option<String>,
    /// The version of the Worker's crate.
    pub version: &'static str,
    /// The deployed version of the Worker, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
}

/// A deployed version of a Worker
/// (<https://developers.cloudflare.com/workers/runtime-apis/bindings/version-metadata/>).
#[derive(Debug, Serialize)]
pub struct Deployment {
    /// Cloudflare's id of the version.
    pub id: String,
    /// The version's tag.
    pub tag: String,
    /// The time when the version was created (RFC 3339, UTC).
    pub timestamp: String,
}

/// The reply to a deletion, even if there was nothing to delete.
#[derive(Debug, Serialize)]
pub struct Deleted {
    /// `true`.
    pub success: bool,
}
