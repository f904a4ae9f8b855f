//! `/db`: SQL on the customer's database.

use serde_json::{Value, json};
use tests::{Customer, Reply, expect_json, expect_problem, expect_success};

async fn query(user: &Customer, sql: &str, params: Value) -> Value {
    expect_success(user.post_json("/db/query", json!({"sql": sql, "params": params}).to_string())).await.json()
}

fn batch(user: &Customer, statements: &[(&str, Value)]) -> reqwest::RequestBuilder {
    let statements: Vec<Value> = statements.iter().map(|(sql, params)| json!({"sql": sql, "params": params})).collect();
    user.post_json("/db/batch", json!({"statements": statements}).to_string())
}

#[tokio::test]
async fn statements_run_with_their_parameters() {
    let user = Customer::new("user1");
    query(&user, "CREATE TABLE types (id INTEGER PRIMARY KEY, value)", json!([])).await;
    let values = json!([
        null,
        true,
        false,
        0,
        -7,
        1.5,
        0.1,
        8_622_175_317_538_527.0,
        9_007_199_254_740_991_u64,
        "",
        "text ' \" 🦀",
        "'; DROP TABLE types; --"
    ]);
    for value in values.as_array().expect("a list") {
        let inserted = query(&user, "INSERT INTO types (value) VALUES (?)", json!([value])).await;
        assert_eq!((&inserted["results"], &inserted["meta"]["changes"]), (&json!([]), &json!(1)), "{inserted}");
    }
    let read = query(&user, "SELECT value FROM types ORDER BY id", json!([])).await;
    let values: Vec<&Value> = read["results"].as_array().expect("rows").iter().map(|row| &row["value"]).collect();
    // SQLite has no booleans.
    let expected = json!([
        null,
        1,
        0,
        0,
        -7,
        1.5,
        0.1,
        8_622_175_317_538_527_u64,
        9_007_199_254_740_991_u64,
        "",
        "text ' \" 🦀",
        "'; DROP TABLE types; --"
    ]);
    assert_eq!(json!(values), expected);
    let meta = read["meta"].as_object().expect("an object");
    assert_eq!(meta.keys().collect::<Vec<_>>(), ["changes", "duration", "last_row_id", "rows_read", "rows_written"]);
    let one = query(&user, "SELECT ?2 AS b, ?1 AS a", json!(["x", 2])).await;
    assert_eq!(one["results"], json!([{"b": 2, "a": "x"}]));
}

#[tokio::test]
async fn sql_errors_have_sqlites_message() {
    let user = Customer::new("user1");
    query(&user, "CREATE TABLE strict (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL)", json!([])).await;
    query(&user, "INSERT INTO strict (name) VALUES ('a')", json!([])).await;
    for (sql, params, message) in [
        ("SELEC 1", json!([]), "near \"SELEC\": syntax error at offset 0"),
        ("SELECT * FROM absent", json!([]), "no such table: absent"),
        ("SELECT absent FROM strict", json!([]), "no such column: absent at offset 7"),
        ("INSERT INTO strict (name) VALUES (?)", json!(["a"]), "UNIQUE constraint failed: strict.name"),
        ("INSERT INTO strict (name) VALUES (?)", json!([null]), "NOT NULL constraint failed: strict.name"),
    ] {
        let request = user.post_json("/db/query", json!({"sql": sql, "params": params}).to_string());
        let reply = expect_problem(request, 400, "sql_error").await;
        assert_eq!(reply.json()["detail"], message);
    }
    for (sql, params) in [
        ("SELECT ?", json!([])),
        ("SELECT 1", json!([1])),
        ("SELECT ?", json!([1, 2])),
        ("", json!([])),
        ("-- nothing", json!([])),
        (";", json!([])),
    ] {
        let request = user.post_json("/db/query", json!({"sql": sql, "params": params}).to_string());
        let reply = expect_problem(request, 400, "sql_error").await;
        assert!(!reply.text().contains("D1_"), "{reply}");
    }
}

/// Statements that begin or end a transaction are refused.
#[tokio::test]
async fn several_statements_return_the_last_ones_rows() {
    let user = Customer::new("user1");
    let sql = "CREATE TABLE several (a); INSERT INTO several VALUES (1), (2); SELECT count(*) AS n FROM several";
    assert_eq!(query(&user, sql, json!([])).await["results"], json!([{"n": 2}]));
    for sql in ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "RELEASE a", "SELECT ?; SELECT ?"] {
        let statement = json!({"sql": sql, "params": if sql.contains('?') { json!([1]) } else { json!([]) }});
        for (path, body) in [("/db/query", statement.clone()), ("/db/batch", json!({"statements": [statement]}))] {
            let reply = expect_problem(user.post_json(path, body.to_string()), 400, "sql_error").await;
            assert!(!reply.text().contains("state.storage"), "{reply}");
        }
    }
}

/// SQLite's own tools ignore trailing semicolons and comments, too.
#[tokio::test]
async fn trailing_semicolons_and_comments_are_ignored() {
    let user = Customer::new("user1");
    query(&user, "CREATE TABLE followed (a);;", json!([])).await;
    let ends = ["", ";", ";;", " ; ; ", "; -- done", ";\n-- a\n/* b; */\n", "; /* x */", "; /* x", " -- no semicolon"];
    for (index, end) in ends.iter().enumerate() {
        let insert = format!("INSERT INTO followed VALUES (?){end}");
        let inserted = query(&user, &insert, json!([format!("{index};--")])).await;
        assert_eq!(inserted["meta"]["changes"], 1, "{insert}");
        let batch = batch(&user, &[(&insert, json!(["batch"])), ("SELECT 1 AS one;--", json!([]))]);
        let results = expect_success(batch).await.json()["batch"].clone();
        assert_eq!(
            (&results[0]["meta"]["changes"], &results[1]["results"]),
            (&json!(1), &json!([{"one": 1}])),
            "{insert}"
        );
    }
    let count = query(&user, "SELECT count(*) AS n FROM followed; /* all */", json!([])).await;
    assert_eq!(count["results"], json!([{"n": 2 * ends.len()}]));
    // Comments and semicolons within literals or names do not end a statement.
    for (sql, row) in [
        ("SELECT ';--' AS a;--", json!({"a": ";--"})),
        ("SELECT 'it''s; /*' AS \"b;--\"; /* x", json!({"b;--": "it's; /*"})),
        ("SELECT 1 AS [c;--];;", json!({"c;--": 1})),
        ("SELECT 1 AS `d;/*`;/**/", json!({"d;/*": 1})),
        ("SELECT 1 AS e /* ; */ ; SELECT 2 -- ;\n AS f; -- 3", json!({"f": 2})),
        ("-- first\n;; SELECT 3 AS g;", json!({"g": 3})),
        ("SELECT '{\"a\":5}'->>'$.a' AS h;--", json!({"h": 5})),
    ] {
        assert_eq!(query(&user, sql, json!([])).await["results"], json!([row]), "{sql}");
    }
    let trigger = "CREATE TRIGGER follow AFTER INSERT ON followed BEGIN DELETE FROM followed; END; -- t";
    query(&user, trigger, json!([])).await;
    query(&user, "INSERT INTO followed VALUES (1);", json!([])).await;
    assert_eq!(query(&user, "SELECT * FROM followed", json!([])).await["results"], json!([]));
    // Trailing text that is neither is an error.
    for sql in ["SELECT 1; SELEC", "SELECT 1; /*", "SELECT 1; -", "SELECT 1; '", "SELECT 1; )"] {
        let request = user.post_json("/db/query", json!({"sql": sql}).to_string());
        expect_problem(request, 400, "sql_error").await;
    }
}

/// Clients find results by the index of their statement, so empty statements must not be skipped.
#[tokio::test]
async fn an_empty_statement_is_named_and_nothing_runs() {
    let user = Customer::new("user2");
    query(&user, "CREATE TABLE unnamed (a)", json!([])).await;
    for empty in [
        "",
        " ",
        "\n\t",
        ";",
        ";;",
        "-- a",
        "--",
        "/* a */",
        "/* a",
        "-- a\n;\n-- b",
        " /**/ ; ",
        "\u{a0}",
        "\u{feff}",
        "\u{a0}-- a",
    ] {
        for index in 0..3 {
            let mut statements = vec![("INSERT INTO unnamed VALUES (1)", json!([])); 2];
            statements.insert(index, (empty, json!([])));
            let reply = expect_problem(batch(&user, &statements), 400, "sql_error").await;
            assert!(reply.text().contains(&format!("`statements[{index}]` has no SQL")), "{empty:?}: {reply}");
        }
        let reply =
            expect_problem(user.post_json("/db/query", json!({"sql": empty}).to_string()), 400, "sql_error").await;
        assert!(reply.text().contains("`sql` has no SQL"), "{empty:?}: {reply}");
    }
    assert_eq!(query(&user, "SELECT * FROM unnamed", json!([])).await["results"], json!([]));
}

/// The local D1 binds numbers and booleans as doubles. SQLite converts integral ones to integers by column affinity and
/// `CAST`.
#[tokio::test]
async fn numbers_are_bound_as_doubles() {
    let user = Customer::new("user2");
    query(&user, "CREATE TABLE numbers (whole INTEGER, any_number NUMERIC, text TEXT, untyped)", json!([])).await;
    query(&user, "INSERT INTO numbers VALUES (?1, ?1, ?1, ?1)", json!([5])).await;
    for (sql, params, row) in [
        (
            "SELECT typeof(?1) AS a, ?1/2 AS b, 'id-'||?1 AS c",
            json!([5]),
            json!({"a": "real", "b": 2.5, "c": "id-5.0"}),
        ),
        ("SELECT typeof(?1) AS a, 'is-'||?1 AS b", json!([true]), json!({"a": "real", "b": "is-1.0"})),
        (
            "SELECT typeof(CAST(?1 AS INTEGER)) AS a, CAST(?1 AS INTEGER)/2 AS b, 'id-'||CAST(?1 AS INTEGER) AS c",
            json!([5]),
            json!({"a": "integer", "b": 2, "c": "id-5"}),
        ),
        (
            "SELECT CAST(?1 AS INTEGER) = 9007199254740991 AS a, CAST(?2 AS INTEGER)||'' AS b",
            json!([9_007_199_254_740_991_i64, true]),
            json!({"a": 1, "b": "1"}),
        ),
        (
            "SELECT typeof(whole) AS a, typeof(any_number) AS b, text AS c, typeof(untyped) AS d FROM numbers",
            json!([]),
            json!({"a": "integer", "b": "integer", "c": "5.0", "d": "real"}),
        ),
        ("SELECT count(*) AS n FROM numbers WHERE whole = ? LIMIT ?", json!([5, 1]), json!({"n": 1})),
    ] {
        assert_eq!(query(&user, sql, params).await["results"], json!([row]), "{sql}");
    }
}

#[tokio::test]
async fn a_batch_is_one_transaction() {
    let user = Customer::new("user2");
    let created = batch(
        &user,
        &[
            ("CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER CHECK (balance >= 0))", json!([])),
            ("INSERT INTO accounts VALUES (?, ?), (?, ?)", json!(["a", 10, "b", 0])),
            ("SELECT name, balance FROM accounts ORDER BY name", json!([])),
        ],
    );
    let created = expect_success(created).await.json();
    assert_eq!(created["batch"].as_array().expect("a list").len(), 3);
    assert_eq!(created["batch"][2]["results"], json!([{"name": "a", "balance": 10}, {"name": "b", "balance": 0}]));
    assert_eq!(created["batch"][1]["meta"]["changes"], 2);

    let transfer = |amount: i64| {
        batch(
            &user,
            &[
                ("UPDATE accounts SET balance = balance + ? WHERE name = 'b'", json!([amount])),
                ("UPDATE accounts SET balance = balance - ? WHERE name = 'a'", json!([amount])),
            ],
        )
    };
    expect_success(transfer(4)).await;
    let reply = expect_problem(transfer(100), 400, "sql_error").await;
    assert!(reply.json()["detail"].as_str().expect("text").starts_with("CHECK constraint failed"), "{reply}");
    let after = query(&user, "SELECT balance FROM accounts ORDER BY name", json!([])).await;
    assert_eq!(after["results"], json!([{"balance": 6}, {"balance": 4}]), "a batch that fails changes nothing");
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    let user = Customer::new("user1");
    for (body, status, code) in [
        ("", 400, "invalid_json"),
        ("{\"sql\":", 400, "invalid_json"),
        ("[]", 400, "invalid_body"),
        ("{}", 400, "invalid_body"),
        (r#"{"sql":1}"#, 400, "invalid_body"),
        (r#"{"sql":"SELECT 1","params":1}"#, 400, "invalid_body"),
        (r#"{"sql":"SELECT 1","prams":[]}"#, 400, "invalid_body"),
        (r#"{"sql":"SELECT ?","params":[[]]}"#, 400, "invalid_body"),
        (r#"{"sql":"SELECT ?","params":[{}]}"#, 400, "invalid_body"),
        (r#"{"sql":"SELECT ?","params":[9007199254740992]}"#, 400, "invalid_body"),
        (r#"{"sql":"SELECT ?","params":[1e300]}"#, 400, "invalid_body"),
    ] {
        expect_problem(user.post_json("/db/query", body), status, code).await;
        let batch = format!("{{\"statements\":[{body}]}}");
        assert_eq!(Reply::to(user.post_json("/db/batch", batch)).await.status, status, "{body}");
    }
    expect_problem(user.post_json("/db/batch", r#"{"statements":[]}"#), 400, "invalid_body").await;
    expect_problem(user.post("/db/query").body(r#"{"sql":"SELECT 1"}"#), 415, "unsupported_media_type").await;
    let too_large = format!(r#"{{"sql":"SELECT 1 -- {}"}}"#, "x".repeat(8 * 1024 * 1024));
    expect_problem(user.post_json("/db/query", too_large), 413, "too_large").await;
}

#[tokio::test]
async fn a_customer_cannot_reach_another_database() {
    let (one, two) = (Customer::new("user1"), Customer::new("user2"));
    query(&one, "CREATE TABLE secrets (text)", json!([])).await;
    query(&one, "INSERT INTO secrets VALUES ('one''s')", json!([])).await;
    let request = |sql: &str| two.post_json("/db/query", json!({"sql": sql}).to_string());
    for sql in [
        "SELECT * FROM secrets",
        "SELECT * FROM main.secrets",
        "SELECT * FROM \"customer-user1\".secrets",
        "ATTACH DATABASE 'customer-user1' AS other",
        "ATTACH DATABASE '../miniflare-D1DatabaseObject/metadata.sqlite' AS other",
        "VACUUM INTO '/tmp/stolen.sqlite'",
        "SELECT load_extension('x')",
        "SELECT readfile('/etc/passwd')",
    ] {
        let reply = Reply::to(request(sql)).await;
        assert!(reply.status.as_u16() >= 400 && !reply.text().contains("one's"), "{sql}: {reply}");
    }
    let tables = expect_success(request("SELECT name FROM sqlite_master")).await;
    assert!(!tables.text().contains("secrets"), "{tables}");
    expect_json(two.get("/"), json!({"status": "ok", "worker": "user2", "version": env!("CARGO_PKG_VERSION")})).await;
}
