//! The processes of the dispatcher, the scripts, the databases and the storage. They are kept in sync with the account.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;

use super::account::{Account, Code, Storage};
use super::control;
use super::definitions::Definitions;
use super::lock::locked;
use super::process::Process;
use super::removed::remove_files;
use super::run_folder::RunFolder;
use super::script_logs::ScriptLogs;
use super::store::{Store, replace};
use super::supervisor::{Name, Parameters, Supervisor};
use super::workerd::{Binding, Config, Failure, Worker, Workerd};
use platform::token::state_file;

type SharedStorage = Arc<Mutex<BTreeSet<Storage>>>;

/// The processes of the dispatcher, the scripts, the databases and the storage.
#[derive(Debug)]
pub struct Processes {
    supervisor: Arc<Supervisor>,
    definitions: Arc<Definitions>,
    /// The storage in the current configuration of the storage Worker.
    bound: SharedStorage,
    /// Storage that is not in the account any more and is being emptied. The storage Worker is bound to it.
    emptying: SharedStorage,
    /// The scripts whose Worker the options name. Uploads do not replace them in this run.
    fixed: BTreeSet<String>,
    control: JoinHandle<std::io::Result<()>>,
    following: AsyncMutex<()>,
}

/// A script that has started successfully and can be put into service.
#[derive(Debug)]
pub enum Started {
    /// The script's process. It gets requests after [`Processes::take`].
    Running(Arc<Process>),
    /// The time that the start took. The process has ended again, because two processes must not have the same Durable
    /// Objects.
    Checked(Duration),
}

impl Started {
    /// Returns how long the start took.
    pub fn time(&self) -> Duration {
        match self {
            Self::Running(process) => process.startup(),
            Self::Checked(time) => *time,
        }
    }
}

impl Processes {
    /// Listens on the supervisor's own socket and on the sockets of all processes. Starts none of them.
    pub fn start(
        workerd: Workerd,
        folder: RunFolder,
        definitions: Definitions,
        fixed: BTreeSet<String>,
        store: &Arc<Mutex<Store>>,
        logs: Arc<ScriptLogs>,
        idle: Duration,
    ) -> Result<Self> {
        let definitions = Arc::new(definitions);
        let (bound, emptying) = (SharedStorage::default(), SharedStorage::default());
        let source = {
            let (definitions, store) = (definitions.clone(), store.clone());
            let (bound, emptying) = (bound.clone(), emptying.clone());
            Box::new(move |name: &Name, parameters: &Parameters| {
                let account = locked(&store).account().clone();
                definitions.config(&account, name, parameters, || {
                    let storage = &account.storage() | &locked(&emptying);
                    locked(&bound).clone_from(&storage);
                    storage
                })
            })
        };
        let log = Arc::new(move |name: &Name, level: &str, message: &str| match name {
            Name::Script(script) => logs.add(script, level, message),
            // The runtime logs this for each unknown script.
            _ if message.starts_with("NOSENTRY RPC connection broken") => {}
            // The dispatcher logs lines of JSON, which must not get a prefix.
            Name::Dispatcher => logs.output().line(message),
            _ => logs.output().line(&format!("[{name}] {message}")),
        });
        let supervisor = Supervisor::new(workerd, folder, source, log, idle);
        let control = control::start(supervisor.clone())?;
        let processes =
            Self { supervisor, definitions, bound, emptying, fixed, control, following: AsyncMutex::default() };
        let account = locked(store).account().clone();
        for name in processes.names(&account) {
            processes.supervisor.listen(name)?;
        }
        Ok(processes)
    }

    /// Returns the supervisor, which starts the processes.
    pub fn supervisor(&self) -> &Arc<Supervisor> {
        &self.supervisor
    }

    /// Returns the folder of the sockets.
    pub fn folder(&self) -> &RunFolder {
        self.supervisor.folder()
    }

    /// Returns the names of all sockets.
    fn names(&self, account: &Account) -> BTreeSet<Name> {
        let scripts = account.scripts().map(|(name, _)| name).chain(self.definitions.modules.keys());
        let of_dispatcher = self.definitions.dispatcher.bindings.values().filter_map(|binding| match binding {
            Binding::Database(id) => Some(id),
            _ => None,
        });
        let databases = account.databases.keys().chain(of_dispatcher).cloned().map(Name::Database);
        scripts.cloned().map(Name::Script).chain(databases).chain([Name::Storage, Name::Dispatcher]).collect()
    }

    /// Listens on the sockets of new scripts and databases, and ends the processes of deleted ones. Returns the storage
    /// whose files have been deleted.
    pub async fn follow(&self, account: impl Fn() -> Account) -> Result<Vec<Storage>> {
        // Calls run one after another, so that an older account never replaces a newer one.
        let _following = self.following.lock().await;
        let account = account();
        let wanted = self.names(&account);
        for name in self.supervisor.names().difference(&wanted) {
            self.supervisor.remove(name).await;
        }
        for name in &wanted {
            self.supervisor.listen(name.clone())?;
        }
        // The hub keeps the files of other storage open. They are empty, and are deleted at the next start.
        let is_closed = |storage: &&Storage| match storage {
            Storage::D1(_) => true,
            Storage::Objects(script) => !account.scripts().any(|(name, _)| name == script),
            Storage::Kv(_) | Storage::R2(_) => false,
        };
        let closed: Vec<Storage> = account.removed.iter().filter(is_closed).cloned().collect();
        for storage in &closed {
            remove_files(storage, &self.definitions.storage())?;
        }
        Ok(closed)
    }

    /// Starts a script. Returns the started script, or why it does not start.
    pub async fn start_script(&self, name: &str, worker: Worker) -> Result<Result<Started, Failure>> {
        let key = Name::Script(name.to_owned());
        let worker = worker.through(self.definitions.outbound(&self.supervisor.parameters(&key)));
        if worker.durable_objects.is_empty() {
            let process = self.supervisor.prepare(&key, &Config::Worker(worker)).await?;
            return Ok(process.map(Started::Running));
        }
        Ok(self.supervisor.check(&worker).await?.map(Started::Checked))
    }

    /// Puts a started script into service, unless the options name another Worker for it.
    pub async fn put_into_service(&self, name: &str, started: Started) -> Result<()> {
        let (key, is_fixed) = (Name::Script(name.to_owned()), self.fixed.contains(name));
        match started {
            _ if is_fixed => Ok(()),
            Started::Running(process) => self.supervisor.replace(key, process).await,
            Started::Checked(_) => {
                self.supervisor.listen(key.clone())?;
                self.supervisor.reload(&key).await;
                self.supervisor.start(&key).await;
                Ok(())
            }
        }
    }

    /// Restarts a script after a change of anything but its code. The next request starts the new process.
    pub async fn reload(&self, name: &str) {
        if !self.fixed.contains(name) {
            self.supervisor.reload(&Name::Script(name.to_owned())).await;
        }
    }

    /// Starts the scripts with Durable Objects, because these may have alarms that are due.
    pub async fn start_objects(&self, account: &Account) {
        let names = account.scripts().filter(|(_, script)| !script.durable_objects.is_empty()).map(|(name, _)| name);
        for name in names.filter(|name| !self.fixed.contains(*name)) {
            self.supervisor.start(&Name::Script(name.clone())).await;
        }
    }

    /// Restarts the processes that use one of the platform's own Workers, after it was built again.
    pub async fn reload_built(&self, account: &Account, worker: &str) {
        if worker == "dispatcher" {
            return self.supervisor.reload(&Name::Dispatcher).await;
        }
        for (name, script) in account.scripts() {
            let is_built = worker == "customer-worker" && script.code == Code::Built;
            let goes_through = worker == "outbound" && self.definitions.outbound.is_some();
            if is_built || goes_through {
                self.reload(name).await;
            }
        }
    }

    /// Changes the dispatcher's `TOKEN_SECRETS`. They are used for all new requests.
    pub async fn set_token_secrets(&self, json: &str) -> Result<()> {
        replace(&state_file(&self.definitions.state), json.as_bytes())?;
        self.supervisor.reload(&Name::Dispatcher).await;
        Ok(())
    }

    /// Returns the folders, Workers and settings that the processes' configurations are built from.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// Makes sure that the storage Worker is bound to some storage.
    pub async fn bind(&self, storage: &Storage) {
        if !locked(&self.bound).contains(storage) {
            self.supervisor.reload(&Name::Storage).await;
        }
    }

    /// Lets the storage Worker reach storage that has been deleted, while `empty` runs.
    pub async fn while_emptying<T>(&self, storage: &Storage, empty: impl Future<Output = T>) -> T {
        locked(&self.emptying).insert(storage.clone());
        let result = empty.await;
        locked(&self.emptying).remove(storage);
        result
    }

    /// Ends all processes.
    pub async fn stop(&self) {
        self.control.abort();
        self.supervisor.stop().await;
    }

    /// Deletes the folder of the sockets. All processes must have ended.
    pub fn clear(&self) -> Result<()> {
        let folder = self.supervisor.folder().path();
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", folder.display()))
            }
            _ => Ok(()),
        }
    }
}
