//! Bearer tokens: JSON Web Tokens (RFC 7519), sent as `Authorization: Bearer` (RFC 6750).
//!
//! This module does no cryptography. The caller verifies the signature, after parsing a token and before checking its
//! claims:
//!
//! ```text
//! Token::from_header -> keys.iter().filter(|key| token.may_be_signed_with(key)) -> verify signature -> claims.check
//! ```

mod claims;
mod fetched_keys;
mod keys;
mod token;
mod token_error;

pub use claims::{Claims, Scope, Trust};
pub use fetched_keys::{FetchedKeys, KeyAction};
pub use keys::{Algorithm, InvalidKeys, Key, KeyMaterial, parse_jwks, parse_secrets};
pub use token::Token;
pub use token_error::TokenError;
