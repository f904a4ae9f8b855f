//! Dispatch namespaces, and the scripts in them
//! (<https://developers.cloudflare.com/api/resources/workers_for_platforms/>).

use bytes::Bytes;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use serde_json::{Value, json};

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
pub struct Script {
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

/// A secret of a script's, which the API does not give away.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SecretName {
    /// Its name.
    pub name: String,
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
pub struct Upload {
    /// What describes it, with the bindings
    /// (<https://developers.cloudflare.com/workers/configuration/multipart-upload-metadata/>).
    pub metadata: Value,
    /// Its modules, the main one among them.
    pub modules: Vec<Module>,
}

impl Upload {
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
    /// Makes a dispatch namespace.
    pub async fn create_dispatch_namespace(&self, name: &str) -> Result<DispatchNamespace, Error> {
        self.call(Method::POST, &NAMESPACES).json(json!({ "name": name })).send().await
    }

    /// All dispatch namespaces.
    pub async fn dispatch_namespaces(&self) -> Result<Vec<DispatchNamespace>, Error> {
        self.call(Method::GET, &NAMESPACES).list(None).await
    }

    /// A dispatch namespace.
    pub async fn dispatch_namespace(&self, name: &str) -> Result<Option<DispatchNamespace>, Error> {
        self.namespace(Method::GET, name, &[]).send_optional().await
    }

    /// Deletes a dispatch namespace with all scripts in it.
    pub async fn delete_dispatch_namespace(&self, name: &str) -> Result<(), Error> {
        self.namespace(Method::DELETE, name, &[]).send_delete().await
    }

    /// Uploads a script, in place of an older one of that name. Answers what the API says besides.
    pub async fn upload_script(&self, namespace: &str, name: &str, upload: Upload) -> Result<Vec<String>, Error> {
        self.namespace(Method::PUT, namespace, &["scripts", name]).form(move || upload.form()).send_for_messages().await
    }

    /// A script's modules as they were uploaded, in a form (`multipart/form-data`) of one part each; its first line is the
    /// boundary.
    pub async fn script_content(&self, namespace: &str, name: &str) -> Result<Option<Bytes>, Error> {
        self.namespace(Method::GET, namespace, &["scripts", name, "content"]).send_bytes_optional().await
    }

    /// The settings of a Worker of the account's that is in no namespace, its bindings among them.
    pub async fn worker_settings(&self, name: &str) -> Result<Option<Value>, Error> {
        self.call(Method::GET, &["workers", "scripts", name, "settings"]).send_optional().await
    }

    /// All scripts in a namespace.
    pub async fn scripts(&self, namespace: &str) -> Result<Vec<Script>, Error> {
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
        self.namespace(Method::GET, namespace, &["scripts", name, "settings"]).send_optional().await
    }

    /// Changes some of a script's settings.
    pub async fn change_script_settings(&self, namespace: &str, name: &str, settings: Value) -> Result<(), Error> {
        let form = move || Form::new().text("settings", settings.to_string());
        let call = self.namespace(Method::PATCH, namespace, &["scripts", name, "settings"]).form(form);
        call.send::<Value>().await.map(drop)
    }

    /// A script's bindings.
    pub async fn script_bindings(&self, namespace: &str, name: &str) -> Result<Vec<Value>, Error> {
        self.namespace(Method::GET, namespace, &["scripts", name, "bindings"]).list(None).await
    }

    /// Sets a secret of a script's.
    pub async fn set_secret(&self, namespace: &str, name: &str, secret: &str, text: &str) -> Result<(), Error> {
        let secret = json!({ "name": secret, "text": text, "type": "secret_text" });
        let call = self.namespace(Method::PUT, namespace, &["scripts", name, "secrets"]).json(secret);
        call.send::<Value>().await.map(drop)
    }

    /// The names of a script's secrets.
    pub async fn secrets(&self, namespace: &str, name: &str) -> Result<Vec<SecretName>, Error> {
        self.namespace(Method::GET, namespace, &["scripts", name, "secrets"]).list(None).await
    }

    /// Deletes a secret of a script's.
    pub async fn delete_secret(&self, namespace: &str, name: &str, secret: &str) -> Result<(), Error> {
        self.namespace(Method::DELETE, namespace, &["scripts", name, "secrets", secret]).send_delete().await
    }

    /// A script's tags.
    pub async fn tags(&self, namespace: &str, name: &str) -> Result<Vec<String>, Error> {
        self.namespace(Method::GET, namespace, &["scripts", name, "tags"]).list(None).await
    }

    /// Sets all of a script's tags.
    pub async fn set_tags(&self, namespace: &str, name: &str, tags: &[String]) -> Result<(), Error> {
        let call = self.namespace(Method::PUT, namespace, &["scripts", name, "tags"]).json(json!(tags));
        call.send::<Value>().await.map(drop)
    }

    fn namespace(&self, method: Method, namespace: &str, path: &[&str]) -> Call<'_> {
        self.call(method, &[&NAMESPACES, &[namespace][..], path].concat())
    }
}
