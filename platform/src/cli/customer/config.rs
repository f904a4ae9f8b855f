//! `cargo platform customer config`

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use platform::customers::ConfigFile;
use serde_json::{Value, json};
use shared::customer::UserId;

use crate::cli::output::OutputFormat;
use crate::cli::paths::repository;
use crate::cli::specs::ManifestArguments;
use crate::cli::target::ApiTarget;

#[derive(Debug, Args)]
pub struct ConfigArguments {
    /// The customer's user id
    id: UserId,

    /// Write to this file instead of standard output. An existing file is replaced
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    manifests: ManifestArguments,
}

impl ConfigArguments {
    pub async fn run(self, target: &ApiTarget, output: OutputFormat) -> Result<Value> {
        let customers = target.customers(output).await?;
        let repository = repository()?;
        let manifest = self.manifests.location(&repository)?.read(&self.id)?;
        let folder = self.output.as_deref().map(canonical_folder).transpose()?;
        let file = ConfigFile { repository: &repository, folder: folder.as_deref() };
        let text = customers.config(&self.id, &manifest, file).await?;
        if let Some(path) = &self.output {
            fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(json!({ "file": self.output, "config": text }))
    }
}

/// Returns the absolute path, without symbolic links, of the folder that a file is in.
fn canonical_folder(file: &Path) -> Result<PathBuf> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    folder.canonicalize().with_context(|| format!("cannot find the folder {}", folder.display()))
}
