//! The platform's domain logic in plain Rust. The crate has no types of the Workers runtime, so it compiles natively
//! and to Wasm, and its tests run natively.
//!
//! Everything that a client sends is parsed here once, into types whose values are always valid. A value that cannot be
//! parsed becomes a [`Problem`](http::Problem), which the client receives.
//!
//! | module | contents |
//! | --- | --- |
//! | [`http`] | routes, parameters, headers, forms, problems |
//! | [`files`] | `/files`: keys, headers, listings, multipart uploads |
//! | [`data`] | `/data`: keys, values, listings |
//! | [`database`] | `/db`: SQL statements |
//! | [`auth`] | bearer tokens and their keys |
//! | [`customer`] | user ids, records, plans, usage, stats, outbound hosts |
//! | [`json`] | JSON bodies and values |
//!
//! # Example
//!
//! ```
//! use shared::customer::UserId;
//! use shared::files::FileKey;
//! use shared::http::{CUSTOMER_ROUTES, CustomerEndpoint, Query, Route, Target};
//!
//! let user: UserId = "user1".parse().expect("a user id");
//! assert_eq!(user.resource_name(), "customer-user1");
//! assert!(UserId::parse("../user2").is_err());
//!
//! let target = Target::parse("https://api.example/files?key=photos%2Fcat.jpg");
//! let route = Route::find(CUSTOMER_ROUTES, target.path).expect("a route");
//! assert_eq!(route.endpoint("GET").expect("a method"), CustomerEndpoint::GetFiles);
//!
//! let query = Query::parse(target.query).expect("a query");
//! assert_eq!(FileKey::from_query(query).expect("a key").as_str(), "photos/cat.jpg");
//!
//! let problem = route.endpoint("PATCH").expect_err("no such method");
//! assert_eq!((problem.status(), problem.code().name()), (405, "method_not_allowed"));
//! assert_eq!(problem.header(), Some(("Allow", "GET, HEAD, POST, PUT, DELETE")));
//! ```

pub mod auth;
pub mod customer;
pub mod data;
pub mod database;
pub mod files;
pub mod http;
pub mod json;
