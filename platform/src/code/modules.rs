//! Reads the modules of a script from disk.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use cloudflare_api::ScriptModule;

use super::json_module;
use super::source::{MAIN_NAMES, ScriptSource};

const ES_MODULE: &str = "application/javascript+module";

/// Returns the media type of a module in an upload by the file's extension, according to wrangler's default rules.
fn media_type(path: &Path) -> Option<&'static str> {
    Some(match path.extension()?.to_str()? {
        // JSON is uploaded as an ES module: see `json_module`.
        "js" | "mjs" | "json" => ES_MODULE,
        "cjs" => "application/javascript",
        "wasm" => "application/wasm",
        "txt" | "html" | "sql" => "text/plain",
        "bin" => "application/octet-stream",
        _ => return None,
    })
}

/// Reads a file as a single module, or all modules of a folder. In folders it ignores files that are not modules,
/// hidden files, `node_modules` and symbolic links.
pub fn modules(path: &Path) -> Result<Vec<ScriptModule>> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
    let mut modules = Vec::new();
    if metadata.is_dir() {
        add_folder(path, "", &mut modules)?;
    } else {
        let name = path.file_name().with_context(|| format!("{} has no file name", path.display()))?;
        add_file(path, utf8(name)?, &mut modules)?;
    }
    if modules.is_empty() {
        bail!("there is no module in {}: no .js, .mjs, .cjs, .json, .wasm, .txt, .html, .sql or .bin", path.display());
    }
    Ok(modules)
}

fn add_folder(folder: &Path, prefix: &str, modules: &mut Vec<ScriptModule>) -> Result<()> {
    let cannot_read = || format!("cannot read {}", folder.display());
    let mut entries: Vec<_> =
        fs::read_dir(folder).and_then(Iterator::collect::<Result<_, _>>).with_context(cannot_read)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let file_name = entry.file_name();
        let name = utf8(&file_name)?;
        if name.starts_with('.') || name == "node_modules" || TOOL_SETTINGS.contains(&name) {
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

fn add_file(path: &Path, name: &str, modules: &mut Vec<ScriptModule>) -> Result<()> {
    let Some(media_type) = media_type(path) else { return Ok(()) };
    // The name is part of a header in the upload.
    if name.contains(|character: char| character == '"' || character.is_control()) {
        bail!("{name:?} cannot be a module's name: it contains a quotation mark or a control character");
    }
    let content = Bytes::from(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    let content = if is_json(name) {
        json_module::wrapped(&content).with_context(|| format!("{} is not valid JSON", path.display()))?
    } else {
        content
    };
    modules.push(ScriptModule { name: name.to_owned(), media_type, content });
    Ok(())
}

fn is_json(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "json")
}

/// Settings of tools, which are often in the same folder as a script but are not modules. Some contain comments, so
/// they are not valid JSON.
const TOOL_SETTINGS: [&str; 6] =
    ["jsconfig.json", "package-lock.json", "package.json", "tsconfig.json", "tslint.json", "wrangler.json"];

fn utf8(name: &std::ffi::OsStr) -> Result<&str> {
    name.to_str().with_context(|| format!("{} is not UTF-8", name.display()))
}

/// Returns the name of the main module: the one that the source names, the only module, or one of [`MAIN_NAMES`].
pub fn main_module(modules: &[ScriptModule], source: &ScriptSource) -> Result<String> {
    let path = source.path.display();
    let find = |name: &str| modules.iter().find(|module| module.name == name);
    let main = match &source.main {
        Some(main) => find(main).with_context(|| format!("there is no module {main} in {path}"))?,
        None if modules.len() == 1 => &modules[0],
        None => MAIN_NAMES.into_iter().find_map(find).with_context(|| {
            format!("cannot tell the main module of {path}: name it with --main, or with `main` under [script] in the manifest. There is no {}", MAIN_NAMES.join(", "))
        })?,
    };
    if main.media_type != ES_MODULE || is_json(&main.name) {
        bail!("the main module must be an ES module, a .js or .mjs file, not {}", main.name);
    }
    Ok(main.name.clone())
}
