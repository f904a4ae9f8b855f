//! The subprotocol of a WebSocket whose client has offered `platform`.

use shared::http::{PLATFORM_PROTOCOL, Problem, ProtocolOffer};
use wasm_bindgen::JsValue;
use web_sys::{Headers, Response, ResponseInit, WebSocket};
use worker::worker_sys::ext::{ResponseExt, ResponseInitExt, WebSocketExt};

/// The header in which a client offers subprotocols, and a server chooses one (RFC 6455, 11.3.4).
pub const PROTOCOL_HEADER: &str = "Sec-WebSocket-Protocol";

/// Chooses `platform` if the client has offered it and the customer's Worker has chosen no subprotocol. Chromium closes
/// a connection if it has offered subprotocols and none is chosen, so a WebSocket without one is refused.
pub fn choose_protocol(offer: Option<&ProtocolOffer>, reply: Response) -> Result<Response, Problem> {
    let (Some(offer), Some(socket)) = (offer, reply.websocket()) else { return Ok(reply) };
    let headers = reply.headers();
    if headers.has(PROTOCOL_HEADER).unwrap_or(true) {
        return Ok(reply);
    }
    if !offer.has_platform {
        close(&socket);
        return Err(Problem::invalid_websocket_protocol(
            "the customer's Worker has chosen none of the protocols in Sec-WebSocket-Protocol; offer `platform` as well",
        ));
    }
    // A reply's own headers cannot be changed.
    let headers = Headers::new_with_headers(&headers).expect("headers can be copied");
    edge::set_header(&headers, PROTOCOL_HEADER, PLATFORM_PROTOCOL);
    let mut init = ResponseInit::new();
    init.set_status(101);
    init.set_headers(&headers);
    init.websocket(&socket).expect("a plain object takes any property");
    Ok(edge::new_response(&JsValue::NULL, &init))
}

/// Closes a WebSocket that the client does not get, so that the customer's Worker does not wait for it.
fn close(socket: &WebSocket) {
    /// The client's offer was wrong (RFC 6455, 7.4.1).
    const PROTOCOL_ERROR: u16 = 1002;

    let reason = "no protocol was chosen";
    let closed = socket.accept().and_then(|()| socket.close_with_code_and_reason(PROTOCOL_ERROR, reason));
    if let Err(thrown) = closed {
        edge::log_error(&edge::error_message(&thrown));
    }
}
