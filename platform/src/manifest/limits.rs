//! The limits that Cloudflare documents for scripts.

/// The maximum number of tags of a script, including the tag that marks the owner of its code
/// (<https://developers.cloudflare.com/cloudflare-for-platforms/workers-for-platforms/platform/limits/#tags>).
pub const MAX_TAGS: usize = 8;

/// The maximum total number of variables and secrets of a script
/// (<https://developers.cloudflare.com/workers/platform/limits/#environment-variables>).
pub const MAX_VARIABLES: usize = 128;

/// The maximum length of a variable or secret in bytes.
pub const MAX_VARIABLE_LEN: usize = 5 << 10;

/// The names of members that every JavaScript object has. A script could not tell them from bindings.
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
