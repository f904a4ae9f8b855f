//! Finds and reads customers' manifests.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use shared::customer::UserId;

use super::Manifest;

/// The location of customers' manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestLocation {
    /// A folder with files called `<id>.toml`. A customer without a file has the default manifest.
    Folder(PathBuf),
    /// One file for every customer.
    File(PathBuf),
}

impl ManifestLocation {
    /// Reads a customer's manifest. A relative path of a script is resolved against the manifest's folder.
    pub fn read(&self, id: &UserId) -> Result<Manifest> {
        let (path, is_required) = match self {
            Self::Folder(folder) => (folder.join(format!("{id}.toml")), false),
            Self::File(path) => (path.clone(), true),
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !is_required => return Ok(Manifest::default()),
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
    fn a_customer_has_the_manifest_with_its_id_or_the_default() {
        let folder = TempDir::new().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write("user1.toml", "plan = \"pro\"\n[script]\npath = \"../own\"");
        write("user2.toml", "\nplam = 1");
        let read = |location: &ManifestLocation, id: &str| location.read(&id.parse().expect("an id"));

        let location = ManifestLocation::Folder(folder.path().to_owned());
        let manifest = read(&location, "user1").expect("a manifest");
        assert_eq!(manifest.script.expect("a script").path, folder.path().join("../own"));
        assert_eq!(read(&location, "user3").expect("the defaults"), Manifest::default());
        let error = format!("{:#}", read(&location, "user2").expect_err("misspelt"));
        assert!(error.contains("user2.toml: ") && error.contains("line 2"), "{error}");

        let file = ManifestLocation::File(folder.path().join("user1.toml"));
        assert!(read(&file, "user3").expect("a manifest").plan.is_some());
        let missing = ManifestLocation::File(folder.path().join("user4.toml"));
        assert!(format!("{:#}", read(&missing, "user4").expect_err("no file")).contains("cannot read"));
    }
}
