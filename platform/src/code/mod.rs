//! The code of scripts: the platform's customer Worker, and customers' own scripts.

mod build;
pub mod json_module;
mod modules;
mod owner;
mod python;
mod runtime_settings;
mod script;
mod source;

pub use build::build;
pub use owner::CodeOwner;
pub use python::{PYTHON_IS_NOT_SUPPORTED, is_python};
pub use runtime_settings::{RuntimeSettings, read_table, wrangler_file};
pub use script::ScriptCode;
pub use source::ScriptSource;
