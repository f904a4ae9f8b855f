//! End-to-end tests: the platform over HTTP, with the real Workers in the real runtime and simulated KV, R2 and D1.
//!
//! `cargo xtask test` starts one platform and runs these tests against it in parallel. A test that counts what a
//! customer has stored uses a customer that no other test uses. Tests in `faults`, `local_platform`, `local_api` and
//! `runtime`, among others, start platforms of their own.

mod auth;
mod bench;
mod bindings;
mod clients;
mod contract;
mod cors;
mod crossing_over;
mod customer_worker;
mod customers;
mod deploy;
mod dispatcher;
mod extending;
mod faults;
mod front;
mod local_api;
mod local_platform;
mod memory;
mod outbound;
mod readme;
mod reliability;
mod runtime;
mod telemetry;
