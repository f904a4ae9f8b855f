//! Where manifests are: a folder with a file for each customer that has one.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use shared::customer::UserId;

use crate::manifest::Manifest;

/// Where manifests are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifests {
    /// `<id>.toml` in this folder; who has none gets what customers get by default.
    Folder(PathBuf),
    /// This file, for whomever it is.
    File(PathBuf),
}

impl Manifests {
    /// A customer's manifest. The path of its script, if it names one, is as seen from here.
    pub fn read(&self, id: &UserId) -> Result<Manifest> {
        let (path, needed) = match self {
            Self::Folder(folder) => (folder.join(format!("{id}.toml")), false),
            Self::File(path) => (path.clone(), true),
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !needed => return Ok(Manifest::default()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let mut manifest = Manifest::parse(&text, id).with_context(|| path.display().to_string())?;
        if let Some(script) = &mut manifest.script {
            script.path = path.parent().unwrap_or(Path::new("")).join(&script.path);
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_customer_has_the_file_with_its_id_or_the_defaults() {
        let folder = TempDir::new().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write("user1.toml", "plan = \"pro\"\n[script]\npath = \"../own\"");
        write("user2.toml", "\nplam = 1");
        let read = |manifests: &Manifests, id: &str| manifests.read(&id.parse().expect("an id"));

        let manifests = Manifests::Folder(folder.path().to_owned());
        let manifest = read(&manifests, "user1").expect("a manifest");
        assert_eq!(manifest.script.expect("a script").path, folder.path().join("../own"));
        assert_eq!(read(&manifests, "user3").expect("the defaults"), Manifest::default());
        let error = format!("{:#}", read(&manifests, "user2").expect_err("misspelt"));
        assert!(error.contains("user2.toml: ") && error.contains("line 2"), "{error}");

        let one = Manifests::File(folder.path().join("user1.toml"));
        assert!(read(&one, "user3").expect("a manifest").plan.is_some());
        let none = Manifests::File(folder.path().join("user4.toml"));
        assert!(format!("{:#}", read(&none, "user4").expect_err("not there")).contains("cannot read"));
    }
}
