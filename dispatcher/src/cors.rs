//! The headers that the dispatcher adds to every reply: `Vary`, so that no cache returns one customer's reply to
//! another, and the CORS headers, if `ALLOWED_ORIGINS` is set.

use std::borrow::Cow;

use edge::VARY;
use shared::http::Problem;
use shared::http::cors::{self, ALLOWED_METHODS, AllowedOrigins, MAX_AGE};
use wasm_bindgen::prelude::*;
use web_sys::{Headers, Response, ResponseInit};

use crate::bindings::Bindings;
use crate::request::RequestContext;

/// The operator's CORS settings: `ALLOWED_ORIGINS`, `ALLOWED_HEADERS` and `EXPOSED_HEADERS`.
pub struct Cors {
    origins: String,
    /// The value of `Access-Control-Allow-Headers`.
    allowed_headers: Cow<'static, str>,
    /// The value of `Access-Control-Expose-Headers`.
    exposed_headers: Cow<'static, str>,
}

impl Cors {
    /// Reads the variables. Returns `None` if `ALLOWED_ORIGINS` is not set. If a variable is invalid, every request
    /// fails, so that the operator notices the mistake at once.
    pub fn from_bindings(bindings: &Bindings) -> Result<Option<Self>, Problem> {
        let Some(origins) = bindings.allowed_origins() else { return Ok(None) };
        let invalid = |name: &str, error: String| Problem::internal_error(format!("the variable {name}: {error}"));
        let allowed = cors::add_headers(cors::ALLOWED_HEADERS, bindings.allowed_headers().as_deref());
        let exposed = cors::add_headers(cors::EXPOSED_HEADERS, bindings.exposed_headers().as_deref());
        Ok(Some(Self {
            origins,
            allowed_headers: allowed.map_err(|error| invalid("ALLOWED_HEADERS", error))?,
            exposed_headers: exposed.map_err(|error| invalid("EXPOSED_HEADERS", error))?,
        }))
    }

    fn origins(&self) -> AllowedOrigins<'_> {
        AllowedOrigins::new(&self.origins)
    }

    /// Returns whether pages of this origin may call the platform.
    pub fn allows(&self, origin: &str) -> bool {
        self.origins().allow_origin(origin).is_some()
    }

    /// Returns the reply to a CORS preflight request, with which a browser asks whether a page may send a request.
    /// Returns `None` for all other requests. [`finish`] adds `Access-Control-Allow-Origin`, without which the browser
    /// does not send the page's request.
    pub fn preflight(&self, request: &RequestContext) -> Option<Response> {
        if request.method() != "OPTIONS" {
            return None;
        }
        request.header("Access-Control-Request-Method")?;
        let origin = request.header("Origin")?;
        let headers = edge::headers([("Cache-Control", "no-store"), ("Vary", VARY)]);
        if self.allows(&origin) {
            edge::set_header(&headers, "Access-Control-Allow-Methods", ALLOWED_METHODS);
            edge::set_header(&headers, "Access-Control-Allow-Headers", &self.allowed_headers);
            edge::set_header(&headers, "Access-Control-Max-Age", MAX_AGE);
        }
        let init = ResponseInit::new();
        init.set_status(204);
        init.set_headers(&headers);
        Some(edge::new_response(&JsValue::NULL, &init))
    }
}

/// Adds `Vary` and the CORS headers to a reply, without reading its body. A reply that needs no change is not copied.
/// That is the case if `ALLOWED_ORIGINS` is not set and the reply already has `Vary`, like those of the platform's own
/// Workers.
///
/// Fails if the reply cannot be copied: a customer's own Worker can return a status that `new Response` refuses.
pub fn finish(cors: Option<&Cors>, request: &RequestContext, reply: Response) -> Result<Response, Problem> {
    let status = reply.status();
    let varies = separates_customers(reply.headers().get("Vary").ok().flatten().as_deref());
    // A WebSocket upgrade (101) cannot be copied, and is never cached.
    if (cors.is_none() && varies) || status == 101 {
        return Ok(reply);
    }
    // `new Response(body, reply)`: the copy has the reply's status, status text and headers.
    let init: &ResponseInit = reply.unchecked_ref();
    let copy = Response::new_with_opt_readable_stream_and_init(reply.body().as_ref(), init).map_err(|thrown| {
        Problem::customer_worker_failed(format!("invalid reply, status {status}: {}", edge::error_message(&thrown)))
    })?;
    let headers = copy.headers();
    if !varies {
        append(&headers, "Vary", VARY);
    }
    if let Some(cors) = cors {
        cors.permit(request.header("Origin").as_deref(), &headers);
    }
    Ok(copy)
}

impl Cors {
    /// Sets the headers that let a page read the reply. Removes those that the customer's Worker has set.
    fn permit(&self, origin: Option<&str>, headers: &Headers) {
        for name in ["Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"]
        {
            headers.delete(name).expect("a copy's headers can be changed");
        }
        let origins = self.origins();
        let allowed =
            if origins.allow_any() { Some("*") } else { origin.and_then(|origin| origins.allow_origin(origin)) };
        if !origins.allow_any() {
            append(headers, "Vary", "Origin");
        }
        if let Some(allowed) = allowed {
            edge::set_header(headers, "Access-Control-Allow-Origin", allowed);
            edge::set_header(headers, "Access-Control-Expose-Headers", &self.exposed_headers);
        }
    }
}

/// Returns whether a `Vary` header makes caches store a separate reply for each customer.
fn separates_customers(vary: Option<&str>) -> bool {
    let vary = vary.unwrap_or_default();
    let has = |name: &str| vary.split(',').any(|entry| entry.trim().eq_ignore_ascii_case(name));
    has("*") || VARY.split(", ").all(has)
}

fn append(headers: &Headers, name: &str, value: &str) {
    headers.append(name, value).expect("a copy's headers can be changed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vary_must_have_both_headers_or_an_asterisk() {
        for vary in [VARY, "authorization,X-USER-ID", "Origin, Authorization , x-user-id", "*", "Origin, *"] {
            assert!(separates_customers(Some(vary)), "{vary}");
        }
        for vary in
            [None, Some(""), Some("X-User-ID"), Some("Authorization, Origin"), Some("X-User-ID-2, Authorization")]
        {
            assert!(!separates_customers(vary), "{vary:?}");
        }
    }
}
