//! The user id and the token in `Sec-WebSocket-Protocol`.
//!
//! A browser's `WebSocket` cannot set headers, but it can offer subprotocols (RFC 6455, 1.9):
//!
//! ```js
//! new WebSocket(url, ["platform", "platform.user.user1", `platform.token.${token}`]);
//! ```

use super::Problem;

/// The subprotocol that the dispatcher chooses if the customer's Worker chooses none.
pub const PLATFORM_PROTOCOL: &str = "platform";

/// The subprotocols that a client offers, if some of them are for the platform.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProtocolOffer {
    /// The user id of `platform.user.<id>`. It is not parsed.
    pub user_id: Option<String>,
    /// The token of `platform.token.<token>`. It is not verified.
    pub token: Option<String>,
    /// Whether the client offers [`PLATFORM_PROTOCOL`].
    pub has_platform: bool,
    /// The other subprotocols, which are for the customer's Worker, separated by `, `.
    pub others: String,
}

impl ProtocolOffer {
    /// Parses the value of `Sec-WebSocket-Protocol`. The runtime joins several such headers with a comma. Returns
    /// `None` if nothing in it is for the platform.
    ///
    /// Refuses two user ids or two tokens, anything else that begins with `platform.`, and an offer without a
    /// subprotocol that can be chosen: the platform never chooses one that contains a user id or a token.
    pub fn parse(header: &str) -> Result<Option<Self>, Problem> {
        Self::split(header).map_err(Problem::invalid_websocket_protocol)
    }

    fn split(header: &str) -> Result<Option<Self>, &'static str> {
        let mut offer = Self::default();
        for entry in header.split(',').map(|entry| entry.trim_matches([' ', '\t'])) {
            if let Some(named) = entry.strip_prefix("platform.") {
                let (place, value) = if let Some(user_id) = named.strip_prefix("user.") {
                    (&mut offer.user_id, user_id)
                } else if let Some(token) = named.strip_prefix("token.") {
                    (&mut offer.token, token)
                } else {
                    return Err(
                        "in Sec-WebSocket-Protocol, only platform.user.<id> and platform.token.<token> begin with \
                                `platform.`",
                    );
                };
                if place.replace(value.to_owned()).is_some() {
                    return Err("Sec-WebSocket-Protocol has two user ids or two tokens; send one of each");
                }
            } else if entry == PLATFORM_PROTOCOL {
                offer.has_platform = true;
            } else if !entry.is_empty() {
                if !offer.others.is_empty() {
                    offer.others.push_str(", ");
                }
                offer.others.push_str(entry);
            }
        }
        if offer.has_platform {
            return Ok(Some(offer));
        }
        match (offer.user_id.is_some() || offer.token.is_some(), offer.others.is_empty()) {
            (false, _) => Ok(None),
            (true, false) => Ok(Some(offer)),
            (true, true) => {
                Err("Sec-WebSocket-Protocol has nothing that can be chosen; offer `platform` as well, or a \
                                 protocol of the customer's Worker")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(header: &str) -> Option<ProtocolOffer> {
        ProtocolOffer::parse(header).expect(header)
    }

    #[test]
    fn an_offer_is_split_between_the_platform_and_the_worker() {
        for (header, user_id, token, has_platform, others) in [
            ("platform", None, None, true, ""),
            ("platform, platform.user.user1", Some("user1"), None, true, ""),
            ("platform.user.user1,chat", Some("user1"), None, false, "chat"),
            ("a,platform.token.x.y.z , b", None, Some("x.y.z"), false, "a, b"),
            ("platform, platform.user., platform.token.", Some(""), Some(""), true, ""),
            ("platforms, platform", None, None, true, "platforms"),
        ] {
            let expected = ProtocolOffer {
                user_id: user_id.map(str::to_owned),
                token: token.map(str::to_owned),
                has_platform,
                others: others.to_owned(),
            };
            assert_eq!(parsed(header), Some(expected), "{header}");
        }
    }

    #[test]
    fn an_offer_without_the_platform_is_not_touched() {
        for header in ["", ",", "chat", "chat, platforms", "Platform.user.user1", "x.platform.user.user1"] {
            assert_eq!(parsed(header), None, "{header}");
        }
    }

    #[test]
    fn ambiguous_offers_are_refused() {
        for header in [
            "platform, platform.user.a, platform.user.b",
            "platform, platform.user.a, platform.user.a",
            "platform, platform.token.a, platform.token.b",
            "platform, platform.users.a",
            "platform, platform.",
            "platform.user.a",
            "platform.user.a, platform.token.b",
        ] {
            let problem = ProtocolOffer::parse(header).expect_err(header);
            assert_eq!(problem.code().name(), "invalid_websocket_protocol", "{header}");
        }
    }

    proptest! {
        /// Whatever a client offers, nothing that is for the platform reaches the customer's Worker.
        #[test]
        fn the_worker_never_sees_what_is_for_the_platform(
            entries in prop::collection::vec("(platform)?[.]?(user|token)?[.]?[a-z.]{0,4}| ?chat ?", 0..6)
        ) {
            let header = entries.join(",");
            match ProtocolOffer::parse(&header) {
                Ok(Some(offer)) => {
                    let others = offer.others;
                    prop_assert!(!others.split(", ").any(|entry| entry.starts_with("platform.")), "{header}");
                }
                Ok(None) => prop_assert!(!entries.iter().any(|entry| entry.starts_with("platform."))),
                Err(problem) => prop_assert_eq!(problem.status(), 400),
            }
        }
    }
}
