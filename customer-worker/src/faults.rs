//! `/faults/`, for tests: see [`edge::faults`].

use shared::Problem;
use web_sys::{Request, Response};

use crate::body::Pieces;

/// Does what the path says after `/faults/`.
pub async fn act(fault: &str, request: &Request) -> Result<Response, Problem> {
    if fault == "panic-reading" {
        let mut pieces = Pieces::of(request.body());
        drop(pieces.next().await);
        panic!("{}", edge::faults::ASKED_FOR);
    }
    edge::faults::act(fault).await
}
