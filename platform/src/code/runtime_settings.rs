//! The runtime settings of scripts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use toml::Table;

/// The runtime settings of a script, with the names that wrangler files and the metadata of uploads have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// `compatibility_date`
    pub compatibility_date: String,
    /// `compatibility_flags`
    pub compatibility_flags: Vec<String>,
    /// `observability`
    pub observability: Option<Value>,
}

impl RuntimeSettings {
    /// Reads the settings of the platform's customer Worker from its wrangler file.
    pub fn read(repository: &Path) -> Result<Self> {
        let path = wrangler_file(repository);
        let config = read_table(&path)?;
        let member = |name: &str| {
            let value = config.get(name).map(serde_json::to_value).transpose();
            value.with_context(|| format!("{name} in {} cannot be converted to JSON", path.display()))
        };
        let date = config.get("compatibility_date").and_then(toml::Value::as_str);
        let flags = member("compatibility_flags")?.map(serde_json::from_value).transpose();
        Ok(Self {
            compatibility_date: date
                .with_context(|| format!("{} has no compatibility_date", path.display()))?
                .to_owned(),
            compatibility_flags: flags
                .with_context(|| format!("compatibility_flags must be a list of strings in {}", path.display()))?
                .unwrap_or_default(),
            observability: member("observability")?,
        })
    }
}

/// The path of the wrangler file of the platform's customer Worker.
#[must_use]
pub fn wrangler_file(repository: &Path) -> PathBuf {
    repository.join("customer-worker/wrangler.toml")
}

/// Reads a TOML file.
pub fn read_table(path: &Path) -> Result<Table> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is not valid TOML", path.display()))
}
