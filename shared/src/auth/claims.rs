//! A token's claims (RFC 7519, 4.1).

use super::token_error::TokenError;
use crate::customer::UserId;
use crate::http::Problem;
use crate::json::{Json, JsonObject, Malformed};

/// The claims that the platform checks.
#[derive(Debug)]
pub struct Claims {
    /// The user id that the token is for.
    pub sub: String,
    /// The time when the token expires, in seconds since 1970, possibly with a fraction.
    pub exp: f64,
    /// The time when the token becomes valid, in seconds since 1970, possibly with a fraction.
    nbf: Option<f64>,
    /// The audiences. In JSON, a string or an array of strings.
    aud: Vec<String>,
    /// The issuer.
    iss: Option<String>,
    /// The scopes, separated by spaces (RFC 8693, 4.2).
    scope: Option<String>,
}

/// The audience and the issuer that a token must name to be accepted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust<'a> {
    /// The required `aud`, if any.
    pub audience: Option<&'a str>,
    /// The required `iss`, if any.
    pub issuer: Option<&'a str>,
}

impl Claims {
    pub(super) fn from_json<J: Json>(claims: &JsonObject<J>) -> Result<Self, Malformed> {
        let audiences = |json: &J| match json.elements() {
            Some(elements) => elements.iter().map(J::string).collect(),
            None => json.string().map(|audience| vec![audience]),
        };
        Ok(Self {
            sub: claims.required("sub", J::string)?,
            exp: claims.required("exp", J::number)?,
            nbf: claims.optional("nbf", J::number)?,
            aud: claims.optional("aud", audiences)?.unwrap_or_default(),
            iss: claims.optional("iss", J::string)?,
            scope: claims.optional("scope", J::string)?,
        })
    }

    /// The allowed difference between the clocks of the issuer and the platform, in seconds.
    const LEEWAY: f64 = 60.0;

    /// Checks the times, the audience and the issuer. `now` is in seconds since 1970.
    pub fn check(&self, trust: Trust<'_>, now: f64) -> Result<(), TokenError> {
        if self.exp + Self::LEEWAY <= now {
            return Err(TokenError::Expired);
        }
        if self.nbf.is_some_and(|nbf| nbf - Self::LEEWAY > now) {
            return Err(TokenError::NotYetValid);
        }
        if trust.audience.is_some_and(|required| !self.aud.iter().any(|audience| audience == required)) {
            return Err(TokenError::WrongAudience);
        }
        if trust.issuer.is_some_and(|required| self.iss.as_deref() != Some(required)) {
            return Err(TokenError::WrongIssuer);
        }
        Ok(())
    }

    /// Checks whether the token allows a request for a customer. `GET` and `HEAD` need the scope `read`; all other
    /// methods need `write`. Neither scope includes the other.
    pub fn permit(&self, user_id: &UserId, method: &str) -> Result<(), Problem> {
        if self.sub != user_id.as_str() {
            return Err(Problem::user_mismatch());
        }
        let needed = Scope::of_method(method);
        let scopes = self.scope.as_deref().unwrap_or_default();
        if !scopes.split(' ').any(|scope| scope == needed.name()) {
            return Err(Problem::insufficient_scope(needed.name()));
        }
        Ok(())
    }
}

/// A scope, which determines the methods that a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Allows `GET` and `HEAD`.
    Read,
    /// Allows every other method.
    Write,
}

impl Scope {
    /// Returns the scope's name in tokens.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    fn of_method(method: &str) -> Self {
        if matches!(method, "GET" | "HEAD") { Self::Read } else { Self::Write }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn parse(json: &str) -> Result<Claims, Malformed> {
        Claims::from_json(&JsonObject::new(Value::parse(json).ok_or(Malformed)?).ok_or(Malformed)?)
    }

    fn claims(json: &str) -> Claims {
        parse(json).expect(json)
    }

    #[test]
    fn times_have_a_minute_of_leeway() {
        for (json, now, result) in [
            (r#"{"sub":"a","exp":1000}"#, 999.0, Ok(())),
            (r#"{"sub":"a","exp":1000}"#, 1059.9, Ok(())),
            (r#"{"sub":"a","exp":1000}"#, 1060.0, Err(TokenError::Expired)),
            (r#"{"sub":"a","exp":1000.5}"#, 1060.4, Ok(())),
            (r#"{"sub":"a","exp":-1}"#, 1000.0, Err(TokenError::Expired)),
            (r#"{"sub":"a","exp":1e300}"#, 1000.0, Ok(())),
            (r#"{"sub":"a","exp":2000,"nbf":1060}"#, 1000.0, Ok(())),
            (r#"{"sub":"a","exp":2000,"nbf":1060.5}"#, 1000.0, Err(TokenError::NotYetValid)),
            (r#"{"sub":"a","exp":2000,"nbf":null}"#, 1000.0, Ok(())),
        ] {
            assert_eq!(claims(json).check(Trust::default(), now), result, "{json} at {now}");
        }
    }

    #[test]
    fn audience_and_issuer_are_checked_if_they_are_required() {
        let trust = Trust { audience: Some("api"), issuer: Some("idp") };
        for (members, result) in [
            (r#""aud":"api","iss":"idp""#, Ok(())),
            (r#""aud":["x","api"],"iss":"idp""#, Ok(())),
            (r#""aud":["x"],"iss":"idp""#, Err(TokenError::WrongAudience)),
            (r#""aud":[],"iss":"idp""#, Err(TokenError::WrongAudience)),
            (r#""aud":"apis","iss":"idp""#, Err(TokenError::WrongAudience)),
            (r#""iss":"idp""#, Err(TokenError::WrongAudience)),
            (r#""aud":"api","iss":"IDP""#, Err(TokenError::WrongIssuer)),
            (r#""aud":"api""#, Err(TokenError::WrongIssuer)),
        ] {
            let claims = claims(&format!(r#"{{"sub":"a","exp":1,{members}}}"#));
            assert_eq!(claims.check(trust, 0.0), result, "{members}");
            assert_eq!(claims.check(Trust::default(), 0.0), Ok(()), "{members}");
        }
    }

    #[test]
    fn malformed_claims_are_rejected() {
        for json in [
            "{}",
            r#"{"sub":"a"}"#,
            r#"{"exp":1}"#,
            r#"{"sub":1,"exp":1}"#,
            r#"{"sub":null,"exp":1}"#,
            r#"{"sub":["a"],"exp":1}"#,
            "[]",
            r#"{"sub":"a","exp":"1"}"#,
            r#"{"sub":"a","exp":null}"#,
            r#"{"sub":"a","exp":1e999}"#,
            r#"{"sub":"a","exp":NaN}"#,
            r#"{"sub":"a","exp":1,"nbf":"0"}"#,
            r#"{"sub":"a","exp":1,"aud":1}"#,
            r#"{"sub":"a","exp":1,"aud":[1]}"#,
            r#"{"sub":"a","exp":1,"iss":[]}"#,
            r#"{"sub":"a","exp":1,"scope":["read"]}"#,
        ] {
            assert!(parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_token_permits_the_methods_of_its_scopes_for_its_customer_only() {
        let user: UserId = "user1".parse().expect("an id");
        for (scope, read, write) in [
            ("read write", true, true),
            ("read", true, false),
            ("write", false, true),
            ("openid read", true, false),
            ("", false, false),
            ("Read,write", false, false),
            ("reads", false, false),
        ] {
            let claims = claims(&format!(r#"{{"sub":"user1","exp":1,"scope":"{scope}"}}"#));
            for method in ["GET", "HEAD"] {
                assert_eq!(claims.permit(&user, method).is_ok(), read, "{scope} {method}");
            }
            for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", ""] {
                assert_eq!(claims.permit(&user, method).is_ok(), write, "{scope} {method}");
            }
        }
        for sub in ["user2", "user", "user11", "User1", "user1 ", ""] {
            let claims = claims(&format!(r#"{{"sub":"{sub}","exp":1,"scope":"read write"}}"#));
            assert_eq!(claims.permit(&user, "GET").expect_err(sub).code(), crate::http::ProblemCode::UserMismatch);
        }
        let without = claims(r#"{"sub":"user1","exp":1}"#);
        assert_eq!(
            without.permit(&user, "GET").expect_err("no scope").code(),
            crate::http::ProblemCode::InsufficientScope
        );
    }

    proptest! {
        /// A token is accepted from a minute before `nbf` until a minute after `exp`, and only for its own customer.
        #[test]
        fn a_token_is_valid_in_its_time_and_for_its_customer(
            exp in -1e18..1e18,
            nbf in proptest::option::of(-1e18..1e18),
            offset in -100.0..100.0,
            sub in "[a-b]{1,2}",
            requested in "[a-b]{1,2}",
            scope in "(read|write|reader|READ| ){0,4}",
        ) {
            let claims = serde_json::json!({"sub": sub, "exp": exp, "nbf": nbf, "scope": scope}).to_string();
            let claims = super::tests::claims(&claims);
            for now in [exp + offset, nbf.unwrap_or(0.0) + offset] {
                let valid = claims.exp + 60.0 > now && claims.nbf.is_none_or(|nbf| nbf - 60.0 <= now);
                prop_assert_eq!(claims.check(Trust::default(), now).is_ok(), valid);
            }
            let user = UserId::parse(&requested).expect("an id");
            for (method, needed) in [("GET", "read"), ("HEAD", "read"), ("PUT", "write"), ("get", "write")] {
                let permitted = sub == requested && scope.split(' ').any(|word| word == needed);
                prop_assert_eq!(claims.permit(&user, method).is_ok(), permitted, "{} with {:?}", method, scope);
            }
        }

        #[test]
        fn no_claims_panic(json in ".{0,60}|\\{(\"(sub|exp|nbf|aud|iss|scope)\":[a-z0-9\"{}.-]{0,6},?){0,4}\\}") {
            let _ = parse(&json);
        }
    }
}
