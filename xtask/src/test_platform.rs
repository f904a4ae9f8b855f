//! Reads the customers and Workers of the platform that the end-to-end tests share.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use local_platform::Customer;
use serde::Deserialize;

/// The file that lists them, relative to the repository.
const FILE: &str = "tests/fixtures/platform.toml";

/// The customers and Workers of the end-to-end tests' platform, besides the dispatcher.
#[derive(Debug)]
pub struct TestPlatform {
    /// The customers, some with their own Worker.
    pub customers: Vec<Customer>,
    /// The wrangler files of the other Workers.
    pub workers: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlatformFile {
    customers: Vec<String>,
    workers: Vec<PathBuf>,
}

impl TestPlatform {
    /// Reads tests/fixtures/platform.toml. Fails if a file that it names does not exist.
    pub fn read(repository: &Path) -> Result<Self> {
        let path = repository.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {FILE}"))?;
        let folder = path.parent().context("the file is in a folder")?;
        Self::parse(&text, folder).with_context(|| format!("{FILE} is invalid"))
    }

    fn parse(text: &str, folder: &Path) -> Result<Self> {
        let PlatformFile { customers, workers } = toml::from_str(text)?;
        let existing = |file: PathBuf| {
            let path = folder.join(&file);
            ensure!(path.is_file(), "{} does not exist: paths are relative to {}", file.display(), folder.display());
            Ok(path)
        };
        let customer = |text: String| {
            let customer: Customer =
                text.parse().with_context(|| format!("customer {text:?} must be ID or ID=FILE"))?;
            Ok(Customer { worker: customer.worker.map(existing).transpose()?, ..customer })
        };
        Ok(Self {
            customers: customers.into_iter().map(customer).collect::<Result<_>>()?,
            workers: workers.into_iter().map(existing).collect::<Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repositorys_file_is_valid() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ has a parent folder");
        let platform = TestPlatform::read(repository).expect("valid");
        assert!(platform.customers.iter().any(|customer| customer.id.as_str() == "user1"));
        assert!(!platform.workers.is_empty());
    }

    #[test]
    fn invalid_files_are_rejected_with_the_reason() {
        for (text, reason) in [
            ("customers = []", "missing field `workers`"),
            ("customers = []\nworkers = []\nother = 1", "unknown field `other`"),
            ("customers = ['Upper']\nworkers = []", "customer \"Upper\" must be ID or ID=FILE"),
            ("customers = ['a=none.js']\nworkers = []", "none.js does not exist"),
            ("customers = []\nworkers = ['none.toml']", "none.toml does not exist"),
        ] {
            let error = TestPlatform::parse(text, Path::new("/nonexistent")).expect_err(text);
            assert!(format!("{error:#}").contains(reason), "{error:#}");
        }
    }
}
