//! Authentication: valid, forged, expired and missing tokens.

pub mod cli;
mod jwks;
mod rotation;
mod secrets;
