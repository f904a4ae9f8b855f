//! The types of bindings that Cloudflare's API accepts, the members that each type requires, and whether it works
//! locally. The types are those of the API's
//! [reference](https://developers.cloudflare.com/api/resources/workers_for_platforms/) and further ones that wrangler
//! uploads.

use serde_json::{Map, Value};

/// A binding in an upload's metadata: a name, a type, and members that depend on the type.
pub type Binding = Map<String, Value>;

/// A type of bindings.
#[derive(Debug)]
pub struct BindingType {
    /// The type's name in the API.
    pub name: &'static str,
    /// The required members. A binding must have one member of each group.
    needs: &'static [&'static [&'static str]],
    /// Whether the type works locally.
    locally: Locally,
}

/// Whether a type of bindings works locally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Locally {
    /// The local runtime supports it.
    Works,
    /// The local runtime does not support it, for this reason.
    Missing(&'static str),
}

use Locally::{Missing, Works};

const ON_CLOUDFLARE_ALONE: &str = "the service runs on Cloudflare's network alone";
const NOT_EMULATED: &str = "the local runtime does not emulate the service";
const OLD_FORMAT: &str = "a module is imported instead";

const fn kind(name: &'static str, needs: &'static [&'static [&'static str]], locally: Locally) -> BindingType {
    BindingType { name, needs, locally }
}

/// All types except `inherit`, which stands for a binding that the script already has.
const TYPES: &[BindingType] = &[
    kind("agent_memory", &[&["namespace"]], Missing(ON_CLOUDFLARE_ALONE)),
    kind("ai", &[], Missing(ON_CLOUDFLARE_ALONE)),
    kind("ai_search", &[&["instance_name"]], Missing(ON_CLOUDFLARE_ALONE)),
    kind("ai_search_namespace", &[&["namespace"]], Missing(ON_CLOUDFLARE_ALONE)),
    kind("analytics", &[], Missing(ON_CLOUDFLARE_ALONE)),
    kind("analytics_engine", &[&["dataset"]], Works),
    kind("artifacts", &[&["namespace"]], Missing(ON_CLOUDFLARE_ALONE)),
    kind("assets", &[], Missing("the local platform serves no static assets")),
    kind("browser", &[], Missing(NOT_EMULATED)),
    kind("browser_rendering", &[], Missing(NOT_EMULATED)),
    kind("d1", &[&["id", "database_id"]], Works),
    kind("data_blob", &[&["part"]], Missing(OLD_FORMAT)),
    kind("dispatch_namespace", &[&["namespace"]], Missing("only the dispatcher has its namespace")),
    kind("durable_object_namespace", &[&["class_name", "namespace_id"]], Works),
    kind("flagship", &[&["app_id"]], Missing(ON_CLOUDFLARE_ALONE)),
    kind("hyperdrive", &[&["id"]], Missing(NOT_EMULATED)),
    kind("images", &[], Missing(NOT_EMULATED)),
    kind("json", &[&["json"]], Works),
    kind("k2", &[&["stream"]], Missing(ON_CLOUDFLARE_ALONE)),
    kind("kv_namespace", &[&["namespace_id"]], Works),
    kind("logfwdr", &[&["destination"]], Missing(ON_CLOUDFLARE_ALONE)),
    kind("media", &[], Missing(ON_CLOUDFLARE_ALONE)),
    kind("messaging", &[&["namespace"]], Missing(ON_CLOUDFLARE_ALONE)),
    kind("mtls_certificate", &[&["certificate_id"]], Missing("no certificates are kept here")),
    kind("pipelines", &[&["pipeline", "stream"]], Missing(NOT_EMULATED)),
    kind("plain_text", &[&["text"]], Works),
    kind("queue", &[&["queue_name"]], Works),
    kind("r2_bucket", &[&["bucket_name"]], Works),
    kind("ratelimit", &[&["namespace_id"], &["simple"]], Works),
    kind("secret_key", &[&["algorithm"], &["format"], &["usages"]], Missing(NOT_EMULATED)),
    kind("secret_text", &[&["text"]], Works),
    kind("secrets_store_secret", &[&["store_id"], &["secret_name"]], Missing("no secrets store is kept here")),
    kind("send_email", &[], Missing(NOT_EMULATED)),
    kind("service", &[&["service"]], Missing("no other Workers of the account run here")),
    kind("stream", &[], Missing(ON_CLOUDFLARE_ALONE)),
    kind("text_blob", &[&["part"]], Missing(OLD_FORMAT)),
    kind("unsafe_hello_world", &[], Missing(NOT_EMULATED)),
    kind("vectorize", &[&["index_name"]], Missing(ON_CLOUDFLARE_ALONE)),
    kind("version_metadata", &[], Works),
    kind("vpc_network", &[&["tunnel_id", "network_id", "identity"]], Missing(ON_CLOUDFLARE_ALONE)),
    kind("vpc_service", &[&["service_id"]], Missing(ON_CLOUDFLARE_ALONE)),
    kind("wasm_module", &[&["part"]], Missing(OLD_FORMAT)),
    kind("worker_loader", &[], Missing(NOT_EMULATED)),
    kind("workflow", &[&["workflow_name"]], Missing(NOT_EMULATED)),
];

/// The members that are not strings.
const NOT_TEXTS: [&str; 4] = ["algorithm", "json", "simple", "usages"];

/// Returns a binding's member, or an empty string if it is missing or not a string.
pub fn member<'b>(binding: &'b Binding, name: &str) -> &'b str {
    binding.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a binding has a type.
pub fn has_type(binding: &Binding, kind: &str) -> bool {
    member(binding, "type") == kind
}

/// Returns a binding's name.
pub fn binding_name(binding: &Binding) -> &str {
    member(binding, "name")
}

/// Returns why a binding is invalid: its type is unknown, or a required member is missing.
pub fn fault(binding: &Binding) -> Option<String> {
    let (name, kind) = (binding_name(binding), member(binding, "type"));
    let Some(known) = TYPES.iter().find(|known| known.name == kind) else {
        return Some(format!("binding {name} of type {kind} is invalid: there is no such type of bindings"));
    };
    let has = |member: &&str| match binding.get(*member) {
        None => false,
        // The text of a variable may be empty. The `json` of a variable may be any JSON.
        Some(Value::String(text)) => !text.is_empty() || *member == "text",
        Some(value) => *member == "json" || (NOT_TEXTS.contains(member) && !value.is_null()),
    };
    let lacking = known.needs.iter().find(|group| !group.iter().any(has))?;
    Some(format!("binding {name} of type {kind} must have a {} specified", lacking.join(" or ")))
}

/// Returns why a binding does not work locally, or `None` if it works.
fn missing(binding: &Binding) -> Option<String> {
    let kind = member(binding, "type");
    // A class of another script could belong to another customer.
    if kind == "durable_object_namespace"
        && (binding.contains_key("script_name") || !binding.contains_key("class_name"))
    {
        return Some("it is a class of another script's".to_owned());
    }
    match TYPES.iter().find(|known| known.name == kind).map(|known| known.locally) {
        Some(Works) => None,
        Some(Missing(why)) if kind == "service" => Some(format!("{why}, such as {}", member(binding, "service"))),
        Some(Missing(why)) => Some(format!("nothing here stands in for bindings of the type {kind}: {why}")),
        None => Some(format!("nothing here stands in for bindings of the type {kind}")),
    }
}

/// Whether a binding works locally.
pub fn works(binding: &Binding) -> bool {
    missing(binding).is_none()
}

/// Describes the bindings that do not work locally: one sentence each, with the reason.
pub fn unsupported_bindings<'b>(bindings: impl IntoIterator<Item = &'b Binding>) -> Vec<String> {
    let unsupported = bindings.into_iter().filter_map(|binding| {
        Some(format!("env.{} is not there locally: {}", binding_name(binding), missing(binding)?))
    });
    unsupported.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn binding(json: &Value) -> Binding {
        json.as_object().expect("an object").clone()
    }

    /// Returns a binding that has all members that its type requires. `at` selects the member of each group; groups
    /// that are shorter use their last one.
    fn complete(known: &BindingType, at: usize) -> Binding {
        let mut binding = binding(&json!({"name": "B", "type": known.name}));
        for group in known.needs {
            let member = group.get(at).or(group.last()).expect("a group has members");
            let value = if NOT_TEXTS.contains(member) { json!({"a": 1}) } else { json!("x") };
            binding.insert((*member).to_owned(), value);
        }
        binding
    }

    #[test]
    fn each_type_needs_its_members_and_no_others() {
        for known in TYPES {
            for at in 0..3 {
                let binding = complete(known, at);
                assert_eq!(fault(&binding), None, "{binding:?}");
                for group in known.needs {
                    for useless in [None, Some(Value::Null), Some(json!("")), Some(json!(7))] {
                        let mut lacking = binding.clone();
                        lacking.retain(|member, _| !group.contains(&&**member));
                        let may_be_anything = useless.is_some() && NOT_TEXTS.contains(&group[0]);
                        let may_be_empty = useless == Some(json!("")) && group[0] == "text";
                        lacking.extend(useless.map(|value| (group[0].to_owned(), value)));
                        if !may_be_anything && !may_be_empty {
                            let said = fault(&lacking).unwrap_or_else(|| panic!("{lacking:?} is taken"));
                            assert!(said.contains(known.name) && said.contains(group[0]), "{said}");
                        }
                    }
                }
            }
        }
        for unknown in ["banana", "", "KV_NAMESPACE", "kv_namespaces", "inherit"] {
            let said = fault(&binding(&json!({"name": "B", "type": unknown}))).expect("no such type");
            assert!(said.contains("there is no such type"), "{said}");
        }
    }

    #[test]
    fn unsupported_bindings_come_with_the_reason() {
        for known in TYPES {
            let binding = complete(known, 0);
            let said = unsupported_bindings([&binding]);
            assert_eq!(works(&binding), said.is_empty(), "{}", known.name);
            assert!(said.iter().all(|said| said.starts_with("env.B is not there locally: ")), "{said:?}");
        }
        for (json, reason) in [
            (json!({"name": "A", "type": "ai"}), "type ai"),
            (json!({"name": "A", "type": "service", "service": "other"}), "such as other"),
            (
                json!({"name": "A", "type": "durable_object_namespace", "class_name": "C", "script_name": "s"}),
                "another",
            ),
            (json!({"name": "A", "type": "durable_object_namespace", "namespace_id": "1"}), "another"),
            (json!({"name": "A", "type": "of a next year"}), "type of a next year"),
        ] {
            let said = unsupported_bindings([&binding(&json)]);
            assert!(said[0].contains(reason), "{said:?}");
        }
    }
}
