//! The run folder, which contains the sockets. It is created anew at each start.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::store::fresh_folder;

/// The folder that processes run in. Only its owner can access it, because its sockets have no authentication.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    folder: File,
}

impl RunFolder {
    /// Creates the folder and folders in it.
    pub fn new(path: &Path, folders: &[&str]) -> Result<Self> {
        let path = fresh_folder(path)?;
        for folder in folders {
            fresh_folder(&path.join(folder))?;
        }
        let folder = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { path, folder })
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a path by which this process reaches a socket. It does not contain the folder's own path, because a
    /// socket's path can have at most 107 bytes (`unix(7)`).
    pub fn socket(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()).into()
    }
}
