//! The resources of the local account: storage, dispatch namespaces and the scripts in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use cloudflare_api::Jurisdiction;
use platform::code::{CodeOwner, RuntimeSettings};

/// The name of the dispatcher's dispatch namespace.
pub const NAMESPACE: &str = "customers";

/// The local account.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Account {
    /// The account's id.
    pub id: String,
    /// The KV namespaces, by id.
    pub kv_namespaces: BTreeMap<String, KvNamespace>,
    /// The R2 buckets, by name.
    pub buckets: BTreeMap<String, Bucket>,
    /// The D1 databases, by id.
    pub databases: BTreeMap<String, Database>,
    /// The queues, by name.
    #[serde(default)]
    pub queues: BTreeMap<String, Queue>,
    /// The dispatch namespaces, by name.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Storage that was deleted but whose files still exist, because the runtime has them open.
    pub removed: BTreeSet<Storage>,
}

/// A KV namespace.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct KvNamespace {
    /// The namespace's title.
    pub title: String,
}

/// An R2 bucket.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Bucket {
    /// The time of its creation.
    pub created: String,
    /// The jurisdiction. It has no effect on where the data is stored, but requests to the API must name it.
    pub jurisdiction: Option<Jurisdiction>,
}

/// A D1 database.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Database {
    /// The database's name.
    pub name: String,
    /// The time of its creation.
    pub created: String,
    /// The jurisdiction. It has no effect here.
    pub jurisdiction: Option<Jurisdiction>,
}

/// A queue.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Queue {
    /// The queue's id.
    pub id: String,
    /// The time of its creation.
    pub created: String,
}

/// A dispatch namespace.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Namespace {
    /// The namespace's id.
    pub id: String,
    /// The time of its creation.
    pub created: String,
    /// The scripts, by name.
    pub scripts: BTreeMap<String, Script>,
}

/// A script in a dispatch namespace.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Script {
    /// The code that the script runs.
    pub code: Code,
    /// The time of its creation.
    pub created: String,
    /// The time of its last change.
    pub modified: String,
    /// The bindings, as they were uploaded.
    pub bindings: Vec<Map<String, Value>>,
    /// The script's tags.
    pub tags: BTreeSet<String>,
    /// The compatibility date: <https://developers.cloudflare.com/workers/configuration/compatibility-dates/>.
    pub compatibility_date: String,
    /// The compatibility flags: <https://developers.cloudflare.com/workers/configuration/compatibility-flags/>.
    pub compatibility_flags: Vec<String>,
    /// The classes of Durable Objects, and whether they store their data in SQLite.
    pub durable_objects: BTreeMap<String, bool>,
    /// The tag of the last migration of the Durable Objects.
    pub migration_tag: Option<String>,
    /// Other settings of the upload, such as `observability` and `limits`.
    pub settings: Map<String, Value>,
}

/// The code that a script runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The customer Worker as built in the repository.
    Built,
    /// Uploaded modules.
    Uploaded(Modules),
}

/// The modules of a script. They are stored in a folder that is named after their digest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Modules {
    /// The digest of the modules, which is the folder's name.
    pub digest: String,
    /// The name of the main module.
    pub main: String,
    /// Whether the main module is a service-worker script, which has no exports.
    pub service_worker: bool,
    /// The media types of the modules, by name. The names are paths in the folder.
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
    /// The Durable Objects of a script, by the script's name.
    Objects(String),
}

impl Account {
    /// Creates an account whose only resource is the dispatcher's namespace, which is empty.
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

    /// Returns all KV namespaces, buckets and databases.
    pub fn storage(&self) -> BTreeSet<Storage> {
        let kv = self.kv_namespaces.keys().cloned().map(Storage::Kv);
        let r2 = self.buckets.keys().cloned().map(Storage::R2);
        kv.chain(r2).chain(self.databases.keys().cloned().map(Storage::D1)).collect()
    }

    /// Whether some storage exists.
    pub fn has(&self, storage: &Storage) -> bool {
        match storage {
            Storage::Kv(id) => self.kv_namespaces.contains_key(id),
            Storage::R2(name) => self.buckets.contains_key(name),
            Storage::D1(id) => self.databases.contains_key(id),
            Storage::Objects(script) => self.scripts().any(|(name, _)| name == script),
        }
    }

    /// Deletes a script and, if it is in the dispatcher's namespace, its Durable Objects. Returns whether the script
    /// existed.
    pub fn remove_script(&mut self, namespace: &str, script: &str) -> bool {
        let found = self.namespaces.get_mut(namespace).and_then(|namespace| namespace.scripts.remove(script));
        if namespace == NAMESPACE && found.is_some() {
            self.removed.insert(Storage::Objects(script.to_owned()));
        }
        found.is_some()
    }

    /// Returns the scripts of the dispatcher's namespace.
    pub fn scripts(&self) -> impl Iterator<Item = (&String, &Script)> {
        self.namespaces.get(NAMESPACE).into_iter().flat_map(|namespace| &namespace.scripts)
    }

    /// Returns the id of the KV namespace with this title. Creates the namespace if it does not exist.
    pub fn kv_namespace(&mut self, title: &str) -> String {
        let found = self.kv_namespaces.iter().find(|(_, namespace)| namespace.title == title);
        match found {
            Some((id, _)) => id.clone(),
            None => self.new_kv_namespace(title),
        }
    }

    /// Creates a KV namespace and returns its id.
    pub fn new_kv_namespace(&mut self, title: &str) -> String {
        let id = new_id();
        self.kv_namespaces.insert(id.clone(), KvNamespace { title: title.to_owned() });
        id
    }

    /// Creates a customer: storage of each kind that is called `resource`, and a script that runs the customer Worker
    /// as built in the repository. What already exists is not changed.
    pub fn seed(&mut self, script: &str, resource: &str, settings: &RuntimeSettings) {
        self.make_storage(resource);
        let storage = self.storage_of(resource);
        let namespace = self.namespaces.entry(NAMESPACE.to_owned()).or_insert_with(Namespace::new);
        namespace.scripts.entry(script.to_owned()).or_insert_with(|| Script::built(storage, settings));
    }

    /// Creates the missing storage of each kind that is called `resource`.
    pub fn make_storage(&mut self, resource: &str) {
        self.kv_namespace(resource);
        if !self.buckets.contains_key(resource) {
            self.new_bucket(resource, None);
        }
        if !self.databases.values().any(|database| database.name == resource) {
            self.new_database(resource, None);
        }
    }

    /// Returns the customer Worker's bindings to the storage that is called `resource`.
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

    /// Creates an R2 bucket.
    pub fn new_bucket(&mut self, name: &str, jurisdiction: Option<Jurisdiction>) {
        self.buckets.insert(name.to_owned(), Bucket { created: now(), jurisdiction });
    }

    /// Creates a D1 database and returns its id.
    pub fn new_database(&mut self, name: &str, jurisdiction: Option<Jurisdiction>) -> String {
        let id = Uuid::new_v4().to_string();
        self.databases.insert(id.clone(), Database { name: name.to_owned(), created: now(), jurisdiction });
        id
    }
}

impl Namespace {
    /// Creates a namespace without scripts.
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

    /// Creates a script that runs the customer Worker as built in the repository, with this storage.
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

/// Returns the current time in the API's format.
pub fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

/// Returns a new id in Cloudflare's format: 32 hexadecimal digits.
pub fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Formats bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
