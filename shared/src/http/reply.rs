//! The bodies of replies that more than one resource has.

use serde::Serialize;

/// `GET /` of the customer Worker and `GET /healthz` of the dispatcher.
#[derive(Debug, Serialize)]
pub struct Health {
    /// `"ok"`.
    pub status: &'static str,
    /// Who answers: the user id that the request was for, or `"dispatcher"`. `null` where a customer Worker is called
    /// without a dispatcher in front.
    pub worker: Option<String>,
    /// The answering crate's version.
    pub version: &'static str,
    /// The deployment that answers, where it knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
}

/// A deployed version of a Worker
/// (<https://developers.cloudflare.com/workers/runtime-apis/bindings/version-metadata/>).
#[derive(Debug, Serialize)]
pub struct Deployment {
    /// Cloudflare's id of it.
    pub id: String,
    /// What it was tagged with.
    pub tag: String,
    /// When it was made (RFC 3339, UTC).
    pub timestamp: String,
}

/// Something was deleted, or did not exist.
#[derive(Debug, Serialize)]
pub struct Deleted {
    /// `true`.
    pub success: bool,
}
