//! The code of scripts: the platform's customer Worker, and customers' own scripts.

mod build;
pub mod json_module;
mod modules;
mod owner;
mod python;
mod script;
mod settings;
mod source;

pub use build::build;
pub use owner::CodeOwner;
pub use python::{PYTHON_IS_NOT_SUPPORTED, is_python};
pub use script::ScriptCode;
pub use settings::{RuntimeSettings, read_table, wrangler_file};
pub use source::ScriptSource;
