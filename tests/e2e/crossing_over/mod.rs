//! Attacks of one customer on another's data.
//!
//! After each attempt, the tests check both sides: the reply contains nothing of the victim's content, and the victim's
//! data is unchanged. The platform trusts `X-User-ID`, so `X-User-ID: victim` is a legitimate request of the victim.
//! The attacker's requests have `X-User-ID: attacker`, or the attacker's token.

mod caches;
mod connections;
mod headers;
mod keys;
mod pages;
mod private_headers;
mod shared_names;
mod smuggling;
mod sql_and_rpc;
mod tokens;
mod victim;
