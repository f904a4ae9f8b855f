//! Keeps the local account in the state folder.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::account::{Account, Code};
use platform::token::write_private;

/// The account and where it is kept.
#[derive(Debug)]
pub struct Store {
    state: PathBuf,
    account: Account,
}

impl Store {
    /// Reads the account of a state folder; a new one if there is none.
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

    /// Whether nothing was kept yet.
    pub fn is_new(&self) -> bool {
        !self.state.join(FILE).exists()
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Changes the account. What `change` does holds once it is on the disk, and not at all if anything fails.
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

    /// The folder of a script's modules.
    pub fn modules(&self, digest: &str) -> PathBuf {
        modules_folder(&self.state, digest)
    }

    /// Keeps modules that are in a folder of the state folder's, which is moved.
    pub fn keep_modules(&self, digest: &str, folder: &Path) -> Result<()> {
        let kept = self.modules(digest);
        if kept.exists() {
            return Ok(());
        }
        let keep = || fs::create_dir_all(self.state.join("scripts")).and_then(|()| fs::rename(folder, &kept));
        keep().with_context(|| format!("cannot keep modules in {}", kept.display()))
    }

    /// Takes away the folders of modules that no script has any more.
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

/// The folder of a script's modules.
pub fn modules_folder(state: &Path, digest: &str) -> PathBuf {
    state.join("scripts").join(digest)
}

/// Writes a file, which only its owner may read, in one step: whenever this is killed, there is the old one or the new one.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    write_private(&beside, content)?;
    let rename = || File::open(&beside)?.sync_all().and_then(|()| fs::rename(&beside, path));
    rename().with_context(|| format!("cannot write {}", path.display()))
}

/// A folder with nothing in it, that only its owner can look into.
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
