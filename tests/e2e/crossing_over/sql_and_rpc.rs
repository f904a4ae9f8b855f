//! SQL on the attacker's own database, and methods of the attacker's own Worker.

use serde_json::{Value, json};
use tests::Customer;
use tests::storage::database_files;

use super::victim::{KEYS, Scene};

/// Statements that would read or write outside of their database.
const SQL: [&str; 33] = [
    "SELECT * FROM secrets",
    "SELECT * FROM \"customer-victim\".secrets",
    "SELECT * FROM victim.secrets",
    "SELECT * FROM main.secrets, temp.sqlite_master",
    "PRAGMA database_list",
    "SELECT * FROM pragma_database_list",
    "PRAGMA temp_store_directory = '/tmp'",
    "PRAGMA data_store_directory = '/tmp'",
    "PRAGMA writable_schema = 1",
    "PRAGMA trusted_schema = 1",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA key = 'x'",
    "PRAGMA query_only = 0; PRAGMA schema_version = 0",
    "ATTACH DATABASE ':memory:' AS other",
    "ATTACH DATABASE '' AS other",
    "ATTACH DATABASE 'customer-victim' AS other; SELECT * FROM other.secrets",
    "DETACH DATABASE main",
    "VACUUM INTO '/tmp/stolen.sqlite'",
    "SELECT load_extension('x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/written', 'x')",
    "SELECT edit('x', 'sh')",
    "SELECT * FROM fsdir('/')",
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM dbstat",
    "SELECT * FROM sqlite_stmt",
    "SELECT * FROM _cf_KV",
    "SELECT * FROM _cf_METADATA",
    "DROP TABLE _cf_KV",
    "CREATE VIRTUAL TABLE t USING csv(filename = '/etc/passwd')",
    "CREATE VIRTUAL TABLE t USING fts5(content, content = 'other.secrets')",
    "CREATE TEMP TRIGGER t AFTER INSERT ON secrets BEGIN SELECT 1; END",
];

#[tokio::test]
async fn sql_reaches_only_the_customers_own_database() {
    let scene = Scene::new("sql").await;
    let mut statements: Vec<String> = SQL.into_iter().map(str::to_owned).collect();
    let databases = database_files("d1");
    assert!(databases.len() > 1, "the victim's database must be among them: {databases:?}");
    for file in databases.iter().chain(database_files("kv").iter().take(3)).chain(database_files("r2").iter().take(3)) {
        let path = file.display();
        statements.extend([
            format!("ATTACH DATABASE '{path}' AS other; SELECT * FROM other.secrets"),
            format!("ATTACH DATABASE 'file:{path}?mode=ro&immutable=1' AS other"),
        ]);
    }
    for sql in statements {
        let statement = json!({"sql": sql, "params": []});
        let batch = json!({"statements": [statement, {"sql": "SELECT * FROM other.secrets"}]});
        let query = scene.attempt(scene.attacker.post_json("/db/query", statement.to_string())).await;
        let batch = scene.attempt(scene.attacker.post_json("/db/batch", batch.to_string())).await;
        assert!(batch.status == 400 && !query.text().contains("/storage/"), "{sql}: {query}{batch}");
        assert!([200, 400].contains(&query.status.as_u16()), "{sql}: {query}");
    }
    scene.end().await;
}

/// A method reaches only the storage of the customer on whose Worker it is called.
#[tokio::test]
async fn rpc_methods_reach_only_the_customers_own_storage() {
    let scene = Scene::new("rpc").await;
    let rpc = Customer::new("rpc");
    let misleading = ["../customer-victim/plain", "customer-victim/plain", "data/plain", "victim\0plain"];
    let keys = KEYS.into_iter().chain(misleading).map(Value::from).chain([
        json!(["plain"]),
        json!({"customer": "victim", "key": "plain"}),
        json!({"toString": "plain"}),
        json!({"$": "buffer", "text": "plain"}),
        json!(null),
        json!(0),
    ]);
    for key in keys {
        for (method, arguments) in [
            ("getFile", json!([key])),
            ("getFile", json!([key, {"customer": "victim"}, "victim"])),
            ("getData", json!([key, "victim"])),
            ("uploadFile", json!([key, "overwritten"])),
            ("uploadFile", json!([key, {"$": "stream", "text": "overwritten"}])),
            ("setData", json!([key, "overwritten", {"customer": "victim"}])),
            ("deleteFile", json!([key])),
            ("deleteData", json!([key])),
            ("fetch", json!(["http://customer-victim/data?key=plain", {"headers": {"X-User-ID": "victim"}}])),
        ] {
            scene.attempt(rpc.post_json(&format!("/{method}?customer=attacker"), arguments.to_string())).await;
        }
    }
    for (method, arguments) in [
        ("listFiles", json!([])),
        ("listFiles", json!([{"prefix": "", "customer": "victim"}])),
        ("listData", json!([{"prefix": "usage/"}])),
        ("getStats", json!(["victim"])),
        ("queryDatabase", json!(["SELECT * FROM secrets"])),
        ("queryDatabase", json!(["SELECT ? AS a FROM secrets", ["victim"]])),
        ("queryDatabase", json!(["ATTACH DATABASE 'customer-victim' AS other"])),
        ("queryDatabase", json!([{"sql": "SELECT * FROM secrets", "database": "customer-victim"}])),
        ("env", json!([])),
        ("constructor", json!(["return this"])),
        ("__proto__", json!([])),
        ("toString", json!([])),
        ("queue", json!([])),
        ("scheduled", json!([])),
    ] {
        scene.attempt(rpc.post_json(&format!("/{method}?customer=attacker"), arguments.to_string())).await;
    }
    scene.end().await;
}
