//! Converts bindings from the API's format to the format of wrangler's configuration
//! (<https://developers.cloudflare.com/workers/wrangler/configuration/#bindings>).

use serde_json::Value as Json;
use toml::{Table, Value};

/// Why a binding cannot be written into a wrangler file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The text of a secret does not belong in a file, and the API does not return it.
    #[error("{0} is a secret: its text does not belong in a file")]
    Secret(String),
    /// Wrangler files have no bindings of this type, or this module does not know their format.
    #[error("{name} is a binding of the type {kind:?}, which wrangler files do not support")]
    UnknownType {
        /// The binding's name.
        name: String,
        /// The binding's type.
        kind: String,
    },
    /// A wrangler file can have only one binding of this type, and it already has one.
    #[error("{name} is a second binding of the type {kind:?}: a wrangler file can have only one")]
    SecondOfType {
        /// The binding's name.
        name: String,
        /// The binding's type.
        kind: String,
    },
    /// A member that the API requires is missing.
    #[error("the binding {name} has no {member:?}")]
    MissingMember {
        /// The binding's name.
        name: String,
        /// The missing member.
        member: &'static str,
    },
    /// The binding's values cannot be written in TOML, which has no null and no integers of more than 64 bits, or the
    /// name is already used for something else in the file.
    #[error("the binding {0} cannot be written in TOML")]
    NotToml(String),
}

/// A member's name in the API and its name in a wrangler file.
type MemberNames = (&'static str, &'static str);

/// How a wrangler file describes bindings of a type.
struct BindingFormat {
    kind: &'static str,
    location: TableLocation,
    required: &'static [MemberNames],
    optional: &'static [MemberNames],
}

enum TableLocation {
    /// A single table of this name.
    Single(&'static str),
    /// An array of tables.
    Array {
        path: &'static [&'static str],
        /// The key that holds the binding's name.
        name_key: &'static str,
    },
}

const fn single(kind: &'static str, table: &'static str) -> BindingFormat {
    BindingFormat { kind, location: TableLocation::Single(table), required: &[], optional: &[] }
}

const fn array(kind: &'static str, path: &'static [&'static str], required: &'static [MemberNames]) -> BindingFormat {
    BindingFormat { kind, location: TableLocation::Array { path, name_key: "binding" }, required, optional: &[] }
}

impl BindingFormat {
    const fn optional(self, optional: &'static [MemberNames]) -> Self {
        Self { optional, ..self }
    }

    /// Sets the key of the binding's name to `name`. Most arrays use `binding`.
    const fn with_name_key(self) -> Self {
        match self.location {
            TableLocation::Array { path, .. } => {
                Self { location: TableLocation::Array { path, name_key: "name" }, ..self }
            }
            TableLocation::Single(_) => self,
        }
    }
}

/// The formats of bindings, by their types in the API. [`add_binding`] handles variables, secrets and D1 itself.
const BINDING_FORMATS: &[BindingFormat] = &[
    single("ai", "ai"),
    single("browser", "browser"),
    single("browser_rendering", "browser"),
    single("images", "images"),
    single("media", "media"),
    single("stream", "stream"),
    single("version_metadata", "version_metadata"),
    array("analytics_engine", &["analytics_engine_datasets"], &[("dataset", "dataset")]),
    array("dispatch_namespace", &["dispatch_namespaces"], &[("namespace", "namespace")]),
    array("durable_object_namespace", &["durable_objects", "bindings"], &[("class_name", "class_name")])
        .with_name_key()
        .optional(&[("script_name", "script_name"), ("environment", "environment")]),
    array("hyperdrive", &["hyperdrive"], &[("id", "id")]),
    array("kv_namespace", &["kv_namespaces"], &[("namespace_id", "id")]),
    array("mtls_certificate", &["mtls_certificates"], &[("certificate_id", "certificate_id")]),
    array("pipelines", &["pipelines"], &[]).optional(&[("stream", "stream"), ("pipeline", "pipeline")]),
    array("queue", &["queues", "producers"], &[("queue_name", "queue")]),
    array("r2_bucket", &["r2_buckets"], &[("bucket_name", "bucket_name")])
        .optional(&[("jurisdiction", "jurisdiction")]),
    array("ratelimit", &["ratelimits"], &[("namespace_id", "namespace_id"), ("simple", "simple")]).with_name_key(),
    array(
        "secrets_store_secret",
        &["secrets_store_secrets"],
        &[("store_id", "store_id"), ("secret_name", "secret_name")],
    ),
    array("send_email", &["send_email"], &[]).with_name_key().optional(&[
        ("destination_address", "destination_address"),
        ("allowed_destination_addresses", "allowed_destination_addresses"),
        ("allowed_sender_addresses", "allowed_sender_addresses"),
    ]),
    array("service", &["services"], &[("service", "service")]).optional(&[
        ("environment", "environment"),
        ("entrypoint", "entrypoint"),
        ("props", "props"),
    ]),
    array("vectorize", &["vectorize"], &[("index_name", "index_name")]),
    array("worker_loader", &["worker_loaders"], &[]),
    array("workflow", &["workflows"], &[("workflow_name", "name"), ("class_name", "class_name")])
        .optional(&[("script_name", "script_name")]),
];

/// Adds a binding to a wrangler configuration. The binding has the API's format for uploads and settings. Unknown
/// members are ignored. If this returns an error, the configuration is unchanged.
pub fn add_binding(config: &mut Table, binding: &Json) -> Result<(), Unsupported> {
    let text = |member| binding.get(member).and_then(Json::as_str).map(ToOwned::to_owned);
    let name = text("name").ok_or_else(|| Unsupported::MissingMember { name: String::new(), member: "name" })?;
    let kind = text("type").ok_or_else(|| Unsupported::MissingMember { name: name.clone(), member: "type" })?;
    let value = |member| {
        let value = binding.get(member).filter(|value| !value.is_null());
        let value = value.ok_or_else(|| Unsupported::MissingMember { name: name.clone(), member })?;
        toml_value(value).ok_or_else(|| Unsupported::NotToml(name.clone()))
    };
    let mut entry = Table::new();
    match &*kind {
        "secret_text" | "secret_key" => return Err(Unsupported::Secret(name)),
        "plain_text" => {
            return insert(config, &["vars"], name.clone(), value("text")?).ok_or(Unsupported::NotToml(name));
        }
        "json" => return insert(config, &["vars"], name.clone(), value("json")?).ok_or(Unsupported::NotToml(name)),
        // The API has both names for the id.
        "d1" => {
            let id = if binding.get("id").is_some() { "id" } else { "database_id" };
            entry.insert("database_id".to_owned(), value(id)?);
            if binding.get("database_name").is_some() {
                entry.insert("database_name".to_owned(), value("database_name")?);
            }
            return push(config, &["d1_databases"], "binding", name, entry);
        }
        _ => {}
    }
    let Some(format) = BINDING_FORMATS.iter().find(|format| format.kind == kind) else {
        return Err(Unsupported::UnknownType { name, kind });
    };
    for (api_name, file_name) in format.required {
        entry.insert((*file_name).to_owned(), value(api_name)?);
    }
    for (api_name, file_name) in format.optional {
        if binding.get(api_name).is_some_and(|value| !value.is_null()) {
            entry.insert((*file_name).to_owned(), value(api_name)?);
        }
    }
    if kind == "dispatch_namespace"
        && let Some(outbound) = binding.get("outbound").filter(|outbound| !outbound.is_null())
    {
        entry.insert("outbound".to_owned(), outbound_table(outbound).ok_or(Unsupported::NotToml(name.clone()))?);
    }
    match format.location {
        TableLocation::Array { path, name_key } => push(config, path, name_key, name, entry),
        TableLocation::Single(table) => {
            let existing = config.get(table).and_then(|table| table.get("binding")).and_then(Value::as_str);
            if existing.is_some_and(|existing| existing != name) {
                return Err(Unsupported::SecondOfType { name, kind });
            }
            insert(config, &[table], "binding".to_owned(), Value::String(name.clone()))
                .ok_or(Unsupported::NotToml(name))
        }
    }
}

/// Converts the outbound Worker of a dispatch namespace to the file's format.
fn outbound_table(outbound: &Json) -> Option<Value> {
    let worker = &outbound["worker"];
    let mut table = Table::from_iter([("service".to_owned(), toml_value(worker.get("service")?)?)]);
    if let Some(environment) = worker.get("environment").filter(|environment| !environment.is_null()) {
        table.insert("environment".to_owned(), toml_value(environment)?);
    }
    if let Some(parameters) = outbound["params"].as_array() {
        let names = parameters.iter().map(|parameter| toml_value(parameter.get("name")?));
        table.insert("parameters".to_owned(), Value::Array(names.collect::<Option<_>>()?));
    }
    Some(Value::Table(table))
}

/// Adds a table to the array of tables at this path.
fn push(config: &mut Table, path: &[&str], name_key: &str, name: String, mut entry: Table) -> Result<(), Unsupported> {
    entry.insert(name_key.to_owned(), Value::String(name.clone()));
    let (list, path) = path.split_last().expect("a path is not empty");
    let list = table_at(config, path).map(|table| table.entry(*list).or_insert_with(|| Value::Array(Vec::new())));
    match list {
        Some(Value::Array(list)) => list.push(Value::Table(entry)),
        _ => return Err(Unsupported::NotToml(name)),
    }
    Ok(())
}

fn insert(config: &mut Table, path: &[&str], key: String, value: Value) -> Option<()> {
    table_at(config, path)?.insert(key, value);
    Some(())
}

/// Returns the table at this path and creates it if necessary. Returns `None` if a value there is not a table.
fn table_at<'t>(config: &'t mut Table, path: &[&str]) -> Option<&'t mut Table> {
    path.iter()
        .try_fold(config, |table, name| table.entry(*name).or_insert_with(|| Value::Table(Table::new())).as_table_mut())
}

/// Converts JSON to TOML. Returns `None` if TOML cannot represent the value.
fn toml_value(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None if number.is_u64() => return None,
            None => Value::Float(number.as_f64()?),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(values) => Value::Array(values.iter().map(toml_value).collect::<Option<_>>()?),
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| Some((name.clone(), toml_value(value)?)));
            Value::Table(members.collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_is_in_wranglers_format() {
        for (binding, expected) in [
            (json!({"type": "ai"}), "ai.binding = 'B'"),
            (json!({"type": "browser"}), "browser.binding = 'B'"),
            (json!({"type": "browser_rendering"}), "browser.binding = 'B'"),
            (json!({"type": "images"}), "images.binding = 'B'"),
            (json!({"type": "media"}), "media.binding = 'B'"),
            (json!({"type": "stream"}), "stream.binding = 'B'"),
            (json!({"type": "version_metadata"}), "version_metadata.binding = 'B'"),
            (
                json!({"type": "analytics_engine", "dataset": "d"}),
                "analytics_engine_datasets = [{ binding = 'B', dataset = 'd' }]",
            ),
            (json!({"type": "d1", "id": "x"}), "d1_databases = [{ binding = 'B', database_id = 'x' }]"),
            (
                json!({"type": "d1", "database_id": "x", "database_name": "n", "internalEnv": ""}),
                "d1_databases = [{ binding = 'B', database_id = 'x', database_name = 'n' }]",
            ),
            (
                json!({"type": "dispatch_namespace", "namespace": "n"}),
                "dispatch_namespaces = [{ binding = 'B', namespace = 'n' }]",
            ),
            (
                json!({"type": "dispatch_namespace", "namespace": "n", "outbound": {
                    "worker": {"service": "o", "environment": "e"}, "params": [{"name": "userId"}, {"name": "plan"}],
                }}),
                "dispatch_namespaces = [{ binding = 'B', namespace = 'n', outbound = \
                 { service = 'o', environment = 'e', parameters = ['userId', 'plan'] } }]",
            ),
            (
                json!({"type": "dispatch_namespace", "namespace": "n", "outbound": {"worker": {"service": "o"}}}),
                "dispatch_namespaces = [{ binding = 'B', namespace = 'n', outbound = { service = 'o' } }]",
            ),
            (
                json!({"type": "durable_object_namespace", "class_name": "Room", "namespace_id": "7"}),
                "durable_objects.bindings = [{ name = 'B', class_name = 'Room' }]",
            ),
            (
                json!({"type": "durable_object_namespace", "class_name": "Room", "script_name": "s"}),
                "durable_objects.bindings = [{ name = 'B', class_name = 'Room', script_name = 's' }]",
            ),
            (json!({"type": "hyperdrive", "id": "h"}), "hyperdrive = [{ binding = 'B', id = 'h' }]"),
            (json!({"type": "json", "json": {"a": [1, 2.5, true]}}), "vars.B = { a = [1, 2.5, true] }"),
            (json!({"type": "kv_namespace", "namespace_id": "1"}), "kv_namespaces = [{ binding = 'B', id = '1' }]"),
            (
                json!({"type": "mtls_certificate", "certificate_id": "m"}),
                "mtls_certificates = [{ binding = 'B', certificate_id = 'm' }]",
            ),
            (json!({"type": "pipelines", "pipeline": "p"}), "pipelines = [{ binding = 'B', pipeline = 'p' }]"),
            (json!({"type": "pipelines", "stream": "s"}), "pipelines = [{ binding = 'B', stream = 's' }]"),
            (json!({"type": "plain_text", "text": "t"}), "vars.B = 't'"),
            (
                // Wrangler no longer has `delivery_delay`.
                json!({"type": "queue", "queue_name": "jobs", "delivery_delay": 5}),
                "queues.producers = [{ binding = 'B', queue = 'jobs' }]",
            ),
            (json!({"type": "r2_bucket", "bucket_name": "b"}), "r2_buckets = [{ binding = 'B', bucket_name = 'b' }]"),
            (
                json!({"type": "r2_bucket", "bucket_name": "b", "jurisdiction": "eu"}),
                "r2_buckets = [{ binding = 'B', bucket_name = 'b', jurisdiction = 'eu' }]",
            ),
            (
                json!({"type": "ratelimit", "namespace_id": "1", "simple": {"limit": 9, "period": 60}}),
                "ratelimits = [{ name = 'B', namespace_id = '1', simple = { limit = 9, period = 60 } }]",
            ),
            (
                json!({"type": "secrets_store_secret", "store_id": "s", "secret_name": "n"}),
                "secrets_store_secrets = [{ binding = 'B', store_id = 's', secret_name = 'n' }]",
            ),
            (
                json!({"type": "send_email", "destination_address": "a@b"}),
                "send_email = [{ name = 'B', destination_address = 'a@b' }]",
            ),
            (json!({"type": "service", "service": "s"}), "services = [{ binding = 'B', service = 's' }]"),
            (
                json!({"type": "service", "service": "s", "entrypoint": "E", "environment": "e", "props": {"a": 1}}),
                "services = [{ binding = 'B', service = 's', entrypoint = 'E', environment = 'e', props = { a = 1 } }]",
            ),
            (json!({"type": "vectorize", "index_name": "i"}), "vectorize = [{ binding = 'B', index_name = 'i' }]"),
            (json!({"type": "worker_loader"}), "worker_loaders = [{ binding = 'B' }]"),
            (
                json!({"type": "workflow", "workflow_name": "w", "class_name": "W"}),
                "workflows = [{ binding = 'B', name = 'w', class_name = 'W' }]",
            ),
        ] {
            let mut binding = binding;
            binding["name"] = "B".into();
            let mut config = Table::new();
            add_binding(&mut config, &binding).expect("a supported binding");
            assert_eq!(config, expected.parse::<Table>().expect(expected), "{binding}");
        }
    }

    #[test]
    fn bindings_are_added_to_existing_ones() {
        let mut config: Table =
            "name = 'w'\nvars.A = 1\nkv_namespaces = [{ binding = 'K', id = '1' }]".parse().expect("TOML");
        for binding in [
            json!({"type": "kv_namespace", "name": "L", "namespace_id": "2"}),
            json!({"type": "plain_text", "name": "B", "text": "t"}),
            json!({"type": "ai", "name": "AI"}),
            json!({"type": "ai", "name": "AI"}),
        ] {
            add_binding(&mut config, &binding).expect("added");
        }
        let expected = "name = 'w'\nvars = { A = 1, B = 't' }\nai.binding = 'AI'\n\
            kv_namespaces = [{ binding = 'K', id = '1' }, { binding = 'L', id = '2' }]";
        assert_eq!(config, expected.parse::<Table>().expect("TOML"));
    }

    #[test]
    fn unsupported_bindings_are_errors_and_change_nothing() {
        let unknown_type =
            |name: &str, kind: &str| Unsupported::UnknownType { name: name.to_owned(), kind: kind.to_owned() };
        let missing = |name: &str, member| Unsupported::MissingMember { name: name.to_owned(), member };
        let not_toml = || Unsupported::NotToml("B".to_owned());
        for (binding, expected) in [
            (json!({"type": "secret_text", "name": "B"}), Unsupported::Secret("B".to_owned())),
            (json!({"type": "secret_key", "name": "B"}), Unsupported::Secret("B".to_owned())),
            (json!({"type": "wormhole", "name": "B"}), unknown_type("B", "wormhole")),
            (json!({"type": "assets", "name": "B"}), unknown_type("B", "assets")),
            (json!({"type": "inherit", "name": "B"}), unknown_type("B", "inherit")),
            (
                json!({"type": "browser", "name": "B"}),
                Unsupported::SecondOfType { name: "B".to_owned(), kind: "browser".to_owned() },
            ),
            (json!({"type": "kv_namespace", "name": "B"}), missing("B", "namespace_id")),
            (json!({"type": "d1", "name": "B"}), missing("B", "database_id")),
            (json!({"name": "B"}), missing("B", "type")),
            (json!({"type": "ai"}), missing("", "name")),
            (json!([]), missing("", "name")),
            (json!({"type": "json", "name": "B", "json": null}), missing("B", "json")),
            (json!({"type": "json", "name": "B", "json": [null]}), not_toml()),
            (json!({"type": "json", "name": "B", "json": {"a": u64::MAX}}), not_toml()),
            (json!({"type": "queue", "name": "B", "queue_name": "q"}), not_toml()),
            (
                json!({"type": "dispatch_namespace", "name": "B", "namespace": "n", "outbound": {"worker": {}}}),
                not_toml(),
            ),
        ] {
            let mut config: Table = "browser.binding = 'A'\nqueues = 1".parse().expect("TOML");
            let before = config.clone();
            assert_eq!(add_binding(&mut config, &binding), Err(expected), "{binding}");
            assert_eq!(config, before, "{binding}");
        }
        let error = add_binding(&mut Table::new(), &json!({"type": "wormhole", "name": "B"})).expect_err("unknown");
        assert_eq!(error.to_string(), "B is a binding of the type \"wormhole\", which wrangler files do not support");
    }
}
