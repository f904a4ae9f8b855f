//! Parses manifests.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;
use shared::customer::{Limits, Plan, UserId};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

use super::binding::NamedBinding;
use super::checks::{check_json, check_migrations, check_names, check_tags, check_variables};
use super::migration::Migration;
use super::model::{Manifest, StorageSpec};
use super::spanned_error::SpannedError;
use crate::code::ScriptSource;

/// The parts of the file other than `bindings` and `vars`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ManifestFile {
    plan: Option<Plan>,
    limits: Limits,
    tags: Vec<Spanned<String>>,
    storage: StorageSpec,
    secrets: Vec<Spanned<String>>,
    migrations: Vec<Spanned<Migration>>,
    script: Option<ScriptSource>,
}

impl Manifest {
    /// Parses the text of a customer's manifest. Unknown keys are errors. Errors begin with the line number.
    pub fn parse(text: &str, id: &UserId) -> Result<Self> {
        Self::parse_spanned(text, id).map_err(|error| error.in_text(text))
    }

    fn parse_spanned(text: &str, id: &UserId) -> Result<Self, SpannedError> {
        let file_span = 0..text.len();
        let mut table = DeTable::parse(text).map_err(|error| SpannedError::from_toml(&error, file_span.clone()))?;
        let mut bindings = Vec::new();
        let mut names = Vec::new();
        if let Some(tables) = table.get_mut().remove("bindings") {
            let span = tables.span();
            let DeValue::Array(tables) = tables.into_inner() else {
                return Err(SpannedError::new(span, "bindings must be tables: [[bindings]]"));
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
                .map_err(|error| SpannedError::from_toml(&error, span).prefixed("vars"))?;
            for (name, value) in table {
                names.push(name.clone());
                vars.insert(name.into_inner(), value);
            }
        }

        let file = ManifestFile::deserialize(Deserializer::from(table))
            .map_err(|error| SpannedError::from_toml(&error, file_span))?;
        names.extend(file.secrets.iter().cloned());
        check_names(&file.storage, &names)?;
        check_tags(&file.tags)?;
        check_variables(&vars, file.secrets.len(), &names)?;
        check_migrations(&file.migrations)?;
        let ManifestFile { plan, limits, tags, storage, secrets, migrations, script } = file;
        let without_spans = |list: Vec<Spanned<String>>| list.into_iter().map(Spanned::into_inner).collect();
        Ok(Self {
            plan,
            limits,
            tags: without_spans(tags),
            storage,
            vars,
            secrets: without_spans(secrets),
            bindings,
            migrations: migrations.into_iter().map(Spanned::into_inner).collect(),
            script,
        })
    }
}

/// Returns the span of a table's member, or of the table if it has no such member.
fn member_span(table: &Spanned<DeValue<'_>>, name: &str) -> Range<usize> {
    let member = table.get_ref().as_table().and_then(|members| members.get(name));
    member.map_or_else(|| table.span(), Spanned::span)
}
