//! The folder of the sockets, which is new at each start.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::store::fresh_folder;

/// The folder that processes run in. Only its owner can look into it: whoever reaches a socket reaches what is behind it.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    folder: File,
}

impl RunFolder {
    /// Makes the folder, and folders in it.
    pub fn new(path: &Path, folders: &[&str]) -> Result<Self> {
        let path = fresh_folder(path)?;
        for folder in folders {
            fresh_folder(&path.join(folder))?;
        }
        let folder = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { path, folder })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a socket in it for this process. It is short, wherever the folder is: a socket's path has at most 107
    /// bytes (`unix(7)`).
    pub fn socket(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()).into()
    }
}
