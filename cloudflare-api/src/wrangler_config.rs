//! Bindings as wrangler's configuration has them, from what Cloudflare's API says of a script
//! (<https://developers.cloudflare.com/workers/wrangler/configuration/#bindings>).

use serde_json::Value as Json;
use toml::{Table, Value};

/// Why a binding is not in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// A secret's text belongs in no file, and the API does not give it away.
    #[error("{0} is a secret, whose text belongs in no file")]
    Secret(String),
    /// No wrangler file has bindings of this type, or this does not know how.
    #[error("{name} is a binding of the type {kind:?}, which is not known in a wrangler file")]
    Kind {
        /// What the script calls it.
        name: String,
        /// Its type.
        kind: String,
    },
    /// A file has one binding of this type, and it has it already.
    #[error("{name} is a second binding of the type {kind:?}, of which a wrangler file has one")]
    Second {
        /// What the script calls it.
        name: String,
        /// Its type.
        kind: String,
    },
    /// It is not as the API describes bindings.
    #[error("the binding {name} has no {member:?}")]
    Lacks {
        /// What the script calls it.
        name: String,
        /// What it lacks.
        member: &'static str,
    },
    /// TOML has no null, no whole numbers past 64 bits, and no two things of one name.
    #[error("what the binding {0} says cannot be said in TOML")]
    NotToml(String),
}

/// What the API calls a member, and what the file calls it.
type Member = (&'static str, &'static str);

/// Where a file has bindings of a type, and with which members beside the name.
struct Form {
    kind: &'static str,
    place: Place,
    needed: &'static [Member],
    optional: &'static [Member],
}

enum Place {
    /// A table of its own, once.
    One(&'static str),
    /// An array of tables, at this path, where the name is called so.
    Many(&'static [&'static str], &'static str),
}

const fn one(kind: &'static str, table: &'static str) -> Form {
    Form { kind, place: Place::One(table), needed: &[], optional: &[] }
}

const fn many(kind: &'static str, path: &'static [&'static str], needed: &'static [Member]) -> Form {
    Form { kind, place: Place::Many(path, "binding"), needed, optional: &[] }
}

impl Form {
    const fn optional(self, optional: &'static [Member]) -> Self {
        Self { optional, ..self }
    }

    /// A few lists call the name `name`.
    const fn called_name(self) -> Self {
        match self.place {
            Place::Many(path, _) => Self { place: Place::Many(path, "name"), ..self },
            Place::One(_) => self,
        }
    }
}

/// As wrangler reads a file, and what it uploads for it.
const FORMS: &[Form] = &[
    one("ai", "ai"),
    one("browser", "browser"),
    one("browser_rendering", "browser"),
    one("images", "images"),
    one("media", "media"),
    one("stream", "stream"),
    one("version_metadata", "version_metadata"),
    many("analytics_engine", &["analytics_engine_datasets"], &[("dataset", "dataset")]),
    many("dispatch_namespace", &["dispatch_namespaces"], &[("namespace", "namespace")]),
    many("durable_object_namespace", &["durable_objects", "bindings"], &[("class_name", "class_name")])
        .called_name()
        .optional(&[("script_name", "script_name"), ("environment", "environment")]),
    many("hyperdrive", &["hyperdrive"], &[("id", "id")]),
    many("kv_namespace", &["kv_namespaces"], &[("namespace_id", "id")]),
    many("mtls_certificate", &["mtls_certificates"], &[("certificate_id", "certificate_id")]),
    many("pipelines", &["pipelines"], &[]).optional(&[("stream", "stream"), ("pipeline", "pipeline")]),
    many("queue", &["queues", "producers"], &[("queue_name", "queue")]),
    many("r2_bucket", &["r2_buckets"], &[("bucket_name", "bucket_name")]).optional(&[("jurisdiction", "jurisdiction")]),
    many("ratelimit", &["ratelimits"], &[("namespace_id", "namespace_id"), ("simple", "simple")]).called_name(),
    many(
        "secrets_store_secret",
        &["secrets_store_secrets"],
        &[("store_id", "store_id"), ("secret_name", "secret_name")],
    ),
    many("send_email", &["send_email"], &[]).called_name().optional(&[
        ("destination_address", "destination_address"),
        ("allowed_destination_addresses", "allowed_destination_addresses"),
        ("allowed_sender_addresses", "allowed_sender_addresses"),
    ]),
    many("service", &["services"], &[("service", "service")]).optional(&[
        ("environment", "environment"),
        ("entrypoint", "entrypoint"),
        ("props", "props"),
    ]),
    many("vectorize", &["vectorize"], &[("index_name", "index_name")]),
    many("worker_loader", &["worker_loaders"], &[]),
    many("workflow", &["workflows"], &[("workflow_name", "name"), ("class_name", "class_name")])
        .optional(&[("script_name", "script_name")]),
];

/// Puts a binding, as the API's uploads and settings describe it (`{"type", "name", ...}`), into a wrangler configuration.
/// Members that it does not know are left out. Where it answers an error, the configuration is as it was.
pub fn add_binding(config: &mut Table, binding: &Json) -> Result<(), Unsupported> {
    let text = |member| binding.get(member).and_then(Json::as_str).map(ToOwned::to_owned);
    let name = text("name").ok_or_else(|| Unsupported::Lacks { name: String::new(), member: "name" })?;
    let kind = text("type").ok_or_else(|| Unsupported::Lacks { name: name.clone(), member: "type" })?;
    let value = |member| {
        let value = binding.get(member).filter(|value| !value.is_null());
        let value = value.ok_or_else(|| Unsupported::Lacks { name: name.clone(), member })?;
        toml_value(value).ok_or_else(|| Unsupported::NotToml(name.clone()))
    };
    let mut entry = Table::new();
    match &*kind {
        "secret_text" | "secret_key" => return Err(Unsupported::Secret(name)),
        "plain_text" => {
            return insert(config, &["vars"], name.clone(), value("text")?).ok_or(Unsupported::NotToml(name));
        }
        "json" => return insert(config, &["vars"], name.clone(), value("json")?).ok_or(Unsupported::NotToml(name)),
        // The API takes and gives the id under either name.
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
    let Some(form) = FORMS.iter().find(|form| form.kind == kind) else {
        return Err(Unsupported::Kind { name, kind });
    };
    for (api, file) in form.needed {
        entry.insert((*file).to_owned(), value(api)?);
    }
    for (api, file) in form.optional {
        if binding.get(api).is_some_and(|value| !value.is_null()) {
            entry.insert((*file).to_owned(), value(api)?);
        }
    }
    if kind == "dispatch_namespace"
        && let Some(outbound) = binding.get("outbound").filter(|outbound| !outbound.is_null())
    {
        entry.insert("outbound".to_owned(), outbound_in_file(outbound).ok_or(Unsupported::NotToml(name.clone()))?);
    }
    match form.place {
        Place::Many(path, called) => push(config, path, called, name, entry),
        Place::One(table) => {
            let there = config.get(table).and_then(|table| table.get("binding")).and_then(Value::as_str);
            if there.is_some_and(|there| there != name) {
                return Err(Unsupported::Second { name, kind });
            }
            insert(config, &[table], "binding".to_owned(), Value::String(name.clone()))
                .ok_or(Unsupported::NotToml(name))
        }
    }
}

/// The outbound Worker of a dispatch namespace, which the file describes another way.
fn outbound_in_file(outbound: &Json) -> Option<Value> {
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
fn push(config: &mut Table, path: &[&str], called: &str, name: String, mut entry: Table) -> Result<(), Unsupported> {
    entry.insert(called.to_owned(), Value::String(name.clone()));
    let (list, path) = path.split_last().expect("a path has an end");
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

/// The table at this path, made where there is none; none where something else is in its place.
fn table_at<'t>(config: &'t mut Table, path: &[&str]) -> Option<&'t mut Table> {
    path.iter()
        .try_fold(config, |table, name| table.entry(*name).or_insert_with(|| Value::Table(Table::new())).as_table_mut())
}

/// What JSON says, in TOML, if it can be said there.
fn toml_value(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Integer(whole),
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
    fn every_type_is_as_wrangler_reads_it() {
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
                // Which wrangler knows no more.
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
            add_binding(&mut config, &binding).expect("a binding that a file has");
            assert_eq!(config, expected.parse::<Table>().expect(expected), "{binding}");
        }
    }

    #[test]
    fn bindings_join_what_is_there() {
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
    fn what_no_file_can_say_is_an_error_and_changes_nothing() {
        let kind = |name: &str, kind: &str| Unsupported::Kind { name: name.to_owned(), kind: kind.to_owned() };
        let lacks = |name: &str, member| Unsupported::Lacks { name: name.to_owned(), member };
        let not_toml = || Unsupported::NotToml("B".to_owned());
        for (binding, expected) in [
            (json!({"type": "secret_text", "name": "B"}), Unsupported::Secret("B".to_owned())),
            (json!({"type": "secret_key", "name": "B"}), Unsupported::Secret("B".to_owned())),
            (json!({"type": "wormhole", "name": "B"}), kind("B", "wormhole")),
            (json!({"type": "assets", "name": "B"}), kind("B", "assets")),
            (json!({"type": "inherit", "name": "B"}), kind("B", "inherit")),
            (
                json!({"type": "browser", "name": "B"}),
                Unsupported::Second { name: "B".to_owned(), kind: "browser".to_owned() },
            ),
            (json!({"type": "kv_namespace", "name": "B"}), lacks("B", "namespace_id")),
            (json!({"type": "d1", "name": "B"}), lacks("B", "database_id")),
            (json!({"name": "B"}), lacks("B", "type")),
            (json!({"type": "ai"}), lacks("", "name")),
            (json!([]), lacks("", "name")),
            (json!({"type": "json", "name": "B", "json": null}), lacks("B", "json")),
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
        assert_eq!(error.to_string(), "B is a binding of the type \"wormhole\", which is not known in a wrangler file");
    }
}
