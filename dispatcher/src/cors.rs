//! The headers that every reply needs before it leaves: `Vary`, so that no cache mixes customers up, and, if
//! `ALLOWED_ORIGINS` is set, what lets pages in browsers read it (CORS).

use std::borrow::Cow;

use edge::VARY;
use shared::http::Problem;
use shared::http::cors::{self, ALLOWED_METHODS, AllowedOrigins, MAX_AGE};
use wasm_bindgen::prelude::*;
use web_sys::{Headers, Response, ResponseInit};

use crate::bindings::Bindings;
use crate::request::RequestContext;

/// What the operator lets pages in browsers do: `ALLOWED_ORIGINS`, `ALLOWED_HEADERS` and `EXPOSED_HEADERS`.
pub struct Cors {
    origins: String,
    /// `Access-Control-Allow-Headers`.
    allowed: Cow<'static, str>,
    /// `Access-Control-Expose-Headers`.
    exposed: Cow<'static, str>,
}

impl Cors {
    /// Reads the variables, if pages may call at all. Where one makes no sense, no request succeeds: it is not left to the
    /// pages that are refused to find out.
    pub fn from_bindings(bindings: &Bindings) -> Result<Option<Self>, Problem> {
        let Some(origins) = bindings.allowed_origins() else { return Ok(None) };
        let wrong = |name: &str, error: String| Problem::internal_error(format!("the variable {name}: {error}"));
        let allowed = cors::add_headers(cors::ALLOWED_HEADERS, bindings.allowed_headers().as_deref());
        let exposed = cors::add_headers(cors::EXPOSED_HEADERS, bindings.exposed_headers().as_deref());
        Ok(Some(Self {
            origins,
            allowed: allowed.map_err(|error| wrong("ALLOWED_HEADERS", error))?,
            exposed: exposed.map_err(|error| wrong("EXPOSED_HEADERS", error))?,
        }))
    }

    fn origins(&self) -> AllowedOrigins<'_> {
        AllowedOrigins::new(&self.origins)
    }

    /// Answers a browser that asks whether a page may send its request (a CORS preflight). The header that permits it comes
    /// from [`finish`]; without it, the browser does not send the request.
    pub fn preflight(&self, request: &RequestContext) -> Option<Response> {
        if request.method() != "OPTIONS" {
            return None;
        }
        request.header("Access-Control-Request-Method")?;
        let origin = request.header("Origin")?;
        let headers = edge::headers([("Cache-Control", "no-store"), ("Vary", VARY)]);
        if self.origins().allow_origin(&origin).is_some() {
            edge::set_header(&headers, "Access-Control-Allow-Methods", ALLOWED_METHODS);
            edge::set_header(&headers, "Access-Control-Allow-Headers", &self.allowed);
            edge::set_header(&headers, "Access-Control-Max-Age", MAX_AGE);
        }
        let init = ResponseInit::new();
        init.set_status(204);
        init.set_headers(&headers);
        Some(edge::new_response(&JsValue::NULL, &init))
    }

    /// Says whether a page may read the reply. What a customer's own Worker says about that is removed.
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
            edge::set_header(headers, "Access-Control-Expose-Headers", &self.exposed);
        }
    }
}

/// Adds to a reply what it lacks. A reply that lacks nothing, as those of the platform's own Workers without
/// `ALLOWED_ORIGINS`, is returned as it is. The body is passed on untouched.
///
/// Fails if the reply cannot be copied: a customer's own Worker may pass on a status that no new response can have.
pub fn finish(cors: Option<&Cors>, request: &RequestContext, reply: Response) -> Result<Response, Problem> {
    let status = reply.status();
    let varies = separates_customers(reply.headers().get("Vary").ok().flatten().as_deref());
    // A protocol switch cannot be copied, and is never cached.
    if (cors.is_none() && varies) || status == 101 {
        return Ok(reply);
    }
    // As with `new Response(body, reply)`: status, status text and headers are those of the reply.
    let init: &ResponseInit = reply.unchecked_ref();
    let copy = Response::new_with_opt_readable_stream_and_init(reply.body().as_ref(), init).map_err(|thrown| {
        Problem::customer_worker_failed(format!("it replied with status {status}: {}", edge::error_message(&thrown)))
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

/// Whether a `Vary` header makes caches keep customers apart.
fn separates_customers(vary: Option<&str>) -> bool {
    let vary = vary.unwrap_or_default();
    let names = |wanted: &str| vary.split(',').any(|name| name.trim().eq_ignore_ascii_case(wanted));
    names("*") || VARY.split(", ").all(names)
}

fn append(headers: &Headers, name: &str, value: &str) {
    headers.append(name, value).expect("a copy's headers can be changed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_keep_customers_apart_only_with_both_headers() {
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
