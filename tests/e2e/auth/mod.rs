//! Who is asking: tokens, and everything that is none.

mod cli;
mod jwks;
mod rotation;
mod secrets;
