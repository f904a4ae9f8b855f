//! The bindings that a manifest can name.

use cloudflare_api::{Jurisdiction, Resource};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::customer::UserId;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Deserializer as TomlDeserializer};

use super::spanned_error::SpannedError;

/// A binding with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedBinding {
    /// The binding's name in the script.
    pub name: String,
    /// Whether the manifest marks the resource as shared with others.
    pub shared: bool,
    /// The binding.
    pub binding: Binding,
}

/// A binding, with the names that the API uses. A new type also needs an arm in [`Resource::named_by`], which the
/// ownership checks rely on
/// (<https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/#bindings>).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the API's names, documented there")]
pub enum Binding {
    Ai {},
    AnalyticsEngine {
        dataset: String,
    },
    Browser {},
    D1 {
        id: String,
    },
    DispatchNamespace {
        namespace: String,
    },
    DurableObjectNamespace {
        class_name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        script_name: Option<String>,
    },
    Hyperdrive {
        id: String,
    },
    Json {
        json: Value,
    },
    KvNamespace {
        namespace_id: String,
    },
    MtlsCertificate {
        certificate_id: String,
    },
    Pipelines {
        pipeline: String,
    },
    PlainText {
        text: String,
    },
    Queue {
        queue_name: String,
    },
    R2Bucket {
        bucket_name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        jurisdiction: Option<Jurisdiction>,
    },
    Ratelimit {
        #[serde(deserialize_with = "positive_integer")]
        namespace_id: String,
        simple: Rate,
    },
    SecretText {
        text: String,
    },
    SecretsStoreSecret {
        store_id: String,
        secret_name: String,
    },
    Service {
        service: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        environment: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        entrypoint: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        props: Option<Value>,
    },
    Vectorize {
        index_name: String,
    },
    VersionMetadata {},
    Workflow {
        workflow_name: String,
        class_name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        script_name: Option<String>,
    },
}

impl Binding {
    /// Whether the binding refers to no resource that another script could be bound to.
    fn is_unshareable(&self) -> bool {
        matches!(
            self,
            Self::Ai {}
                | Self::Browser {}
                | Self::Json { .. }
                | Self::PlainText { .. }
                | Self::SecretText { .. }
                | Self::VersionMetadata {}
        )
    }
}

/// The rate of a rate limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The number of calls that succeed in a period: at least 1.
    #[serde(deserialize_with = "limit")]
    pub limit: u32,
    /// The period in seconds: 10 or 60.
    #[serde(deserialize_with = "period")]
    pub period: u32,
}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("a limit must be at least 1")),
        limit => Ok(limit),
    }
}

fn period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        period @ (10 | 60) => Ok(period),
        other => Err(D::Error::custom(format_args!("a period must be 10 or 60 seconds, not {other}"))),
    }
}

/// Deserializes the `namespace_id` of a rate limiter
/// (<https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/#configuration>).
fn positive_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_rate_limiter(&text) {
        return Ok(text);
    }
    Err(D::Error::custom(format_args!("a namespace_id must be a positive integer in quotation marks, not {text:?}")))
}

/// Whether a string is a valid `namespace_id` of a rate limiter.
#[must_use]
pub fn is_rate_limiter(namespace_id: &str) -> bool {
    matches!(namespace_id.parse::<u32>(), Ok(1..)) && !namespace_id.starts_with(['0', '+'])
}

impl NamedBinding {
    /// Creates a binding that is not marked as shared.
    pub fn new(name: impl Into<String>, binding: Binding) -> Self {
        Self { name: name.into(), shared: false, binding }
    }

    /// The resource of the account that the binding refers to, if there is one.
    #[must_use]
    pub fn resource(&self) -> Option<Resource> {
        Resource::named_by(&self.to_json())
    }

    /// Parses a table of `[[bindings]]` in a customer's manifest.
    pub(super) fn parse(table: Spanned<DeValue<'_>>, id: &UserId) -> Result<Self, SpannedError> {
        let span = table.span();
        let DeValue::Table(mut members) = table.into_inner() else {
            return Err(SpannedError::new(span, "a binding must be a table"));
        };
        let mut take = |name: &str| members.remove(name);
        let name = take("name").ok_or_else(|| SpannedError::new(span.clone(), "a binding needs a `name`"))?;
        let name: String = member(name, "name")?;
        let in_binding = |error: SpannedError| error.prefixed(&format!("the binding {name}"));
        let shared = take("shared").map(|shared| Ok((shared.span(), member::<bool>(shared, "shared")?)));
        let shared = shared.transpose().map_err(in_binding)?;
        let kind = take("type").ok_or_else(|| in_binding(SpannedError::new(span.clone(), "it needs a `type`")))?;
        let kind_span = kind.span();
        let kind: String = member(kind, "type").map_err(in_binding)?;
        let mut members_and_values = members.iter();
        let is_empty = |value: &DeValue<'_>| value.as_str() == Some("");
        if let Some((member, value)) =
            members_and_values.find(|(member, value)| is_empty(value.get_ref()) && member.get_ref() != "text")
        {
            return Err(in_binding(SpannedError::new(value.span(), format!("`{}` is empty", member.get_ref()))));
        }
        if kind == "secret_text" {
            let message = format!(
                "a secret's text does not belong in a file: add {name} to `secrets`, and set its text in the environment"
            );
            return Err(SpannedError::new(kind_span, message));
        }
        if kind == "ratelimit" && !members.contains_key("namespace_id") {
            let derived = DeValue::String(derive_namespace_id(id, &name).into());
            members.insert(Spanned::new(span.clone(), "namespace_id".into()), Spanned::new(span.clone(), derived));
        }
        // A table is deserialized into an enum if its only key is a variant's name and the value has the variant's
        // members.
        let members = Spanned::new(span.clone(), DeValue::Table(members));
        let variant = Spanned::new(kind_span, DeString::from(kind.clone()));
        let variant: DeTable<'_> = [(variant, members)].into_iter().collect();
        let binding = Binding::deserialize(TomlDeserializer::from(Spanned::new(span.clone(), variant)))
            .map_err(|error| in_binding(SpannedError::from_toml(&error, span)))?;
        match shared {
            Some((span, _)) if binding.is_unshareable() => {
                let message = format!("`shared` is for resources that several scripts can be bound to, not for {kind}");
                Err(in_binding(SpannedError::new(span, message)))
            }
            shared => Ok(Self { name, shared: shared.is_some_and(|(_, shared)| shared), binding }),
        }
    }

    /// Returns the binding in the API's format.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = json!({ "name": self.name });
        let binding = serde_json::to_value(&self.binding).expect("a binding can be serialized");
        for (kind, members) in binding.as_object().into_iter().flatten() {
            json["type"] = kind.as_str().into();
            for (name, value) in members.as_object().into_iter().flatten() {
                json[name] = value.clone();
            }
        }
        json
    }
}

impl Serialize for NamedBinding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

fn member<'de, T: Deserialize<'de>>(value: Spanned<DeValue<'de>>, name: &str) -> Result<T, SpannedError> {
    let span = value.span();
    T::deserialize(toml::de::ValueDeserializer::from(value))
        .map_err(|error| SpannedError::from_toml(&error, span).prefixed(&format!("`{name}`")))
}

/// Derives the `namespace_id` of a rate limiter whose manifest has none. It is always the same for a customer and a
/// binding's name. It has ten digits, so that it is unlikely to equal an id that somebody chose.
fn derive_namespace_id(id: &UserId, name: &str) -> String {
    const FIRST: u32 = 1_000_000_000;
    let digest = Sha256::digest(format!("{id}\0{name}"));
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    (FIRST + number % (i32::MAX as u32 - FIRST)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_namespace_id_is_stable_and_differs_between_customers_and_names() {
        let id = |id: &str| id.parse::<UserId>().expect("an id");
        let derived = derive_namespace_id(&id("user1"), "LIMITER");
        assert_eq!(derived, derive_namespace_id(&id("user1"), "LIMITER"));
        assert_eq!(derived.len(), 10);
        for (user, name) in [("user2", "LIMITER"), ("user1", "OTHER"), ("user", "1LIMITER")] {
            assert_ne!(derive_namespace_id(&id(user), name), derived, "{user} {name}");
        }
    }
}
