//! D1, as far as the Worker uses it (<https://developers.cloudflare.com/d1/worker-api/>).

use edge::task::settled;
use js_sys::{Array, Number, Object, Promise};
use shared::{Param, Problem, Statement};
use wasm_bindgen::{JsCast, prelude::*};

use super::Binding;

/// The customer's database.
pub const DATABASE: Binding = Binding { name: "USER_DB", what: "database" };

#[wasm_bindgen]
extern "C" {
    type D1PreparedStatement;

    #[wasm_bindgen(method, variadic, catch)]
    fn bind(this: &D1PreparedStatement, params: &Array) -> Result<D1PreparedStatement, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn all(this: &D1PreparedStatement) -> Result<Promise, JsValue>;

    /// What a statement came to.
    pub type D1Result;

    /// The rows, as objects.
    #[wasm_bindgen(method, getter)]
    pub fn results(this: &D1Result) -> JsValue;

    /// What it took.
    #[wasm_bindgen(method, getter)]
    pub fn meta(this: &D1Result) -> Object;
}

/// Runs a statement.
pub async fn query(statement: &Statement) -> Result<D1Result, Problem> {
    let result = settled(prepare(statement)?.all()).await.map_err(|thrown| problem(&thrown))?;
    Ok(result.unchecked_into())
}

/// Runs statements in one transaction: all of them, or none.
pub async fn batch(statements: &[Statement]) -> Result<Array<D1Result>, Problem> {
    let prepared = statements.iter().map(|statement| prepare(statement).map(JsValue::from));
    let prepared: Array = prepared.collect::<Result<_, _>>()?;
    let results = settled(js::batch(&prepared)).await.map_err(|thrown| problem(&thrown))?;
    Ok(results.unchecked_into())
}

fn prepare(statement: &Statement) -> Result<D1PreparedStatement, Problem> {
    let prepared = js::prepare(&statement.sql).map_err(|thrown| problem(&thrown))?;
    if statement.params.is_empty() {
        return Ok(prepared);
    }
    let params: Array = statement.params.iter().map(param).collect();
    prepared.bind(&params).map_err(|thrown| problem(&thrown))
}

fn param(param: &Param) -> JsValue {
    match param {
        Param::Null => JsValue::NULL,
        Param::Bool(bool) => (*bool).into(),
        Param::Number(json) => Number::parse_float(json).into(),
        Param::Text(text) => text.into(),
    }
}

/// Tells a statement that SQLite refuses from a database that does not answer; D1 throws the same kind of error for both
/// (<https://developers.cloudflare.com/d1/observability/debug-d1/>).
fn problem(thrown: &JsValue) -> Problem {
    sqlite_message(&edge::thrown_message(thrown)).map_or_else(|| DATABASE.failed(thrown), Problem::sql_error)
}

/// What SQLite says: `D1_ERROR: <message>: SQLITE_<CODE>`, at times with ` (extended: SQLITE_<CODE>)` behind. Some things D1
/// finds out itself, and says without a code.
fn sqlite_message(message: &str) -> Option<&str> {
    const OWN: [&str; 4] = [
        "No SQL statements detected.",
        "SQL code did not contain a statement.",
        "Wrong number of parameter bindings for SQL query.",
        "When executing multiple SQL statements in a single call, only the last statement can have parameters.",
    ];
    let text = message.strip_prefix("D1_ERROR: ").unwrap_or(message);
    if text.starts_with("To execute a transaction, ") {
        return Some("statements that begin or end a transaction are not taken; a batch is one");
    }
    let short = text.rsplit_once(" (extended: SQLITE_").map_or(text, |(short, _)| short);
    let (said, code) = short.rsplit_once(": SQLITE_").unwrap_or((text, ""));
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    (is_code || OWN.contains(&text)).then_some(said)
}

mod js {
    use js_sys::{Array, Promise};
    use wasm_bindgen::prelude::*;

    use super::D1PreparedStatement;

    #[wasm_bindgen(module = "cloudflare:workers")]
    extern "C" {
        #[wasm_bindgen(catch, js_namespace = ["env", "USER_DB"])]
        pub fn prepare(sql: &str) -> Result<D1PreparedStatement, JsValue>;

        #[wasm_bindgen(catch, js_namespace = ["env", "USER_DB"])]
        pub fn batch(statements: &Array) -> Result<Promise, JsValue>;
    }
}
