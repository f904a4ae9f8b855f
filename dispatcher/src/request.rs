//! The request as it comes in, and as the customer's Worker gets it.

use std::borrow::Cow;

use edge::REQUEST_ID_HEADER;
use js_sys::Date;
use shared::http::{RequestId, Target};
use web_sys::{Headers, Request};

use crate::caller::Caller;

/// The headers that a customer's Worker must not get from a client, whoever the client is.
///
/// - `CF-Worker`: Cloudflare adds it to what a Worker sends. A customer's Worker must not take such a request for one of the
///   platform's own (<https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-worker>).
/// - The others choose the version of a Worker that answers, which is for the operator to choose
///   (<https://developers.cloudflare.com/workers/configuration/versions-and-deployments/gradual-deployments/>).
const NOT_FROM_CLIENTS: [&str; 3] =
    ["CF-Worker", "Cloudflare-Workers-Version-Key", "Cloudflare-Workers-Version-Overrides"];

/// A request, and what is read from it once.
pub struct RequestContext {
    request: Request,
    headers: Headers,
    method: String,
    url: String,
    id: RequestId,
    /// The request came without an id, so the customer's Worker must be told this one.
    id_is_new: bool,
    /// When it arrived, in milliseconds since 1970.
    started: f64,
}

impl RequestContext {
    /// Takes a request that has just arrived.
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

    /// The request's id.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path, percent-encoded.
    pub fn path(&self) -> &str {
        Target::parse(&self.url).path
    }

    /// When the request arrived, in milliseconds since 1970.
    pub fn started(&self) -> f64 {
        self.started
    }

    /// A header's value. Several headers of one name are one value, separated by commas.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).ok().flatten()
    }

    /// The request for the customer's Worker, its body untouched. A request that needs no change is forwarded itself; a
    /// copy costs more.
    pub fn forwarded(&self, caller: Caller) -> Cow<'_, Request> {
        let removed = removed_headers(caller, |name| self.headers.has(name).unwrap_or(true));
        if removed.is_empty() && !self.id_is_new {
            return Cow::Borrowed(&self.request);
        }
        let copy = Request::new_with_request(&self.request).expect("a request that was not read can be copied");
        let headers = copy.headers();
        for name in removed {
            headers.delete(name).expect("a copy's headers can be changed");
        }
        if self.id_is_new {
            edge::set_header(&headers, REQUEST_ID_HEADER, self.id());
        }
        Cow::Owned(copy)
    }
}

/// The headers that the customer's Worker must not see: the platform's token, and what is not for clients to say, as far as
/// the request has it.
fn removed_headers(caller: Caller, has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let token = (caller == Caller::TokenHolder).then_some("Authorization");
    token.into_iter().chain(NOT_FROM_CLIENTS.into_iter().filter(|name| has(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_platforms_own_headers_are_removed() {
        let (none, all) = (|_: &str| false, |_: &str| true);
        assert_eq!(removed_headers(Caller::Trusted, none), [""; 0]);
        assert_eq!(removed_headers(Caller::TokenHolder, none), ["Authorization"]);
        assert_eq!(removed_headers(Caller::Trusted, all), NOT_FROM_CLIENTS);
        for name in NOT_FROM_CLIENTS {
            assert_eq!(removed_headers(Caller::Trusted, |other| other == name), [name]);
            assert_eq!(removed_headers(Caller::TokenHolder, |other| other == name), ["Authorization", name]);
        }
    }
}
