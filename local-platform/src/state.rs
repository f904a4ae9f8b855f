//! Prepares the state folder before anything runs: its lock, the account, the API token and the deletion of unused
//! files.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::statvfs::statvfs;
use platform::code::RuntimeSettings;
use platform::token::write_private;
use shared::customer::UserId;

use super::account::{self, Account, Storage, new_id};
use super::config;
use super::options::{Customer, Options};
use super::removed::remove_files;
use super::store::Store;

/// A lock on the state folder. It is held while the platform runs.
#[derive(Debug)]
pub struct StateLock {
    path: PathBuf,
    file: File,
}

impl StateLock {
    /// Locks the folder. Two platforms would damage each other's storage.
    pub fn take(state: &Path) -> Result<Self> {
        let path = state.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot write to the state folder {}", state.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file }),
            Err(TryLockError::WouldBlock) => {
                bail!("another local platform uses {}; stop it, or choose another folder with --state", state.display())
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// Returns when the folder has been deleted or replaced. The simulators would go on writing to the deleted files
    /// and report that the data was stored.
    pub async fn lost(&self) {
        let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let held = self.file.metadata().map(id).ok();
        while fs::metadata(&self.path).map(id).ok() == held {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Creates the state folder, which only its owner can look into: it has what customers store. Returns its path.
pub fn prepare_state(state: &Path) -> Result<PathBuf> {
    let prepare = || {
        fs::create_dir_all(state)?;
        if fs::metadata(state)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(state, fs::Permissions::from_mode(0o700))?;
        }
        state.canonicalize()
    };
    prepare().with_context(|| format!("cannot use {} as the state folder", state.display()))
}

/// Opens the local account and creates the customers of the options. Also returns the id of the KV namespace with
/// customers' records, if there is one.
pub fn open_account(options: &Options, state: &Path) -> Result<(Store, Option<String>)> {
    for (at, customer) in options.customers.iter().enumerate() {
        if options.customers[..at].iter().any(|other| other.id == customer.id) {
            bail!("customer {} is there twice", customer.id);
        }
    }
    let mut store = Store::open(state)?;
    let is_new = store.is_new();
    let deployed = config::records(&options.repository)?;
    let settings = RuntimeSettings::read(&options.repository)?;
    let records = store.change(|account| {
        if is_new && options.customers.is_empty() {
            for id in first_customers() {
                account.seed(id.as_str(), &id.resource_name(), &settings);
            }
        }
        for Customer { id, worker } in &options.customers {
            match worker {
                None => account.seed(id.as_str(), &id.resource_name(), &settings),
                // A script that was uploaded under this name stays in the account. It runs again once the option is
                // gone.
                Some(_) => account.make_storage(&id.resource_name()),
            }
        }
        anyhow::Ok(match deployed {
            Some(id) => {
                account.kv_namespaces.entry(id.clone()).or_insert_with(|| account::KvNamespace { title: id.clone() });
                Some(id)
            }
            None if options.records => Some(account.kv_namespace("customers")),
            None => None,
        })
    })?;
    Ok((store, records))
}

/// The customers that are created at the first start if the options name none.
fn first_customers() -> [UserId; 2] {
    ["user1", "user2"].map(|id| id.parse().expect("a valid id"))
}

/// Returns the customers that the platform starts with: those of the options, or else the first customers that still
/// exist.
pub fn customers(options: &Options, account: &Account) -> Vec<Customer> {
    if !options.customers.is_empty() {
        return options.customers.clone();
    }
    let there = |id: &UserId| account.scripts().any(|(name, _)| name == id.as_str());
    first_customers().into_iter().filter(there).map(|id| Customer { id, worker: None }).collect()
}

/// Returns the token of the local API: that of the options, or else the one in the state folder. It is generated if it
/// does not exist.
pub fn api_token(options: &Options, state: &Path) -> Result<String> {
    if let Some(token) = &options.api_token {
        return Ok(token.clone());
    }
    let path = state.join("api-token");
    if path.exists() {
        let token = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if !token.trim().is_empty() {
            return Ok(token.trim().to_owned());
        }
    }
    let token = new_id();
    write_private(&path, &token)?;
    Ok(token)
}

/// Deletes the files of deleted storage, and modules that no script uses. The runtime must not be running.
pub fn sweep(state: &Path, store: &mut Store) -> Result<()> {
    let account = store.account();
    // The objects of a script that exists again are its own.
    let is_gone = |storage: &&Storage| !matches!(storage, Storage::Objects(_)) || !account.has(storage);
    let removed: Vec<Storage> = account.removed.iter().filter(is_gone).cloned().collect();
    for storage in &removed {
        remove_files(storage, &state.join("storage/v3"))?;
    }
    if !removed.is_empty() {
        store.change(|account| {
            account.removed.clear();
            anyhow::Ok(())
        })?;
    }
    store.sweep_modules()
}

/// Returns an error if the disk of the state folder is full.
pub fn disk_is_full(state: &Path) -> Option<anyhow::Error> {
    /// The space that the simulators' empty databases need, with a margin, in bytes.
    const ENOUGH: u64 = 256 << 10;

    let disk = statvfs(state).ok()?;
    #[allow(clippy::useless_conversion, reason = "not everywhere are both 64 bits")]
    let left = u64::from(disk.blocks_available()) * u64::from(disk.fragment_size());
    (left < ENOUGH).then(|| anyhow!("the disk that the state folder {} is on is full", state.display()))
}
