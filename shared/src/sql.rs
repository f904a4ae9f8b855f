//! The bodies of `POST /db/query` and `POST /db/batch`.

use serde::Deserialize;
use serde_json::Value;

use crate::Problem;
use crate::json::{self, Object};

/// A statement with its parameters.
#[derive(Debug, PartialEq)]
pub struct Statement {
    /// One SQL statement.
    pub sql: String,
    /// What its `?`s stand for.
    pub params: Vec<Param>,
}

/// A parameter, of any type that D1 takes from JSON (<https://developers.cloudflare.com/d1/worker-api/#type-conversion>).
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// `NULL`.
    Null,
    /// Stored as 0 or 1.
    Bool(bool),
    /// Within what a double counts exactly, because that is how it travels.
    Number(f64),
    /// `TEXT`.
    Text(String),
}

impl Statement {
    /// The longest body, in bytes: D1 takes statements of up to 100 KB, and rows of up to 2 MB
    /// (<https://developers.cloudflare.com/d1/platform/limits/>).
    pub const MAX_BODY_LEN: usize = 8 * 1024 * 1024;

    /// Makes one of its text and an array of parameters.
    pub fn new(sql: String, params: Value) -> Result<Self, Problem> {
        let Value::Array(params) = params else { return Err(Problem::invalid_body("`params` must be an array")) };
        RawStatement { sql, params }.try_into()
    }

    /// Parses `{"sql": ..., "params": [...]}`.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        json::parse_object::<RawStatement>(body)?.try_into()
    }

    /// Parses `{"statements": [{"sql": ..., "params": [...]}]}`.
    pub fn parse_batch(body: &[u8]) -> Result<Vec<Self>, Problem> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Batch {
            statements: Vec<Object<RawStatement>>,
        }
        let Batch { statements } = json::parse_object(body)?;
        if statements.is_empty() {
            return Err(Problem::invalid_body("`statements` must have one statement at least"));
        }
        statements.into_iter().map(|Object(statement)| statement.try_into()).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStatement {
    sql: String,
    #[serde(default)]
    params: Vec<Value>,
}

impl TryFrom<RawStatement> for Statement {
    type Error = Problem;

    fn try_from(raw: RawStatement) -> Result<Self, Problem> {
        let params = raw.params.into_iter().map(Param::try_from).collect::<Result<_, _>>()?;
        Ok(Self { sql: raw.sql, params })
    }
}

impl TryFrom<Value> for Param {
    type Error = Problem;

    fn try_from(value: Value) -> Result<Self, Problem> {
        /// `Number.MAX_SAFE_INTEGER`.
        const LARGEST: f64 = 9_007_199_254_740_991.0;
        match value {
            Value::Null => Ok(Self::Null),
            Value::Bool(bool) => Ok(Self::Bool(bool)),
            Value::Number(number) => {
                number.as_f64().filter(|number| number.abs() <= LARGEST).map(Self::Number).ok_or_else(|| {
                    Problem::invalid_body("a number in `params` is not within ±(2^53 - 1); send it as text")
                })
            }
            Value::String(text) => Ok(Self::Text(text)),
            Value::Array(_) | Value::Object(_) => {
                Err(Problem::invalid_body("`params` can be strings, numbers, booleans and null"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_parsed() {
        let body = r#"{"sql":"SELECT ?","params":[null,true,1,-1.5,9007199254740991,"x"]}"#;
        let params = vec![
            Param::Null,
            Param::Bool(true),
            Param::Number(1.0),
            Param::Number(-1.5),
            Param::Number(9_007_199_254_740_991.0),
            Param::Text("x".to_owned()),
        ];
        assert_eq!(Statement::parse(body.as_bytes()).expect("valid"), Statement { sql: "SELECT ?".to_owned(), params });
        let batch = Statement::parse_batch(br#"{"statements":[{"sql":"a"},{"sql":"b","params":[]}]}"#).expect("valid");
        assert_eq!(batch.iter().map(|statement| &*statement.sql).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn bad_statements_are_refused() {
        for (body, code) in [
            ("", "invalid_json"),
            ("[\"SELECT 1\",[]]", "invalid_body"),
            ("{}", "invalid_body"),
            (r#"{"sql":1}"#, "invalid_body"),
            (r#"{"sql":"SELECT 1","params":{}}"#, "invalid_body"),
            (r#"{"sql":"SELECT 1","param":[]}"#, "invalid_body"),
            (r#"{"sql":"SELECT ?","params":[[1]]}"#, "invalid_body"),
            (r#"{"sql":"SELECT ?","params":[{}]}"#, "invalid_body"),
            (r#"{"sql":"SELECT ?","params":[9007199254740992]}"#, "invalid_body"),
            (r#"{"sql":"SELECT ?","params":[-9007199254740992]}"#, "invalid_body"),
            (r#"{"sql":"SELECT ?","params":[1e300]}"#, "invalid_body"),
        ] {
            assert_eq!(Statement::parse(body.as_bytes()).expect_err(body).code().name(), code, "{body}");
            let batch = format!("{{\"statements\":[{body}]}}");
            assert_eq!(Statement::parse_batch(batch.as_bytes()).expect_err(body).status(), 400, "{batch}");
        }
        assert_eq!(Statement::parse_batch(br#"{"statements":[]}"#).expect_err("none").code().name(), "invalid_body");
    }
}
