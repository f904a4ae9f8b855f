//! Generated content, which can be recognized when it is read.

use crate::noise;

/// Content generated from a seed and a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GeneratedContent {
    pub seed: u64,
    pub length: usize,
}

impl GeneratedContent {
    /// Returns the content as a file.
    pub fn bytes(self) -> Vec<u8> {
        noise(self.length, self.seed)
    }

    /// Returns a media type that contains the seed, so that it identifies the content, too.
    pub fn content_type(self) -> String {
        format!("application/x-{}", self.seed)
    }

    /// Returns the content as JSON text that `JSON.parse` and `JSON.stringify` would change.
    pub fn json(self) -> String {
        let padding = "é ".repeat(self.length / 3);
        format!("{{\"seed\": {}.10, \"length\":{},\"padding\":\"{padding}\"}}", self.seed, self.length)
    }
}
