//! Authentication: valid, forged, expired and missing tokens.

mod cli;
mod jwks;
mod rotation;
mod secrets;
