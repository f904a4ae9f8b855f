//! Customers' records, which the dispatcher reads.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::json::{Json, JsonObject, Malformed};

/// A customer's record. The KV namespace `CUSTOMERS` stores it under the user id. Omitted members take their values
/// from the variable `DEFAULT_CUSTOMER`, which has the same members except `script`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CustomerRecord {
    /// The full name of the customer's script in the dispatch namespace. If absent, the name is derived from the user
    /// id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The plan, which determines the rate limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Whether all the customer's requests are rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// The limits of one request.
    pub limits: Limits,
}

/// The limits of one request to a customer's Worker. Where a limit is absent, Cloudflare's own applies
/// (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/configuration/custom-limits/>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// The CPU time, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<NonZeroU32>,
    /// The number of requests and storage operations that the Worker may start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_requests: Option<NonZeroU32>,
}

impl CustomerRecord {
    /// Parses a record. Unknown members are an error: a misspelt `suspended` must not give a suspended customer access.
    pub fn parse<J: Json>(json: &str) -> Result<Self, Malformed> {
        Self::parse_members::<J>(json, &["script", "plan", "suspended", "limits"])
    }

    /// Parses the defaults for all customers. They must not name a script: all customers would then share one
    /// customer's data.
    pub fn parse_defaults<J: Json>(json: &str) -> Result<Self, Malformed> {
        Self::parse_members::<J>(json, &["plan", "suspended", "limits"])
    }

    fn parse_members<J: Json>(json: &str, allowed: &[&str]) -> Result<Self, Malformed> {
        let record = J::parse(json).and_then(|record| JsonObject::with_only(record, allowed)).ok_or(Malformed)?;
        Ok(Self {
            script: record.optional("script", J::string)?,
            plan: record.optional("plan", |plan| Plan::try_from(plan.string()?).ok())?,
            suspended: record.optional("suspended", J::boolean)?,
            limits: record.optional("limits", Limits::from_json)?.unwrap_or_default(),
        })
    }

    /// Returns the record, with omitted members filled in from `defaults`.
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
        let limits = JsonObject::with_only(json.clone(), &["cpuMs", "subRequests"])?;
        Some(Self {
            cpu_ms: limits.optional("cpuMs", positive_integer).ok()?,
            sub_requests: limits.optional("subRequests", positive_integer).ok()?,
        })
    }
}

fn positive_integer<J: Json>(json: &J) -> Option<NonZeroU32> {
    let number = json.number()?;
    if number.fract() != 0.0 || !(1.0..=f64::from(u32::MAX)).contains(&number) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is whole and in the range of u32"
    )]
    NonZeroU32::new(number as u32)
}

/// A plan's name: 1 to 32 characters from `a-z`, `0-9` and `-`, starting with a letter. The names of the plan's
/// bindings and variables contain it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct Plan(Cow<'static, str>);

impl Plan {
    /// The maximum length of a name, in characters.
    pub const MAX_LEN: usize = 32;

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the suffix of the names of the plan's bindings and variables, for example `PRO_2` for `pro-2`.
    #[must_use]
    pub fn binding_suffix(&self) -> String {
        self.0.to_ascii_uppercase().replace('-', "_")
    }
}

/// The plan `default`, for customers whose record and defaults name no plan.
impl Default for Plan {
    fn default() -> Self {
        Self(Cow::Borrowed("default"))
    }
}

impl TryFrom<String> for Plan {
    type Error = InvalidPlan;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let well_formed = name.len() <= Self::MAX_LEN
            && name.bytes().all(inner)
            && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
        if well_formed { Ok(Self(Cow::Owned(name))) } else { Err(InvalidPlan) }
    }
}

/// The error for a text that is not a valid [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPlan;

impl fmt::Display for InvalidPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a plan is 1 to 32 of a-z, 0-9 and -, starting with a letter")
    }
}

impl std::error::Error for InvalidPlan {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn omitted_members_have_their_default_values() {
        let defaults = CustomerRecord::parse::<Value>(r#"{"plan":"free","limits":{"cpuMs":10,"subRequests":5}}"#)
            .expect("a record");
        assert_eq!(CustomerRecord::parse::<Value>("{}").expect("a record").or(defaults.clone()), defaults);
        let record = r#"{"script":"s","plan":"pro-2","suspended":true,"limits":{"cpuMs":50}}"#;
        let record = CustomerRecord::parse::<Value>(record).expect("a record").or(defaults);
        assert_eq!(
            serde_json::to_string(&record).expect("JSON"),
            r#"{"script":"s","plan":"pro-2","suspended":true,"limits":{"cpuMs":50,"subRequests":5}}"#
        );
        assert_eq!(record.plan.expect("a plan").binding_suffix(), "PRO_2");
        assert_eq!(Plan::default(), Plan::try_from("default".to_owned()).expect("well-formed"));
    }

    #[test]
    fn defaults_may_suspend_customers_but_not_name_a_script() {
        assert!(CustomerRecord::parse_defaults::<Value>(r#"{"script":"user2"}"#).is_err());
        let defaults = CustomerRecord::parse_defaults::<Value>(r#"{"suspended":true}"#).expect("defaults");
        assert_eq!(CustomerRecord::default().or(defaults.clone()).suspended, Some(true));
        let resumed = CustomerRecord::parse::<Value>(r#"{"suspended":false}"#).expect("a record");
        assert_eq!(resumed.or(defaults).suspended, Some(false));
    }

    #[test]
    fn malformed_records_are_rejected() {
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
        fn a_serialized_record_is_parsed_to_the_same(
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
            // Defaults do not override the record.
            let defaults = CustomerRecord { suspended: Some(false), ..CustomerRecord::default() };
            prop_assert_eq!(record.or(defaults).suspended, Some(suspended.unwrap_or(false)));
        }

        /// Whatever an unknown member's value is, the record is rejected: the member might be a misspelt `suspended`.
        #[test]
        fn unknown_members_are_rejected(name in "[a-z]{1,12}", value in "null|true|1|\"x\"|\\{\\}") {
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
