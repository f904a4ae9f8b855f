//! The request, as the dispatcher receives it and as it forwards it to the customer's Worker.

use std::borrow::Cow;

use edge::REQUEST_ID_HEADER;
use js_sys::Date;
use shared::http::{ProtocolOffer, RequestId, Target};
use web_sys::{Headers, Request};

use crate::caller::Caller;
use crate::websocket::PROTOCOL_HEADER;

/// The headers that are never forwarded to a customer's Worker.
///
/// - `CF-Worker`: Cloudflare adds it to requests that a Worker sends. A customer's Worker could mistake such a request
///   for one of the platform itself
///   (<https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-worker>).
/// - The others select the version of the Worker that handles the request, which only the operator may do
///   (<https://developers.cloudflare.com/workers/configuration/versions-and-deployments/gradual-deployments/>).
const NEVER_FORWARDED: [&str; 3] =
    ["CF-Worker", "Cloudflare-Workers-Version-Key", "Cloudflare-Workers-Version-Overrides"];

/// A request, with the parts that are read only once, because each read is a call into JavaScript.
pub struct RequestContext {
    request: Request,
    headers: Headers,
    method: String,
    url: String,
    id: RequestId,
    /// Whether the request had no id. Its new id is then forwarded in a header.
    id_is_new: bool,
    /// The time when the request arrived, in milliseconds since 1970.
    started: f64,
}

impl RequestContext {
    /// Reads a request that has just arrived.
    pub fn new(request: Request) -> Self {
        let headers = request.headers();
        let id = edge::request_id(&headers);
        Self {
            method: request.method(),
            url: request.url(),
            id_is_new: id.is_none(),
            id: id.unwrap_or_else(edge::new_request_id),
            started: Date::now(),
            headers,
            request,
        }
    }

    /// Returns the request's id.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Returns the request's method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Returns the request's path, percent-encoded.
    pub fn path(&self) -> &str {
        Target::parse(&self.url).path
    }

    /// Returns the request's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns whether the request opens a WebSocket.
    pub fn is_websocket(&self) -> bool {
        self.header("Upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
    }

    /// Returns the time when the request arrived, in milliseconds since 1970.
    pub fn started(&self) -> f64 {
        self.started
    }

    /// Returns a header's value. The values of several headers with one name are joined with commas.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).ok().flatten()
    }

    /// Returns the request for the customer's Worker, without reading its body. What an offer has for the platform is
    /// left out. A request that needs no change is not copied, because a copy costs time.
    pub fn forwarded(&self, caller: Caller, offer: Option<&ProtocolOffer>) -> Cow<'_, Request> {
        let removed = removed_headers(caller, |name| self.headers.has(name).unwrap_or(true));
        if removed.is_empty() && !self.id_is_new && offer.is_none() {
            return Cow::Borrowed(&self.request);
        }
        let copy = Request::new_with_request(&self.request).expect("a request that was not read can be copied");
        let headers = copy.headers();
        for name in removed {
            headers.delete(name).expect("a copy's headers can be changed");
        }
        match offer.map(|offer| &*offer.others) {
            Some("") => headers.delete(PROTOCOL_HEADER).expect("a copy's headers can be changed"),
            Some(others) => edge::set_header(&headers, PROTOCOL_HEADER, others),
            None => {}
        }
        if self.id_is_new {
            edge::set_header(&headers, REQUEST_ID_HEADER, self.id());
        }
        Cow::Owned(copy)
    }
}

/// Returns the headers to remove before the request is forwarded: `Authorization` if it has a token for the platform,
/// and the headers of [`NEVER_FORWARDED`] that the request has.
fn removed_headers(caller: Caller, has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let token = (caller == Caller::TokenHolder).then_some("Authorization");
    token.into_iter().chain(NEVER_FORWARDED.into_iter().filter(|name| has(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_and_reserved_headers_are_removed() {
        let (none, all) = (|_: &str| false, |_: &str| true);
        assert_eq!(removed_headers(Caller::Trusted, none), [""; 0]);
        assert_eq!(removed_headers(Caller::TokenHolder, none), ["Authorization"]);
        assert_eq!(removed_headers(Caller::Trusted, all), NEVER_FORWARDED);
        for name in NEVER_FORWARDED {
            assert_eq!(removed_headers(Caller::Trusted, |other| other == name), [name]);
            assert_eq!(removed_headers(Caller::TokenHolder, |other| other == name), ["Authorization", name]);
        }
    }
}
