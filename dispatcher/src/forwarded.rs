//! The request as it comes in, and as the customer's Worker gets it.

use std::borrow::Cow;

use edge::REQUEST_ID_HEADER;
use shared::RequestId;
use web_sys::Request;

/// Cloudflare marks with it what a Worker sends, so that a customer's Worker may take who sends it for a part of the
/// platform (<https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-worker>).
const MARK_OF_WORKERS: &str = "CF-Worker";

/// Who is asking, and so what of the request is the platform's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Something in front of the dispatcher has seen to it: `Authorization` is between client and customer.
    Trusted,
    /// A token of the platform's, which is nobody else's business.
    Token,
}

/// A request with its id.
pub struct Identified<'request> {
    request: &'request Request,
    id: RequestId,
    /// The id is new, and the customer's Worker must be told it.
    new: bool,
    /// It has the mark of Workers.
    marked: bool,
}

impl<'request> Identified<'request> {
    /// A request with the id that it has, or with a new one. `id` is the first of its headers that may hold one.
    pub fn new(request: &'request Request, id: Option<String>, marked: bool) -> Self {
        let id = id.and_then(|id| RequestId::parse(id).or_else(|| edge::request_id(&request.headers())));
        let (id, new) = id.map_or_else(|| (edge::new_request_id(), true), |id| (id, false));
        Self { request, id, new, marked }
    }

    /// The id.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// A header's value; several of one name are one, with commas between them.
    pub fn header(&self, name: &'static str) -> Option<String> {
        edge::header::get(&self.request.headers(), name)
    }

    /// The length of its body, in bytes, where it says so.
    pub fn content_length(&self) -> Option<u64> {
        self.header("Content-Length")?.parse().ok()
    }

    /// The request for the customer's Worker, its body left alone. Where nothing has to be changed it is the request itself,
    /// which is the fast path.
    pub fn forwarded(&self, identity: Identity) -> Cow<'request, Request> {
        let mut dropped = Vec::new();
        if identity == Identity::Token {
            dropped.push("Authorization");
        }
        if self.marked {
            dropped.push(MARK_OF_WORKERS);
        }
        if dropped.is_empty() && !self.new {
            return Cow::Borrowed(self.request);
        }
        let copy = Request::new_with_request(self.request).expect("a request that has not been read can be copied");
        let headers = copy.headers();
        for name in dropped {
            headers.delete(name).expect("a copy's headers can be changed");
        }
        if self.new {
            edge::header::set(&headers, REQUEST_ID_HEADER, &self.id().into());
        }
        Cow::Owned(copy)
    }
}
