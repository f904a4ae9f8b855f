//! The sender of a request.

/// How the sender of a request was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// By a proxy in front of the dispatcher. `Authorization` is meant for the customer's Worker and is forwarded.
    Trusted,
    /// By a token in `Authorization`. The customer's Worker must not see the token.
    TokenHolder,
}
