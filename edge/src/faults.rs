//! Routes that fail on purpose, for tests. They are in no Worker that is deployed: only `cargo xtask build --faults` asks for
//! the feature that this module needs.

use js_sys::Promise;
use shared::Problem;
use wasm_bindgen::prelude::*;
use web_sys::Response;

use crate::task::{self, settled};

/// Does what a path says after its prefix.
pub async fn act(fault: &str) -> Result<Response, Problem> {
    match fault {
        "panic" => panic!("{ASKED_FOR}"),
        "panic-later" => {
            pause().await;
            panic!("{ASKED_FOR}")
        }
        // Of this instance of the Wasm: a panic ends it, and the count with it.
        "waiting" => Ok(crate::json_reply(&task::waiting().to_string().into())),
        _ => Err(Problem::not_found()),
    }
}

/// What such a panic says.
pub const ASKED_FOR: &str = "a fault that was asked for";

async fn pause() {
    let pause = Promise::new(&mut |resolve, _| set_timeout(&resolve, 1.0));
    settled(Ok(pause)).await.expect("a timer ends");
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &js_sys::Function, milliseconds: f64);
}
