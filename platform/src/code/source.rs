//! Where a customer's own script is.

use std::path::PathBuf;

use serde::Deserialize;

/// Where a customer's own script is, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptSource {
    /// A JavaScript module, or a folder of modules.
    pub path: PathBuf,
    /// The module that the runtime starts with, in a folder where it is not called as usual.
    pub main: Option<String>,
    /// That of the platform's own Worker if it is not said.
    pub compatibility_date: Option<String>,
    /// Those of the platform's own Worker if they are not said.
    pub compatibility_flags: Option<Vec<String>>,
}

/// What the module that the runtime starts with is usually called.
pub const MAIN_NAMES: [&str; 4] = ["index.js", "index.mjs", "worker.js", "worker.mjs"];
