//! The platform's domain in plain Rust: no runtime types, so that it compiles natively and to Wasm, and is tested in
//! microseconds.
//!
//! Everything a client sends is parsed here once, into types whose values are always valid. What cannot be parsed becomes
//! a [`Problem`](http::Problem), which is what the client is told.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`http`] | routes, parameters, headers, forms, problems |
//! | [`files`] | `/files`: keys, headers, listings, uploads in parts |
//! | [`data`] | `/data`: keys, values, listings |
//! | [`database`] | `/db`: SQL statements |
//! | [`auth`] | bearer tokens and the keys that they are signed with |
//! | [`customer`] | user ids, records, usage |
//! | [`json`] | JSON bodies and values |
//!
//! ```
//! use shared::customer::UserId;
//! use shared::http::{CUSTOMER_ROUTES, Route};
//!
//! let user: UserId = "user1".parse().expect("a user id");
//! assert_eq!(user.resource_name(), "customer-user1");
//! assert!(UserId::parse("../user2").is_err());
//!
//! let problem = Route::find(CUSTOMER_ROUTES, "/stats").expect("a route").endpoint("POST").expect_err("no such method");
//! assert_eq!((problem.status(), problem.code().name()), (405, "method_not_allowed"));
//! ```

pub mod auth;
pub mod customer;
pub mod data;
pub mod database;
pub mod files;
pub mod http;
pub mod json;
