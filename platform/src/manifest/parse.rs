//! A manifest's text.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;
use shared::customer::{Limits, Plan, UserId};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

use super::binding::NamedBinding;
use super::checks::{check_json, check_names, check_tags, check_variables};
use super::model::{Manifest, StorageSpec};
use super::toml_error::Located;
use crate::code::ScriptSource;

/// The file but for its bindings.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    plan: Option<Plan>,
    limits: Limits,
    tags: Vec<Spanned<String>>,
    storage: StorageSpec,
    secrets: Vec<Spanned<String>>,
    script: Option<ScriptSource>,
}

impl Manifest {
    /// Parses the file's text, for a customer. What it does not know is an error, which names the line.
    pub fn parse(text: &str, id: &UserId) -> Result<Self> {
        Self::read(text, id).map_err(|error| error.in_text(text))
    }

    fn read(text: &str, id: &UserId) -> Result<Self, Located> {
        let whole = 0..text.len();
        let mut table = DeTable::parse(text).map_err(|error| Located::of(&error, whole.clone()))?;
        let mut bindings = Vec::new();
        let mut names = Vec::new();
        if let Some(tables) = table.get_mut().remove("bindings") {
            let span = tables.span();
            let DeValue::Array(tables) = tables.into_inner() else {
                return Err(Located::new(span, "bindings are tables: [[bindings]]"));
            };
            for table in tables {
                check_json(&table)?;
                let span = member_span(&table, "name");
                let bound = NamedBinding::parse(table, id)?;
                names.push(Spanned::new(span, bound.name.clone()));
                bindings.push(bound);
            }
        }
        let mut vars = BTreeMap::new();
        if let Some(table) = table.get_mut().remove("vars") {
            check_json(&table)?;
            let span = table.span();
            let table: BTreeMap<Spanned<String>, Value> = BTreeMap::deserialize(ValueDeserializer::from(table))
                .map_err(|error| Located::of(&error, span).prefixed("vars"))?;
            for (name, value) in table {
                names.push(name.clone());
                vars.insert(name.into_inner(), value);
            }
        }

        let file = File::deserialize(Deserializer::from(table)).map_err(|error| Located::of(&error, whole))?;
        names.extend(file.secrets.iter().cloned());
        check_names(&file.storage, &names)?;
        check_tags(&file.tags)?;
        check_variables(&vars, file.secrets.len(), &names)?;
        let File { plan, limits, tags, storage, secrets, script } = file;
        let plain = |list: Vec<Spanned<String>>| list.into_iter().map(Spanned::into_inner).collect();
        Ok(Self { plan, limits, tags: plain(tags), storage, vars, secrets: plain(secrets), bindings, script })
    }
}

/// Where a table's member is, or the table, if it has no such member.
fn member_span(table: &Spanned<DeValue<'_>>, name: &str) -> Range<usize> {
    let member = table.get_ref().as_table().and_then(|members| members.get(name));
    member.map_or_else(|| table.span(), Spanned::span)
}
