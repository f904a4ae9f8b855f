//! What the local account has: storage, dispatch namespaces and the scripts in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use cloudflare_api::Jurisdiction;
use platform::code::{CodeOwner, RuntimeSettings};

/// The dispatch namespace that the dispatcher has.
pub const NAMESPACE: &str = "customers";

/// The account.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// KV namespaces, by id.
    pub kv_namespaces: BTreeMap<String, KvNamespace>,
    /// R2 buckets, by name.
    pub buckets: BTreeMap<String, Bucket>,
    /// D1 databases, by id.
    pub databases: BTreeMap<String, Database>,
    /// Queues, by name.
    #[serde(default)]
    pub queues: BTreeMap<String, Queue>,
    /// Dispatch namespaces, by name.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Storage that is gone, but whose files are still there: the runtime has them open.
    pub removed: BTreeSet<Storage>,
}

/// A KV namespace.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct KvNamespace {
    /// Its name.
    pub title: String,
}

/// An R2 bucket.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Bucket {
    /// When it was made.
    pub created: String,
    /// Where it must stay, which means nothing here.
    pub jurisdiction: Option<Jurisdiction>,
}

/// A D1 database.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: String,
    /// Where it must stay, which means nothing here.
    pub jurisdiction: Option<Jurisdiction>,
}

/// A queue.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Queue {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created: String,
}

/// A dispatch namespace.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Namespace {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created: String,
    /// Its scripts, by name.
    pub scripts: BTreeMap<String, Script>,
}

/// A script in a namespace.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Script {
    /// What it runs.
    pub code: Code,
    /// When it was made.
    pub created: String,
    /// When it was changed last.
    pub modified: String,
    /// Its bindings, as they were uploaded.
    pub bindings: Vec<Map<String, Value>>,
    /// What it is tagged with.
    pub tags: BTreeSet<String>,
    /// See <https://developers.cloudflare.com/workers/configuration/compatibility-dates/>.
    pub compatibility_date: String,
    /// Likewise.
    pub compatibility_flags: Vec<String>,
    /// Its classes of Durable Objects, and whether they keep their data in `SQLite`.
    pub durable_objects: BTreeMap<String, bool>,
    /// The last migration of its Durable Objects.
    pub migration_tag: Option<String>,
    /// Whatever else was said of it: `observability`, `limits`, ...
    pub settings: Map<String, Value>,
}

/// What a script runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The customer Worker as the repository builds it.
    Built,
    /// What was uploaded.
    Uploaded(Modules),
}

/// The modules of a script, kept in a folder that is named by what is in them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Modules {
    /// The folder's name, a digest of the modules.
    pub digest: String,
    /// The name of the main module.
    pub main: String,
    /// Whether the main module is a script of the old kind, without exports.
    pub service_worker: bool,
    /// The media types of the modules, by name: paths within the folder.
    pub media_types: BTreeMap<String, String>,
}

/// Storage in the local simulators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// A KV namespace, by its id.
    Kv(String),
    /// An R2 bucket, by its name.
    R2(String),
    /// A D1 database, by its id.
    D1(String),
    /// The Durable Objects of a script, by its name.
    Objects(String),
}

impl Account {
    /// An account with the dispatcher's namespace and nothing in it.
    pub fn new() -> Self {
        let mut account = Self {
            id: new_id(),
            kv_namespaces: BTreeMap::new(),
            buckets: BTreeMap::new(),
            databases: BTreeMap::new(),
            queues: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            removed: BTreeSet::new(),
        };
        account.namespaces.insert(NAMESPACE.to_owned(), Namespace::new());
        account
    }

    /// All storage.
    pub fn storage(&self) -> BTreeSet<Storage> {
        let kv = self.kv_namespaces.keys().cloned().map(Storage::Kv);
        let r2 = self.buckets.keys().cloned().map(Storage::R2);
        kv.chain(r2).chain(self.databases.keys().cloned().map(Storage::D1)).collect()
    }

    /// Whether some storage is there.
    pub fn has(&self, storage: &Storage) -> bool {
        match storage {
            Storage::Kv(id) => self.kv_namespaces.contains_key(id),
            Storage::R2(name) => self.buckets.contains_key(name),
            Storage::D1(id) => self.databases.contains_key(id),
            Storage::Objects(script) => self.scripts().any(|(name, _)| name == script),
        }
    }

    /// Takes a script away, and its Durable Objects with it. Answers whether it was there.
    pub fn remove_script(&mut self, namespace: &str, script: &str) -> bool {
        let found = self.namespaces.get_mut(namespace).and_then(|namespace| namespace.scripts.remove(script));
        if namespace == NAMESPACE && found.is_some() {
            self.removed.insert(Storage::Objects(script.to_owned()));
        }
        found.is_some()
    }

    /// The scripts of the namespace that the dispatcher has.
    pub fn scripts(&self) -> impl Iterator<Item = (&String, &Script)> {
        self.namespaces.get(NAMESPACE).into_iter().flat_map(|namespace| &namespace.scripts)
    }

    /// A KV namespace of this title; made if there is none.
    pub fn kv_namespace(&mut self, title: &str) -> String {
        let found = self.kv_namespaces.iter().find(|(_, namespace)| namespace.title == title);
        match found {
            Some((id, _)) => id.clone(),
            None => self.new_kv_namespace(title),
        }
    }

    /// Makes a KV namespace, and answers its id.
    pub fn new_kv_namespace(&mut self, title: &str) -> String {
        let id = new_id();
        self.kv_namespaces.insert(id.clone(), KvNamespace { title: title.to_owned() });
        id
    }

    /// A customer: storage of each kind that is called `resource`, and a script that runs the customer Worker as the repository
    /// builds it. What is there already stays as it is.
    pub fn seed(&mut self, script: &str, resource: &str, settings: &RuntimeSettings) {
        self.make_storage(resource);
        let storage = self.storage_of(resource);
        let namespace = self.namespaces.entry(NAMESPACE.to_owned()).or_insert_with(Namespace::new);
        namespace.scripts.entry(script.to_owned()).or_insert_with(|| Script::built(storage, settings));
    }

    /// Makes storage of each kind that is called `resource`, where it is missing.
    pub fn make_storage(&mut self, resource: &str) {
        self.kv_namespace(resource);
        if !self.buckets.contains_key(resource) {
            self.new_bucket(resource, None);
        }
        if !self.databases.values().any(|database| database.name == resource) {
            self.new_database(resource, None);
        }
    }

    /// The storage that is called `resource`, as bindings of the customer Worker.
    pub fn storage_of(&self, resource: &str) -> Vec<Map<String, Value>> {
        let kv = self
            .kv_namespaces
            .iter()
            .filter(|(_, namespace)| namespace.title == resource)
            .map(|(id, _)| json!({ "type": "kv_namespace", "name": "USER_KV", "namespace_id": id }));
        let r2 = self
            .buckets
            .contains_key(resource)
            .then(|| json!({ "type": "r2_bucket", "name": "USER_R2", "bucket_name": resource }));
        let d1 = self
            .databases
            .iter()
            .filter(|(_, database)| database.name == resource)
            .map(|(id, _)| json!({ "type": "d1", "name": "USER_DB", "id": id }));
        kv.chain(r2).chain(d1).filter_map(|binding| binding.as_object().cloned()).collect()
    }

    /// Makes an R2 bucket.
    pub fn new_bucket(&mut self, name: &str, jurisdiction: Option<Jurisdiction>) {
        self.buckets.insert(name.to_owned(), Bucket { created: now(), jurisdiction });
    }

    /// Makes a D1 database, and answers its id.
    pub fn new_database(&mut self, name: &str, jurisdiction: Option<Jurisdiction>) -> String {
        let id = Uuid::new_v4().to_string();
        self.databases.insert(id.clone(), Database { name: name.to_owned(), created: now(), jurisdiction });
        id
    }
}

impl Namespace {
    /// One without scripts.
    pub fn new() -> Self {
        Self { id: Uuid::new_v4().to_string(), created: now(), scripts: BTreeMap::new() }
    }
}

impl Script {
    /// Whether another script is started with the same code, bindings and settings.
    pub fn starts_like(&self, other: &Self) -> bool {
        let parts = |script: &Self| {
            (
                script.code.clone(),
                script.bindings.clone(),
                script.compatibility_date.clone(),
                script.compatibility_flags.clone(),
                script.durable_objects.clone(),
            )
        };
        parts(self) == parts(other)
    }

    /// What changes with the code.
    pub fn etag(&self) -> &str {
        match &self.code {
            Code::Built => "built",
            Code::Uploaded(modules) => &modules.digest,
        }
    }

    /// A script that runs the customer Worker as the repository builds it, with this storage.
    fn built(storage: Vec<Map<String, Value>>, settings: &RuntimeSettings) -> Self {
        Self {
            code: Code::Built,
            created: now(),
            modified: now(),
            bindings: storage,
            tags: BTreeSet::from([CodeOwner::Platform.tag().to_owned()]),
            compatibility_date: settings.compatibility_date.clone(),
            compatibility_flags: settings.compatibility_flags.clone(),
            durable_objects: BTreeMap::new(),
            migration_tag: None,
            settings: Map::new(),
        }
    }
}

/// The time, as the API tells it.
pub fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

/// An id as Cloudflare makes them: 32 hexadecimal digits.
pub fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
