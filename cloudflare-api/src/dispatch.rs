//! Dispatch namespaces and the scripts in them
//! (<https://developers.cloudflare.com/api/resources/workers_for_platforms/>).

use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{ApiRequest, Cloudflare};
use super::error::Error;

/// A dispatch namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DispatchNamespace {
    /// The namespace's name. Bindings refer to it.
    #[serde(rename = "namespace_name")]
    pub name: String,
}

/// A script in a dispatch namespace, as lists describe it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ScriptSummary {
    /// The script's name. The dispatcher looks the script up by this name.
    #[serde(alias = "id")]
    pub script_name: String,
    /// The script's tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When the script was last changed.
    #[serde(default)]
    pub modified_on: Option<String>,
}

/// A module of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptModule {
    /// The path by which other modules import it. It has no quotation marks or control characters.
    pub name: String,
    /// The media type, such as `application/javascript+module` or `application/wasm`.
    pub media_type: &'static str,
    /// The module's bytes.
    pub content: Bytes,
}

/// The upload of a script.
#[derive(Clone, Debug)]
pub struct ScriptUpload {
    /// The metadata, which include the bindings
    /// (<https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/>).
    pub metadata: Value,
    /// All modules, including the main module.
    pub modules: Vec<ScriptModule>,
}

impl ScriptUpload {
    fn form(&self) -> Form {
        let metadata = Part::text(self.metadata.to_string());
        let metadata = metadata.mime_str("application/json").expect("a media type");
        // Names are not encoded. By default, reqwest encodes a slash (RFC 5987), which the API does not decode.
        let form = Form::new().percent_encode_noop().part("metadata", metadata);
        self.modules.iter().fold(form, |form, module| {
            let length = module.content.len() as u64;
            let part = Part::stream_with_length(module.content.clone(), length).file_name(module.name.clone());
            form.part(module.name.clone(), part.mime_str(module.media_type).expect("a media type"))
        })
    }
}

/// What scripts log on the local platform, a line of JSON at a time.
#[derive(Debug)]
pub struct ScriptLogs {
    reply: Response,
    /// What has been received after the last line.
    rest: Vec<u8>,
}

impl ScriptLogs {
    /// Waits for the next line, and returns it without its end; `None` at the end.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn next_line(&mut self) -> Result<Option<String>, reqwest::Error> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            match self.reply.chunk().await? {
                Some(piece) => self.rest.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }
}

const NAMESPACES: [&str; 3] = ["workers", "dispatch", "namespaces"];

impl Cloudflare {
    /// Reads what scripts log, of one script or of all, and with `follow` what they log from now on. Only the local platform
    /// has this: in an account, Workers Logs have it.
    pub async fn script_logs(&self, namespace: &str, script: Option<&str>, follow: bool) -> Result<ScriptLogs, Error> {
        let mut request = self.request(Method::GET, &["workers", "dispatch", "namespaces", namespace, "logs"]);
        if let Some(script) = script {
            request = request.query("script", script);
        }
        let reply = request.query("follow", if follow { "true" } else { "false" }).send_stream().await?;
        Ok(ScriptLogs { reply, rest: Vec::new() })
    }

    /// Lists all dispatch namespaces.
    pub async fn dispatch_namespaces(&self) -> Result<Vec<DispatchNamespace>, Error> {
        self.request(Method::GET, &NAMESPACES).list(None).await
    }

    /// Fetches a dispatch namespace.
    pub async fn dispatch_namespace(&self, name: &str) -> Result<Option<DispatchNamespace>, Error> {
        self.namespace(Method::GET, name, &[]).send_optional().await
    }

    /// Uploads a script and replaces an existing one of the same name. Returns the API's messages.
    pub async fn upload_script(&self, namespace: &str, name: &str, upload: ScriptUpload) -> Result<Vec<String>, Error> {
        let request = self.namespace(Method::PUT, namespace, &["scripts", name]).form(move || upload.form());
        let (_, messages) = request.send_with_messages::<Value>().await?;
        Ok(messages)
    }

    /// Fetches the settings, including the bindings, of a Worker that is not in a dispatch namespace.
    pub async fn worker_settings(&self, name: &str) -> Result<Option<Value>, Error> {
        self.request(Method::GET, &["workers", "scripts", name, "settings"]).send_optional().await
    }

    /// Lists all scripts in a dispatch namespace.
    pub async fn scripts(&self, namespace: &str) -> Result<Vec<ScriptSummary>, Error> {
        self.namespace(Method::GET, namespace, &["scripts"]).list(None).await
    }

    /// Fetches the description of a script.
    pub async fn script(&self, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        self.namespace(Method::GET, namespace, &["scripts", name]).send_optional().await
    }

    /// Deletes a script and its Durable Objects.
    pub async fn delete_script(&self, namespace: &str, name: &str) -> Result<(), Error> {
        self.namespace(Method::DELETE, namespace, &["scripts", name]).query("force", "true").send_delete().await
    }

    /// Fetches a script's settings, including its bindings.
    pub async fn script_settings(&self, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        Ok(self.script_settings_with_messages(namespace, name).await?.map(|(settings, _)| settings))
    }

    /// Fetches a script's settings and the API's messages about them. The local platform's messages name the bindings
    /// that it does not support.
    pub async fn script_settings_with_messages(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(Value, Vec<String>)>, Error> {
        self.namespace(Method::GET, namespace, &["scripts", name, "settings"]).send_optional_with_messages().await
    }

    /// Lists a script's bindings.
    pub async fn script_bindings(&self, namespace: &str, name: &str) -> Result<Vec<Value>, Error> {
        self.namespace(Method::GET, namespace, &["scripts", name, "bindings"]).list(None).await
    }

    /// Lists the names of a script's secrets.
    pub async fn script_secrets(&self, namespace: &str, script: &str) -> Result<Vec<String>, Error> {
        let secrets: Vec<Value> =
            self.namespace(Method::GET, namespace, &["scripts", script, "secrets"]).list(None).await?;
        Ok(secrets.iter().filter_map(|secret| secret["name"].as_str().map(str::to_owned)).collect())
    }

    /// Sets a secret of a script.
    pub async fn put_script_secret(&self, namespace: &str, script: &str, name: &str, text: &str) -> Result<(), Error> {
        let secret = json!({ "name": name, "text": text, "type": "secret_text" });
        let request = self.namespace(Method::PUT, namespace, &["scripts", script, "secrets"]);
        request.json(secret).send::<Value>().await.map(drop)
    }

    /// Deletes a secret of a script.
    pub async fn delete_script_secret(&self, namespace: &str, script: &str, name: &str) -> Result<(), Error> {
        self.namespace(Method::DELETE, namespace, &["scripts", script, "secrets", name]).send_delete().await
    }

    fn namespace(&self, method: Method, namespace: &str, path: &[&str]) -> ApiRequest<'_> {
        self.request(method, &[&NAMESPACES, &[namespace][..], path].concat())
    }
}
