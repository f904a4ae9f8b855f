//! The scripts' processes, and how they follow the account.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;

use super::account::{Account, Code, Storage};
use super::control;
use super::definition::Places;
use super::process::Process;
use super::removed::remove_files;
use super::run_folder::RunFolder;
use super::script_logs::ScriptLogs;
use super::store::{Store, replace};
use super::supervisor::{Name, Parameters, Supervisor};
use super::workerd::{Binding, Config, Failure, Worker, Workerd};
use platform::token::state_file;

/// The scripts' processes, and how they follow the account.
#[derive(Debug)]
pub struct Processes {
    supervisor: Arc<Supervisor>,
    places: Arc<Places>,
    /// Storage that the Worker for the local API was started with.
    bound: Arc<Mutex<BTreeSet<Storage>>>,
    /// Scripts that an upload does not replace in this run: the options say what they run.
    fixed: BTreeSet<String>,
    control: JoinHandle<std::io::Result<()>>,
    following: AsyncMutex<()>,
}

/// A script that has started, and may be taken.
#[derive(Debug)]
pub enum Started {
    /// Its process serves as soon as it is taken.
    Running(Arc<Process>),
    /// Its process has ended again, because two must not have the same Durable Objects.
    Checked(Duration),
}

impl Started {
    /// How long the start took.
    pub fn time(&self) -> Duration {
        match self {
            Self::Running(process) => process.startup(),
            Self::Checked(time) => *time,
        }
    }
}

impl Processes {
    /// Listens for the hub, and on the sockets of all scripts and databases.
    pub fn start(
        workerd: Workerd,
        folder: RunFolder,
        places: Places,
        fixed: BTreeSet<String>,
        store: &Arc<Mutex<Store>>,
        logs: Arc<ScriptLogs>,
    ) -> Result<Self> {
        let places = Arc::new(places);
        let bound = Arc::new(Mutex::default());
        let source = {
            let (places, bound, store) = (places.clone(), bound.clone(), store.clone());
            Box::new(move |name: &Name, parameters: &Parameters| {
                let account = locked(&store).account().clone();
                if *name == Name::Storage {
                    *locked(&bound) = account.storage().into_iter().chain(account.removed.iter().cloned()).collect();
                }
                places.config(&account, name, parameters)
            })
        };
        let log = Arc::new(move |name: &Name, level: &str, message: &str| match name {
            Name::Script(script) => logs.add(script, level, message),
            // The runtime says so for each unknown script.
            _ if message.starts_with("NOSENTRY RPC connection broken") => {}
            // The dispatcher's own lines are JSON.
            Name::Dispatcher => logs.output().line(message),
            _ => logs.output().line(&format!("[{name}] {message}")),
        });
        let supervisor = Supervisor::new(workerd, folder, source, log);
        supervisor.listen(Name::Storage)?;
        supervisor.listen(Name::Dispatcher)?;
        let control = control::start(supervisor.clone())?;
        let processes = Self { supervisor, places, bound, fixed, control, following: AsyncMutex::default() };
        let account = locked(store).account().clone();
        for name in processes.names(&account) {
            processes.supervisor.listen(name)?;
        }
        Ok(processes)
    }

    /// What starts the processes.
    pub fn supervisor(&self) -> &Arc<Supervisor> {
        &self.supervisor
    }

    /// The folder of the sockets.
    pub fn folder(&self) -> &RunFolder {
        self.supervisor.folder()
    }

    /// What has a socket.
    fn names(&self, account: &Account) -> BTreeSet<Name> {
        let scripts = account.scripts().map(|(name, _)| name).chain(self.places.modules.keys());
        let of_dispatcher = self.places.dispatcher.bindings.values().filter_map(|binding| match binding {
            Binding::Database(id) => Some(id),
            _ => None,
        });
        let databases = account.databases.keys().chain(of_dispatcher).cloned().map(Name::Database);
        scripts.cloned().map(Name::Script).chain(databases).chain([Name::Storage, Name::Dispatcher]).collect()
    }

    /// Takes up which scripts and databases there are. Returns the storage whose files are deleted now.
    pub async fn follow(&self, account: impl Fn() -> Account) -> Result<Vec<Storage>> {
        // One after another, so that none takes up less than the one before.
        let _following = self.following.lock().await;
        let account = account();
        let wanted = self.names(&account);
        for name in self.supervisor.names().difference(&wanted) {
            self.supervisor.remove(name).await;
        }
        for name in &wanted {
            self.supervisor.listen(name.clone())?;
        }
        // The hub has other files open. They are empty, and go at the next start.
        let is_closed = |storage: &&Storage| match storage {
            Storage::D1(_) => true,
            Storage::Objects(script) => !account.scripts().any(|(name, _)| name == script),
            Storage::Kv(_) | Storage::R2(_) => false,
        };
        let closed: Vec<Storage> = account.removed.iter().filter(is_closed).cloned().collect();
        for storage in &closed {
            remove_files(storage, &self.places.storage())?;
        }
        Ok(closed)
    }

    /// Starts a script whose modules are in a folder: what keeps it from starting, or its process.
    pub async fn try_script(&self, name: &str, worker: Worker) -> Result<Result<Started, Failure>> {
        let key = Name::Script(name.to_owned());
        let worker = worker.through(self.places.outbound(&self.supervisor.parameters(&key)));
        if worker.durable_objects.is_empty() {
            let process = self.supervisor.prepare(&key, &Config::Worker(worker)).await?;
            return Ok(process.map(Started::Running));
        }
        Ok(self.supervisor.check(&worker).await?.map(Started::Checked))
    }

    /// Lets a script serve from now on.
    pub async fn take(&self, name: &str, started: Started) -> Result<()> {
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

    /// Takes up that something besides a script's code has changed.
    pub async fn reload(&self, name: &str) {
        if !self.fixed.contains(name) {
            self.supervisor.reload(&Name::Script(name.to_owned())).await;
        }
    }

    /// Starts the scripts with Durable Objects, which may have alarms that are due.
    pub async fn start_objects(&self, account: &Account) {
        let names = account.scripts().filter(|(_, script)| !script.durable_objects.is_empty()).map(|(name, _)| name);
        for name in names.filter(|name| !self.fixed.contains(*name)) {
            self.supervisor.start(&Name::Script(name.clone())).await;
        }
    }

    /// Takes up that one of the platform's own Workers was built again.
    pub async fn reload_built(&self, account: &Account, worker: &str) {
        if worker == "dispatcher" {
            return self.supervisor.reload(&Name::Dispatcher).await;
        }
        for (name, script) in account.scripts() {
            let is_built = worker == "customer-worker" && script.code == Code::Built;
            let goes_through = worker == "outbound" && self.places.outbound.is_some();
            if is_built || goes_through {
                self.reload(name).await;
            }
        }
    }

    /// Changes the dispatcher's `TOKEN_SECRETS`. Requests that come from now on are checked with them.
    pub async fn set_token_secrets(&self, json: &str) -> Result<()> {
        replace(&state_file(&self.places.state), json.as_bytes())?;
        self.supervisor.reload(&Name::Dispatcher).await;
        Ok(())
    }

    /// The configuration of a script whose modules are in a folder.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Makes sure that the Worker for the local API has some storage.
    pub async fn bind(&self, storage: &Storage) {
        if !locked(&self.bound).contains(storage) {
            self.supervisor.reload(&Name::Storage).await;
        }
    }

    /// Ends all processes.
    pub async fn stop(&self) {
        self.control.abort();
        self.supervisor.stop().await;
    }

    /// Removes the sockets. Nothing runs any more.
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
