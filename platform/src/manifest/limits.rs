//! The limits that Cloudflare documents for scripts.

/// How many tags a script may have, the one that says whose it is among them
/// (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/platform/limits/#tags>).
pub const MAX_TAGS: usize = 8;

/// How many variables and secrets a script may have together
/// (<https://developers.cloudflare.com/workers/platform/limits/#environment-variables>).
pub const MAX_VARIABLES: usize = 128;

/// How long each of them may be, in bytes.
pub const MAX_VARIABLE_LEN: usize = 5 << 10;

/// Members of every object in JavaScript, which a script could not tell from its bindings.
pub const RESERVED_NAMES: [&str; 8] = [
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];
