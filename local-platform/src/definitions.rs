//! Creates the configuration of each process from the account and the options.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use toml::Table;
use uuid::{Builder, Uuid};

use super::account::{Account, Code, Script, Storage, now};
use super::address_block::AddressBlock;
use super::binding_types::works;
use super::config::{api_bindings, deployed_dispatcher, read};
use super::options::{Auth, Customer, Options};
use super::script::{stored, worker_name};
use super::store::modules_folder;
use super::supervisor::{Name, Parameters};
use super::workerd::{Binding, Config, Module, ModuleKind, Worker};
use platform::code::RuntimeSettings;
use platform::token::state_secrets;
use shared::customer::UserId;

/// The folders, Workers and settings that the processes' configurations are built from.
#[derive(Clone, Debug)]
pub struct Definitions {
    /// The state folder.
    pub state: PathBuf,
    /// The folder of the built customer Worker.
    pub customer_worker: PathBuf,
    /// The compatibility settings of the built customer Worker.
    pub settings: RuntimeSettings,
    /// The customers whose Worker is a JavaScript module that the options name, and its file. They are found by the
    /// script's name.
    pub modules: BTreeMap<String, (UserId, PathBuf)>,
    /// The file of the Worker that has all storage.
    pub storage_module: PathBuf,
    /// The Worker that scripts' outgoing requests go through, and the names of its parameters.
    pub outbound: Option<(Worker, Vec<String>)>,
    /// Non-public addresses that scripts may connect to.
    pub allow: Vec<AddressBlock>,
    /// The folder of the built dispatcher.
    pub dispatcher_folder: PathBuf,
    /// The dispatcher without its modules and its secrets.
    pub dispatcher: Worker,
    /// Whether the dispatcher has `TOKEN_SECRETS`, which are stored in the state folder.
    pub has_token_secrets: bool,
}

impl Definitions {
    /// Creates them from the options.
    pub fn new(options: &Options, state: &Path, records: Option<&str>) -> Result<Self> {
        let repository = options.repository.canonicalize().context("cannot find the repository")?;
        let customer_worker = match &options.builds {
            Some(builds) => builds.join("customer-worker"),
            None => repository.join("customer-worker/build"),
        };
        let customer_worker = customer_worker
            .canonicalize()
            .with_context(|| format!("{} is missing: run `cargo xtask build`", customer_worker.display()))?;
        let storage_module = repository.join("local-platform/namespace/storage.js");
        let mut modules = BTreeMap::new();
        for Customer { id, worker } in &options.customers {
            if let Some(file) = worker.as_ref().filter(|file| file.extension().is_none_or(|kind| kind != "toml")) {
                let file = file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
                modules.insert(id.to_string(), (id.clone(), file));
            }
        }
        let settings = RuntimeSettings::read(&repository)?;
        let outbound = outbound(&repository, options.builds.as_deref(), &settings, &options.allow)?;
        let allow = options.allow.clone();
        let (dispatcher_folder, dispatcher) =
            dispatcher(options, &deployed_dispatcher(&repository, options, records)?, &settings)?;
        let has_token_secrets = options.auth == Auth::Token;
        let state = state.to_owned();
        Ok(Self {
            state,
            customer_worker,
            settings,
            modules,
            storage_module,
            outbound,
            allow,
            dispatcher_folder,
            dispatcher,
            has_token_secrets,
        })
    }

    /// Returns the folder in which the simulators store their data.
    pub fn storage(&self) -> PathBuf {
        self.state.join("storage/v3")
    }

    /// Returns the configuration of the process with this name. `storage` returns what the storage Worker can reach.
    pub fn config(
        &self,
        account: &Account,
        name: &Name,
        parameters: &Parameters,
        storage: impl FnOnce() -> BTreeSet<Storage>,
    ) -> Result<Config> {
        match name {
            Name::Script(name) => Ok(Config::Worker(self.script(account, name)?.through(self.outbound(parameters)))),
            Name::Database(_) => {
                let folder = self.storage().join("d1");
                fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
                Ok(Config::Database { folder })
            }
            Name::Storage => Ok(Config::Storage(self.storage_worker(storage()))),
            Name::Dispatcher => {
                let mut dispatcher = self.dispatcher.clone();
                dispatcher.modules = built_modules(&self.dispatcher_folder)?;
                if self.has_token_secrets {
                    let secrets = Binding::Text(state_secrets(&self.state)?);
                    dispatcher.bindings.insert("TOKEN_SECRETS".to_owned(), secrets);
                }
                Ok(Config::Dispatcher(dispatcher))
            }
        }
    }

    fn script(&self, account: &Account, name: &str) -> Result<Worker> {
        if let Some((id, file)) = self.modules.get(name) {
            let bindings = account.storage_of(&id.resource_name());
            return Ok(Worker {
                modules: vec![Module { name: "index.js".to_owned(), kind: ModuleKind::EsModule, path: file.clone() }],
                bindings: bindings.iter().filter_map(|binding| bound(binding, None)).collect(),
                ..self.worker(name)
            });
        }
        let Some((_, script)) = account.scripts().find(|(script, _)| *script == name) else {
            bail!("there is no script {name}");
        };
        let folder = match &script.code {
            Code::Built => self.customer_worker.clone(),
            Code::Uploaded(modules) => modules_folder(&self.state, &modules.digest),
        };
        self.uploaded(account, name, script, &folder)
    }

    /// Returns the Worker of a script whose modules are in a folder.
    pub fn uploaded(&self, account: &Account, name: &str, script: &Script, folder: &Path) -> Result<Worker> {
        let exists = |binding: &&Map<String, Value>| stored(binding).is_none_or(|storage| account.has(&storage));
        // Deleted storage is not bound, because a write would create it again.
        let bindings = script.bindings.iter().filter(|binding| works(binding)).filter(exists);
        let version = version(name, script);
        let objects = self.storage().join("do");
        fs::create_dir_all(&objects).with_context(|| format!("cannot create {}", objects.display()))?;
        Ok(Worker {
            modules: match &script.code {
                Code::Built => built_modules(folder)?,
                Code::Uploaded(modules) => {
                    let main = modules.media_types.get_key_value(&modules.main);
                    let others = modules.media_types.iter().filter(|(name, _)| **name != modules.main);
                    let module = |(name, media_type): (&String, &String)| {
                        let kind = ModuleKind::of(media_type)?;
                        Some(Module { name: name.clone(), kind, path: folder.join(name) })
                    };
                    main.into_iter().chain(others).filter_map(module).collect()
                }
            },
            has_no_exports: matches!(&script.code, Code::Uploaded(modules) if modules.service_worker),
            compatibility_date: script.compatibility_date.clone(),
            compatibility_flags: script.compatibility_flags.clone(),
            bindings: bindings.filter_map(|binding| bound(binding, Some(&version))).collect(),
            durable_objects: script.durable_objects.clone(),
            objects: Some(objects),
            ..self.worker(name)
        })
    }

    /// Returns the Worker through which the local API uses storage, bound to all of it.
    fn storage_worker(&self, storage: BTreeSet<Storage>) -> Worker {
        let bindings = storage.into_iter().filter_map(|storage| {
            let name = storage.binding();
            match storage {
                Storage::Kv(id) => Some((name, Binding::Kv(id))),
                Storage::R2(bucket) => Some((name, Binding::Bucket(bucket))),
                Storage::D1(id) => Some((name, Binding::Database(id))),
                Storage::Objects(_) => None,
            }
        });
        let path = self.storage_module.clone();
        Worker {
            modules: vec![Module { name: "storage.js".to_owned(), kind: ModuleKind::EsModule, path }],
            bindings: bindings.collect(),
            ..self.worker("storage")
        }
    }

    /// Returns the outbound Worker with the given parameters, if there is an outbound Worker.
    pub fn outbound(&self, parameters: &Parameters) -> Option<Worker> {
        let (worker, names) = self.outbound.as_ref()?;
        let mut worker = worker.clone();
        for name in names {
            let value = match parameters.get(name) {
                Some(Value::String(text)) => Binding::Text(text.clone()),
                Some(other) => Binding::Json(other.to_string()),
                None => continue,
            };
            worker.bindings.insert(name.clone(), value);
        }
        Some(worker)
    }

    fn worker(&self, name: &str) -> Worker {
        Worker {
            allow: self.allow.clone(),
            is_trusted: false,
            outbound: None,
            name: worker_name(name),
            modules: Vec::new(),
            has_no_exports: false,
            compatibility_date: self.settings.compatibility_date.clone(),
            compatibility_flags: self.settings.compatibility_flags.clone(),
            bindings: BTreeMap::new(),
            durable_objects: BTreeMap::new(),
            objects: None,
        }
    }
}

impl Worker {
    /// Returns the same Worker with another outbound Worker.
    pub fn through(self, outbound: Option<Worker>) -> Self {
        Self { outbound: outbound.map(Box::new), ..self }
    }
}

/// Returns the folder of the dispatcher's modules, and the dispatcher of a wrangler file without its modules.
fn dispatcher(options: &Options, config: &Table, settings: &RuntimeSettings) -> Result<(PathBuf, Worker)> {
    let main = config.get("main").and_then(toml::Value::as_str).context("wrangler.toml has no main")?;
    let folder = Path::new(main).parent().context("a file is in a folder")?;
    let mut worker = configured("dispatcher", config, settings);
    worker.bindings.insert("DISPATCHER".to_owned(), Binding::Namespace(hosted(options)));
    worker.is_trusted = true;
    Ok((folder.to_owned(), worker))
}

/// Returns one of the operator's Workers as its wrangler file describes it, without its modules.
fn configured(name: &str, config: &Table, settings: &RuntimeSettings) -> Worker {
    let version = json!({ "id": Uuid::new_v4().to_string(), "tag": "", "timestamp": now() });
    let bindings = api_bindings(config);
    let bindings = bindings.iter().filter_map(Value::as_object);
    let date = config.get("compatibility_date").and_then(toml::Value::as_str);
    Worker {
        name: name.to_owned(),
        modules: Vec::new(),
        has_no_exports: false,
        compatibility_date: date.unwrap_or(&settings.compatibility_date).to_owned(),
        compatibility_flags: texts(config.get("compatibility_flags")),
        bindings: bindings.filter_map(|binding| bound(binding, Some(&version))).collect(),
        durable_objects: BTreeMap::new(),
        objects: None,
        outbound: None,
        allow: Vec::new(),
        is_trusted: false,
    }
}

/// Returns the texts in a list of a wrangler file.
fn texts(list: Option<&toml::Value>) -> Vec<String> {
    let list = list.and_then(toml::Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// Returns the scripts that run in the hub and the names of their Workers. These are the customers for which the
/// options name a wrangler file.
pub fn hosted(options: &Options) -> BTreeMap<String, String> {
    let in_hub = |customer: &&Customer| {
        customer.worker.as_ref().is_some_and(|file| file.extension().is_some_and(|kind| kind == "toml"))
    };
    let hosted = options.customers.iter().filter(in_hub);
    hosted.map(|customer| (customer.id.to_string(), customer.id.resource_name())).collect()
}

/// Returns the outbound Worker that the dispatcher's wrangler file names for its dispatch namespace, and the names of
/// its parameters. It must be the repository's own.
fn outbound(
    repository: &Path,
    builds: Option<&Path>,
    settings: &RuntimeSettings,
    allow: &[AddressBlock],
) -> Result<Option<(Worker, Vec<String>)>> {
    let dispatcher = read(&repository.join("wrangler.toml"))?;
    let namespace = dispatcher.get("dispatch_namespaces").and_then(|namespaces| namespaces.get(0));
    let Some(wanted) = namespace.and_then(|namespace| namespace.get("outbound")) else { return Ok(None) };
    let service = wanted.get("service").and_then(toml::Value::as_str);
    let service = service.context("`outbound` in wrangler.toml has no `service`")?;
    let path = repository.join("outbound/wrangler.toml");
    let config = read(&path)?;
    if config.get("name").and_then(toml::Value::as_str) != Some(service) {
        bail!(
            "wrangler.toml names the outbound Worker {service}, but {} is another: only that one runs locally",
            path.display()
        );
    }
    let folder = builds.map_or_else(|| repository.join("outbound/build"), |builds| builds.join("outbound"));
    let worker =
        Worker { modules: built_modules(&folder)?, allow: allow.to_vec(), ..configured(service, &config, settings) };
    Ok(Some((worker, texts(wanted.get("parameters")))))
}

/// Returns the modules of a built Worker: the main module first, then the Wasm and text modules beside it.
fn built_modules(folder: &Path) -> Result<Vec<Module>> {
    let module = |name: &str, kind| Module { name: name.to_owned(), kind, path: folder.join(name) };
    let mut modules = vec![module("index.js", ModuleKind::EsModule)];
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let name = entry.with_context(|| format!("cannot read {}", folder.display()))?.file_name();
        let Some(name) = name.to_str() else { continue };
        match name.rsplit_once('.').map(|(_, kind)| kind) {
            Some("wasm") => modules.push(module(name, ModuleKind::Wasm)),
            Some("txt") => modules.push(module(name, ModuleKind::Text)),
            _ => {}
        }
    }
    Ok(modules)
}

/// Returns a script's version for its binding `version_metadata`. Each change of the script changes the version.
fn version(name: &str, script: &Script) -> Value {
    let digest = Sha256::digest(format!("{name} {}", script.modified));
    let id = Builder::from_random_bytes(std::array::from_fn(|at| digest[at])).into_uuid();
    json!({ "id": id.to_string(), "tag": "", "timestamp": script.modified })
}

/// Converts a binding from the API's format to workerd's. Returns `None` if it is not supported. Version metadata and
/// services are only supported if there is a version.
fn bound(binding: &Map<String, Value>, version: Option<&Value>) -> Option<(String, Binding)> {
    let text = |name: &str| binding.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |name: &str| binding.get("simple")?.get(name)?.as_u64();
    let bound = match &*text("type") {
        "plain_text" | "secret_text" => Binding::Text(text("text")),
        "json" => Binding::Json(binding.get("json").unwrap_or(&Value::Null).to_string()),
        "version_metadata" => Binding::Json(version?.to_string()),
        "ratelimit" => {
            Binding::RateLimit { namespace: text("namespace_id"), limit: number("limit")?, period: number("period")? }
        }
        "durable_object_namespace" => Binding::DurableObjects(text("class_name")),
        "analytics_engine" => Binding::Dataset(text("dataset")),
        "queue" => Binding::Queue,
        "service" if version.is_some() => Binding::Service {
            worker: text("service"),
            entrypoint: binding.get("entrypoint").and_then(Value::as_str).map(str::to_owned),
        },
        _ => match stored(binding)? {
            Storage::Kv(id) => Binding::Kv(id),
            Storage::R2(name) => Binding::Bucket(name),
            Storage::D1(id) => Binding::Database(id),
            Storage::Objects(_) => return None,
        },
    };
    Some((text("name"), bound))
}
