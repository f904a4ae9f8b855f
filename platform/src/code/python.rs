//! Refuses Python, which is not supported.

use std::path::Path;

use anyhow::{Result, bail};

use super::source::{MAIN_NAMES, ScriptSource};

/// The message with which Python is refused.
pub const PYTHON_IS_NOT_SUPPORTED: &str = "Python is not supported: a script must be bundled JavaScript or TypeScript, or WebAssembly (compiled from Rust, for example)";

/// Whether the name of a module is that of a Python file.
#[must_use]
pub fn is_python(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("py"))
}

/// Refuses a script whose main module is Python or that has a compatibility flag for Python. Python files beside
/// JavaScript are ignored like other files that are not modules.
pub fn refuse_python(source: &ScriptSource) -> Result<()> {
    let path = &source.path;
    let flag = source.compatibility_flags.iter().flatten().find(|flag| flag.starts_with("python_workers"));
    if let Some(flag) = flag {
        bail!("the compatibility flag {flag} of {}: {PYTHON_IS_NOT_SUPPORTED}", path.display());
    }
    let named = source.main.as_deref().filter(|main| is_python(main));
    let named = named.or_else(|| path.to_str().filter(|path| is_python(path)));
    let default = ["entry.py", "index.py", "main.py", "worker.py"].into_iter().find(|name| path.join(name).exists());
    let default = default.filter(|_| source.main.is_none() && !MAIN_NAMES.iter().any(|name| path.join(name).exists()));
    if let Some(main) = named.or(default) {
        bail!("{main}: {PYTHON_IS_NOT_SUPPORTED}");
    }
    Ok(())
}
