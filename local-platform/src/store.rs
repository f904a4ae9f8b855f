//! Stores the local account in the state folder.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::account::{Account, Code};
use platform::token::write_private;

/// The account, and the state folder in which it is stored.
#[derive(Debug)]
pub struct Store {
    state: PathBuf,
    account: Account,
}

impl Store {
    /// Reads the account from a state folder. Creates a new account if there is none.
    pub fn open(state: &Path) -> Result<Self> {
        let path = state.join(FILE);
        let account = match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)
                .with_context(|| format!("{} is damaged; it says what the local account has", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Account::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Self { state: state.to_owned(), account })
    }

    /// Whether the account has not been stored yet.
    pub fn is_new(&self) -> bool {
        !self.state.join(FILE).exists()
    }

    /// Returns the account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Changes the account. The change takes effect when it has been written to disk. If anything fails, nothing
    /// changes.
    pub fn change<T, E: From<anyhow::Error>>(
        &mut self,
        change: impl FnOnce(&mut Account) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut account = self.account.clone();
        let changed = change(&mut account)?;
        let json = serde_json::to_vec_pretty(&account).map_err(anyhow::Error::new)?;
        replace(&self.state.join(FILE), &json)?;
        self.account = account;
        Ok(changed)
    }

    /// Returns the folder of a script's modules.
    pub fn modules(&self, digest: &str) -> PathBuf {
        modules_folder(&self.state, digest)
    }

    /// Moves a folder of modules to its permanent place, unless the same modules are already stored. The folder must be
    /// inside the state folder, so that it can be renamed.
    pub fn keep_modules(&self, digest: &str, folder: &Path) -> Result<()> {
        let kept = self.modules(digest);
        if kept.exists() {
            return Ok(());
        }
        let keep = || fs::create_dir_all(self.state.join("scripts")).and_then(|()| fs::rename(folder, &kept));
        keep().with_context(|| format!("cannot keep modules in {}", kept.display()))
    }

    /// Deletes the folders of modules that no script uses.
    pub fn sweep_modules(&self) -> Result<()> {
        let scripts = self.account.namespaces.values().flat_map(|namespace| namespace.scripts.values());
        let used: BTreeSet<&str> = scripts
            .filter_map(|script| match &script.code {
                Code::Uploaded(modules) => Some(&*modules.digest),
                Code::Built => None,
            })
            .collect();
        let folder = self.state.join("scripts");
        let sweep = || -> std::io::Result<()> {
            if !folder.exists() {
                return Ok(());
            }
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if !entry.file_name().to_str().is_some_and(|name| used.contains(name)) {
                    fs::remove_dir_all(entry.path())?;
                }
            }
            Ok(())
        };
        sweep().with_context(|| format!("cannot clear {}", folder.display()))
    }
}

const FILE: &str = "account.json";

/// Returns the folder of a script's modules.
pub fn modules_folder(state: &Path, digest: &str) -> PathBuf {
    state.join("scripts").join(digest)
}

/// Writes a file atomically: if this process is killed, the file is either the old one or the new one. Only the owner
/// can read it.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    write_private(&beside, content)?;
    let rename = || File::open(&beside)?.sync_all().and_then(|()| fs::rename(&beside, path));
    rename().with_context(|| format!("cannot write {}", path.display()))
}

/// Creates an empty folder that only its owner can access. An existing folder is deleted.
pub fn fresh_folder(folder: &Path) -> Result<PathBuf> {
    let make = || {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        DirBuilder::new().mode(0o700).create(folder)
    };
    make().with_context(|| format!("cannot clear {}", folder.display()))?;
    Ok(folder.to_owned())
}
