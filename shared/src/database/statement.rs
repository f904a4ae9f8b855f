//! The bodies of `POST /db/query` and `POST /db/batch`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::sql_text;
use crate::http::Problem;
use crate::json::{self, StrictObject};

/// An SQL statement with its parameters.
#[derive(Debug, PartialEq)]
pub struct Statement {
    /// The SQL, with nothing after the last semicolon.
    pub sql: String,
    /// The values of the `?` placeholders.
    pub params: Vec<Param>,
}

/// A parameter, of any type that D1 accepts and JSON has
/// (<https://developers.cloudflare.com/d1/worker-api/#type-conversion>).
///
/// D1's binding does not accept `BigInt`. It sends every number as a JSON number, and a boolean as 0 or 1. Locally,
/// SQLite receives every number as a double. SQLite converts a whole double to an integer if the affinity of a column
/// or `CAST(? AS INTEGER)` requires it.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// `NULL`.
    Null,
    /// 0 or 1.
    Bool(bool),
    /// A number as JSON text. It is sent to D1 as a double, so its absolute value is at most 2^53 - 1: up to this
    /// limit, doubles represent whole numbers exactly. The runtime parses the text, because `serde_json` sometimes gets
    /// the last bit of a double wrong, and its exact parser would make the Worker 5% larger.
    Number(String),
    /// `TEXT`.
    Text(String),
}

impl Statement {
    /// The maximum length of a body, in bytes. D1 accepts statements of up to 100 KB and rows of up to 2 MB
    /// (<https://developers.cloudflare.com/d1/platform/limits/>).
    pub const MAX_BODY_LEN: usize = 8 * 1024 * 1024;

    /// Creates a statement from its SQL and a JSON array of parameters.
    pub fn new(sql: String, params: &str) -> Result<Self, Problem> {
        let raw = serde_json::from_str(params).map_err(|_| Problem::invalid_body("`params` must be an array"))?;
        RawStatement { sql, params: raw }.parse(params.as_bytes(), || "`sql`".to_owned())
    }

    /// Parses `{"sql": ..., "params": [...]}`.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        json::parse_object::<RawStatement>(body)?.parse(body, || "`sql`".to_owned())
    }

    /// Parses `{"statements": [{"sql": ..., "params": [...]}]}`.
    pub fn parse_batch(body: &[u8]) -> Result<Vec<Self>, Problem> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Batch<'body> {
            #[serde(borrow)]
            statements: Vec<StrictObject<RawStatement<'body>>>,
        }
        let Batch { statements } = json::parse_object(body)?;
        if statements.is_empty() {
            return Err(Problem::invalid_body("`statements` must have at least one statement"));
        }
        let statements = statements.into_iter().enumerate();
        statements
            .map(|(at, StrictObject(statement))| statement.parse(body, || format!("the `sql` of `statements[{at}]`")))
            .collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStatement<'body> {
    sql: String,
    #[serde(borrow, default)]
    params: Vec<&'body RawValue>,
}

impl RawStatement<'_> {
    /// Parses the statement. `body` is the body that contains it, and `sql_name` names its SQL in a problem.
    fn parse(self, body: &[u8], sql_name: impl Fn() -> String) -> Result<Statement, Problem> {
        let params = self.params.into_iter().map(|value| Param::parse(value, body)).collect::<Result<_, _>>()?;
        let Some(sql) = sql_text::executable(&self.sql) else {
            let message = format!("{} has no SQL, only whitespace, comments or semicolons", sql_name());
            return Err(Problem::sql_error(&message));
        };
        let length = sql.len();
        let mut sql = self.sql;
        sql.truncate(length);
        Ok(Statement { sql, params })
    }
}

impl Param {
    /// Parses a parameter. `value` must be a slice of `body`.
    fn parse(value: &RawValue, body: &[u8]) -> Result<Self, Problem> {
        /// JavaScript's `Number.MAX_SAFE_INTEGER`.
        const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;
        let json = value.get();
        match json.as_bytes().first() {
            Some(b'n') => Ok(Self::Null),
            Some(b't' | b'f') => Ok(Self::Bool(json == "true")),
            Some(b'"') => serde_json::from_str(json)
                .map(Self::Text)
                .map_err(|error| json::invalid_json(body, json.as_bytes(), &error)),
            Some(b'[' | b'{') => Err(Problem::invalid_body("`params` must be strings, numbers, booleans or null")),
            _ if serde_json::from_str(json).is_ok_and(|number: f64| number.abs() <= MAX_SAFE_INTEGER) => {
                Ok(Self::Number(json.to_owned()))
            }
            _ => Err(Problem::invalid_body("a number in `params` is not within ±(2^53 - 1); send it as a string")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn statements_are_parsed() {
        let body = r#"{"sql":"SELECT ?","params":[null,true,1,-1.5,9007199254740991,"x"]}"#;
        let params = vec![
            Param::Null,
            Param::Bool(true),
            Param::Number("1".to_owned()),
            Param::Number("-1.5".to_owned()),
            Param::Number("9007199254740991".to_owned()),
            Param::Text("x".to_owned()),
        ];
        assert_eq!(Statement::parse(body.as_bytes()).expect("valid"), Statement { sql: "SELECT ?".to_owned(), params });
        let batch = Statement::parse_batch(br#"{"statements":[{"sql":"a"},{"sql":"b","params":[]}]}"#).expect("valid");
        assert_eq!(batch.iter().map(|statement| &*statement.sql).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_number_keeps_its_json_text() {
        for text in [
            "8622175317538527.0",
            "-8622175317538527.0",
            "0.1",
            "1.7976931348623157e-300",
            "5e-324",
            "0.30000000000000004",
        ] {
            let body = format!(r#"{{"sql":"x","params":[{text}]}}"#);
            let number = Param::Number(text.to_owned());
            assert_eq!(Statement::parse(body.as_bytes()).expect(text).params, [number], "{text}");
        }
    }

    #[test]
    fn invalid_statements_are_rejected() {
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

    #[test]
    fn the_problem_names_the_statement_without_sql() {
        for empty in ["", " \n", ";", "-- a", "/* a */;", "\u{a0}"] {
            let statement = |sql: &str| format!("{{\"sql\":{}}}", Value::from(sql));
            let problem = Statement::parse(statement(empty).as_bytes()).expect_err(empty);
            assert_eq!(problem.code().name(), "sql_error", "{empty:?}");
            let batch = format!("{{\"statements\":[{},{}]}}", statement("SELECT 1; -- a"), statement(empty));
            let problem = Statement::parse_batch(batch.as_bytes()).expect_err(empty);
            assert_eq!(problem.code().name(), "sql_error", "{empty:?}");
            assert!(problem.detail().contains("`statements[1]`"), "{}", problem.detail());
            assert_eq!(Statement::new(empty.to_owned(), "[]").expect_err(empty).code().name(), "sql_error");
        }
    }

    #[test]
    fn a_statement_ends_at_its_last_semicolon() {
        for sql in ["INSERT INTO t VALUES (';'); -- done", "INSERT INTO t VALUES (';');;"] {
            let body = format!("{{\"sql\":{}}}", Value::from(sql));
            assert_eq!(Statement::parse(body.as_bytes()).expect(sql).sql, "INSERT INTO t VALUES (';');");
        }
    }

    #[test]
    fn the_problem_has_the_position_of_an_invalid_string_among_the_parameters() {
        for (body, position) in [
            (r#"{"sql":"x","params":["ü","\ud800"]}"#, "line 1, column 33"),
            ("{\"sql\":\"x\",\n\"params\":[\n  \"\\ud800 \"]}", "line 3, column 10"),
        ] {
            let problem = Statement::parse(body.as_bytes()).expect_err(body);
            assert_eq!(problem.code().name(), "invalid_json", "{body}");
            assert!(problem.detail().contains(position), "{}", problem.detail());
        }
    }

    proptest! {
        #[test]
        fn any_serialized_statement_is_parsed_to_the_same(
            sql in "x[^;]{0,40}",
            params in prop::collection::vec(
                prop_oneof![
                    Just(Param::Null),
                    any::<bool>().prop_map(Param::Bool),
                    (-9_007_199_254_740_990.0..=9_007_199_254_740_990.0_f64)
                        .prop_map(|number| Param::Number(Value::from(number).to_string())),
                    any::<String>().prop_map(Param::Text),
                ],
                0..6,
            ),
        ) {
            let values: Vec<String> = params.iter().map(|param| match param {
                Param::Null => "null".to_owned(),
                Param::Bool(bool) => bool.to_string(),
                Param::Number(number) => number.clone(),
                Param::Text(text) => Value::from(&**text).to_string(),
            }).collect();
            let body = format!("{{\"params\":[{}],\"sql\":{}}}", values.join(","), Value::from(&*sql));
            let statement = Statement { sql, params };
            prop_assert_eq!(&Statement::parse(body.as_bytes()).expect("valid"), &statement);
            let body = format!("{{\"statements\":[{body},{body}]}}");
            let batch = Statement::parse_batch(body.as_bytes()).expect("valid");
            prop_assert!(batch.len() == 2 && batch.iter().all(|parsed| *parsed == statement), "{:?}", batch);
        }

        #[test]
        fn only_numbers_up_to_the_largest_safe_integer_are_accepted(number in any::<f64>(), integer in any::<i64>()) {
            for text in [format!("{number:e}"), integer.to_string()] {
                let body = format!("{{\"sql\":\"x\",\"params\":[{text}]}}");
                let safe = text.parse::<f64>().is_ok_and(|number| number.abs() <= 9_007_199_254_740_991.0);
                prop_assert_eq!(Statement::parse(body.as_bytes()).is_ok(), safe, "{}", text);
            }
        }

        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,a0]{0,60}") {
            for body in [&*body, text.as_bytes()] {
                let _ = (Statement::parse(body), Statement::parse_batch(body));
            }
        }
    }
}
