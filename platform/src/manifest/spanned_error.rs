//! Errors with a position in the file.

use std::ops::Range;

use anyhow::anyhow;

/// An error message and the range of the text that it is about.
#[derive(Debug)]
pub struct SpannedError {
    span: Range<usize>,
    message: String,
}

impl SpannedError {
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    /// Converts a TOML error. `default_span` is used if the error has no span.
    pub fn from_toml(error: &toml::de::Error, default_span: Range<usize>) -> Self {
        Self::new(error.span().unwrap_or(default_span), error.message())
    }

    /// Prefixes the message with a name.
    pub fn prefixed(self, name: &str) -> Self {
        Self { message: format!("{name}: {}", self.message), ..self }
    }

    /// Converts the error to one whose message begins with the line number.
    pub fn in_text(self, text: &str) -> anyhow::Error {
        let line = text[..self.span.start.min(text.len())].matches('\n').count() + 1;
        anyhow!("line {line}: {}", self.message)
    }
}
