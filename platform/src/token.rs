//! Issues and verifies tokens for the dispatcher on the operator's machine, with the secrets of `TOKEN_SECRETS`.
//!
//! ```
//! use std::time::Duration;
//!
//! use platform::token::{NewToken, TokenSecrets, rotate};
//! use shared::auth::{Scope, Trust};
//!
//! # fn main() -> anyhow::Result<()> {
//! let secrets = TokenSecrets::parse(&rotate(None, 0)?)?;
//! let token = secrets.issue(&NewToken {
//!     user_id: &"user1".parse().expect("a user id"),
//!     scopes: &[Scope::Read],
//!     ttl: Duration::from_mins(15),
//!     trust: Trust::default(),
//! })?;
//! let claims = secrets.verify(&token, Trust::default())?;
//! assert!(claims.contains(r#""sub":"user1""#));
//! # Ok(())
//! # }
//! ```

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use shared::auth::{Key, KeyMaterial, Scope, Token, TokenError, Trust, parse_secrets};
use shared::customer::UserId;

/// The secrets in `TOKEN_SECRETS`. The first one signs tokens; all of them verify tokens.
#[derive(Debug)]
pub struct TokenSecrets(Vec<Key>);

/// The contents of a token to be issued.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// The customer that the token is for.
    pub user_id: &'a UserId,
    /// The token's scopes.
    pub scopes: &'a [Scope],
    /// The token's lifetime.
    pub ttl: Duration,
    /// The token's audience and issuer.
    pub trust: Trust<'a>,
}

impl TokenSecrets {
    /// Parses the value of `TOKEN_SECRETS`.
    pub fn parse(json: &str) -> Result<Self> {
        Ok(Self(parse_secrets::<Value>(json)?))
    }

    /// Reads the secrets in the state folder of a local platform. Returns `None` if the platform was never started with
    /// `--auth token`.
    pub fn read_state(state: &Path) -> Result<Option<Self>> {
        let path = state_file(state);
        let secrets = read_optional(&path)?.map(|json| Self::parse(&json)).transpose();
        secrets.with_context(|| format!("cannot parse {}", path.display()))
    }

    /// Issues a token that is signed with the first secret.
    pub fn issue(&self, token: &NewToken<'_>) -> Result<String> {
        let key = &self.0[0];
        let now = now();
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
        let mut claims = json!({
            "sub": token.user_id.as_str(),
            "scope": scopes.join(" "),
            "iat": now.as_secs(),
            "exp": now.checked_add(token.ttl).context("the token's lifetime is too long")?.as_secs(),
        });
        let optional = [("aud", token.trust.audience), ("iss", token.trust.issuer)];
        for (name, value) in optional {
            if let Some(value) = value {
                claims[name] = value.into();
            }
        }
        let header = json!({"alg": key.algorithm.name(), "typ": "JWT", "kid": key.kid});
        let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = mac(key, &signed).finalize().into_bytes();
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Verifies a token as the dispatcher does, and returns its claims as JSON.
    pub fn verify(&self, token: &str, trust: Trust<'_>) -> Result<String, TokenError> {
        let token = Token::parse::<Value>(token)?;
        let mut keys = self.0.iter().filter(|key| token.may_be_signed_with(key));
        if !keys.any(|key| mac(key, token.signed).verify_slice(&token.signature).is_ok()) {
            return Err(TokenError::Unverifiable);
        }
        token.claims::<Value>()?.check(trust, now().as_secs_f64())?;
        Ok(String::from_utf8_lossy(token.payload()).into_owned())
    }
}

fn mac(key: &Key, signed: &str) -> Hmac<Sha256> {
    let KeyMaterial::Secret(secret) = &key.material else { unreachable!("TOKEN_SECRETS has only secrets") };
    Hmac::new_from_slice(secret).expect("HMAC accepts keys of any length").chain_update(signed)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is later than 1970")
}

/// Returns `TOKEN_SECRETS` with a new first secret, followed by the first `keep` of the old secrets.
pub fn rotate(secrets: Option<&str>, keep: usize) -> Result<String> {
    let mut all: Vec<Value> = match secrets {
        Some(json) => {
            TokenSecrets::parse(json)?;
            serde_json::from_str(json).context("TOKEN_SECRETS is not a list")?
        }
        None => Vec::new(),
    };
    all.truncate(keep);
    let mut random = [0; 36];
    getrandom::fill(&mut random)
        .map_err(|error| anyhow::anyhow!("the system cannot generate random bytes: {error}"))?;
    let (kid, secret) = random.split_at(4);
    let kid = kid.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a String succeeds");
        hex
    });
    all.insert(0, json!({"kid": kid, "secret": BASE64_URL_SAFE_NO_PAD.encode(secret)}));
    let json = Value::Array(all).to_string();
    TokenSecrets::parse(&json)?;
    Ok(json)
}

/// Returns `TOKEN_SECRETS` of a local platform. The first call creates them in the state folder.
pub fn state_secrets(state: &Path) -> Result<String> {
    let path = state_file(state);
    if let Some(json) = read_optional(&path)? {
        TokenSecrets::parse(&json).with_context(|| format!("cannot parse {}", path.display()))?;
        return Ok(json);
    }
    let json = rotate(None, 0)?;
    write_private(&path, &json)?;
    Ok(json)
}

/// Returns the file in a local platform's state folder that holds `TOKEN_SECRETS`.
#[must_use]
pub fn state_file(state: &Path) -> PathBuf {
    state.join("token-secrets.json")
}

/// Reads a file. Returns `None` if it does not exist.
fn read_optional(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(json) => Ok(Some(json.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file that only its owner can read. It is created with these permissions, so that no one else can ever open
/// it.
pub fn write_private(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let write = || {
        if path.exists() {
            fs::remove_file(path)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content.as_ref())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Parses the name of a scope.
pub fn parse_scope(name: &str) -> Result<Scope> {
    let scopes = [Scope::Read, Scope::Write];
    scopes.into_iter().find(|scope| scope.name() == name).context("a scope must be `read` or `write`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn new_secrets() -> TokenSecrets {
        TokenSecrets::parse(&rotate(None, 0).expect("a secret")).expect("secrets")
    }

    fn new_token(user_id: &UserId, ttl: u64) -> NewToken<'_> {
        let trust = Trust { audience: Some("api"), issuer: None };
        NewToken { user_id, scopes: &[Scope::Read, Scope::Write], ttl: Duration::from_secs(ttl), trust }
    }

    #[test]
    fn a_token_is_verified_by_the_secrets_that_issued_it_and_no_others() {
        let (secrets, user) = (new_secrets(), "user1".parse().expect("an id"));
        let token = secrets.issue(&new_token(&user, 60)).expect("a token");
        let claims: Value =
            serde_json::from_str(&secrets.verify(&token, Trust::default()).expect("a valid token")).expect("JSON");
        assert_eq!(
            (&claims["sub"], &claims["scope"], &claims["aud"]),
            (&"user1".into(), &"read write".into(), &"api".into())
        );
        assert_eq!(claims["exp"].as_u64().expect("exp") - claims["iat"].as_u64().expect("iat"), 60);
        assert_eq!(new_secrets().verify(&token, Trust::default()), Err(TokenError::Unverifiable));
        let other = Trust { audience: Some("other"), issuer: None };
        assert_eq!(secrets.verify(&token, other), Err(TokenError::WrongAudience));
    }

    /// The example of RFC 7515, appendix A.1.
    #[test]
    fn the_standards_example_is_verified() {
        let secrets = TokenSecrets::parse(
            r#"[{"kid":"rfc","secret":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]"#,
        );
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        // The signature is valid, but the claims have no `sub`.
        assert_eq!(secrets.expect("secrets").verify(token, Trust::default()), Err(TokenError::InvalidClaims));
    }

    #[test]
    fn rotation_adds_a_first_secret_and_keeps_the_newest_old_one() {
        let user = "user1".parse().expect("an id");
        let first = rotate(None, 1).expect("secrets");
        let token = TokenSecrets::parse(&first).expect("secrets").issue(&new_token(&user, 60)).expect("a token");
        let second = rotate(Some(&first), 1).expect("secrets");
        let third = rotate(Some(&second), 1).expect("secrets");
        for (secrets, is_valid) in [(&first, true), (&second, true), (&third, false)] {
            let secrets = TokenSecrets::parse(secrets).expect("secrets");
            assert_eq!(secrets.verify(&token, Trust::default()).is_ok(), is_valid);
        }
        assert_ne!(
            TokenSecrets::parse(&second).expect("secrets").0[0],
            TokenSecrets::parse(&first).expect("secrets").0[0]
        );
        assert!(rotate(Some("nonsense"), 1).is_err());
    }

    #[test]
    fn secrets_in_a_state_folder_are_readable_only_by_their_owner() {
        use std::os::unix::fs::PermissionsExt;

        let state = TempDir::new().expect("a folder");
        assert!(TokenSecrets::read_state(state.path()).expect("none yet").is_none());
        let created = state_secrets(state.path()).expect("secrets");
        assert_eq!(state_secrets(state.path()).expect("secrets"), created);
        assert!(TokenSecrets::read_state(state.path()).expect("secrets").is_some());
        let permissions = fs::metadata(state_file(state.path())).expect("a file").permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600);
        fs::write(state_file(state.path()), "[]").expect("written");
        assert!(state_secrets(state.path()).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_token_is_refused(at in 0.0..1.0f64, by in 1u8..64) {
            let (secrets, user) = (new_secrets(), "user1".parse().expect("an id"));
            let token = secrets.issue(&new_token(&user, 60)).expect("a token");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let at = (at * token.len() as f64) as usize;
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let mut changed = token.into_bytes();
            let index = alphabet.iter().position(|byte| *byte == changed[at]);
            prop_assume!(index.is_some());
            changed[at] = alphabet[(index.expect("an index") + usize::from(by)) % 64];
            let changed = String::from_utf8(changed).expect("ASCII");
            prop_assert_eq!(secrets.verify(&changed, Trust::default()), Err(TokenError::Unverifiable));
        }
    }
}
