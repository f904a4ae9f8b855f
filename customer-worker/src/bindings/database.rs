//! The customer's D1 database (<https://developers.cloudflare.com/d1/worker-api/>).

use js_sys::{Array, Number, Object, Reflect};
use shared::database::{Param, Statement};
use shared::http::Problem;
use wasm_bindgen::{JsCast, JsValue};
use worker::Env;
use worker::worker_sys::{D1Database, D1PreparedStatement, D1Result};

/// The binding `USER_DB`. `worker::D1Database` is not used, because it converts rows to Rust values, which changes the
/// order of their columns.
pub struct UserDatabase(D1Database);

/// A statement's result, `{"results", "meta"}`, outside Wasm.
pub type QueryResult = Object;

impl UserDatabase {
    /// Returns the database. Fails if the customer has none.
    pub fn from_env(env: &Env) -> Result<Self, Problem> {
        super::lookup(env, "USER_DB", "prepare", "database").map(Self)
    }

    /// Runs a statement.
    pub async fn query(&self, statement: &Statement) -> Result<QueryResult, Problem> {
        let run = async { query_result(&edge::await_promise(self.prepare(statement)?.all()).await?) };
        run.await.map_err(|thrown| problem(&thrown))
    }

    /// Runs statements in one transaction: if one fails, none has an effect. Returns a [`QueryResult`] for each.
    pub async fn batch(&self, statements: &[Statement]) -> Result<Array, Problem> {
        let run = async {
            let prepared = statements.iter().map(|statement| self.prepare(statement).map(JsValue::from));
            let prepared: Array = prepared.collect::<Result<_, JsValue>>()?;
            let results: Array = edge::await_promise(self.0.batch(prepared)).await?.unchecked_into();
            results.iter().map(|result| query_result(&result).map(JsValue::from)).collect::<Result<_, JsValue>>()
        };
        run.await.map_err(|thrown| problem(&thrown))
    }

    fn prepare(&self, statement: &Statement) -> Result<D1PreparedStatement, JsValue> {
        let prepared = self.0.prepare(&statement.sql)?;
        if statement.params.is_empty() {
            Ok(prepared)
        } else {
            prepared.bind(statement.params.iter().map(param).collect())
        }
    }
}

fn param(param: &Param) -> JsValue {
    match param {
        Param::Null => JsValue::NULL,
        Param::Bool(bool) => (*bool).into(),
        Param::Number(json) => Number::parse_float(json).into(),
        Param::Text(text) => text.into(),
    }
}

/// Returns the rows, and the members of the metadata that are the same locally and deployed.
fn query_result(result: &JsValue) -> Result<QueryResult, JsValue> {
    let result: &D1Result = result.unchecked_ref();
    let (all, meta) = (result.meta()?, Object::new());
    for name in ["changes", "last_row_id", "rows_read", "rows_written", "duration"] {
        edge::set(&meta, name, &Reflect::get(&all, &name.into())?);
    }
    Ok(edge::object(&[("results", result.results()?.into()), ("meta", meta.into())]))
}

/// Converts an error of D1 to a problem: SQLite refused the statement, or the database failed. D1 throws the same kind
/// of error for both (<https://developers.cloudflare.com/d1/observability/debug-d1/>).
fn problem(thrown: &JsValue) -> Problem {
    let message = edge::error_message(thrown);
    match sqlite_message(&message) {
        Some(reason) => Problem::sql_error(reason),
        None => Problem::storage_unavailable(message),
    }
}

/// Extracts SQLite's message from an error of D1: `D1_ERROR: <message>: SQLITE_<CODE>`, sometimes followed by
/// `(extended: SQLITE_<CODE>)`. Errors that D1 itself detects in a statement have no code. Returns `None` for all other
/// errors.
fn sqlite_message(message: &str) -> Option<&str> {
    const FROM_D1: [&str; 4] = [
        "No SQL statements detected.",
        "SQL code did not contain a statement.",
        "Wrong number of parameter bindings for SQL query.",
        "When executing multiple SQL statements in a single call, only the last statement can have parameters.",
    ];
    let text = message.strip_prefix("D1_ERROR: ").unwrap_or(message);
    if text.starts_with("To execute a transaction, ") {
        return Some("a statement must not begin or end a transaction; use POST /db/batch for a transaction");
    }
    let short = text.rsplit_once(" (extended: SQLITE_").map_or(text, |(short, _)| short);
    let (sqlite, code) = short.rsplit_once(": SQLITE_").unwrap_or((text, ""));
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    (is_code || FROM_D1.contains(&text)).then_some(sqlite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_statements_are_distinguished_from_database_failures() {
        for (message, expected) in [
            (
                "D1_ERROR: near \"SELEC\": syntax error at offset 0: SQLITE_ERROR",
                Some("near \"SELEC\": syntax error at offset 0"),
            ),
            (
                "D1_ERROR: UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)",
                Some("UNIQUE constraint failed: t.a"),
            ),
            ("D1_ERROR: No SQL statements detected.", Some("No SQL statements detected.")),
            (
                "Wrong number of parameter bindings for SQL query.",
                Some("Wrong number of parameter bindings for SQL query."),
            ),
            (
                "D1_ERROR: To execute a transaction, please use the state.storage.transaction() API",
                Some("a statement must not begin or end a transaction; use POST /db/batch for a transaction"),
            ),
            ("D1_ERROR: D1 DB storage operation exceeded timeout which caused object to be reset.", None),
            ("D1_ERROR: x: SQLITE_", None),
            ("D1_ERROR: x: SQLITE_busy", None),
            ("Network connection lost.", None),
            ("", None),
        ] {
            assert_eq!(sqlite_message(message), expected, "{message}");
        }
    }
}
