//! What the dispatcher knows of a customer.

use std::borrow::Cow;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::json::{Json, Malformed, Members};

/// A customer's record, as the KV namespace `CUSTOMERS` has it under the user id. Whatever it leaves out is as in
/// `DEFAULT_CUSTOMER`, which is of the same form but has no `script`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CustomerRecord {
    /// The name of the customer's script in the dispatch namespace, whole; else it is made from the user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The plan, which decides the rate limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Whether all the customer's requests are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// What one request may cost.
    pub limits: Limits,
}

/// What one request to a customer's Worker may cost; no limit but Cloudflare's own where there is none
/// (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/configuration/custom-limits/>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// CPU time, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<NonZeroU32>,
    /// Requests and storage operations that the Worker may make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_requests: Option<NonZeroU32>,
}

impl CustomerRecord {
    /// Parses a record. What it does not know is an error: a misspelt `suspended` must not let anybody in.
    pub fn parse<J: Json>(json: &str) -> Result<Self, Malformed> {
        Self::parse_members::<J>(json, &["script", "plan", "suspended", "limits"])
    }

    /// Parses what holds for all who do not say otherwise. A script is not among it: all would have one customer's data.
    pub fn parse_defaults<J: Json>(json: &str) -> Result<Self, Malformed> {
        Self::parse_members::<J>(json, &["plan", "suspended", "limits"])
    }

    fn parse_members<J: Json>(json: &str, allowed: &[&str]) -> Result<Self, Malformed> {
        let record = J::parse(json).and_then(|record| Members::among(record, allowed)).ok_or(Malformed)?;
        Ok(Self {
            script: record.optional("script", J::string)?,
            plan: record.optional("plan", |plan| Plan::try_from(plan.string()?).ok())?,
            suspended: record.optional("suspended", J::boolean)?,
            limits: record.optional("limits", Limits::from_json)?.unwrap_or_default(),
        })
    }

    /// The record with what it leaves out taken from another.
    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        Self {
            script: self.script.or(defaults.script),
            plan: self.plan.or(defaults.plan),
            suspended: self.suspended.or(defaults.suspended),
            limits: Limits {
                cpu_ms: self.limits.cpu_ms.or(defaults.limits.cpu_ms),
                sub_requests: self.limits.sub_requests.or(defaults.limits.sub_requests),
            },
        }
    }
}

impl Limits {
    fn from_json<J: Json>(json: &J) -> Option<Self> {
        let limits = Members::among(json.clone(), &["cpuMs", "subRequests"])?;
        Some(Self {
            cpu_ms: limits.optional("cpuMs", whole_number).ok()?,
            sub_requests: limits.optional("subRequests", whole_number).ok()?,
        })
    }
}

fn whole_number<J: Json>(json: &J) -> Option<NonZeroU32> {
    let number = json.number()?;
    if number.fract() != 0.0 || !(1.0..=f64::from(u32::MAX)).contains(&number) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a whole number within the range"
    )]
    NonZeroU32::new(number as u32)
}

/// A plan's name: 1 to 32 of `a-z`, `0-9` and `-`, starting with a letter. It is part of a binding's name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct Plan(Cow<'static, str>);

impl Plan {
    /// The longest name, in characters.
    pub const MAX_LEN: usize = 32;

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as bindings and variables have it: `PRO_2` for `pro-2`.
    #[must_use]
    pub fn in_bindings(&self) -> String {
        self.0.to_ascii_uppercase().replace('-', "_")
    }
}

/// The plan of those who have none.
impl Default for Plan {
    fn default() -> Self {
        Self(Cow::Borrowed("default"))
    }
}

impl TryFrom<String> for Plan {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let well_formed = name.len() <= Self::MAX_LEN
            && name.bytes().all(inner)
            && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
        if well_formed {
            Ok(Self(Cow::Owned(name)))
        } else {
            Err("a plan is 1 to 32 of a-z, 0-9 and -, starting with a letter")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_record_says_what_it_says_and_leaves_the_rest_to_the_defaults() {
        let defaults =
            CustomerRecord::parse::<Value>(r#"{"plan":"free","limits":{"cpuMs":10,"subRequests":5}}"#).expect("one");
        assert_eq!(CustomerRecord::parse::<Value>("{}").expect("one").or(defaults.clone()), defaults);
        let record = r#"{"script":"s","plan":"pro-2","suspended":true,"limits":{"cpuMs":50}}"#;
        let record = CustomerRecord::parse::<Value>(record).expect("one").or(defaults);
        assert_eq!(
            serde_json::to_string(&record).expect("JSON"),
            r#"{"script":"s","plan":"pro-2","suspended":true,"limits":{"cpuMs":50,"subRequests":5}}"#
        );
        assert_eq!(record.plan.expect("a plan").in_bindings(), "PRO_2");
        assert_eq!(Plan::default(), Plan::try_from("default".to_owned()).expect("well-formed"));
    }

    #[test]
    fn nobody_shares_a_script_by_default() {
        assert!(CustomerRecord::parse_defaults::<Value>(r#"{"script":"user2"}"#).is_err());
        let defaults = CustomerRecord::parse_defaults::<Value>(r#"{"suspended":true}"#).expect("one");
        assert_eq!(CustomerRecord::default().or(defaults.clone()).suspended, Some(true));
        let resumed = CustomerRecord::parse::<Value>(r#"{"suspended":false}"#).expect("one");
        assert_eq!(resumed.or(defaults).suspended, Some(false));
    }

    #[test]
    fn a_malformed_record_is_refused() {
        for json in [
            "",
            "null",
            "[]",
            r#"["s","pro",false,{}]"#,
            r#"{"suspendd":true}"#,
            r#"{"suspended":"true"}"#,
            r#"{"script":1}"#,
            r#"{"plan":""}"#,
            r#"{"plan":"Pro"}"#,
            r#"{"plan":"2pro"}"#,
            r#"{"plan":"a_b"}"#,
            r#"{"plan":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#,
            r#"{"limits":{"cpuMs":0}}"#,
            r#"{"limits":{"cpuMs":-1}}"#,
            r#"{"limits":{"cpuMs":1.5}}"#,
            r#"{"limits":{"cpu_ms":1}}"#,
            r#"{"limits":{"subrequests":1}}"#,
        ] {
            assert!(CustomerRecord::parse::<Value>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_record_comes_back(
            script in proptest::option::of(any::<String>()),
            plan in proptest::option::of("[a-z][a-z0-9-]{0,31}"),
            suspended in any::<Option<bool>>(),
            limits in any::<(Option<NonZeroU32>, Option<NonZeroU32>)>(),
        ) {
            let plan = plan.map(|plan| Plan::try_from(plan).expect("well-formed"));
            let limits = Limits { cpu_ms: limits.0, sub_requests: limits.1 };
            let record = CustomerRecord { script, plan, suspended, limits };
            let json = serde_json::to_string(&record).expect("JSON");
            prop_assert_eq!(CustomerRecord::parse::<Value>(&json), Ok(record.clone()));
            // What the record says, no default changes.
            let defaults = CustomerRecord { suspended: Some(false), ..CustomerRecord::default() };
            prop_assert_eq!(record.or(defaults).suspended, Some(suspended.unwrap_or(false)));
        }

        /// A name that nobody knows is refused, whatever it holds: it might be a misspelt `suspended`.
        #[test]
        fn an_unknown_member_is_refused(name in "[a-z]{1,12}", value in "null|true|1|\"x\"|\\{\\}") {
            prop_assume!(!["script", "plan", "suspended", "limits"].contains(&&*name));
            prop_assert_eq!(CustomerRecord::parse::<Value>(&format!("{{\"{name}\":{value}}}")), Err(Malformed));
            let nested = format!("{{\"limits\":{{\"{name}\":{value}}}}}");
            prop_assert_eq!(CustomerRecord::parse::<Value>(&nested), Err(Malformed));
        }

        #[test]
        fn no_record_panics(json in ".{0,60}|\\{(\"(script|plan|suspended|limits)\":[a-z0-9\"{}]{0,6},?){0,3}\\}") {
            let _ = (CustomerRecord::parse::<Value>(&json), CustomerRecord::parse_defaults::<Value>(&json));
        }
    }
}
