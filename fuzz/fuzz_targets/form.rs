#![no_main]

#[path = "../../shared/tests/fuzz/bodies.rs"]
#[expect(dead_code, reason = "each target is one of them")]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::form(data));
