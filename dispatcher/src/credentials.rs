//! The user id and the token of a request, neither of which has been checked. A page in a browser cannot set the headers
//! of a WebSocket, so it sends both in `Sec-WebSocket-Protocol`.

use shared::http::cors::is_same_host;
use shared::http::{Problem, ProtocolOffer};

use crate::bindings::Bindings;
use crate::cors::Cors;
use crate::request::RequestContext;
use crate::websocket::PROTOCOL_HEADER;

/// The user id and the token of a request.
pub struct Credentials {
    /// The user id in `X-User-ID` or in the offer.
    pub user_id: Option<String>,
    /// The token in the offer. Other tokens are in `Authorization`.
    pub offered_token: Option<String>,
    /// The subprotocols that a WebSocket's client offers, if some of them are for the platform.
    pub offer: Option<ProtocolOffer>,
}

impl Credentials {
    /// Reads the headers of a request. Refuses a user id or a token that is in a header and in an offer.
    ///
    /// With `AUTH = "trusted-header"`, a proxy in front has authenticated `X-User-ID`, but not an offer. The offer is
    /// therefore ignored unless the variable `TRUST_WEBSOCKET_PROTOCOL` is set. Then a user id in it is accepted only
    /// from pages of the request's own host and of `ALLOWED_ORIGINS`, because browsers let any page open a WebSocket.
    pub fn read(bindings: &Bindings, request: &RequestContext, cors: Option<&Cors>) -> Result<Self, Problem> {
        let user_id = request.header("X-User-ID");
        let Some(header) = request.header(PROTOCOL_HEADER) else {
            return Ok(Self { user_id, offered_token: None, offer: None });
        };
        let mut offer = ProtocolOffer::parse(&header)?;
        let trusts_header = bindings.auth().as_deref() == Some("trusted-header");
        let is_read = request.is_websocket() && (!trusts_header || bindings.trusts_websocket_protocol());
        let Some(read) = offer.as_mut().filter(|_| is_read) else {
            return Ok(Self { user_id, offered_token: None, offer });
        };
        // With `trusted-header`, tokens have no meaning, and `Authorization` is for the customer's Worker.
        let (offered_id, offered_token) = (read.user_id.take(), read.token.take().filter(|_| !trusts_header));
        if (user_id.is_some() && offered_id.is_some())
            || (offered_token.is_some() && request.header("Authorization").is_some())
        {
            return Err(Problem::invalid_websocket_protocol(
                "the user id or the token is in a header and in Sec-WebSocket-Protocol; send it once",
            ));
        }
        if trusts_header && offered_id.is_some() {
            let origin = request.header("Origin").unwrap_or_default();
            if !is_same_host(&origin, request.url()) && !cors.is_some_and(|cors| cors.allows(&origin)) {
                return Err(Problem::origin_not_allowed());
            }
        }
        Ok(Self { user_id: user_id.or(offered_id), offered_token, offer })
    }
}
