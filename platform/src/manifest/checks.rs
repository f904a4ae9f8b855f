//! What a manifest may not say, although it is well-formed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use toml::Spanned;
use toml::de::DeValue;

use super::limits::{MAX_TAGS, MAX_VARIABLE_LEN, MAX_VARIABLES, RESERVED_NAMES};
use super::model::StorageSpec;
use super::toml_error::Located;
use crate::code::CodeOwner;

/// The names that the customer Worker has for its storage.
const STORAGE: [&str; 3] = ["USER_KV", "USER_R2", "USER_DB"];

pub fn check_tags(tags: &[Spanned<String>]) -> Result<(), Located> {
    let most = MAX_TAGS - 1;
    if let Some(tag) = tags.get(most) {
        let message = format!("there are {} tags: a script has at most {most}, besides the platform's own", tags.len());
        return Err(Located::new(tag.span(), message));
    }
    let own = [CodeOwner::Platform, CodeOwner::Customer].map(CodeOwner::tag);
    for tag in tags {
        let text = tag.get_ref();
        if own.contains(&text.as_str()) {
            let message = format!("the tag {text} says whose code a script has, and is the platform's to give");
            return Err(Located::new(tag.span(), message));
        }
        // The API takes them apart at these.
        if text.is_empty() || text.contains([',', '&', ':']) {
            let message = format!("{text:?} cannot be a tag: it is empty, or has `,`, `&` or `:` in it");
            return Err(Located::new(tag.span(), message));
        }
    }
    Ok(())
}

/// A script has each name once, and code can write it.
pub fn check_names(storage: &StorageSpec, names: &[Spanned<String>]) -> Result<(), Located> {
    let own = STORAGE.into_iter().zip([storage.kv, storage.r2, storage.d1]);
    let mut seen: BTreeSet<&str> = own.filter_map(|(name, made)| made.then_some(name)).collect();
    for name in names {
        let text = name.get_ref().as_str();
        if !is_identifier(text) {
            let message =
                format!("{text:?} cannot be a binding's name: use letters, digits and _, not starting with a digit");
            return Err(Located::new(name.span(), message));
        }
        if RESERVED_NAMES.contains(&text) {
            let message = format!("{text} cannot be a binding's name: every JavaScript object has it");
            return Err(Located::new(name.span(), message));
        }
        if !seen.insert(text) {
            return Err(Located::new(name.span(), format!("there are two bindings called {text}")));
        }
    }
    Ok(())
}

/// Refuses more or larger variables and secrets than a script may have.
pub fn check_variables(
    vars: &BTreeMap<String, Value>,
    secrets: usize,
    names: &[Spanned<String>],
) -> Result<(), Located> {
    let at = |name: &str| names.iter().find(|there| there.get_ref() == name).map_or(0..0, Spanned::span);
    for (name, value) in vars {
        let size = value.as_str().map_or_else(|| value.to_string().len(), str::len);
        if size > MAX_VARIABLE_LEN {
            let message = format!("{name} has {size} bytes: a variable has at most {MAX_VARIABLE_LEN}");
            return Err(Located::new(at(name), message));
        }
    }
    let count = vars.len() + secrets;
    if count > MAX_VARIABLES {
        let last = vars.keys().next_back().map_or(0..0, |name| at(name));
        let message = format!("there are {count} variables and secrets: a script has at most {MAX_VARIABLES}");
        return Err(Located::new(last, message));
    }
    Ok(())
}

/// Refuses what JSON does not have, and would become something else.
pub fn check_json(value: &Spanned<DeValue<'_>>) -> Result<(), Located> {
    let wrong = |message: String| Err(Located::new(value.span(), message));
    match value.get_ref() {
        DeValue::Datetime(date) => wrong(format!("JSON has no dates: put {date} in quotation marks")),
        DeValue::Float(number) if !number.as_str().parse().is_ok_and(f64::is_finite) => {
            wrong(format!("JSON has no number {}", number.as_str()))
        }
        DeValue::Array(values) => values.iter().try_for_each(check_json),
        DeValue::Table(table) => {
            table.iter().try_for_each(|(name, value)| check_json(value).map_err(|error| error.prefixed(name.get_ref())))
        }
        _ => Ok(()),
    }
}

fn is_identifier(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(inner) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}
