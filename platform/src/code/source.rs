//! The location and settings of a customer's own script.

use std::path::PathBuf;

use serde::Deserialize;

/// The location and settings of a customer's own script, as under `[script]` in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptSource {
    /// A JavaScript module, or a folder of modules.
    pub path: PathBuf,
    /// The main module of a folder. Without it, the main module is the only module, or else `index.js`, `index.mjs`,
    /// `worker.js` or `worker.mjs`.
    pub main: Option<String>,
    /// The compatibility date; by default that of the platform's Worker.
    pub compatibility_date: Option<String>,
    /// The compatibility flags; by default those of the platform's Worker.
    pub compatibility_flags: Option<Vec<String>>,
}

/// The default names of a main module.
pub const MAIN_NAMES: [&str; 4] = ["index.js", "index.mjs", "worker.js", "worker.mjs"];
