//! The attacked customer, and the checks after each attempt.

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

/// The keys of both customers' files and values. The attacker knows the keys, but not the content.
pub const KEYS: [&str; 4] = ["plain", "folder/page", "../attacker/plain", "usage/plain"];

/// The requests that list everything the victim stores.
const LISTS: [&str; 3] = ["/files?include=contentType", "/data", DATABASE];

const DATABASE: &str = "/db/batch";

/// The victim's initial content. It is stored once for all tests.
static INITIAL: OnceCell<InitialContent> = OnceCell::const_new();

/// Attempts share this lock. The victim's own writes, which change its lists, take it exclusively.
static VICTIM_WRITES: RwLock<()> = RwLock::const_new(());

/// How long a connection must be silent until a test concludes that the platform waits for more of a request.
const SILENCE: Duration = Duration::from_secs(1);

struct InitialContent {
    /// A random text that is in all of the victim's content, and nowhere else on this machine.
    secret: String,
    snapshot: Snapshot,
}

/// The victim's replies, by path.
type Snapshot = BTreeMap<String, Vec<u8>>;

/// An attacker and a victim. Every attempt is checked from both sides.
pub struct Scene {
    /// Has its own content under the victim's keys.
    pub attacker: Customer,
    /// Has files, values, a database, and an unfinished upload.
    pub victim: Customer,
    /// The id of the unfinished upload.
    pub upload_id: String,
    initial: &'static InitialContent,
    /// The key of the upload, and the reply to its part.
    upload: (String, Value),
    attempts: AtomicUsize,
}

impl Scene {
    /// Creates a scene. `name` must be unique.
    pub async fn new(name: &str) -> Self {
        let (attacker, victim) = (Customer::new("attacker"), Customer::new("victim"));
        let initial = INITIAL.get_or_init(|| fill(&attacker, &victim)).await;
        let key = format!("unfinished/{name}");
        let guard = VICTIM_WRITES.read().await;
        let created = expect_success(victim.post(&format!("/files/uploads?key={key}"))).await.json();
        let upload_id = created["uploadId"].as_str().expect("an id").to_owned();
        let path = format!("/files/uploads?key={key}&uploadId={}&partNumber=1", escaped(&upload_id));
        let part = expect_success(victim.put(&path).body(initial.secret.repeat(100))).await.json();
        drop(guard);
        Self { attacker, victim, upload_id, initial, upload: (key, part), attempts: AtomicUsize::new(0) }
    }

    /// Returns the text that must not be in any reply to the attacker.
    pub fn secret(&self) -> &str {
        &self.initial.secret
    }

    /// Returns the key of the unfinished upload.
    pub fn upload_key(&self) -> &str {
        &self.upload.0
    }

    /// Sends a request of the attacker, and checks both sides.
    pub async fn attempt(&self, request: RequestBuilder) -> Reply {
        let guard = VICTIM_WRITES.read().await;
        let what = format!("{request:?}");
        let reply = Reply::to(request).await;
        self.check(what, &comparable(&reply)).await;
        drop(guard);
        reply
    }

    /// Sends the attacker's bytes, which end with a request that closes the connection, and checks both sides.
    pub async fn attempt_raw(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let guard = VICTIM_WRITES.read().await;
        let received = exchange(&bytes).await;
        self.check(String::from_utf8_lossy(bytes.as_ref()), &received).await;
        drop(guard);
        received
    }

    /// Sends the attacker's bytes, after which the platform may wait for more, and checks both sides.
    pub async fn attempt_raw_open(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let guard = VICTIM_WRITES.read().await;
        let (received, _) = exchange_until_idle(&bytes, SILENCE).await;
        self.check(String::from_utf8_lossy(bytes.as_ref()), &received).await;
        drop(guard);
        received
    }

    /// Fails if the attacker received content of the victim, or if the victim's data has changed.
    async fn check(&self, what: impl Display, received: &[u8]) {
        let attempts = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        self.expect_no_secret_in(&what, received);
        // Lists contain the etag of each file's content, and each value's metadata. The values themselves are read less
        // often, as there are many attempts.
        self.expect_paths_unchanged(&what, LISTS.map(str::to_owned).to_vec()).await;
        if attempts.is_multiple_of(16) {
            self.expect_all_unchanged(what).await;
        }
    }

    /// Fails if the bytes contain the victim's content, as plain text or in base64.
    pub fn expect_no_secret_in(&self, what: impl Display, received: &[u8]) {
        let secret = self.initial.secret.as_bytes();
        let encoded = (0..3).map(|start| BASE64_STANDARD.encode(&secret[start..start + 24]).into_bytes());
        for text in encoded.chain([secret.to_vec()]) {
            let is_disclosed = received.windows(text.len()).any(|window| window == text);
            assert!(!is_disclosed, "{what}\ndiscloses the victim's content: {}", String::from_utf8_lossy(received));
        }
    }

    /// Fails if any of the victim's data has changed.
    pub async fn expect_unchanged(&self, what: impl Display) {
        let guard = VICTIM_WRITES.read().await;
        self.expect_all_unchanged(what).await;
        drop(guard);
    }

    /// Like [`Self::expect_unchanged`], for callers that hold the lock. Taking it twice could deadlock with a waiting
    /// writer.
    async fn expect_all_unchanged(&self, what: impl Display) {
        self.expect_paths_unchanged(what, self.initial.snapshot.keys().cloned().collect()).await;
    }

    async fn expect_paths_unchanged(&self, what: impl Display, paths: Vec<String>) {
        for (path, now) in read(&self.victim, paths).await {
            let before = &self.initial.snapshot[&path];
            let text = String::from_utf8_lossy;
            assert!(*before == now, "{what}\nchanged the victim's {path} to: {}\nfrom: {}", text(&now), text(before));
        }
    }

    /// Completes the victim's upload, and checks that its content is the victim's.
    pub async fn end(self) {
        println!("{} attempts", self.attempts.load(Ordering::Relaxed));
        let guard = VICTIM_WRITES.write().await;
        let (key, part) = &self.upload;
        let path = format!("/files/uploads/complete?key={key}&uploadId={}", escaped(&self.upload_id));
        expect_success(self.victim.post_json(&path, json!({ "parts": [part] }).to_string())).await;
        let file = format!("/files?key={key}");
        assert_eq!(Reply::to(self.victim.get(&file)).await.text(), self.initial.secret.repeat(100));
        expect_success(self.victim.delete(&file)).await;
        self.expect_all_unchanged("the victim's own upload").await;
        drop(guard);
    }
}

/// Returns a reply as text, without its date.
fn comparable(reply: &Reply) -> Vec<u8> {
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    [format!("{}\n{}\n", reply.status, headers.concat()).as_bytes(), &reply.body].concat()
}

/// Stores the initial content of both customers.
async fn fill(attacker: &Customer, victim: &Customer) -> InitialContent {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_nanos();
    let random = noise(16, u64::try_from(now % u128::from(u64::MAX)).expect("fits into 64 bits"));
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
        // The key itself is the secret.
        expect_success(customer.put(&format!("/files?key={}", escaped(text))).body(text.to_owned())).await;
        expect_success(customer.post_json("/data", json!({"key": text, "value": text}).to_string())).await;
        let sql = "CREATE TABLE secrets (id INTEGER PRIMARY KEY, text); INSERT INTO secrets (text) VALUES ('a'), ('b')";
        expect_success(customer.post_json("/db/query", json!({ "sql": sql }).to_string())).await;
        let named = json!({"sql": "UPDATE secrets SET text = text || ?", "params": [text]});
        expect_success(customer.post_json("/db/query", named.to_string())).await;
    }
    InitialContent { snapshot: read(victim, all_paths()).await, secret }
}

/// Returns all paths that show data of the victim.
fn all_paths() -> Vec<String> {
    let file = |key: &&str| format!("/files?key={}", escaped(key));
    let value = |key: &&str| format!("/data?key={}", escaped(key));
    let more = ["/files?limit=2&delimiter=/", "/data?limit=2", "/stats"].map(str::to_owned);
    let keys = KEYS.iter().map(file).chain(KEYS.iter().map(value));
    keys.chain(LISTS.map(str::to_owned)).chain(more).collect()
}

/// Reads these paths as the victim.
async fn read(victim: &Customer, paths: Vec<String>) -> Snapshot {
    let replies = paths.into_iter().map(|path| async move {
        let reply = if path == DATABASE {
            let statements = ["SELECT * FROM secrets", "SELECT * FROM sqlite_schema ORDER BY name"];
            let statements = json!({"statements": statements.map(|sql| json!({ "sql": sql }))});
            Reply::to(victim.post_json("/db/batch", statements.to_string())).await
        } else {
            Reply::to(victim.get(&path)).await
        };
        assert_eq!(reply.status, 200, "{path}: {reply}");
        let stored = match &*path {
            // Without the query's duration.
            DATABASE => json!([reply.json()["batch"][0]["results"], reply.json()["batch"][1]["results"]]).to_string(),
            // Without the counts of operations, as this request is counted, too.
            "/stats" => json!([reply.json()["files"], reply.json()["storage"]]).to_string(),
            _ => return (path, comparable(&reply)),
        };
        (path, stored.into_bytes())
    });
    futures::future::join_all(replies).await.into_iter().collect()
}
