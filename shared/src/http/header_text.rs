//! Limits of headers that are stored with a file.

/// The maximum length of a header that is stored with a file, in bytes. In R2, all of a file's metadata together may
/// have 8 KiB (<https://developers.cloudflare.com/r2/platform/limits/>).
pub const MAX_HEADER_LEN: usize = 1024;

/// Returns whether a value is at most [`MAX_HEADER_LEN`] bytes of visible ASCII, spaces and tabs.
pub fn is_visible(value: &str) -> bool {
    value.len() <= MAX_HEADER_LEN && value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}
