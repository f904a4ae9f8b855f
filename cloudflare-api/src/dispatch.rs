//! Dispatch namespaces, and the scripts in them
//! (<https://developers.cloudflare.com/api/resources/workers_for_platforms/>).

use bytes::Bytes;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use serde_json::Value;

use super::client::{Call, Cloudflare};
use super::error::Error;

/// A dispatch namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DispatchNamespace {
    /// Its name, by which it is bound.
    #[serde(rename = "namespace_name")]
    pub name: String,
}

/// A script in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ScriptSummary {
    /// Its name, by which the dispatcher takes it.
    #[serde(alias = "id")]
    pub script_name: String,
    /// What it is tagged with.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When it was changed last.
    #[serde(default)]
    pub modified_on: Option<String>,
}

/// A part of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The name that other modules import it by: a path, without quotation marks and control characters.
    pub name: String,
    /// What it is: `application/javascript+module`, `application/wasm`, ...
    pub media_type: &'static str,
    /// Its bytes.
    pub content: Bytes,
}

/// What is uploaded as a script.
#[derive(Clone, Debug)]
pub struct ScriptUpload {
    /// What describes it, with the bindings
    /// (<https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/>).
    pub metadata: Value,
    /// Its modules, the main one among them.
    pub modules: Vec<Module>,
}

impl ScriptUpload {
    fn form(&self) -> Form {
        let metadata = Part::text(self.metadata.to_string());
        let metadata = metadata.mime_str("application/json").expect("a media type");
        // The names go as they are: the API does not read encoded ones (RFC 5987), which reqwest makes of a slash.
        let form = Form::new().percent_encode_noop().part("metadata", metadata);
        self.modules.iter().fold(form, |form, module| {
            let length = module.content.len() as u64;
            let part = Part::stream_with_length(module.content.clone(), length).file_name(module.name.clone());
            form.part(module.name.clone(), part.mime_str(module.media_type).expect("a media type"))
        })
    }
}

const NAMESPACES: [&str; 3] = ["workers", "dispatch", "namespaces"];

impl Cloudflare {
    /// All dispatch namespaces.
    pub async fn dispatch_namespaces(&self) -> Result<Vec<DispatchNamespace>, Error> {
        self.call(Method::GET, &NAMESPACES).list(None).await
    }

    /// A dispatch namespace.
    pub async fn dispatch_namespace(&self, name: &str) -> Result<Option<DispatchNamespace>, Error> {
        self.namespace(Method::GET, name, &[]).send_optional().await
    }

    /// Uploads a script, in place of an older one of that name. Answers what the API says besides.
    pub async fn upload_script(&self, namespace: &str, name: &str, upload: ScriptUpload) -> Result<Vec<String>, Error> {
        let call = self.namespace(Method::PUT, namespace, &["scripts", name]).form(move || upload.form());
        let (_, messages) = call.send_with_messages::<Value>().await?;
        Ok(messages)
    }

    /// The settings of a Worker of the account's that is in no namespace, its bindings among them.
    pub async fn worker_settings(&self, name: &str) -> Result<Option<Value>, Error> {
        self.call(Method::GET, &["workers", "scripts", name, "settings"]).send_optional().await
    }

    /// All scripts in a namespace.
    pub async fn scripts(&self, namespace: &str) -> Result<Vec<ScriptSummary>, Error> {
        self.namespace(Method::GET, namespace, &["scripts"]).list(None).await
    }

    /// What is known of a script.
    pub async fn script(&self, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        self.namespace(Method::GET, namespace, &["scripts", name]).send_optional().await
    }

    /// Deletes a script, and its Durable Objects with it.
    pub async fn delete_script(&self, namespace: &str, name: &str) -> Result<(), Error> {
        self.namespace(Method::DELETE, namespace, &["scripts", name]).query("force", "true").send_delete().await
    }

    /// A script's settings, its bindings among them.
    pub async fn script_settings(&self, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        Ok(self.script_settings_with_messages(namespace, name).await?.map(|(settings, _)| settings))
    }

    /// A script's settings, and the messages that come with them: the local platform says there which bindings it lacks.
    pub async fn script_settings_with_messages(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(Value, Vec<String>)>, Error> {
        self.namespace(Method::GET, namespace, &["scripts", name, "settings"]).send_optional_with_messages().await
    }

    /// A script's bindings.
    pub async fn script_bindings(&self, namespace: &str, name: &str) -> Result<Vec<Value>, Error> {
        self.namespace(Method::GET, namespace, &["scripts", name, "bindings"]).list(None).await
    }

    fn namespace(&self, method: Method, namespace: &str, path: &[&str]) -> Call<'_> {
        self.call(method, &[&NAMESPACES, &[namespace][..], path].concat())
    }
}
