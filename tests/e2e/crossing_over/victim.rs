//! The customer that is to be robbed, and what watches over it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::raw::{exchange, exchange_until_idle};
use tests::{Customer, Reply, escaped, expect_success, noise};
use tokio::sync::{OnceCell, RwLock};

/// What both customers call their files and values. The attacker knows all names; what lies under them is what is at stake.
pub const KEYS: [&str; 4] = ["plain", "folder/page", "../attacker/plain", "usage/plain"];

/// Where all that the victim stores has its entry.
const LISTS: [&str; 3] = ["/files?include=contentType", "/data", DATABASE];

const DATABASE: &str = "/db/batch";

/// The victim as it was filled, once for all tests: nobody else may change it.
static FILLED: OnceCell<Filled> = OnceCell::const_new();

/// Attempts take turns with what the victim itself does, which is more than look.
static TURNS: RwLock<()> = RwLock::const_new(());

/// How long a platform that waits for more of a request is waited for.
const SILENCE: Duration = Duration::from_secs(1);

struct Filled {
    /// A random text that all of the victim's content holds, and nothing else on this machine.
    secret: String,
    snapshot: Snapshot,
}

/// What the victim's clients see, by what they ask.
type Snapshot = BTreeMap<String, Vec<u8>>;

/// An attacker and a victim. Every attempt is judged from both sides.
pub struct Scene {
    /// Has something of its own under the victim's keys.
    pub attacker: Customer,
    /// Has files, values, a database, and an upload that is not finished.
    pub victim: Customer,
    /// The id of the upload that is not finished.
    pub upload_id: String,
    filled: &'static Filled,
    /// The key of the upload, and what its part was answered with.
    upload: (String, Value),
    attempts: AtomicUsize,
}

impl Scene {
    /// A scene by the name of its test.
    pub async fn new(name: &str) -> Self {
        let (attacker, victim) = (Customer::new("attacker"), Customer::new("victim"));
        let filled = FILLED.get_or_init(|| fill(&attacker, &victim)).await;
        let key = format!("unfinished/{name}");
        let turn = TURNS.read().await;
        let begun = expect_success(victim.post(&format!("/files/uploads?key={key}"))).await.json();
        let upload_id = begun["uploadId"].as_str().expect("an id").to_owned();
        let path = format!("/files/uploads?key={key}&uploadId={}&partNumber=1", escaped(&upload_id));
        let part = expect_success(victim.put(&path).body(filled.secret.repeat(100))).await.json();
        drop(turn);
        Self { attacker, victim, upload_id, filled, upload: (key, part), attempts: AtomicUsize::new(0) }
    }

    /// What must not be in any reply to somebody else.
    pub fn secret(&self) -> &str {
        &self.filled.secret
    }

    /// The key of the upload that is not finished.
    pub fn upload_key(&self) -> &str {
        &self.upload.0
    }

    /// Sends a request of the attacker's.
    pub async fn attempt(&self, request: RequestBuilder) -> Reply {
        let turn = TURNS.read().await;
        let what = format!("{request:?}");
        let reply = Reply::to(request).await;
        self.judge(what, &seen(&reply)).await;
        drop(turn);
        reply
    }

    /// Sends an attacker's bytes, which end in a request after which the platform hangs up.
    pub async fn attempt_raw(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let turn = TURNS.read().await;
        let received = exchange(&bytes).await;
        self.judge(String::from_utf8_lossy(bytes.as_ref()), &received).await;
        drop(turn);
        received
    }

    /// Sends an attacker's bytes, after which the platform may wait for more.
    pub async fn attempt_raw_open(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let turn = TURNS.read().await;
        let (received, _) = exchange_until_idle(&bytes, SILENCE).await;
        self.judge(String::from_utf8_lossy(bytes.as_ref()), &received).await;
        drop(turn);
        received
    }

    /// Neither has the attacker got anything of the victim's, nor has the victim lost any.
    async fn judge(&self, what: impl Display, received: &[u8]) {
        let attempts = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        self.expect_nothing_in(&what, received);
        // Lists have each file's etag, which its bytes decide, and each value's metadata; the values' own texts are read less
        // often, because there are many attempts.
        self.expect_as_before(&what, LISTS.map(str::to_owned).to_vec()).await;
        if attempts.is_multiple_of(16) {
            self.expect_all_as_before(what).await;
        }
    }

    /// Nothing of the victim's content is in it, neither as it is nor in base64.
    pub fn expect_nothing_in(&self, what: impl Display, received: &[u8]) {
        let secret = self.filled.secret.as_bytes();
        let encoded = (0..3).map(|start| BASE64_STANDARD.encode(&secret[start..start + 24]).into_bytes());
        for text in encoded.chain([secret.to_vec()]) {
            let found = received.windows(text.len()).any(|window| window == text);
            assert!(!found, "{what}\ngot across: {}", String::from_utf8_lossy(received));
        }
    }

    /// All that the victim's clients can see is as it was.
    pub async fn expect_unharmed(&self, what: impl Display) {
        let turn = TURNS.read().await;
        self.expect_all_as_before(what).await;
        drop(turn);
    }

    /// For whoever has its turn: to ask for another would wait for a writer that waits for the first.
    async fn expect_all_as_before(&self, what: impl Display) {
        self.expect_as_before(what, self.filled.snapshot.keys().cloned().collect()).await;
    }

    async fn expect_as_before(&self, what: impl Display, paths: Vec<String>) {
        for (path, now) in look(&self.victim, paths).await {
            let before = &self.filled.snapshot[&path];
            let text = String::from_utf8_lossy;
            assert!(*before == now, "{what}\nharmed the victim's {path}: {}\nwas: {}", text(&now), text(before));
        }
    }

    /// What the victim had begun it can finish.
    pub async fn end(self) {
        println!("{} attempts", self.attempts.load(Ordering::Relaxed));
        let turn = TURNS.write().await;
        let (key, part) = &self.upload;
        let path = format!("/files/uploads/complete?key={key}&uploadId={}", escaped(&self.upload_id));
        expect_success(self.victim.post_json(&path, json!({ "parts": [part] }).to_string())).await;
        let file = format!("/files?key={key}");
        assert_eq!(Reply::to(self.victim.get(&file)).await.text(), self.filled.secret.repeat(100));
        expect_success(self.victim.delete(&file)).await;
        self.expect_all_as_before("the victim's own upload").await;
        drop(turn);
    }
}

/// All of a reply, but for the date.
fn seen(reply: &Reply) -> Vec<u8> {
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    [format!("{}\n{}\n", reply.status, headers.concat()).as_bytes(), &reply.body].concat()
}

async fn fill(attacker: &Customer, victim: &Customer) -> Filled {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_nanos();
    let random = noise(16, u64::try_from(now % u128::from(u64::MAX)).expect("it fits"));
    let random: [u8; 16] = random.try_into().expect("16 bytes");
    let secret = format!("{:032x}", u128::from_be_bytes(random));
    for (customer, text) in [(victim, &*secret), (attacker, "the attacker's own")] {
        for (key, content_type) in KEYS.iter().zip(["text/plain", "text/html", "application/json", ""]) {
            let put = customer.put(&format!("/files?key={}", escaped(key)));
            let put = put.header("Content-Type", content_type).header("Cache-Control", "public, max-age=600");
            let put = put.header("Content-Disposition", format!("attachment; filename=\"{text}\""));
            expect_success(put.body(format!("{text}{}", "more ".repeat(1000)))).await;
            let value = json!({"key": key, "value": {"text": text}, "metadata": {"text": text}});
            expect_success(customer.post_json("/data", value.to_string())).await;
        }
        // The names of these are a secret of their own.
        expect_success(customer.put(&format!("/files?key={}", escaped(text))).body(text.to_owned())).await;
        expect_success(customer.post_json("/data", json!({"key": text, "value": text}).to_string())).await;
        let sql = "CREATE TABLE secrets (id INTEGER PRIMARY KEY, text); INSERT INTO secrets (text) VALUES ('a'), ('b')";
        expect_success(customer.post_json("/db/query", json!({ "sql": sql }).to_string())).await;
        let named = json!({"sql": "UPDATE secrets SET text = text || ?", "params": [text]});
        expect_success(customer.post_json("/db/query", named.to_string())).await;
    }
    Filled { snapshot: look(victim, everything()).await, secret }
}

/// All that is to be seen of the victim.
fn everything() -> Vec<String> {
    let file = |key: &&str| format!("/files?key={}", escaped(key));
    let value = |key: &&str| format!("/data?key={}", escaped(key));
    let more = ["/files?limit=2&delimiter=/", "/data?limit=2", "/stats"].map(str::to_owned);
    let keys = KEYS.iter().map(file).chain(KEYS.iter().map(value));
    keys.chain(LISTS.map(str::to_owned)).chain(more).collect()
}

/// What the victim's clients see, by what they ask.
async fn look(victim: &Customer, paths: Vec<String>) -> Snapshot {
    let read = paths.into_iter().map(|path| async move {
        let reply = if path == DATABASE {
            let statements = ["SELECT * FROM secrets", "SELECT * FROM sqlite_schema ORDER BY name"];
            let statements = json!({"statements": statements.map(|sql| json!({ "sql": sql }))});
            Reply::to(victim.post_json("/db/batch", statements.to_string())).await
        } else {
            Reply::to(victim.get(&path)).await
        };
        assert_eq!(reply.status, 200, "{path}: {reply}");
        let seen = match &*path {
            // How long it took is not what is stored.
            DATABASE => json!([reply.json()["batch"][0]["results"], reply.json()["batch"][1]["results"]]).to_string(),
            // What the victim does is counted, and this is a request of its own.
            "/stats" => json!([reply.json()["files"], reply.json()["storage"]]).to_string(),
            _ => return (path, seen(&reply)),
        };
        (path, seen.into_bytes())
    });
    futures::future::join_all(read).await.into_iter().collect()
}
