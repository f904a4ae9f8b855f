//! A fake of Cloudflare's API. It stores the account's state, records requests, and can lose replies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use cloudflare_api::{AccountCredentials, Cloudflare};
use futures::{StreamExt, stream};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::super::Customers;

/// The contents of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    /// KV namespaces: id -> title, and key -> value.
    pub kv: BTreeMap<String, (String, BTreeMap<String, String>)>,
    /// Buckets: (jurisdiction, name) -> keys of objects.
    pub r2: BTreeMap<(String, String), BTreeSet<String>>,
    /// Databases: id -> (name, jurisdiction).
    pub d1: BTreeMap<String, (String, Option<String>)>,
    /// Scripts in the dispatch namespace `customers`: name -> settings.
    pub scripts: BTreeMap<String, Value>,
    /// Scripts in the dispatch namespace `staging`: name -> settings.
    pub staging: BTreeMap<String, Value>,
    /// The dispatcher's bindings; `None` if there is no dispatcher.
    pub dispatcher: Option<Value>,
    /// The outbound Worker's bindings; `None` if there is no outbound Worker.
    pub outbound: Option<Value>,
    /// The paths of other resources that exist.
    pub others: BTreeSet<String>,
}

/// When and how the API fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApiFault {
    #[default]
    None,
    /// The request with this number, counted from 1, takes effect, but its reply is lost.
    LoseReply(usize),
    /// Like `LoseReply`, and all later requests fail.
    LoseReplyAndFail(usize),
}

#[derive(Default)]
struct FakeApiInner {
    state: AccountState,
    fault: ApiFault,
    /// Refused requests: the end of `METHOD path`, then the status, code and message of the reply.
    refusals: Vec<(String, u16, u64, String)>,
    requests: Vec<String>,
    last_id: u32,
    /// How many more times a bucket gets an object just before its deletion.
    late_objects: u32,
    last_upload: Value,
}

/// The fake API.
#[derive(Clone, Default)]
pub struct FakeApi(Arc<Mutex<FakeApiInner>>);

/// A result, or the status, code and message of an error.
type FakeResult = Result<Value, (u16, u64, &'static str)>;

const NOT_FOUND: FakeResult = Err((404, 10007, "not found"));

impl FakeApi {
    /// Starts a platform with records and the prefix `p-`, and connects to it.
    pub async fn start() -> (Self, Customers) {
        let api = Self::default();
        api.change(|state| {
            state.kv.insert("records".to_owned(), ("customers".to_owned(), BTreeMap::new()));
            state.dispatcher = Some(json!([
                {"type": "dispatch_namespace", "name": "DISPATCHER", "namespace": "customers"},
                {"type": "kv_namespace", "name": "CUSTOMERS", "namespace_id": "records"},
                {"type": "plain_text", "name": "SCRIPT_PREFIX", "text": "p-"},
            ]));
        });
        let customers = api.customers().await.expect("a platform");
        api.lock().requests.clear();
        (api, customers)
    }

    /// Connects to the platform in its current state.
    pub async fn customers(&self) -> anyhow::Result<Customers> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let base_url = format!("http://{}/client/v4", listener.local_addr().expect("an address"));
        let api = self.clone();
        let router = axum::Router::new().fallback(any(move |request| api.clone().serve(request)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let account = AccountCredentials {
            base_url: base_url.parse().expect("a URL"),
            id: "a".to_owned(),
            token: "t".to_owned(),
        };
        Customers::connect(Cloudflare::new(account).with_first_delay(Duration::from_millis(1)), "dispatcher").await
    }

    fn lock(&self) -> MutexGuard<'_, FakeApiInner> {
        self.0.lock().expect("no panic")
    }

    pub fn state(&self) -> AccountState {
        self.lock().state.clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut AccountState)) {
        change(&mut self.lock().state);
    }

    /// Sets the fault, and restarts the count of requests.
    pub fn set_fault(&self, fault: ApiFault) {
        let mut inner = self.lock();
        inner.fault = fault;
        inner.requests.clear();
    }

    /// Refuses requests whose `METHOD path` ends with `end`.
    pub fn refuse(&self, end: &str, status: u16, code: u64, message: &str) {
        self.lock().refusals.push((end.to_owned(), status, code, message.to_owned()));
    }

    /// Adds an object to a bucket just before its deletion, this many times.
    pub fn add_late_objects(&self, times: u32) {
        self.lock().late_objects = times;
    }

    /// Returns `METHOD path` of each request since the fault was set.
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    /// Returns the metadata of the last upload.
    pub fn last_upload(&self) -> Value {
        self.lock().last_upload.clone()
    }

    async fn serve(self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("the whole body");
        let body = String::from_utf8_lossy(&body).into_owned();
        let mut inner = self.lock();
        let path = parts.uri.path().trim_start_matches("/client/v4/accounts/a/").to_owned();
        let line = format!("{} {path}", parts.method);
        inner.requests.push(line.clone());
        let number = inner.requests.len();
        if matches!(inner.fault, ApiFault::LoseReplyAndFail(last) if number > last) {
            return (StatusCode::SERVICE_UNAVAILABLE, "").into_response();
        }
        let refusal = inner.refusals.iter().find(|(end, ..)| line.ends_with(end)).cloned();
        let jurisdiction = parts.headers.get("cf-r2-jurisdiction").and_then(|value| value.to_str().ok());
        let jurisdiction = jurisdiction.unwrap_or_default();
        let segments: Vec<String> = path.split('/').map(decode).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let result = if let Some((_, status, code, message)) = refusal {
            Err((status, code, message))
        } else if let (&Method::GET, ["storage", "kv", "namespaces", id, "values", key]) =
            (&parts.method, &segments[..])
        {
            let value = inner.state.kv.get(*id).and_then(|(_, values)| values.get(*key)).cloned();
            return match value {
                // Values are returned without an envelope.
                Some(value) => value.into_response(),
                None => respond(Err((404, 10009, "get: 'key not found'".to_owned()))),
            };
        } else {
            let query = parts.uri.query().unwrap_or_default();
            let result = inner.handle(&parts.method, &segments, query, jurisdiction, &body);
            result.map_err(|(status, code, message)| (status, code, message.to_owned()))
        };
        if matches!(inner.fault, ApiFault::LoseReply(lost) | ApiFault::LoseReplyAndFail(lost) if number == lost) {
            // The connection breaks before the reply or, for every other request, within it.
            let begin = if number.is_multiple_of(2) { "{" } else { "" };
            let broken = stream::iter([Ok(begin), Err("connection lost")]).then(async |part| {
                tokio::time::sleep(Duration::from_millis(2)).await;
                part
            });
            return Response::new(Body::from_stream(broken));
        }
        respond(result)
    }
}

fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

fn respond(result: Result<Value, (u16, u64, String)>) -> Response {
    match result {
        Ok(result) => {
            json!({"success": true, "errors": [], "messages": [], "result": result}).to_string().into_response()
        }
        Err((status, code, message)) => {
            let errors = json!([{"code": code, "message": message}]);
            let body = json!({"success": false, "errors": errors, "messages": [], "result": null}).to_string();
            (StatusCode::from_u16(status).expect("a status"), body).into_response()
        }
    }
}

impl FakeApiInner {
    fn handle(&mut self, method: &Method, path: &[&str], query: &str, jurisdiction: &str, body: &str) -> FakeResult {
        let body_json: Value = serde_json::from_str(body).unwrap_or_default();
        match (method.as_str(), path) {
            ("GET", ["workers", "scripts", "dispatcher", "settings"]) => {
                self.state.dispatcher.clone().map_or(NOT_FOUND, |bindings| Ok(json!({ "bindings": bindings })))
            }
            ("GET", ["workers", "scripts", "outbound", "settings"]) => {
                self.state.outbound.clone().map_or(NOT_FOUND, |bindings| Ok(json!({ "bindings": bindings })))
            }
            ("GET", ["workers", "scripts"]) => Ok(self.others("workers/").map(|name| json!({ "id": name })).collect()),
            ("GET", ["hyperdrive" | "vectorize" | "mtls_certificates", ..]) => {
                if self.state.others.contains(&path.join("/")) { Ok(json!({})) } else { NOT_FOUND }
            }
            ("GET", ["queues"]) => Ok(self.others("queues/").map(|name| json!({ "queue_name": name })).collect()),
            ("GET", ["secrets_store", ..]) => {
                let secrets = format!("{}/", path.join("/"));
                Ok(self.others(&secrets).map(|name| json!({ "name": name })).collect())
            }
            ("GET", ["workers", "dispatch", "namespaces", name]) => {
                let exists = ["customers", "staging"].contains(name);
                if exists { Ok(json!({ "namespace_name": name })) } else { NOT_FOUND }
            }
            (_, ["storage", "kv", "namespaces", path @ ..]) => self.kv(method, path, body, &body_json),
            (_, ["r2", "buckets", path @ ..]) => self.r2(method, path, jurisdiction, &body_json),
            (_, ["d1", "database", path @ ..]) => self.d1(method, path, query, &body_json),
            ("GET", ["workers", "dispatch", "namespaces"]) => {
                Ok(json!([{"namespace_name": "customers"}, {"namespace_name": "staging"}]))
            }
            ("GET", ["workers", "dispatch", "namespaces", "staging", "scripts"]) => {
                Ok(self.state.staging.keys().map(|name| json!({ "id": name })).collect())
            }
            ("GET", ["workers", "dispatch", "namespaces", "staging", "scripts", name, "bindings"]) => {
                self.state.staging.get(*name).map_or(NOT_FOUND, |settings| Ok(settings["bindings"].clone()))
            }
            (_, ["workers", "dispatch", "namespaces", "customers", "scripts", path @ ..]) => {
                self.script(method, path, body)
            }
            _ => panic!("not supported by the fake API: {method} {path:?}"),
        }
    }

    fn others(&self, path: &str) -> impl Iterator<Item = &str> {
        self.state.others.iter().filter_map(move |other| other.strip_prefix(path))
    }

    fn new_id(&mut self, kind: &str) -> String {
        self.last_id += 1;
        format!("{kind}-{}", self.last_id)
    }

    fn kv(&mut self, method: &Method, path: &[&str], body: &str, json: &Value) -> FakeResult {
        let describe = |id: &str, title: &str| json!({"id": id, "title": title});
        match (method.as_str(), path) {
            ("POST", []) => {
                let title = json["title"].as_str().expect("a title").to_owned();
                if self.state.kv.values().any(|(taken, _)| *taken == title) {
                    return Err((400, 10014, "a namespace with this account ID and title already exists"));
                }
                let id = self.new_id("kv");
                self.state.kv.insert(id.clone(), (title.clone(), BTreeMap::new()));
                Ok(describe(&id, &title))
            }
            ("GET", []) => Ok(self.state.kv.iter().map(|(id, (title, _))| describe(id, title)).collect()),
            ("GET", [id]) => self.state.kv.get(*id).map_or(NOT_FOUND, |(title, _)| Ok(describe(id, title))),
            ("DELETE", [id]) => self.state.kv.remove(*id).map_or(NOT_FOUND, |_| Ok(Value::Null)),
            ("GET", [id, "keys"]) => {
                let keys = self.state.kv[*id].1.keys();
                Ok(keys.map(|key| json!({ "name": key })).collect())
            }
            ("PUT", [id, "values", key]) => {
                self.state.kv.get_mut(*id).expect("a namespace").1.insert((*key).to_owned(), body.to_owned());
                Ok(Value::Null)
            }
            ("DELETE", [id, "values", key]) => {
                self.state.kv.get_mut(*id).expect("a namespace").1.remove(*key);
                Ok(Value::Null)
            }
            _ => panic!("not supported by the fake API: {method} {path:?}"),
        }
    }

    fn r2(&mut self, method: &Method, path: &[&str], jurisdiction: &str, json: &Value) -> FakeResult {
        let key = |name: &str| (jurisdiction.to_owned(), name.to_owned());
        if let ("DELETE", [name], 1..) = (method.as_str(), path, self.late_objects) {
            self.late_objects -= 1;
            self.state.r2.entry(key(name)).or_default().insert("late".to_owned());
        }
        match (method.as_str(), path) {
            ("POST", []) => {
                let name = json["name"].as_str().expect("a name");
                if self.state.r2.contains_key(&key(name)) {
                    return Err((409, 10004, "The bucket you tried to create already exists, and you own it."));
                }
                self.state.r2.insert(key(name), BTreeSet::new());
                Ok(json!({ "name": name }))
            }
            ("GET", []) => {
                let buckets = self.state.r2.keys().filter(|(within, _)| within == jurisdiction);
                Ok(json!({ "buckets": buckets.map(|(_, name)| json!({ "name": name })).collect::<Vec<_>>() }))
            }
            ("GET", [name]) => {
                if self.state.r2.contains_key(&key(name)) {
                    Ok(json!({ "name": name }))
                } else {
                    NOT_FOUND
                }
            }
            ("DELETE", [name]) => match self.state.r2.get(&key(name)) {
                None => NOT_FOUND,
                Some(objects) if !objects.is_empty() => Err((409, 10008, "The bucket is not empty")),
                Some(_) => {
                    self.state.r2.remove(&key(name));
                    Ok(Value::Null)
                }
            },
            ("GET", [name, "objects"]) => {
                let objects = self.state.r2[&key(name)].iter().take(2);
                Ok(objects.map(|key| json!({ "key": key })).collect())
            }
            ("DELETE", [name, "objects"]) => {
                let objects = self.state.r2.get_mut(&key(name)).expect("a bucket");
                let mut missing = false;
                for key in json.as_array().expect("keys").iter().map(|key| key.as_str().expect("a key")) {
                    // A locked object is never deleted.
                    missing |= key.starts_with("locked") || !objects.remove(key);
                }
                if missing { Err((200, 10007, "The specified key does not exist")) } else { Ok(Value::Null) }
            }
            _ => panic!("not supported by the fake API: {method} {path:?}"),
        }
    }

    fn d1(&mut self, method: &Method, path: &[&str], query: &str, json: &Value) -> FakeResult {
        let describe = |id: &str, (name, jurisdiction): &(String, Option<String>)| json!({"uuid": id, "name": name, "jurisdiction": jurisdiction});
        match (method.as_str(), path) {
            ("POST", []) => {
                let name = json["name"].as_str().expect("a name").to_owned();
                if self.state.d1.values().any(|(taken, _)| *taken == name) {
                    return Err((400, 7502, "A database with that name already exists"));
                }
                let id = self.new_id("d1");
                let database = (name, json["jurisdiction"].as_str().map(str::to_owned));
                self.state.d1.insert(id.clone(), database.clone());
                Ok(describe(&id, &database))
            }
            ("GET", []) => {
                let name = query.split('&').find_map(|pair| pair.strip_prefix("name=")).unwrap_or_default();
                let matching = self.state.d1.iter().filter(|(_, (database, _))| database.starts_with(name));
                Ok(matching.map(|(id, database)| describe(id, database)).collect())
            }
            ("GET", [id]) => self.state.d1.get(*id).map_or(NOT_FOUND, |database| Ok(describe(id, database))),
            ("DELETE", [id]) => self.state.d1.remove(*id).map_or(NOT_FOUND, |_| Ok(Value::Null)),
            _ => panic!("not supported by the fake API: {method} {path:?}"),
        }
    }

    fn script(&mut self, method: &Method, path: &[&str], body: &str) -> FakeResult {
        match (method.as_str(), path) {
            ("GET", []) => {
                let scripts = self.state.scripts.iter();
                Ok(scripts.map(|(name, settings)| json!({"id": name, "tags": settings["tags"]})).collect())
            }
            ("PUT", [_]) if body.contains("export default }") => {
                Err((400, 10021, "Uncaught SyntaxError: Unexpected token '}'"))
            }
            ("PUT", [name]) => {
                let metadata = body.split("name=\"metadata\"").nth(1).expect("metadata");
                let metadata = metadata.split("\r\n\r\n").nth(1).expect("a part").split("\r\n--").next().expect("text");
                let metadata: Value = serde_json::from_str(metadata).expect("JSON");
                self.last_upload = metadata.clone();
                let mut bindings = metadata["bindings"].as_array().expect("bindings").clone();
                let kept_types = metadata["keep_bindings"].as_array().cloned().unwrap_or_default();
                let before = self.state.scripts.get(*name).and_then(|before| before["bindings"].as_array().cloned());
                for binding in before.unwrap_or_default() {
                    let is_replaced = bindings.iter().any(|other| other["name"] == binding["name"]);
                    if kept_types.contains(&binding["type"]) && !is_replaced {
                        bindings.push(binding);
                    }
                }
                for binding in &mut bindings {
                    if binding["type"] == "secret_text" {
                        binding.as_object_mut().expect("an object").remove("text");
                    }
                }
                bindings.sort_by_key(|binding| binding["name"].to_string());
                let new_tag = metadata["migrations"]["new_tag"].clone();
                let old_tag = || self.state.scripts.get(*name).map(|before| before["migration_tag"].clone());
                let tag = if new_tag.is_null() { old_tag().unwrap_or_default() } else { new_tag };
                let mut settings =
                    json!({"bindings": bindings, "tags": metadata["tags"], "main": metadata["main_module"]});
                if !tag.is_null() {
                    settings["migration_tag"] = tag;
                }
                self.state.scripts.insert((*name).to_owned(), settings);
                Ok(json!({ "id": name }))
            }
            ("DELETE", [name]) => self.state.scripts.remove(*name).map_or(NOT_FOUND, |_| Ok(Value::Null)),
            ("GET", [name]) => self.state.scripts.get(*name).map_or(NOT_FOUND, |settings| {
                let script = json!({ "migration_tag": settings["migration_tag"] });
                Ok(json!({ "modified_on": "2026-11-22T00:00:00Z", "script": script }))
            }),
            ("GET", [name, "settings"]) => self.state.scripts.get(*name).cloned().map_or(NOT_FOUND, Ok),
            ("GET", [name, "bindings"]) => {
                self.state.scripts.get(*name).map_or(NOT_FOUND, |settings| Ok(settings["bindings"].clone()))
            }
            _ => panic!("not supported by the fake API: {method} {path:?}"),
        }
    }
}
