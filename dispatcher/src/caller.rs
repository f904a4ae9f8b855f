//! Who is asking.

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever something in front of the dispatcher let in. `Authorization` is between client and customer.
    Trusted,
    /// The holder of one of the platform's tokens, which nobody else may see.
    TokenHolder,
}
