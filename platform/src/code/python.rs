//! Python, which cannot be uploaded.

use std::path::Path;

use anyhow::{Result, bail};

use super::source::{MAIN_NAMES, ScriptSource};

/// What is said of Python, whatever way it comes.
pub const PYTHON_IS_NOT_SUPPORTED: &str =
    "Python is not supported: a script is JavaScript or TypeScript, bundled, or WebAssembly, as Rust is compiled to";

/// Whether a module is Python, by its name.
#[must_use]
pub fn is_python(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|kind| kind.eq_ignore_ascii_case("py"))
}

/// Says so if a script starts with Python, or is to be run as Python. Python files beside JavaScript are left out, as all that
/// is no module.
pub fn refuse_python(source: &ScriptSource) -> Result<()> {
    let path = &source.path;
    let flag = source.compatibility_flags.iter().flatten().find(|flag| flag.starts_with("python_workers"));
    if let Some(flag) = flag {
        bail!("the compatibility flag {flag} of {}: {PYTHON_IS_NOT_SUPPORTED}", path.display());
    }
    let named = source.main.as_deref().filter(|main| is_python(main));
    let named = named.or_else(|| path.to_str().filter(|path| is_python(path)));
    let usual = ["entry.py", "index.py", "main.py", "worker.py"].into_iter().find(|name| path.join(name).exists());
    let usual = usual.filter(|_| source.main.is_none() && !MAIN_NAMES.iter().any(|name| path.join(name).exists()));
    if let Some(main) = named.or(usual) {
        bail!("{main}: {PYTHON_IS_NOT_SUPPORTED}");
    }
    Ok(())
}
