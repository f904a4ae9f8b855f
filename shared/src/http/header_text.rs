//! The text of headers that are stored.

/// The longest header that is stored with a file, in bytes. R2 stores all of a file's metadata in 8 KiB
/// (<https://developers.cloudflare.com/r2/platform/limits/>).
pub const MAX_HEADER_LEN: usize = 1024;

/// Whether a value is visible ASCII, spaces and tabs included, and at most [`MAX_HEADER_LEN`] bytes long.
pub fn is_visible(value: &str) -> bool {
    value.len() <= MAX_HEADER_LEN && value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}
