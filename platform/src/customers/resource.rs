//! What bindings name: things of the account that every script reaches which is bound to them.

use std::fmt;

use serde_json::Value;

use crate::cloudflare::Jurisdiction;
use crate::manifest::Bound;

/// Something of the account that a script is bound to. Scripts that are bound to the same one share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    pub kind: Kind,
    /// Its name or id: what a binding names it by.
    pub name: String,
    /// What the name belongs to: a bucket's jurisdiction, a secret's store, the script of Durable Objects.
    pub within: Option<String>,
}

/// A kind of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Bucket,
    Certificate,
    Database,
    Dataset,
    DispatchNamespace,
    DurableObjects,
    Hyperdrive,
    KvNamespace,
    Pipeline,
    Queue,
    RateLimiter,
    StoredSecret,
    VectorizeIndex,
    Worker,
    Workflow,
    /// What nothing is asked about, in words.
    Other(&'static str),
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bucket => "bucket",
            Self::Certificate => "client certificate",
            Self::Database => "database",
            Self::Dataset => "dataset",
            Self::DispatchNamespace => "dispatch namespace",
            Self::DurableObjects => "Durable Object class",
            Self::Hyperdrive => "Hyperdrive configuration",
            Self::KvNamespace => "KV namespace",
            Self::Pipeline => "pipeline",
            Self::Queue => "queue",
            Self::RateLimiter => "rate limiter namespace",
            Self::StoredSecret => "secret",
            Self::VectorizeIndex => "Vectorize index",
            Self::Worker => "Worker",
            Self::Workflow => "Workflow",
            Self::Other(words) => words,
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, within } = self;
        match (kind, within) {
            (Kind::DurableObjects | Kind::Workflow, Some(script)) => {
                write!(formatter, "the {kind} {name} of the script {script}")
            }
            (Kind::StoredSecret, Some(store)) => write!(formatter, "the {kind} {name} of the store {store}"),
            _ => write!(formatter, "the {kind} {name}"),
        }
    }
}

impl Resource {
    /// A resource with a name of its own.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), within: None }
    }

    /// A bucket.
    pub fn bucket(name: &str, jurisdiction: Option<Jurisdiction>) -> Self {
        let within = jurisdiction.map(|jurisdiction| jurisdiction.name().to_owned());
        Self { within, ..Self::new(Kind::Bucket, name) }
    }

    /// What a binding names, as the API tells bindings or takes them
    /// (<https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/#bindings>). Bindings that name
    /// nothing of the account, such as variables or a script's own Durable Objects, have none.
    pub fn of(binding: &Value) -> Option<Self> {
        let text = |member: &str| Some(binding[member].as_str()?.to_owned());
        let named = |kind, member| Some(Self::new(kind, text(member)?));
        match binding["type"].as_str()? {
            "agent_memory" => named(Kind::Other("agent memory"), "namespace"),
            "ai_search" => named(Kind::Other("AI Search instance"), "instance_name"),
            "ai_search_namespace" => named(Kind::Other("AI Search namespace"), "namespace"),
            "analytics_engine" => named(Kind::Dataset, "dataset"),
            "artifacts" => named(Kind::Other("artifacts namespace"), "namespace"),
            "d1" => named(Kind::Database, "id").or_else(|| named(Kind::Database, "database_id")),
            "dispatch_namespace" => named(Kind::DispatchNamespace, "namespace"),
            "durable_object_namespace" => match text("script_name") {
                Some(script) => {
                    let script = match text("dispatch_namespace") {
                        Some(namespace) => format!("{namespace}/{script}"),
                        None => script,
                    };
                    let class = named(Kind::DurableObjects, "class_name")
                        .or_else(|| named(Kind::DurableObjects, "namespace_id"))?;
                    Some(Self { within: Some(script), ..class })
                }
                // A script's own class has a name; by an id alone it is somebody's.
                None if binding["class_name"].is_string() => None,
                None => named(Kind::DurableObjects, "namespace_id"),
            },
            "flagship" => named(Kind::Other("Flagship app"), "app_id"),
            "hyperdrive" => named(Kind::Hyperdrive, "id"),
            "k2" => named(Kind::Other("K2 stream"), "stream"),
            "kv_namespace" => named(Kind::KvNamespace, "namespace_id"),
            "messaging" => named(Kind::Other("messaging namespace"), "namespace"),
            "mtls_certificate" => named(Kind::Certificate, "certificate_id"),
            "pipelines" => named(Kind::Pipeline, "pipeline").or_else(|| named(Kind::Pipeline, "stream")),
            "queue" => named(Kind::Queue, "queue_name"),
            "r2_bucket" => {
                // The API's name for none in particular.
                let within = text("jurisdiction").filter(|jurisdiction| jurisdiction != "default");
                Some(Self { within, ..named(Kind::Bucket, "bucket_name")? })
            }
            "ratelimit" => named(Kind::RateLimiter, "namespace_id"),
            "secrets_store_secret" => {
                Some(Self { within: text("store_id"), ..named(Kind::StoredSecret, "secret_name")? })
            }
            "service" => named(Kind::Worker, "service"),
            "vectorize" => named(Kind::VectorizeIndex, "index_name"),
            "vpc_network" => {
                let network = Kind::Other("VPC network");
                ["network_id", "tunnel_id", "identity"].into_iter().find_map(|member| named(network, member))
            }
            "vpc_service" => named(Kind::Other("VPC service"), "service_id"),
            "workflow" => Some(Self { within: text("script_name"), ..named(Kind::Workflow, "workflow_name")? }),
            _ => None,
        }
    }

    /// What a binding of a manifest names.
    pub fn of_bound(bound: &Bound) -> Option<Self> {
        Self::of(&bound.to_json())
    }

    /// Whether it belongs to a script of a dispatch namespace, as its Durable Objects do.
    pub fn is_part_of(&self, namespace: &str, script: &str) -> bool {
        self.script().is_some_and(|owner| owner == script || owner == format!("{namespace}/{script}"))
    }

    /// The script that it belongs to, with its dispatch namespace if a binding says it.
    pub fn script(&self) -> Option<&str> {
        match self.kind {
            Kind::DurableObjects | Kind::Workflow => self.within.as_deref(),
            _ => None,
        }
    }
}

/// The resources of bindings, with the bindings' names.
pub fn named(bindings: &[Value]) -> impl Iterator<Item = (String, Resource)> {
    bindings
        .iter()
        .filter_map(|binding| Some((binding["name"].as_str().unwrap_or_default().to_owned(), Resource::of(binding)?)))
}

/// Whether a script with these settings is bound to it, by any name.
pub fn is_bound(settings: &Value, resource: &Resource) -> bool {
    let bindings = settings["bindings"].as_array().into_iter().flatten();
    bindings.filter_map(Resource::of).any(|there| there == *resource)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_binding_names_a_resource_as_the_api_tells_it_and_as_it_is_uploaded() {
        for (binding, resource) in [
            (json!({"type": "d1", "id": "x"}), Some("the database x")),
            (json!({"type": "d1", "database_id": "x"}), Some("the database x")),
            (json!({"type": "r2_bucket", "bucket_name": "b", "jurisdiction": "default"}), Some("the bucket b")),
            (json!({"type": "durable_object_namespace", "class_name": "Room", "namespace_id": "7"}), None),
            (json!({"type": "durable_object_namespace", "namespace_id": "7"}), Some("the Durable Object class 7")),
            (
                json!({"type": "durable_object_namespace", "class_name": "Room", "script_name": "s", "dispatch_namespace": "n"}),
                Some("the Durable Object class Room of the script n/s"),
            ),
            (
                json!({"type": "workflow", "workflow_name": "w", "class_name": "W", "script_name": "s"}),
                Some("the Workflow w of the script s"),
            ),
            (
                json!({"type": "durable_object_namespace", "class_name": "Room", "script_name": "s"}),
                Some("the Durable Object class Room of the script s"),
            ),
            (
                json!({"type": "secrets_store_secret", "store_id": "s", "secret_name": "n"}),
                Some("the secret n of the store s"),
            ),
            (json!({"type": "pipelines", "stream": "s"}), Some("the pipeline s")),
            (json!({"type": "plain_text", "text": "t"}), None),
            (json!({"type": "ai"}), None),
        ] {
            assert_eq!(Resource::of(&binding).map(|found| found.to_string()).as_deref(), resource, "{binding}");
        }
        let default = json!({"type": "r2_bucket", "bucket_name": "b", "jurisdiction": "default"});
        assert_eq!(Resource::of(&default), Some(Resource::bucket("b", None)));
    }
}
