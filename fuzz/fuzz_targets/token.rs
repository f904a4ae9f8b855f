#![no_main]

#[path = "../../shared/tests/fuzz/bodies.rs"]
#[expect(dead_code, reason = "each target uses one function")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::token(data));
