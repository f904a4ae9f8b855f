//! The resources of an account that bindings refer to.

use std::fmt;

use serde_json::Value;

use super::storage::Jurisdiction;

/// A resource of the account that scripts can be bound to. Scripts that are bound to the same resource share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// The kind of the resource.
    pub kind: ResourceKind,
    /// The name or id that bindings refer to.
    pub name: String,
    /// The scope of the name: the jurisdiction of a bucket, the store of a secret, or the script of a Durable Object
    /// class or a Workflow.
    pub within: Option<String>,
}

/// The kind of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "Cloudflare's terms")]
pub enum ResourceKind {
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
    /// Any other kind, whose existence is not checked. Contains its name in error messages.
    Other(&'static str),
}

impl fmt::Display for ResourceKind {
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
            (ResourceKind::DurableObjects | ResourceKind::Workflow, Some(script)) => {
                write!(formatter, "the {kind} {name} of the script {script}")
            }
            (ResourceKind::StoredSecret, Some(store)) => write!(formatter, "the {kind} {name} of the store {store}"),
            _ => write!(formatter, "the {kind} {name}"),
        }
    }
}

impl Resource {
    /// Creates a resource whose name has no scope.
    pub fn new(kind: ResourceKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), within: None }
    }

    /// Creates a bucket resource.
    #[must_use]
    pub fn bucket(name: &str, jurisdiction: Option<Jurisdiction>) -> Self {
        let within = jurisdiction.map(|jurisdiction| jurisdiction.name().to_owned());
        Self { within, ..Self::new(ResourceKind::Bucket, name) }
    }

    /// Returns the resource that a binding refers to. The binding has the API's format for uploads and settings
    /// (<https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/#bindings>). Returns `None`
    /// for bindings that refer to no resource of the account, such as variables and the script's own Durable Objects.
    #[must_use]
    pub fn named_by(binding: &Value) -> Option<Self> {
        let text = |member: &str| Some(binding[member].as_str()?.to_owned());
        let named = |kind, member| Some(Self::new(kind, text(member)?));
        match binding["type"].as_str()? {
            "agent_memory" => named(ResourceKind::Other("agent memory"), "namespace"),
            "ai_search" => named(ResourceKind::Other("AI Search instance"), "instance_name"),
            "ai_search_namespace" => named(ResourceKind::Other("AI Search namespace"), "namespace"),
            "analytics_engine" => named(ResourceKind::Dataset, "dataset"),
            "artifacts" => named(ResourceKind::Other("artifacts namespace"), "namespace"),
            "d1" => named(ResourceKind::Database, "id").or_else(|| named(ResourceKind::Database, "database_id")),
            "dispatch_namespace" => named(ResourceKind::DispatchNamespace, "namespace"),
            "durable_object_namespace" => match text("script_name") {
                Some(script) => {
                    let script = match text("dispatch_namespace") {
                        Some(namespace) => format!("{namespace}/{script}"),
                        None => script,
                    };
                    let class = named(ResourceKind::DurableObjects, "class_name")
                        .or_else(|| named(ResourceKind::DurableObjects, "namespace_id"))?;
                    Some(Self { within: Some(script), ..class })
                }
                // A binding to the script's own class has a class name. With only an id, the class may belong to any
                // script.
                None if binding["class_name"].is_string() => None,
                None => named(ResourceKind::DurableObjects, "namespace_id"),
            },
            "flagship" => named(ResourceKind::Other("Flagship app"), "app_id"),
            "hyperdrive" => named(ResourceKind::Hyperdrive, "id"),
            "k2" => named(ResourceKind::Other("K2 stream"), "stream"),
            "kv_namespace" => named(ResourceKind::KvNamespace, "namespace_id"),
            "messaging" => named(ResourceKind::Other("messaging namespace"), "namespace"),
            "mtls_certificate" => named(ResourceKind::Certificate, "certificate_id"),
            "pipelines" => {
                named(ResourceKind::Pipeline, "pipeline").or_else(|| named(ResourceKind::Pipeline, "stream"))
            }
            "queue" => named(ResourceKind::Queue, "queue_name"),
            "r2_bucket" => {
                // The API calls the absence of a jurisdiction "default".
                let within = text("jurisdiction").filter(|jurisdiction| jurisdiction != "default");
                Some(Self { within, ..named(ResourceKind::Bucket, "bucket_name")? })
            }
            "ratelimit" => named(ResourceKind::RateLimiter, "namespace_id"),
            "secrets_store_secret" => {
                Some(Self { within: text("store_id"), ..named(ResourceKind::StoredSecret, "secret_name")? })
            }
            "service" => named(ResourceKind::Worker, "service"),
            "vectorize" => named(ResourceKind::VectorizeIndex, "index_name"),
            "vpc_network" => {
                let network = ResourceKind::Other("VPC network");
                ["network_id", "tunnel_id", "identity"].into_iter().find_map(|member| named(network, member))
            }
            "vpc_service" => named(ResourceKind::Other("VPC service"), "service_id"),
            "workflow" => Some(Self { within: text("script_name"), ..named(ResourceKind::Workflow, "workflow_name")? }),
            _ => None,
        }
    }

    /// Whether the resource is a Durable Object class or Workflow of this script in this dispatch namespace.
    #[must_use]
    pub fn is_part_of(&self, namespace: &str, script: &str) -> bool {
        self.script().is_some_and(|owner| owner == script || owner == format!("{namespace}/{script}"))
    }

    /// The script that a Durable Object class or Workflow belongs to, as `script` or `namespace/script`.
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        match self.kind {
            ResourceKind::DurableObjects | ResourceKind::Workflow => self.within.as_deref(),
            _ => None,
        }
    }
}

/// Returns the resources that bindings refer to, with the names of the bindings.
pub fn resources(bindings: &[Value]) -> impl Iterator<Item = (String, Resource)> {
    bindings.iter().filter_map(|binding| {
        Some((binding["name"].as_str().unwrap_or_default().to_owned(), Resource::named_by(binding)?))
    })
}

impl Resource {
    /// Whether a script with these settings is bound to the resource.
    #[must_use]
    pub fn is_bound_in(&self, settings: &Value) -> bool {
        let bindings = settings["bindings"].as_array().into_iter().flatten();
        bindings.filter_map(Self::named_by).any(|bound| bound == *self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_of_bindings_in_settings_and_in_uploads() {
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
            assert_eq!(Resource::named_by(&binding).map(|found| found.to_string()).as_deref(), resource, "{binding}");
        }
        let default = json!({"type": "r2_bucket", "bucket_name": "b", "jurisdiction": "default"});
        assert_eq!(Resource::named_by(&default), Some(Resource::bucket("b", None)));
    }
}
