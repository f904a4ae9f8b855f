//! The checks that Cloudflare makes of scripts, with its error codes where they are known:
//! <https://developers.cloudflare.com/workers/observability/errors/#errors-on-worker-upload>. Sizes and counts are from
//! <https://developers.cloudflare.com/workers/platform/limits/>.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::SystemTime;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::reply::{INVALID, Refusal};
use super::upload::Contents;
use crate::account::{Account, Modules, Script, Storage};
use crate::binding_types::{Binding, binding_name, fault, has_type, member};
use crate::script::stored;
use platform::code::PYTHON_IS_NOT_SUPPORTED;
use platform::manifest::{MAX_VARIABLE_LEN, MAX_VARIABLES, RESERVED_NAMES, is_rate_limiter};

/// The maximum number of tags of a script.
const MAX_TAGS: usize = 8;

/// The maximum size of a script after compression, in bytes.
const MAX_SCRIPT: usize = 10 << 20;

/// Checks a script's bindings, tags and compatibility settings, and that the resources that it is bound to exist.
pub fn check_script(account: &Account, script: &Script) -> Result<(), Refusal> {
    check_bindings(&script.bindings)?;
    check_tags(&script.tags)?;
    check_date(&script.compatibility_date)?;
    check_flags(&script.compatibility_flags)?;
    if let Some(class) = script.durable_objects.keys().find(|class| !is_identifier(class)) {
        // With a hyphen, it could be another script's: the files are in a folder `<script>-<class>`.
        return Err(Refusal::bad(INVALID, format!("{class:?} is not the name of a class: it is no identifier")));
    }
    for binding in &script.bindings {
        check_resource(account, binding)?;
        check_class(script, binding)?;
    }
    Ok(())
}

/// Checks the bindings without looking up the resources.
pub fn check_bindings(bindings: &[Binding]) -> Result<(), Refusal> {
    let variables = bindings.iter().filter_map(|binding| Some((binding, variable_size(binding)?)));
    let variables: Vec<(&Binding, usize)> = variables.collect();
    if variables.len() > MAX_VARIABLES {
        let message =
            format!("{} variables and secrets are more than the {MAX_VARIABLES} of a script", variables.len());
        return Err(Refusal::bad(10055, message));
    }
    for (binding, size) in variables {
        if size > MAX_VARIABLE_LEN {
            let message =
                format!("{} has {size} bytes, more than the {MAX_VARIABLE_LEN} of a variable", binding_name(binding));
            return Err(Refusal::bad(10054, message));
        }
    }
    bindings.iter().try_for_each(check_binding)
}

/// Returns the size of a variable or a secret, or `None` for other bindings.
fn variable_size(binding: &Binding) -> Option<usize> {
    match member(binding, "type") {
        "plain_text" | "secret_text" => Some(member(binding, "text").len()),
        "json" => Some(binding.get("json").map_or(0, |json| json.to_string().len())),
        _ => None,
    }
}

fn check_binding(binding: &Binding) -> Result<(), Refusal> {
    let name = binding_name(binding);
    if name.is_empty() {
        return Err(Refusal::bad(10052, "a binding has no name"));
    }
    if !is_identifier(name) {
        let message = format!(
            "{name:?} cannot be a binding's name: it is an identifier of JavaScript, of letters, digits, _ and $, and \
             does not start with a digit"
        );
        return Err(Refusal::bad(INVALID, message));
    }
    if RESERVED_NAMES.contains(&name) {
        let message = format!("{name} cannot be a binding's name: every JavaScript object has it");
        return Err(Refusal::bad(INVALID, message));
    }
    if let Some(fault) = fault(binding) {
        return Err(Refusal::bad(INVALID, fault));
    }
    if has_type(binding, "ratelimit") && !is_rate_limiter(member(binding, "namespace_id")) {
        let message = format!("binding {name} of type ratelimit: `namespace_id` is a positive integer, as a text");
        return Err(Refusal::bad(INVALID, message));
    }
    if has_type(binding, "ratelimit") && !is_limit(&binding["simple"]) {
        let message = format!(
            "binding {name} of type ratelimit: `simple` is {{\"limit\": <number>, \"period\": <10 or 60 seconds>}}"
        );
        return Err(Refusal::bad(INVALID, message));
    }
    Ok(())
}

fn is_identifier(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
    name.bytes().all(inner) && !name.starts_with(|first: char| first.is_ascii_digit())
}

fn is_limit(simple: &Value) -> bool {
    simple["limit"].as_u64().is_some_and(|limit| limit > 0) && matches!(simple["period"].as_u64(), Some(10 | 60))
}

/// Checks the number of tags.
pub fn check_tags(tags: &BTreeSet<String>) -> Result<(), Refusal> {
    if tags.len() > MAX_TAGS {
        return Err(Refusal::bad(INVALID, format!("{} tags are more than the {MAX_TAGS} of a script", tags.len())));
    }
    Ok(())
}

/// Checks that a compatibility date is valid and not in the future.
fn check_date(date: &str) -> Result<(), Refusal> {
    let day = format!("{date}T00:00:00Z");
    match humantime::parse_rfc3339(&day) {
        Ok(day) if day <= SystemTime::now() => Ok(()),
        Ok(_) => Err(Refusal::bad(INVALID, format!("Can't set compatibility date in the future: {date}"))),
        Err(_) => Err(Refusal::bad(INVALID, format!("{date:?} is no compatibility date: write it as 2026-11-17"))),
    }
}

/// Refuses the flags for Python. The runtime checks all other flags when it starts the script.
fn check_flags(flags: &[String]) -> Result<(), Refusal> {
    match flags.iter().find(|flag| flag.starts_with("python_workers")) {
        Some(flag) => Err(Refusal::bad(INVALID, format!("the compatibility flag {flag}: {PYTHON_IS_NOT_SUPPORTED}"))),
        None => Ok(()),
    }
}

/// Checks that a binding's resource exists, if it is of a kind that the account has.
fn check_resource(account: &Account, binding: &Binding) -> Result<(), Refusal> {
    let queue = member(binding, "queue_name");
    let missing = match stored(binding) {
        None if has_type(binding, "queue") && !account.queues.contains_key(queue) => (11000, "Queue", queue.to_owned()),
        None => return Ok(()),
        Some(storage) if account.has(&storage) && is_of_jurisdiction(account, &storage, binding) => return Ok(()),
        Some(Storage::Kv(id)) => (10041, "KV namespace", id),
        Some(Storage::R2(name)) => (10085, "R2 bucket", name),
        Some(Storage::D1(id)) => (10181, "D1 database", id),
        Some(Storage::Objects(_)) => unreachable!("no binding names them"),
    };
    let (code, kind, id) = missing;
    Err(Refusal::bad(code, format!("{kind} '{id}' not found, of the binding {}", binding_name(binding))))
}

/// Whether a bucket is in the binding's jurisdiction. A bucket in another jurisdiction is a different bucket.
fn is_of_jurisdiction(account: &Account, storage: &Storage, binding: &Binding) -> bool {
    let Storage::R2(bucket) = storage else { return true };
    let wanted = binding.get("jurisdiction").filter(|wanted| !wanted.is_null() && *wanted != "default");
    account.buckets[bucket].jurisdiction.map(|there| serde_json::json!(there)).as_ref() == wanted
}

/// Checks that a class of Durable Objects was created by a migration.
fn check_class(script: &Script, binding: &Binding) -> Result<(), Refusal> {
    let class = member(binding, "class_name");
    let is_own =
        has_type(binding, "durable_object_namespace") && !class.is_empty() && !binding.contains_key("script_name");
    if is_own && !script.durable_objects.contains_key(class) {
        let message = format!(
            "Cannot create binding for class '{class}' because it is not currently configured to implement Durable \
             Objects. Did you forget to apply a --new-class migration to it? Name it among `new_sqlite_classes` of \
             `migrations`"
        );
        return Err(Refusal::bad(10061, message));
    }
    Ok(())
}

/// Returns the error for a class of Durable Objects that the script does not export. `old` is the script before the
/// upload.
pub fn no_such_class(class: &str, old: Option<&Script>) -> Refusal {
    if old.is_some_and(|old| old.durable_objects.contains_key(class)) {
        let message = format!(
            "New version of script does not export class '{class}' which is depended on by existing Durable Objects. \
             Export it, or take it away with a delete-class migration"
        );
        return Refusal::bad(10064, message);
    }
    Refusal::bad(10070, format!("Cannot apply new-class migration to class '{class}' that is not exported by script"))
}

/// Checks the total size of the modules after compression, counted in the same way as wrangler does. Source maps do not
/// count.
pub fn check_size(modules: &Modules, contents: &Contents) -> Result<(), Refusal> {
    let counted = || {
        let counted = contents.iter().filter(|(name, _)| modules.media_types[*name] != "application/source-map");
        counted.map(|(_, content)| content)
    };
    // Small modules need not be compressed, because compression adds at most a few bytes.
    if counted().map(Bytes::len).sum::<usize>() <= MAX_SCRIPT || fits(counted(), MAX_SCRIPT) {
        return Ok(());
    }
    let message = format!("Your Worker exceeded the size limit of {} MiB after compression", MAX_SCRIPT >> 20);
    Err(Refusal::bad(10027, message))
}

/// Whether the contents fit into `limit` bytes after compression.
fn fits<'c>(contents: impl Iterator<Item = &'c Bytes>, limit: usize) -> bool {
    let mut compressed = GzEncoder::new(Remaining(limit), Compression::default());
    let mut contents = contents;
    contents.try_for_each(|content| compressed.write_all(content)).and_then(|()| compressed.finish().map(drop)).is_ok()
}

/// Counts the bytes that are written, and fails if they exceed the limit.
struct Remaining(usize);

impl Write for Remaining {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Describes the script's rate limiters that share their counters with other scripts of the account: one sentence each.
/// Cloudflare accepts such rate limiters without a warning.
pub fn shared_counters(account: &Account, dispatcher: &[Value], own: (&str, &str), script: &Script) -> Vec<String> {
    let id = |binding: &Binding| has_type(binding, "ratelimit").then(|| member(binding, "namespace_id").to_owned());
    let of_dispatcher: BTreeSet<String> = dispatcher.iter().filter_map(|binding| id(binding.as_object()?)).collect();
    let mut sentences = Vec::new();
    for binding in &script.bindings {
        let Some(wanted) = id(binding) else { continue };
        let mut others = Vec::new();
        if of_dispatcher.contains(&wanted) {
            others.push("the dispatcher".to_owned());
        }
        for (namespace, scripts) in &account.namespaces {
            let counting = scripts.scripts.iter().filter(|(other, script)| {
                (&**namespace, &***other) != own
                    && script.bindings.iter().any(|binding| id(binding).as_ref() == Some(&wanted))
            });
            others.extend(counting.map(|(other, _)| format!("the script {other}")));
        }
        if !others.is_empty() {
            sentences.push(format!(
                "env.{} counts in the rate limiter namespace {wanted} together with {}: what one counts, all have \
                 counted. Choose a namespace_id that no other has",
                binding_name(binding),
                others.join(", "),
            ));
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::account::Code;

    fn script(bindings: &Value) -> Script {
        Script {
            code: Code::Built,
            created: String::new(),
            modified: String::new(),
            bindings: serde_json::from_value(bindings.clone()).expect("bindings"),
            tags: BTreeSet::new(),
            compatibility_date: "2026-01-01".to_owned(),
            compatibility_flags: Vec::new(),
            durable_objects: BTreeMap::from([("Room".to_owned(), true)]),
            migration_tag: None,
            settings: serde_json::Map::new(),
        }
    }

    fn refused(script: &Script) -> String {
        check_script(&Account::new(), script).expect_err("it is refused").to_string()
    }

    #[test]
    fn valid_scripts_are_accepted() {
        let variables: Vec<Value> = (0..126)
            .map(|at| json!({"type": "secret_text", "name": format!("V{at}"), "text": "x".repeat(5120)}))
            .chain([
                json!({"type": "json", "name": "_", "json": "x".repeat(5118)}),
                json!({"type": "plain_text", "name": "$a_9", "text": ""}),
                json!({"type": "ratelimit", "name": "R", "namespace_id": "1", "simple": {"limit": 1, "period": 60}}),
                json!({"type": "durable_object_namespace", "name": "O", "class_name": "Room"}),
                json!({"type": "durable_object_namespace", "name": "P", "class_name": "Other", "script_name": "other"}),
            ])
            .collect();
        let mut script = script(&json!(variables));
        script.tags = (0..8).map(|at| at.to_string()).collect();
        check_script(&Account::new(), &script).expect("all of it is well");
    }

    #[test]
    fn each_limit_is_kept() {
        let variables = |count: usize, size: usize| {
            let one = |at| json!({"type": "plain_text", "name": format!("V{at}"), "text": "x".repeat(size)});
            script(&json!((0..count).map(one).collect::<Vec<_>>()))
        };
        assert!(refused(&variables(129, 1)).contains("129 variables and secrets are more than the 128"));
        assert!(refused(&variables(1, 5121)).contains("V0 has 5121 bytes"));
        let json = script(&json!([{"type": "json", "name": "J", "json": "x".repeat(5119)}]));
        assert!(refused(&json).contains("J has 5121 bytes"));
        let mut tagged = script(&json!([]));
        tagged.tags = (0..9).map(|at| at.to_string()).collect();
        assert!(refused(&tagged).contains("9 tags are more than the 8"));
        for (date, reason) in [("2999-01-01", "in the future"), ("2026-13-01", "is no compatibility date"), ("", "no")]
        {
            let mut dated = script(&json!([]));
            date.clone_into(&mut dated.compatibility_date);
            assert!(refused(&dated).contains(reason), "{date}");
        }
        let mut python = script(&json!([]));
        python.compatibility_flags = vec!["python_workers_20250116".to_owned()];
        assert!(refused(&python).contains("Python is not supported"));
    }

    #[test]
    fn each_binding_is_checked() {
        let limiter = |simple: Value| json!({"type": "ratelimit", "name": "R", "namespace_id": "1", "simple": simple});
        for (binding, reason) in [
            (json!({"type": "plain_text", "text": ""}), "10052"),
            (json!({"type": "plain_text", "name": "", "text": ""}), "10052"),
            (json!({"type": "banana", "name": "B"}), "no such type"),
            (json!({"type": "kv_namespace", "name": "B"}), "must have a namespace_id"),
            (json!({"type": "queue", "name": "Q", "queue_name": "none"}), "Queue 'none' not found"),
            (json!({"type": "durable_object_namespace", "name": "O", "class_name": "None"}), "10061"),
            (limiter(json!({"limit": 0, "period": 60})), "10 or 60"),
            (limiter(json!({"limit": "many", "period": 60})), "10 or 60"),
            (limiter(json!({"limit": 1, "period": 7})), "10 or 60"),
        ] {
            let said = refused(&script(&json!([binding])));
            assert!(said.contains(reason), "{said}");
        }
        for name in ["a-b", "a b", "9a", "a.b", "é", "a\n", "constructor", "[", "a/b"] {
            let said = refused(&script(&json!([{"type": "plain_text", "name": name, "text": ""}])));
            assert!(said.contains("cannot be a binding's name"), "{name}: {said}");
        }
    }

    #[test]
    fn a_script_is_as_large_as_it_is_compressed() {
        let sizes = |noise: usize, zeros: usize, map: usize| {
            let mut state = 1_u64;
            let random = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            });
            let random: Vec<u8> = random.take(noise.max(map)).collect();
            let contents = Contents::from([
                ("a.js".to_owned(), Bytes::copy_from_slice(&random[..noise])),
                ("b.bin".to_owned(), Bytes::from(vec![0; zeros])),
                ("a.js.map".to_owned(), Bytes::copy_from_slice(&random[..map])),
            ]);
            let kind = |name: &str| if name.ends_with("map") { "application/source-map" } else { "text/plain" };
            let media_types = contents.keys().map(|name| (name.clone(), kind(name).to_owned())).collect();
            let modules = Modules { digest: String::new(), main: String::new(), service_worker: false, media_types };
            check_size(&modules, &contents)
        };
        sizes(1000, 1000, 1000).expect("small");
        sizes(1000, 11 << 20, 0).expect("it compresses well");
        sizes(1000, 1000, 11 << 20).expect("source maps do not count");
        assert!(sizes(11 << 20, 0, 0).expect_err("too large").to_string().contains("10027"));
    }

    #[test]
    fn shared_rate_limiters_are_named() {
        let limiter = |id: &str| json!([{"type": "ratelimit", "name": "L", "namespace_id": id, "simple": {"limit": 1, "period": 10}}]);
        let mut account = Account::new();
        for (namespace, name, id) in [("customers", "one", "1"), ("customers", "two", "2"), ("staging", "three", "1")] {
            let namespace = account.namespaces.entry(namespace.to_owned());
            let namespace = namespace.or_insert_with(crate::account::Namespace::new);
            namespace.scripts.insert(name.to_owned(), script(&limiter(id)));
        }
        let dispatcher = [json!({"type": "kv_namespace"}), limiter("2")[0].clone()];
        let said = |name: &str, id: &str| {
            shared_counters(&account, &dispatcher, ("customers", name), &script(&limiter(id))).join("; ")
        };
        assert!(said("one", "1").contains("namespace 1 together with the script three:"), "{}", said("one", "1"));
        assert!(said("two", "2").contains("together with the dispatcher:"), "{}", said("two", "2"));
        let all = said("new", "2");
        assert!(all.contains("together with the dispatcher, the script two:"), "{all}");
        assert_eq!(said("new", "3"), "");
    }
}
