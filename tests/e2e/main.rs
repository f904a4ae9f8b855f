//! The platform over HTTP: the real Workers in the real runtime, with simulated KV, R2 and D1.
//!
//! `cargo xtask test` starts one platform and runs these against it, in parallel; a test that counts what a customer
//! has stored has that customer to itself. Tests in `faults`, `local_platform`, `local_api` and `runaway`
//! start platforms of their own.

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
mod runaway;
mod telemetry;
