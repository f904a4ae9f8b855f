//! What the obvious way would cost: the customer's list of files and its log of operations are kept as JSON, a value each in
//! KV, which every operation reads and writes back. (It also loses one of two operations at once.)

use http::Method;

use crate::routes::Route;
use crate::storage::Operation::{self, KvList, KvRead, KvWrite, R2Read, R2Write};

/// Its storage operations for a request that succeeds; none where a request asks for nothing.
#[expect(clippy::match_same_arms, reason = "a path's methods stand together")]
pub fn operations(route: &Route) -> Vec<Operation> {
    const LOG: [Operation; 2] = [KvRead, KvWrite];
    const FILES: [Operation; 2] = [KvRead, KvWrite];
    let (path, query) = route.target.split_once('?').unwrap_or((&route.target, ""));
    let mut operations = match (&route.method, path, query.is_empty()) {
        _ if route.status == 400 => return Vec::new(),
        (&Method::GET, "/files", false) => vec![R2Read],
        (&Method::GET, "/files", true) => vec![KvRead],
        (_, "/files", _) => [&vec![R2Write; pieces(route)][..], &FILES].concat(),
        (&Method::GET, "/data", false) => vec![KvRead],
        (&Method::GET, "/data", true) => vec![KvList],
        (_, "/data", _) => vec![KvWrite],
        // The list of files and the log.
        (_, "/stats", _) => return vec![KvRead, KvRead],
        _ => return Vec::new(),
    };
    operations.extend(LOG);
    operations
}

/// A form of any size goes to R2 in parts, whatever is kept besides: the beginning, parts of 5 MiB, the end.
fn pieces(route: &Route) -> usize {
    const PART: usize = 5 << 20;
    if route.method == Method::POST && route.body.len() > PART { 2 + route.body.len() / PART } else { 1 }
}
