//! Customers at work, each with a ledger of what was acknowledged: whatever happens to the platform meanwhile, what it
//! answers must be what the ledger allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use fastrand::Rng;
use http::StatusCode;
use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::{Customer, Reply, escaped, noise};

/// For how long nothing of a reply may come before the platform counts as stuck.
const PATIENCE: Duration = Duration::from_mins(1);

/// How many keys a writer has, of files and of values each: few, so that they are often written again.
const KEYS: u64 = 8;

/// What may befall a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Nothing: every request succeeds.
    Fair,
    /// Storage fails, which a problem says.
    Faults,
    /// The runtime is killed: connections break, and problems say that it is not there.
    Crashes,
}

/// One who writes, reads and deletes under keys of its own, one request after another. Many may be at work for one customer.
#[derive(Debug)]
pub struct Writer {
    user: Customer,
    name: String,
    weather: Weather,
    random: Rng,
    /// What may be there under a key: what was acknowledged last, then what was sent since and not acknowledged. One where
    /// nothing is in doubt.
    files: BTreeMap<String, Vec<Option<Content>>>,
    values: BTreeMap<String, Vec<Option<Content>>>,
    rows: BTreeMap<u64, Vec<Option<Content>>>,
    /// What it has done so far.
    pub tally: Tally,
}

/// What is stored: noise that its seed and length tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    seed: u64,
    length: usize,
}

/// What came of requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Writes and deletes that were acknowledged.
    pub acknowledged: u64,
    /// Writes and deletes that were not.
    pub in_doubt: u64,
    /// Reads and lists that were answered, and checked.
    pub reads: u64,
    /// Problems, by their codes.
    pub problems: BTreeMap<String, u64>,
    /// Requests without a whole reply.
    pub lost: u64,
}

/// Lets writers work until then, all at once.
pub async fn work(writers: Vec<Writer>, until: Instant) -> Vec<Writer> {
    let mut working = JoinSet::new();
    for mut writer in writers {
        working.spawn(async move {
            while Instant::now() < until {
                writer.step().await;
            }
            writer
        });
    }
    working.join_all().await
}

/// Checks all that a customer's writers have stored, now that nothing is under way: each key's content, that there is nothing
/// else, and that the counts agree. Nothing is in doubt afterwards.
pub async fn verify(writers: &mut [Writer]) {
    let (mut files, mut values) = (BTreeMap::new(), BTreeSet::new());
    for writer in &mut *writers {
        writer.verify().await;
        files.extend(settled(&writer.files).map(|(key, content)| (key.clone(), content.length as u64)));
        values.extend(settled(&writer.values).map(|(key, _)| key.clone()));
    }
    let writer = writers.first_mut().expect("a writer");
    let mut listed = BTreeMap::new();
    for file in writer.list("/files?limit=50", "files").await {
        let (key, size) = (file["key"].as_str().expect("a key"), file["size"].as_u64().expect("a size"));
        assert!(listed.insert(key.to_owned(), size).is_none(), "{key} is listed twice");
    }
    assert_eq!(listed, files);
    let listed = writer.list("/data?limit=50", "keys").await;
    let listed: Vec<&str> = listed.iter().map(|entry| entry["key"].as_str().expect("a key")).collect();
    assert_eq!(listed, values.iter().collect::<Vec<_>>());
    let stats = writer.insist(|user| user.get("/stats")).await.json();
    let size: u64 = files.values().sum();
    assert_eq!(stats["files"], json!({"count": files.len(), "totalSize": size}));
    assert_eq!(stats["storage"], json!({"kvKeys": values.len(), "r2Objects": files.len()}));
}

fn settled<K: fmt::Debug>(ledger: &BTreeMap<K, Vec<Option<Content>>>) -> impl Iterator<Item = (&K, Content)> {
    ledger.iter().filter_map(|(key, possible)| match possible[..] {
        [only] => Some((key, only?)),
        _ => panic!("{key:?} is in doubt: {possible:?}"),
    })
}

impl Writer {
    /// A writer called `name`, which no other of the customer's is.
    pub async fn new(user: Customer, name: &str, weather: Weather, seed: u64) -> Self {
        let mut writer = Self {
            user,
            name: name.to_owned(),
            weather,
            random: Rng::with_seed(seed),
            files: BTreeMap::new(),
            values: BTreeMap::new(),
            rows: BTreeMap::new(),
            tally: Tally::default(),
        };
        let table = "CREATE TABLE IF NOT EXISTS ledger (writer TEXT, id INTEGER, half INTEGER, length INTEGER)";
        writer.insist(|user| user.post_json("/db/query", json!({ "sql": table }).to_string())).await;
        writer
    }

    /// The same on a platform that answers elsewhere now.
    #[must_use]
    pub fn moved(mut self, user: Customer) -> Self {
        self.user = user;
        self
    }

    /// Does one thing or another.
    async fn step(&mut self) {
        match self.random.u32(0..1000) {
            0..180 => self.put_file().await,
            180..230 => self.upload_form().await,
            230..233 => self.upload_in_parts().await,
            233..430 => self.read_file().await,
            430..480 => self.read_range().await,
            480..530 => self.delete_file().await,
            530..680 => self.set_value().await,
            680..800 => self.read_value().await,
            800..840 => self.delete_value().await,
            840..880 => self.list_files().await,
            880..920 => self.list_values().await,
            920..925 => self.read_stats().await,
            // The reply to a HEAD cannot say which problem there is.
            925..928 if self.weather == Weather::Fair => self.inspect_file().await,
            928..930 => self.ask_health().await,
            930..970 => self.insert_rows().await,
            _ => self.read_rows().await,
        }
    }

    async fn put_file(&mut self) {
        let (key, content) = (self.key(), self.content(200_000));
        let request = self.user.put(&path("/files", &key)).header("Content-Type", content.content_type());
        // The client says no length of its own accord where it is 0.
        let request = request.header("Content-Length", content.length).body(content.bytes());
        self.write_file(key, Some(content), request).await;
    }

    async fn upload_form(&mut self) {
        // One in ten goes to R2 in parts.
        let longest = if self.random.u32(0..10) == 0 { 6_000_000 } else { 100_000 };
        let (key, content) = (self.key(), self.content(longest));
        let file = Part::bytes(content.bytes()).file_name("f").mime_str(&content.content_type()).expect("a type");
        let form = Form::new().text("key", key.clone()).part("file", file);
        let request = self.user.post("/files").multipart(form);
        self.write_file(key, Some(content), request).await;
    }

    async fn upload_in_parts(&mut self) {
        const PART: usize = 5 << 20;
        let (key, seed) = (self.key(), self.random.u64(..));
        let content = Content { seed, length: PART + self.random.usize(1..100_000) };
        let file = content.bytes();
        let request = self.user.post(&path("/files/uploads", &key)).header("Content-Type", content.content_type());
        let Some(created) = self.send(request).await else { return };
        assert_eq!(created.status, StatusCode::OK, "{created}");
        let upload_id = created.json()["uploadId"].as_str().expect("an id").to_owned();
        let upload = format!("key={}&uploadId={}", escaped(&key), escaped(&upload_id));
        let mut parts = Vec::new();
        for (number, part) in file.chunks(PART).enumerate() {
            let target = format!("/files/uploads?{upload}&partNumber={}", number + 1);
            let Some(stored) = self.send(self.user.put(&target).body(part.to_vec())).await else { return };
            assert_eq!(stored.status, StatusCode::OK, "{stored}");
            parts.push(stored.json());
        }
        let complete = format!("/files/uploads/complete?{upload}");
        let request = self.user.post_json(&complete, json!({ "parts": parts }).to_string());
        self.write_file(key, Some(content), request).await;
    }

    async fn delete_file(&mut self) {
        let key = self.key();
        let request = self.user.delete(&path("/files", &key));
        self.write_file(key, None, request).await;
    }

    async fn write_file(&mut self, key: String, content: Option<Content>, request: RequestBuilder) {
        self.files.entry(key.clone()).or_insert_with(|| vec![None]).push(content);
        let reply = self.write(request).await;
        let Some(reply) = reply else { return };
        let said = reply.json();
        assert_eq!(said["success"], true, "{reply}");
        if let Some(content) = content {
            assert_eq!((&said["key"], &said["size"]), (&json!(key), &json!(content.length)), "{reply}");
            assert_eq!(said["contentType"], content.content_type(), "{reply}");
        }
        self.files.insert(key, vec![content]);
    }

    async fn set_value(&mut self) {
        let (key, content) = (self.key(), self.content(20_000));
        let body = format!("{{\"key\":\"{key}\",\"value\":{}}}", content.json());
        let request = self.user.post_json("/data", body);
        self.write_value(key, Some(content), request).await;
    }

    async fn delete_value(&mut self) {
        let key = self.key();
        let request = self.user.delete(&path("/data", &key));
        self.write_value(key, None, request).await;
    }

    async fn write_value(&mut self, key: String, content: Option<Content>, request: RequestBuilder) {
        self.values.entry(key.clone()).or_insert_with(|| vec![None]).push(content);
        if let Some(reply) = self.write(request).await {
            assert_eq!(reply.json()["success"], true, "{reply}");
            self.values.insert(key, vec![content]);
        }
    }

    /// Two rows, both or neither: by a statement or by a transaction.
    async fn insert_rows(&mut self) {
        let content = Content { seed: self.random.u64(..1 << 53), length: self.random.usize(..1000) };
        let row = |half: u8| json!([self.name, content.seed, half, content.length]);
        let (one, two) = (row(0), row(1));
        let insert = "INSERT INTO ledger VALUES (?, ?, ?, ?)";
        // What stands in for a database that fails has no transactions.
        let request = if self.weather == Weather::Faults || self.random.bool() {
            let params: Vec<Value> =
                [one, two].iter().flat_map(|row| row.as_array().expect("a list").clone()).collect();
            let query = json!({"sql": format!("{insert}, (?, ?, ?, ?)"), "params": params});
            self.user.post_json("/db/query", query.to_string())
        } else {
            let statements = [one, two].map(|params| json!({"sql": insert, "params": params}));
            self.user.post_json("/db/batch", json!({ "statements": statements }).to_string())
        };
        self.rows.insert(content.seed, vec![None, Some(content)]);
        if self.write(request).await.is_some() {
            self.rows.insert(content.seed, vec![Some(content)]);
        }
    }

    async fn read_file(&mut self) {
        let key = self.key();
        if let Some(reply) = self.read(self.user.get(&path("/files", &key))).await {
            self.check_file(&key, &reply, self.is_quiet());
        }
    }

    async fn read_range(&mut self) {
        let key = self.key();
        let (first, length) = (self.random.usize(..1000), self.random.usize(1..100_000));
        let range = format!("bytes={first}-{}", first + length - 1);
        let Some(reply) = self.read(self.user.get(&path("/files", &key)).header("Range", range)).await else { return };
        let possible = possible(&self.files, &key);
        let fits = |content: &Option<Content>| match (reply.status.as_u16(), content) {
            (404, None) => true,
            (416, Some(content)) => content.length <= first,
            (206, Some(content)) => {
                let bytes = content.bytes();
                first < bytes.len() && reply.body == bytes[first..bytes.len().min(first + length)]
            }
            _ => false,
        };
        assert!(possible.iter().any(fits), "{key}, {first}+{length}: none of {possible:?}, but {reply}");
    }

    async fn inspect_file(&mut self) {
        let key = self.key();
        let Some(reply) = self.read(self.user.head(&path("/files", &key))).await else { return };
        let found = (reply.status != StatusCode::NOT_FOUND).then(|| {
            assert_eq!(reply.status, StatusCode::OK, "{reply}");
            (reply.header("Content-Length").to_owned(), reply.header("Content-Type").to_owned())
        });
        let possible = possible(&self.files, &key);
        let fits = |content: &Option<Content>| {
            found == content.map(|content| (content.length.to_string(), content.content_type()))
        };
        assert!(possible.iter().any(fits), "{key}: none of {possible:?}, but {reply}");
    }

    async fn ask_health(&mut self) {
        if let Some(reply) = self.read(self.user.get("/")).await {
            assert_eq!((reply.status, &reply.json()["status"]), (StatusCode::OK, &json!("ok")), "{reply}");
        }
    }

    fn check_file(&mut self, key: &str, reply: &Reply, is_quiet: bool) {
        check(&mut self.files, key, reply, is_quiet, |content| {
            reply.header("Content-Type") == content.content_type() && reply.body == content.bytes()
        });
    }

    async fn read_value(&mut self) {
        let key = self.key();
        if let Some(reply) = self.read(self.user.get(&path("/data", &key))).await {
            self.check_value(&key, &reply, self.is_quiet());
        }
    }

    fn check_value(&mut self, key: &str, reply: &Reply, is_quiet: bool) {
        check(&mut self.values, key, reply, is_quiet, |content| {
            reply.text() == format!("{{\"key\":\"{key}\",\"value\":{}}}", content.json())
        });
    }

    async fn list_files(&mut self) {
        let list = format!("/files?prefix={}", escaped(&self.prefix()));
        let Some(reply) = self.read(self.user.get(&list)).await else { return };
        assert_eq!(reply.status, StatusCode::OK, "{reply}");
        let page = reply.json();
        let listed = page["files"].as_array().expect("a list");
        let sizes: BTreeMap<&str, u64> = listed
            .iter()
            .map(|file| (file["key"].as_str().expect("a key"), file["size"].as_u64().expect("a size")))
            .collect();
        for (key, possible) in &self.files {
            let size = sizes.get(&**key).copied();
            let fits = possible.iter().any(|content| content.map(|content| content.length as u64) == size);
            assert!(fits, "{key}: none of {possible:?}, but {size:?}");
        }
        assert!(sizes.keys().all(|key| self.files.contains_key(*key)), "{reply}");
    }

    async fn list_values(&mut self) {
        let list = format!("/data?prefix={}", escaped(&self.prefix()));
        let Some(reply) = self.read(self.user.get(&list)).await else { return };
        assert_eq!(reply.status, StatusCode::OK, "{reply}");
        let page = reply.json();
        let listed: BTreeSet<&str> = page["keys"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|entry| entry["key"].as_str().expect("a key"))
            .collect();
        for (key, possible) in &self.values {
            let is_there = listed.contains(&**key);
            assert!(possible.iter().any(|content| content.is_some() == is_there), "{key}: {possible:?}, {is_there}");
        }
        assert!(listed.iter().all(|key| self.values.contains_key(*key)), "{reply}");
    }

    async fn read_stats(&mut self) {
        if let Some(reply) = self.read(self.user.get("/stats")).await {
            assert_eq!(reply.status, StatusCode::OK, "{reply}");
            let least = self.files.values().filter(|possible| possible.iter().all(Option::is_some)).count();
            assert!(reply.json()["files"]["count"].as_u64() >= Some(least as u64), "{reply}");
        }
    }

    async fn read_rows(&mut self) {
        if let Some(reply) = self.read(self.user.post_json("/db/query", self.select_rows())).await {
            self.check_rows(&reply, self.is_quiet());
        }
    }

    fn select_rows(&self) -> String {
        let sql = "SELECT id, count(*) AS halves, sum(length) AS length FROM ledger WHERE writer = ? GROUP BY id";
        json!({"sql": sql, "params": [self.name]}).to_string()
    }

    fn check_rows(&mut self, reply: &Reply, is_quiet: bool) {
        assert_eq!(reply.status, StatusCode::OK, "{reply}");
        let rows = reply.json();
        let rows = rows["results"].as_array().expect("rows");
        let found: BTreeMap<u64, Option<Content>> = rows
            .iter()
            .map(|row| {
                assert_eq!(row["halves"], 2, "half a transaction: {row}");
                let (seed, length) = (row["id"].as_u64().expect("an id"), row["length"].as_u64().expect("a length"));
                (seed, Some(Content { seed, length: usize::try_from(length / 2).expect("small") }))
            })
            .collect();
        assert!(found.keys().all(|id| self.rows.contains_key(id)), "{reply}");
        for (id, possible) in &mut self.rows {
            let found = found.get(id).copied().flatten();
            let at = possible.iter().position(|content| *content == found);
            let at = at.unwrap_or_else(|| panic!("row {id}: none of {possible:?}, but {found:?}"));
            settle(is_quiet, Some(possible), at);
        }
    }

    /// Reads everything again.
    async fn verify(&mut self) {
        for key in self.files.keys().cloned().collect::<Vec<_>>() {
            let reply = self.insist(|user| user.get(&path("/files", &key))).await;
            self.check_file(&key, &reply, true);
        }
        for key in self.values.keys().cloned().collect::<Vec<_>>() {
            let reply = self.insist(|user| user.get(&path("/data", &key))).await;
            self.check_value(&key, &reply, true);
        }
        let rows = self.select_rows();
        let reply = self.insist(|user| user.post_json("/db/query", rows.clone())).await;
        self.check_rows(&reply, true);
    }

    /// All pages of a list.
    async fn list(&mut self, path: &str, member: &str) -> Vec<Value> {
        let (mut entries, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.insist(|user| user.get(&format!("{path}{cursor}"))).await.json();
            entries.extend(page[member].as_array().expect("a list").iter().cloned());
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", escaped(next)),
                None => return entries,
            }
        }
    }

    async fn write(&mut self, request: RequestBuilder) -> Option<Reply> {
        let reply = self.send(request).await;
        match &reply {
            Some(reply) => {
                assert_eq!(reply.status, StatusCode::OK, "{reply}");
                self.tally.acknowledged += 1;
            }
            None => self.tally.in_doubt += 1,
        }
        reply
    }

    async fn read(&mut self, request: RequestBuilder) -> Option<Reply> {
        let reply = self.send(request).await;
        self.tally.reads += u64::from(reply.is_some());
        reply
    }

    /// Sends a request again until it is answered.
    async fn insist(&mut self, request: impl Fn(&Customer) -> RequestBuilder) -> Reply {
        let weather = self.weather;
        for _ in 0..200 {
            if let Some(reply) = self.read(request(&self.user)).await {
                return reply;
            }
            assert!(weather != Weather::Fair);
        }
        panic!("nothing but failures: {}", self.tally);
    }

    /// Sends a request. Answers nothing if it failed as the weather lets it.
    async fn send(&mut self, request: RequestBuilder) -> Option<Reply> {
        let reply = match Self::patiently(request).await {
            Ok(reply) => reply,
            Err(error) => {
                assert!(self.weather == Weather::Crashes, "{error:?}");
                self.tally.lost += 1;
                // Until there is somebody to connect to again.
                sleep(Duration::from_millis(50)).await;
                return None;
            }
        };
        let is_failure = reply.status.is_server_error() || reply.status == StatusCode::TOO_MANY_REQUESTS;
        if !is_failure {
            return Some(reply);
        }
        assert_eq!(reply.header("Content-Type"), "application/problem+json", "{reply}");
        let code = reply.json()["code"].as_str().expect("a code").to_owned();
        let expected: &[&str] = match self.weather {
            Weather::Fair => &[],
            Weather::Faults => &["storage_unavailable"],
            Weather::Crashes => &["storage_unavailable", "runtime_unavailable", "customer_worker_failed"],
        };
        assert!(expected.contains(&&*code), "{:?}: {reply}", self.weather);
        *self.tally.problems.entry(code).or_default() += 1;
        None
    }

    /// Sends a request, and reads the reply for as long as it makes progress.
    async fn patiently(request: RequestBuilder) -> reqwest::Result<Reply> {
        let what = format!("{request:?}");
        let stuck = || panic!("nothing for a minute: {what}");
        let mut response = timeout(PATIENCE, request.send()).await.unwrap_or_else(|_| stuck())?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        let stuck = |length| panic!("nothing more for a minute: {what}: {status}, {headers:?}, {length} bytes");
        while let Some(chunk) = timeout(PATIENCE, response.chunk()).await.unwrap_or_else(|_| stuck(body.len()))? {
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body })
    }

    /// Whether nothing of its own is under way between two requests: a crash may cut it off from one that goes on.
    fn is_quiet(&self) -> bool {
        self.weather != Weather::Crashes
    }

    fn prefix(&self) -> String {
        format!("{}/", self.name)
    }

    fn key(&mut self) -> String {
        format!("{}{}", self.prefix(), self.random.u64(..KEYS))
    }

    fn content(&mut self, longest: usize) -> Content {
        Content { seed: self.random.u64(..), length: self.random.usize(..longest) }
    }
}

/// What may be there: under a key that was never written, nothing.
fn possible(ledger: &BTreeMap<String, Vec<Option<Content>>>, key: &str) -> Vec<Option<Content>> {
    ledger.get(key).cloned().unwrap_or_else(|| vec![None])
}

/// Checks what a key was read as: a 404, or a 200 with what `is` tells of.
fn check(
    ledger: &mut BTreeMap<String, Vec<Option<Content>>>,
    key: &str,
    reply: &Reply,
    is_quiet: bool,
    is: impl Fn(&Content) -> bool,
) {
    let possible = possible(ledger, key);
    let found = possible.iter().rposition(|content| match (reply.status.as_u16(), content) {
        (404, None) => true,
        (200, Some(content)) => is(content),
        _ => false,
    });
    let found = found.unwrap_or_else(|| panic!("{key}: none of {possible:?}, but {reply}"));
    settle(is_quiet, ledger.get_mut(key), found);
}

/// What was found is what is there, if nothing is under way that may change it.
fn settle(is_quiet: bool, possible: Option<&mut Vec<Option<Content>>>, found: usize) {
    if is_quiet && let Some(possible) = possible {
        *possible = vec![possible[found]];
    }
}

/// A path with a key in its query.
fn path(path: &str, key: &str) -> String {
    format!("{path}?key={}", escaped(key))
}

impl Content {
    fn bytes(self) -> Vec<u8> {
        noise(self.length, self.seed)
    }

    /// Tells which it is, too.
    fn content_type(self) -> String {
        format!("application/x-{}", self.seed)
    }

    /// A text that `JSON.parse` and `stringify` would change.
    fn json(self) -> String {
        let padding = "é ".repeat(self.length / 3);
        format!("{{\"seed\": {}.10, \"length\":{},\"padding\":\"{padding}\"}}", self.seed, self.length)
    }
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        self.acknowledged += other.acknowledged;
        self.in_doubt += other.in_doubt;
        self.reads += other.reads;
        self.lost += other.lost;
        for (code, count) in &other.problems {
            *self.problems.entry(code.clone()).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, in_doubt, reads, problems, lost } = self;
        write!(
            formatter,
            "{acknowledged} writes acknowledged, {in_doubt} not; {reads} reads checked; problems {problems:?}; {lost} \
             requests without a reply"
        )
    }
}

/// What writers have done together.
#[must_use]
pub fn tally(writers: &[Writer]) -> Tally {
    let mut sum = Tally::default();
    for writer in writers {
        sum += &writer.tally;
    }
    sum
}
