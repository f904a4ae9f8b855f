//! Getting from one customer to another, by every way there is.
//!
//! An attempt is judged from both sides: nothing of the victim's content is in any byte of the reply, and everything that the
//! victim stores is afterwards as it was. Whoever sends `X-User-ID: victim` is the victim, as far as these platforms know; the
//! attacker is somebody for whom `X-User-ID: attacker` was sent, or who has the attacker's token.

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
