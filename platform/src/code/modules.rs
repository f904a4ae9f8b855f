//! The modules of a script, read from disk.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use cloudflare_api::Module;

use super::json_module;
use super::source::{MAIN_NAMES, ScriptSource};

const ES_MODULE: &str = "application/javascript+module";

/// What a file is to the upload API, by its extension; wrangler's own rules for modules.
fn media_type(path: &Path) -> Option<&'static str> {
    Some(match path.extension()?.to_str()? {
        // Cloudflare's API knows no JSON: it goes as a module that exports what it says.
        "js" | "mjs" | "json" => ES_MODULE,
        "cjs" => "application/javascript",
        "wasm" => "application/wasm",
        "txt" | "html" | "sql" => "text/plain",
        "bin" => "application/octet-stream",
        _ => return None,
    })
}

/// The modules of a folder, or the one that a file is. What is no module is left out, and so is what is hidden, what npm
/// installed, and where a link leads out of the folder.
pub fn modules(path: &Path) -> Result<Vec<Module>> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
    let mut modules = Vec::new();
    if metadata.is_dir() {
        add_folder(path, "", &mut modules)?;
    } else {
        let name = path.file_name().with_context(|| format!("{} has no name", path.display()))?;
        add_file(path, utf8(name)?, &mut modules)?;
    }
    if modules.is_empty() {
        bail!("there is no module in {}: no .js, .mjs, .cjs, .json, .wasm, .txt, .html, .sql or .bin", path.display());
    }
    Ok(modules)
}

fn add_folder(folder: &Path, prefix: &str, modules: &mut Vec<Module>) -> Result<()> {
    let cannot_read = || format!("cannot read {}", folder.display());
    let mut entries: Vec<_> =
        fs::read_dir(folder).and_then(Iterator::collect::<Result<_, _>>).with_context(cannot_read)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let file_name = entry.file_name();
        let name = utf8(&file_name)?;
        if name.starts_with('.') || name == "node_modules" || SETTINGS_OF_TOOLS.contains(&name) {
            continue;
        }
        let kind = entry.file_type().with_context(cannot_read)?;
        let module = format!("{prefix}{name}");
        if kind.is_dir() {
            add_folder(&entry.path(), &format!("{module}/"), modules)?;
        } else if kind.is_file() {
            add_file(&entry.path(), &module, modules)?;
        }
    }
    Ok(())
}

fn add_file(path: &Path, name: &str, modules: &mut Vec<Module>) -> Result<()> {
    let Some(media_type) = media_type(path) else { return Ok(()) };
    // The upload has it in a header.
    if name.contains(|character: char| character == '"' || character.is_control()) {
        bail!("{name:?} cannot be a module's name: there is a quotation mark or a control character in it");
    }
    let content = Bytes::from(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    let content = if is_json(name) {
        json_module::wrapped(&content).with_context(|| format!("{} is not valid JSON", path.display()))?
    } else {
        content
    };
    modules.push(Module { name: name.to_owned(), media_type, content });
    Ok(())
}

fn is_json(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|kind| kind == "json")
}

/// Settings of tools, which lie beside a script and are no modules of it. They need not even be JSON: some have comments.
const SETTINGS_OF_TOOLS: [&str; 6] =
    ["jsconfig.json", "package-lock.json", "package.json", "tsconfig.json", "tslint.json", "wrangler.json"];

fn utf8(name: &std::ffi::OsStr) -> Result<&str> {
    name.to_str().with_context(|| format!("{} is not UTF-8", name.display()))
}

/// The module that the runtime starts with: the one that is said, the only one, or the one that is called as usual.
pub fn main_module(modules: &[Module], source: &ScriptSource) -> Result<String> {
    let path = source.path.display();
    let found = |name: &str| modules.iter().find(|module| module.name == name);
    let main = match &source.main {
        Some(main) => found(main).with_context(|| format!("there is no module {main} in {path}"))?,
        None if modules.len() == 1 => &modules[0],
        None => MAIN_NAMES.into_iter().find_map(found).with_context(|| {
            format!("which module of {path} does it start with? Say it with --main, or as `main` under [script]: there is no {}", MAIN_NAMES.join(", "))
        })?,
    };
    if main.media_type != ES_MODULE || is_json(&main.name) {
        bail!("a script starts with an ES module, a .js or .mjs file, and not with {}", main.name);
    }
    Ok(main.name.clone())
}
