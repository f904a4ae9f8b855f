//! The tokens that the dispatcher takes, made and checked on the operator's machine with the secrets of `TOKEN_SECRETS`.

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

/// The secrets of a platform, as `TOKEN_SECRETS` has them: the first signs, all verify.
#[derive(Debug)]
pub struct Secrets(Vec<Key>);

/// What a token is to say.
#[derive(Debug)]
pub struct Grant<'a> {
    /// Whose requests it is for.
    pub user_id: &'a UserId,
    /// What it allows.
    pub scopes: &'a [Scope],
    /// How long it is good for.
    pub ttl: Duration,
    /// For whom it is, and by whom.
    pub trust: Trust<'a>,
}

impl Secrets {
    /// Parses `TOKEN_SECRETS`.
    pub fn parse(json: &str) -> Result<Self> {
        Ok(Self(parse_secrets::<Value>(json)?))
    }

    /// Reads those of a local platform, which are there once it has been started with `--auth token`.
    pub fn of_state(state: &Path) -> Result<Option<Self>> {
        let path = state_file(state);
        let secrets = read(&path)?.map(|json| Self::parse(&json)).transpose();
        secrets.with_context(|| format!("{} cannot be used", path.display()))
    }

    /// Makes a token, signed with the first of the secrets.
    pub fn issue(&self, grant: &Grant<'_>) -> Result<String> {
        let key = &self.0[0];
        let now = now();
        let scopes: Vec<&str> = grant.scopes.iter().map(|scope| scope.name()).collect();
        let mut claims = json!({
            "sub": grant.user_id.as_str(),
            "scope": scopes.join(" "),
            "iat": now.as_secs(),
            "exp": now.checked_add(grant.ttl).context("the token would never expire")?.as_secs(),
        });
        let named = [("aud", grant.trust.audience), ("iss", grant.trust.issuer)];
        for (name, value) in named {
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

    /// Checks a token as the dispatcher does, and answers its claims, the JSON that it holds.
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
    let KeyMaterial::Secret(secret) = &key.material else { unreachable!("TOKEN_SECRETS has secrets alone") };
    Hmac::new_from_slice(secret).expect("any length is good").chain_update(signed)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970")
}

/// `TOKEN_SECRETS` with a new secret in front. Of those there are, the first `keep` go on verifying; the rest go.
pub fn rotate(secrets: Option<&str>, keep: usize) -> Result<String> {
    let mut all: Vec<Value> = match secrets {
        Some(json) => {
            Secrets::parse(json)?;
            serde_json::from_str(json).context("TOKEN_SECRETS is not a list")?
        }
        None => Vec::new(),
    };
    all.truncate(keep);
    let mut random = [0; 36];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    let (kid, secret) = random.split_at(4);
    let kid = kid.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all");
        hex
    });
    all.insert(0, json!({"kid": kid, "secret": BASE64_URL_SAFE_NO_PAD.encode(secret)}));
    let json = Value::Array(all).to_string();
    Secrets::parse(&json)?;
    Ok(json)
}

/// `TOKEN_SECRETS` of a local platform; made at the first time, and kept with its storage.
pub fn state_secrets(state: &Path) -> Result<String> {
    let path = state_file(state);
    if let Some(json) = read(&path)? {
        Secrets::parse(&json).with_context(|| format!("{} cannot be used", path.display()))?;
        return Ok(json);
    }
    let json = rotate(None, 0)?;
    write_private(&path, &json)?;
    Ok(json)
}

fn state_file(state: &Path) -> PathBuf {
    state.join("token-secrets.json")
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(json) => Ok(Some(json.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file that only its owner can read, from its first byte on.
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

/// The scope of this name.
pub fn parse_scope(name: &str) -> Result<Scope> {
    let scopes = [Scope::Read, Scope::Write];
    scopes.into_iter().find(|scope| scope.name() == name).context("a scope is `read` or `write`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn secrets() -> Secrets {
        Secrets::parse(&rotate(None, 0).expect("a secret")).expect("secrets")
    }

    fn grant(user_id: &UserId, ttl: u64) -> Grant<'_> {
        let trust = Trust { audience: Some("api"), issuer: None };
        Grant { user_id, scopes: &[Scope::Read, Scope::Write], ttl: Duration::from_secs(ttl), trust }
    }

    #[test]
    fn what_is_issued_is_verified_by_the_same_secrets_alone() {
        let (secrets, user) = (secrets(), "user1".parse().expect("an id"));
        let token = secrets.issue(&grant(&user, 60)).expect("a token");
        let claims: Value =
            serde_json::from_str(&secrets.verify(&token, Trust::default()).expect("ours")).expect("JSON");
        assert_eq!(
            (&claims["sub"], &claims["scope"], &claims["aud"]),
            (&"user1".into(), &"read write".into(), &"api".into())
        );
        assert_eq!(claims["exp"].as_u64().expect("exp") - claims["iat"].as_u64().expect("iat"), 60);
        assert_eq!(super::tests::secrets().verify(&token, Trust::default()), Err(TokenError::Unverifiable));
        let other = Trust { audience: Some("other"), issuer: None };
        assert_eq!(secrets.verify(&token, other), Err(TokenError::WrongAudience));
    }

    /// The example of RFC 7515, appendix A.1: another's token, and a key that is not random.
    #[test]
    fn the_standards_own_example_is_verified() {
        let secrets = Secrets::parse(
            r#"[{"kid":"rfc","secret":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]"#,
        );
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        // It is signed as it must be, and has no `sub`.
        assert_eq!(secrets.expect("secrets").verify(token, Trust::default()), Err(TokenError::InvalidClaims));
    }

    #[test]
    fn rotation_puts_a_new_secret_in_front_and_keeps_the_last() {
        let user = "user1".parse().expect("an id");
        let first = rotate(None, 1).expect("secrets");
        let token = Secrets::parse(&first).expect("secrets").issue(&grant(&user, 60)).expect("a token");
        let second = rotate(Some(&first), 1).expect("secrets");
        let third = rotate(Some(&second), 1).expect("secrets");
        for (secrets, good) in [(&first, true), (&second, true), (&third, false)] {
            let secrets = Secrets::parse(secrets).expect("secrets");
            assert_eq!(secrets.verify(&token, Trust::default()).is_ok(), good);
        }
        assert_ne!(Secrets::parse(&second).expect("secrets").0[0], Secrets::parse(&first).expect("secrets").0[0]);
        assert!(rotate(Some("nonsense"), 1).is_err());
    }

    #[test]
    fn a_state_folder_keeps_its_secrets_to_its_owner() {
        use std::os::unix::fs::PermissionsExt;

        let state = TempDir::new().expect("a folder");
        assert!(Secrets::of_state(state.path()).expect("none yet").is_none());
        let made = state_secrets(state.path()).expect("secrets");
        assert_eq!(state_secrets(state.path()).expect("secrets"), made);
        assert!(Secrets::of_state(state.path()).expect("secrets").is_some());
        let permissions = fs::metadata(state_file(state.path())).expect("a file").permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600);
        fs::write(state_file(state.path()), "[]").expect("written");
        assert!(state_secrets(state.path()).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_token_is_not_ours(at in 0.0..1.0f64, by in 1u8..64) {
            let (secrets, user) = (secrets(), "user1".parse().expect("an id"));
            let token = secrets.issue(&grant(&user, 60)).expect("a token");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let at = (at * token.len() as f64) as usize;
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let mut changed = token.into_bytes();
            let place = alphabet.iter().position(|other| *other == changed[at]);
            prop_assume!(place.is_some());
            changed[at] = alphabet[(place.expect("a place") + usize::from(by)) % 64];
            let changed = String::from_utf8(changed).expect("ASCII");
            prop_assert_eq!(secrets.verify(&changed, Trust::default()), Err(TokenError::Unverifiable));
        }
    }
}
