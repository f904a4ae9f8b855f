//! Checks a well-formed manifest for values that are not allowed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use toml::Spanned;
use toml::de::DeValue;

use super::limits::{MAX_TAGS, MAX_VARIABLE_LEN, MAX_VARIABLES, RESERVED_NAMES};
use super::migration::Migration;
use super::model::StorageSpec;
use super::spanned_error::SpannedError;
use crate::code::CodeOwner;

/// The names of the bindings to a customer's own storage.
const STORAGE_NAMES: [&str; 3] = ["USER_KV", "USER_R2", "USER_DB"];

/// Refuses too many tags, the platform's own tags, and tags that the API does not accept.
pub fn check_tags(tags: &[Spanned<String>]) -> Result<(), SpannedError> {
    // The platform adds one tag.
    let max = MAX_TAGS - 1;
    if let Some(tag) = tags.get(max) {
        let message = format!("there are {} tags: a manifest can have at most {max}", tags.len());
        return Err(SpannedError::new(tag.span(), message));
    }
    let reserved = [CodeOwner::Platform, CodeOwner::Customer].map(CodeOwner::tag);
    for tag in tags {
        let text = tag.get_ref();
        if reserved.contains(&text.as_str()) {
            let message =
                format!("the tag {text} is reserved: the platform sets it to mark the owner of a script's code");
            return Err(SpannedError::new(tag.span(), message));
        }
        // The API uses these characters as separators.
        if text.is_empty() || text.contains([',', '&', ':']) {
            let message = format!("{text:?} cannot be a tag: a tag must not be empty or contain `,`, `&` or `:`");
            return Err(SpannedError::new(tag.span(), message));
        }
    }
    Ok(())
}

/// Refuses migrations without a tag or with the tag of another one.
pub fn check_migrations(migrations: &[Spanned<Migration>]) -> Result<(), SpannedError> {
    let mut seen = BTreeSet::new();
    for migration in migrations {
        let tag = &*migration.get_ref().tag;
        if tag.is_empty() {
            return Err(SpannedError::new(migration.span(), "a migration needs a `tag`"));
        }
        if !seen.insert(tag) {
            return Err(SpannedError::new(migration.span(), format!("there are two migrations with the tag {tag}")));
        }
    }
    Ok(())
}

/// Refuses names of bindings that are used twice, are not identifiers or are reserved.
pub fn check_names(storage: &StorageSpec, names: &[Spanned<String>]) -> Result<(), SpannedError> {
    let own = STORAGE_NAMES.into_iter().zip([storage.kv, storage.r2, storage.d1]);
    let mut seen: BTreeSet<&str> = own.filter_map(|(name, enabled)| enabled.then_some(name)).collect();
    for name in names {
        let text = name.get_ref().as_str();
        if !is_identifier(text) {
            let message =
                format!("{text:?} cannot be a binding's name: use letters, digits and _, not starting with a digit");
            return Err(SpannedError::new(name.span(), message));
        }
        if RESERVED_NAMES.contains(&text) {
            let message =
                format!("{text} cannot be a binding's name: every JavaScript object has a member of this name");
            return Err(SpannedError::new(name.span(), message));
        }
        if !seen.insert(text) {
            return Err(SpannedError::new(name.span(), format!("there are two bindings called {text}")));
        }
    }
    Ok(())
}

/// Refuses too many variables and secrets, and variables that are too long.
pub fn check_variables(
    vars: &BTreeMap<String, Value>,
    secrets: usize,
    names: &[Spanned<String>],
) -> Result<(), SpannedError> {
    let span_of = |name: &str| names.iter().find(|spanned| spanned.get_ref() == name).map_or(0..0, Spanned::span);
    for (name, value) in vars {
        let size = value.as_str().map_or_else(|| value.to_string().len(), str::len);
        if size > MAX_VARIABLE_LEN {
            let message = format!("{name} has {size} bytes: a variable can have at most {MAX_VARIABLE_LEN}");
            return Err(SpannedError::new(span_of(name), message));
        }
    }
    let count = vars.len() + secrets;
    if count > MAX_VARIABLES {
        let last = vars.keys().next_back().map_or(0..0, |name| span_of(name));
        let message = format!("there are {count} variables and secrets: a script can have at most {MAX_VARIABLES}");
        return Err(SpannedError::new(last, message));
    }
    Ok(())
}

/// Refuses TOML values that JSON cannot represent: dates and non-finite numbers.
pub fn check_json(value: &Spanned<DeValue<'_>>) -> Result<(), SpannedError> {
    let wrong = |message: String| Err(SpannedError::new(value.span(), message));
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
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_allowed) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}
