//! What a customer gets, as a file says it: `customers/<id>.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{Limits, Plan};
use toml::{Spanned, Table};

use crate::cloudflare::Jurisdiction;
use crate::code::Whose;

/// What a customer gets. Without a file: storage of every kind, and nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The plan, for the customer's record.
    pub plan: Option<Plan>,
    /// What one request may cost, for the customer's record.
    pub limits: Limits,
    /// What the script is tagged with.
    pub tags: BTreeSet<String>,
    /// The customer's own storage.
    pub storage: Storage,
    /// Variables: text, or anything else as JSON.
    pub vars: BTreeMap<String, Value>,
    /// The names of secrets, each also that of the environment variable that holds its text.
    pub secrets: BTreeSet<String>,
    /// Whatever else the script is bound to.
    pub bindings: Vec<Bound>,
    /// The customer's own script, instead of the platform's.
    pub script: Option<ScriptSource>,
}

/// Where a customer's own script is, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptSource {
    /// A JavaScript module, or a folder of modules.
    pub path: PathBuf,
    /// The module that the runtime starts with, in a folder where it is not called as usual.
    pub main: Option<String>,
    /// That of the platform's own Worker if it is not said.
    pub compatibility_date: Option<String>,
    /// Those of the platform's own Worker if they are not said.
    pub compatibility_flags: Option<Vec<String>>,
}

/// The storage that is made for a customer, and is that customer's alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// `USER_KV`, a KV namespace.
    pub kv: bool,
    /// `USER_R2`, a bucket.
    pub r2: bool,
    /// `USER_DB`, a database.
    pub d1: bool,
    /// Where bucket and database must stay.
    pub jurisdiction: Option<Jurisdiction>,
}

impl Default for Storage {
    fn default() -> Self {
        Self { kv: true, r2: true, d1: true, jurisdiction: None }
    }
}

/// The names that the customer Worker has for its storage.
const STORAGE: [&str; 3] = ["USER_KV", "USER_R2", "USER_DB"];

/// A binding and its name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// What the script calls it.
    pub name: String,
    /// What it is.
    #[serde(flatten)]
    pub binding: Binding,
}

/// A binding, named and described as the API describes it
/// (<https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/#bindings>).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the API's own names, described there")]
pub enum Binding {
    Ai {},
    AnalyticsEngine {
        dataset: String,
    },
    Browser {},
    D1 {
        id: String,
        /// It may be another customer's as well, on purpose.
        #[serde(default, skip_serializing)]
        shared: bool,
    },
    DispatchNamespace {
        namespace: String,
        /// It may reach all customers of that namespace, on purpose.
        #[serde(default, skip_serializing)]
        shared: bool,
    },
    DurableObjectNamespace {
        class_name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        script_name: Option<String>,
        /// The objects may be another script's, on purpose.
        #[serde(default, skip_serializing)]
        shared: bool,
    },
    Hyperdrive {
        id: String,
    },
    Json {
        json: Value,
    },
    KvNamespace {
        namespace_id: String,
        /// It may be another customer's as well, on purpose.
        #[serde(default, skip_serializing)]
        shared: bool,
    },
    MtlsCertificate {
        certificate_id: String,
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
        /// It may be another customer's as well, on purpose.
        #[serde(default, skip_serializing)]
        shared: bool,
    },
    Ratelimit {
        namespace_id: String,
        simple: Rate,
    },
    SecretText {
        text: String,
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
}

/// How often something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// So often,
    pub limit: u32,
    /// in so many seconds: 10 or 60.
    pub period: u32,
}

/// The file as it is, before what its bindings say is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    plan: Option<Plan>,
    limits: Limits,
    tags: BTreeSet<String>,
    storage: Storage,
    vars: BTreeMap<String, Spanned<toml::Value>>,
    secrets: BTreeSet<String>,
    bindings: Vec<Spanned<BTreeMap<Spanned<String>, toml::Value>>>,
    script: Option<ScriptSource>,
}

/// How many tags a script may have, the one that says whose it is among them
/// (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/platform/limits/#tags>).
pub const MAX_TAGS: usize = 8;

impl Manifest {
    /// Parses the file's text. What it does not know is an error, which names the line.
    pub fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text)?;
        let mut bindings = Vec::new();
        for table in file.bindings {
            let span = table.span();
            let members = table.into_inner();
            let keys: Vec<Spanned<String>> = members.keys().cloned().collect();
            let table = members.into_iter().map(|(key, value)| (key.into_inner(), value)).collect();
            bindings.push(Bound::parse(table).map_err(|error| {
                // The line of the member that it is about, if it is about one that is there, and else of the table.
                let about = |key: &str| [format!("unknown field `{key}`"), format!(": {key}: JSON has no")];
                let error = format!("{error:#}");
                let member = keys.iter().find(|key| about(key.get_ref()).iter().any(|text| error.contains(text)));
                anyhow!("line {}: {error}", line(text, &member.map_or(span, Spanned::span)))
            })?);
        }
        let vars = file.vars.into_iter().map(|(name, value)| {
            let at_line = line(text, &value.span());
            let json = json_of(value.into_inner()).map_err(|error| anyhow!("line {at_line}: {name}: {error:#}"))?;
            Ok((name, json))
        });
        let vars = vars.collect::<Result<_>>()?;
        let File { plan, limits, tags, storage, secrets, script, .. } = file;
        let manifest = Self { plan, limits, tags, storage, vars, secrets, bindings, script };
        manifest.check_names()?;
        manifest.check_tags()?;
        Ok(manifest)
    }

    fn check_tags(&self) -> Result<()> {
        let most = MAX_TAGS - 1;
        if self.tags.len() > most {
            bail!("there are {} tags: a script has at most {most}, besides the platform's own", self.tags.len());
        }
        let own = [Whose::Platform, Whose::Customer].map(Whose::tag);
        if let Some(tag) = self.tags.iter().find(|tag| own.contains(&tag.as_str())) {
            bail!("the tag {tag} says whose code a script has, and is the platform's to give");
        }
        // The API takes them apart at these.
        match self.tags.iter().find(|tag| tag.is_empty() || tag.contains([',', '&', ':'])) {
            Some(tag) => bail!("{tag:?} cannot be a tag: it is empty, or has `,`, `&` or `:` in it"),
            None => Ok(()),
        }
    }

    /// A script has each name once, and code can write it.
    fn check_names(&self) -> Result<()> {
        let own = [self.storage.kv, self.storage.r2, self.storage.d1];
        let own = STORAGE.into_iter().zip(own).filter_map(|(name, made)| made.then_some(name));
        let others = self.vars.keys().chain(&self.secrets).chain(self.bindings.iter().map(|bound| &bound.name));
        let mut seen = BTreeSet::new();
        for name in own.chain(others.map(String::as_str)) {
            if !is_identifier(name) {
                bail!("{name:?} cannot be a binding's name: use letters, digits and _, not starting with a digit");
            }
            if !seen.insert(name) {
                bail!("there are two bindings called {name}");
            }
        }
        Ok(())
    }

    /// All bindings but those of the customer's own storage. A secret's text is what `secret` says.
    pub fn bindings(&self, secret: impl Fn(&str) -> Option<String>) -> Result<Vec<Bound>> {
        let vars = self.vars.iter().map(|(name, value)| {
            let binding = match value {
                Value::String(text) => Binding::PlainText { text: text.clone() },
                json => Binding::Json { json: json.clone() },
            };
            Ok(Bound { name: name.clone(), binding })
        });
        let secrets = self.secrets.iter().map(|name| {
            let text = secret(name).ok_or_else(|| anyhow!("the secret {name} is not set in the environment"))?;
            Ok(Bound { name: name.clone(), binding: Binding::SecretText { text } })
        });
        vars.chain(secrets).chain(self.bindings.iter().cloned().map(Ok)).collect()
    }
}

impl Bound {
    fn parse(mut table: Table) -> Result<Self> {
        let Some(toml::Value::String(name)) = table.remove("name") else {
            bail!("a binding needs a `name`");
        };
        for (member, value) in &table {
            check_json(value).with_context(|| format!("the binding {name}: {member}"))?;
        }
        match table.try_into() {
            Ok(Binding::SecretText { .. }) => {
                bail!(
                    "a secret's text does not belong in a file: put {name} among `secrets`, and its text into the environment"
                )
            }
            Ok(Binding::Ratelimit { simple: Rate { period, .. }, .. }) if ![10, 60].contains(&period) => {
                bail!("the period of {name} must be 10 or 60 seconds")
            }
            Ok(binding) => Ok(Self { name, binding }),
            Err(error) => bail!("the binding {name}: {}", error.message()),
        }
    }
}

/// A value as JSON, if JSON has such a value.
fn json_of(value: toml::Value) -> Result<Value> {
    check_json(&value)?;
    Ok(value.try_into()?)
}

/// Refuses what JSON does not have, and would become something else.
fn check_json(value: &toml::Value) -> Result<()> {
    match value {
        toml::Value::Datetime(date) => bail!("JSON has no dates: put {date} in quotation marks"),
        toml::Value::Float(number) if !number.is_finite() => bail!("JSON has no number {number}"),
        toml::Value::Array(values) => values.iter().try_for_each(check_json),
        toml::Value::Table(table) => table.values().try_for_each(check_json),
        _ => Ok(()),
    }
}

fn is_identifier(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(inner) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn line(text: &str, span: &Range<usize>) -> usize {
    text[..span.start].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bindings(manifest: &Manifest) -> Value {
        let secret = |name: &str| (name == "API_KEY").then(|| "hush".to_owned());
        serde_json::to_value(manifest.bindings(secret).expect("all secrets are set")).expect("JSON")
    }

    #[test]
    fn a_customer_without_a_file_gets_storage_and_nothing_else() {
        let manifest = Manifest::parse("").expect("nothing is enough");
        assert_eq!(manifest, Manifest::default());
        assert_eq!(manifest.storage, Storage { kv: true, r2: true, d1: true, jurisdiction: None });
        assert_eq!(bindings(&manifest), json!([]));
    }

    #[test]
    fn every_kind_of_binding_is_as_the_upload_api_has_it() {
        for (fields, expected) in [
            (r#"type = "ai""#, json!({"type": "ai"})),
            (r#"type = "analytics_engine", dataset = "d""#, json!({"type": "analytics_engine", "dataset": "d"})),
            (r#"type = "browser""#, json!({"type": "browser"})),
            (r#"type = "d1", id = "x", shared = true"#, json!({"type": "d1", "id": "x"})),
            (
                r#"type = "dispatch_namespace", namespace = "n", shared = true"#,
                json!({"type": "dispatch_namespace", "namespace": "n"}),
            ),
            (
                r#"type = "durable_object_namespace", class_name = "Room""#,
                json!({"type": "durable_object_namespace", "class_name": "Room"}),
            ),
            (
                r#"type = "durable_object_namespace", class_name = "Room", script_name = "s", shared = true"#,
                json!({"type": "durable_object_namespace", "class_name": "Room", "script_name": "s"}),
            ),
            (r#"type = "hyperdrive", id = "h""#, json!({"type": "hyperdrive", "id": "h"})),
            (r#"type = "json", json = { q = 1.5 }"#, json!({"type": "json", "json": {"q": 1.5}})),
            (r#"type = "kv_namespace", namespace_id = "1""#, json!({"type": "kv_namespace", "namespace_id": "1"})),
            (
                r#"type = "mtls_certificate", certificate_id = "m""#,
                json!({"type": "mtls_certificate", "certificate_id": "m"}),
            ),
            (r#"type = "plain_text", text = "p""#, json!({"type": "plain_text", "text": "p"})),
            (r#"type = "queue", queue_name = "jobs""#, json!({"type": "queue", "queue_name": "jobs"})),
            (
                r#"type = "r2_bucket", bucket_name = "b", jurisdiction = "eu", shared = true"#,
                json!({"type": "r2_bucket", "bucket_name": "b", "jurisdiction": "eu"}),
            ),
            (
                r#"type = "ratelimit", namespace_id = "1", simple = { limit = 9, period = 60 }"#,
                json!({"type": "ratelimit", "namespace_id": "1", "simple": {"limit": 9, "period": 60}}),
            ),
            (
                r#"type = "service", service = "s", entrypoint = "E", environment = "e", props = { a = 1 }"#,
                json!({"type": "service", "service": "s", "entrypoint": "E", "environment": "e", "props": {"a": 1}}),
            ),
            (r#"type = "vectorize", index_name = "i""#, json!({"type": "vectorize", "index_name": "i"})),
            (r#"type = "version_metadata""#, json!({"type": "version_metadata"})),
        ] {
            let manifest = Manifest::parse(&format!("bindings = [{{ name = \"A\", {fields} }}]")).expect(fields);
            let mut expected = expected;
            expected["name"] = "A".into();
            assert_eq!(bindings(&manifest), json!([expected]));
        }
    }

    /// Whoever writes a manifest begins with the example, so it has everything.
    #[test]
    fn the_documented_example_is_one_and_has_every_type() {
        let page = include_str!("../../docs/customers.md");
        let example = page.split("```toml\n").nth(1).expect("an example").split("```").next().expect("it ends");
        let manifest = Manifest::parse(example).expect("a manifest");
        let types: BTreeSet<String> = bindings(&manifest)
            .as_array()
            .expect("bindings")
            .iter()
            .map(|binding| binding["type"].as_str().expect("a type").to_owned())
            .collect();
        let expected = [
            "ai",
            "analytics_engine",
            "browser",
            "d1",
            "dispatch_namespace",
            "durable_object_namespace",
            "hyperdrive",
            "json",
            "kv_namespace",
            "mtls_certificate",
            "plain_text",
            "queue",
            "r2_bucket",
            "ratelimit",
            "secret_text",
            "service",
            "vectorize",
            "version_metadata",
        ];
        assert_eq!(types, BTreeSet::from(expected.map(str::to_owned)));
        // A type that is new must be there as well.
        let unknown = Manifest::parse("bindings = [{ name = 'A', type = 'none' }]").expect_err("unknown").to_string();
        assert_eq!(unknown.matches('`').count() / 2 - 1, expected.len(), "{unknown}");
    }

    #[test]
    fn variables_and_secrets_are_bindings_as_well() {
        let text = r#"
            plan = "pro"
            tags = ["eu", "beta"]
            secrets = ["API_KEY"]
            limits = { cpuMs = 50, subRequests = 20 }
            storage = { d1 = false, jurisdiction = "eu" }
            vars = { GREETING = "hello", FLAGS = { dark = true, ids = [1, 2] } }
        "#;
        let manifest = Manifest::parse(text).expect("a manifest");
        assert_eq!(manifest.plan.as_ref().map(Plan::as_str), Some("pro"));
        assert_eq!(manifest.limits.cpu_ms.map(std::num::NonZero::get), Some(50));
        let expected_storage = Storage { kv: true, r2: true, d1: false, jurisdiction: Some(Jurisdiction::Eu) };
        assert_eq!(manifest.storage, expected_storage);
        let expected = json!([
            {"name": "FLAGS", "type": "json", "json": {"dark": true, "ids": [1, 2]}},
            {"name": "GREETING", "type": "plain_text", "text": "hello"},
            {"name": "API_KEY", "type": "secret_text", "text": "hush"},
        ]);
        assert_eq!(bindings(&manifest), expected);
        let unset = manifest.bindings(|_| None).expect_err("it is not set").to_string();
        assert_eq!(unset, "the secret API_KEY is not set in the environment");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line, reason) in [
            ("plam = \"pro\"", 1, "unknown field `plam`"),
            ("\nplan = \"Pro\"", 2, "a plan is 1 to 32"),
            ("\n\n[limits]\ncpu = 1", 4, "unknown field `cpu`"),
            ("[limits]\ncpuMs = 0", 2, "nonzero"),
            ("[storage]\nkb = true", 2, "unknown field `kb`"),
            ("[script]\nmain = \"index.js\"", 1, "missing field `path`"),
            ("[script]\npath = \".\"\nmian = \"index.js\"", 3, "unknown field `mian`"),
            ("[storage]\njurisdiction = \"mars\"", 2, "unknown variant `mars`"),
            ("\n[[bindings]]\nname = \"A\"\ntype = \"kv\"", 2, "unknown variant `kv`"),
            ("\n\n[[bindings]]\ntype = \"ai\"", 3, "needs a `name`"),
            ("[[bindings]]\nname = \"A\"\ntype = \"queue\"", 1, "missing field `queue_name`"),
            ("[[bindings]]\nname = \"A\"\ntype = \"queue\"\nqueue = \"q\"", 4, "unknown field `queue`"),
            ("[[bindings]]\nname = \"A\"\ntype = \"ai\"\nmodel = \"m\"", 4, "unknown field `model`"),
            ("[vars]\nA = 1\nB = 2026-11-22", 3, "JSON has no dates: put 2026-11-22 in quotation marks"),
            ("[vars]\nA = { b = [1.0, nan] }", 2, "JSON has no number"),
            ("[vars]\nA = -inf", 2, "JSON has no number -inf"),
            (
                "[[bindings]]\nname = 'A'\ntype = 'json'\njson = { on = 2026-11-22 }",
                4,
                "the binding A: json: JSON has no dates",
            ),
            ("[[bindings]]\nname = \"A\"\ntype = \"secret_text\"\ntext = \"hush\"", 1, "among `secrets`"),
        ] {
            let error = format!("{:#}", Manifest::parse(text).expect_err(text));
            assert!(error.contains(&format!("line {line}")) && error.contains(reason), "{text}: {error}");
        }
        let rate = "[[bindings]]\nname = \"A\"\ntype = \"ratelimit\"\nnamespace_id = \"1\"\nsimple = { limit = 1, period = 30 }";
        assert!(Manifest::parse(rate).expect_err("neither").to_string().contains("10 or 60 seconds"));
    }

    #[test]
    fn tags_are_few_and_plain() {
        let seven = Manifest::parse(r#"tags = ["a", "b", "c", "d", "e", "f", "g"]"#).expect("as many as there may be");
        assert_eq!(seven.tags.len(), 7);
        for (tags, reason) in [
            (r#"["a", "b", "c", "d", "e", "f", "g", "h"]"#, "there are 8 tags"),
            (r#"["own-script"]"#, "says whose code"),
            (r#"["customer-worker"]"#, "says whose code"),
            (r#"["a,b"]"#, "cannot be a tag"),
            (r#"["a&b"]"#, "cannot be a tag"),
            (r#"["a:b"]"#, "cannot be a tag"),
            (r#"[""]"#, "cannot be a tag"),
        ] {
            let error = Manifest::parse(&format!("tags = {tags}")).expect_err(tags).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_script_has_each_name_once() {
        for text in [
            "secrets = [\"A\"]\n[vars]\nA = 1",
            "[vars]\nUSER_KV = 1",
            "[[bindings]]\nname = \"USER_DB\"\ntype = \"ai\"",
            "[[bindings]]\nname = \"A\"\ntype = \"ai\"\n[[bindings]]\nname = \"A\"\ntype = \"browser\"",
        ] {
            let error = Manifest::parse(text).expect_err(text).to_string();
            assert!(error.starts_with("there are two bindings called"), "{text}: {error}");
        }
        // A customer without a database of its own may have one of that name.
        let text = "storage = { d1 = false }\n[[bindings]]\nname = \"USER_DB\"\ntype = \"d1\"\nid = \"x\"";
        assert_eq!(Manifest::parse(text).expect("a manifest").bindings.len(), 1);
        for name in ["", "1A", "a-b", "a b", "é"] {
            let text = format!("[vars]\n\"{name}\" = 1");
            assert!(Manifest::parse(&text).expect_err(name).to_string().contains("cannot be a binding's name"));
        }
    }
}
