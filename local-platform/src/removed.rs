//! Deletes the files of deleted storage. Miniflare never deletes them itself.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::account::{Storage, hex};

/// Deletes the files of some storage. No process may have them open.
pub fn remove_files(storage: &Storage, simulators: &Path) -> Result<()> {
    let remove = || match storage {
        Storage::Kv(id) => simulated(simulators, "kv", "miniflare-KVNamespaceObject", id),
        Storage::R2(name) => simulated(simulators, "r2", "miniflare-R2BucketObject", name),
        Storage::D1(id) => simulated(simulators, "d1", "miniflare-D1DatabaseObject", id),
        Storage::Objects(script) => objects(&simulators.join("do"), script),
    };
    remove().with_context(|| format!("cannot take away the files of {storage:?}"))
}

/// Deletes the files of a simulated resource. The simulator stores values in a folder of their own, and their metadata
/// in the database of a Durable Object.
fn simulated(simulators: &Path, kind: &str, class: &str, id: &str) -> io::Result<()> {
    let folder = simulators.join(kind);
    ignore_missing(fs::remove_dir_all(folder.join(id)))?;
    let database = object_id(class, id);
    ["sqlite", "sqlite-shm", "sqlite-wal"]
        .iter()
        .try_for_each(|kind| ignore_missing(fs::remove_file(folder.join(class).join(format!("{database}.{kind}")))))
}

/// Deletes the Durable Objects of a script. Each class has a folder called `customer-<script>-<class>`.
fn objects(folder: &Path, script: &str) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let prefix = format!("{}-", super::script::worker_name(script));
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let class = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        // Names of classes have no hyphen. If there is one, the folder belongs to another script.
        if class.is_some_and(|class| !class.contains('-')) {
            ignore_missing(fs::remove_dir_all(entry.path()))?;
        }
    }
    Ok(())
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Returns the id of the Durable Object with this name. workerd derives it from the name and the class's unique key,
/// and names the object's database after it: `idFromName` in
/// <https://github.com/cloudflare/workerd/blob/main/src/workerd/server/actor-id-impl.c++>.
fn object_id(class: &str, name: &str) -> String {
    let key = Sha256::digest(class);
    let mac = |text: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length");
        mac.update(text);
        mac.finalize().into_bytes()[..16].to_vec()
    };
    let base = mac(name.as_bytes());
    let check = mac(&base);
    hex(&[base, check].concat())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn databases_are_found_by_the_name_that_the_runtime_gives_them() {
        assert_eq!(
            object_id("miniflare-KVNamespaceObject", "customer-c1"),
            "1607ff9b7e84f49bf58722275e7b79c5f922a1dc44d3c9bf0f730de10c02021c"
        );
    }

    #[test]
    fn other_files_stay() {
        let simulators = TempDir::new().expect("a folder");
        let file = |path: &str| {
            let path = simulators.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, "x").expect("a file");
            path
        };
        let class = "miniflare-R2BucketObject";
        let database = |name: &str| format!("r2/{class}/{}.sqlite", object_id(class, name));
        let own = [
            file("r2/customer-a/blobs/1"),
            file(&database("customer-a")),
            file(&format!("{}-wal", database("customer-a"))),
            file("do/customer-a-Room/1.sqlite"),
        ];
        let others = [
            file("r2/customer-a-b/blobs/1"),
            file(&database("customer-a-b")),
            file("kv/customer-a/blobs/1"),
            file("do/customer-a-b-Room/1.sqlite"),
            file("do/customer-b-Room/1.sqlite"),
        ];
        for storage in [Storage::R2("customer-a".to_owned()), Storage::Objects("a".to_owned())] {
            remove_files(&storage, simulators.path()).expect("they are removed");
            remove_files(&storage, simulators.path()).expect("missing files are fine");
        }
        assert!(own.iter().all(|path| !path.exists()));
        assert!(others.iter().all(|path| path.exists()));
    }
}
