//! Resources that do not exist on this machine. A client that asks for one gets an error other than "not found", which
//! would be misleading.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::get;

use super::Local;
use super::reply::Refusal;

pub fn routes() -> Router<Arc<Local>> {
    [
        "/hyperdrive/configs/{id}",
        "/mtls_certificates/{id}",
        "/secrets_store/stores/{store}/secrets",
        "/vectorize/v2/indexes/{name}",
        "/workers/scripts",
    ]
    .into_iter()
    .fold(Router::new(), |router, path| router.route(path, get(unsupported)))
}

async fn unsupported(request: Request) -> Refusal {
    let message = format!("the local Cloudflare API cannot tell of {}", request.uri().path());
    Refusal::new(StatusCode::NOT_IMPLEMENTED, 10000, message)
}
