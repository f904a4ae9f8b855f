//! Errors that know where in the file they are.

use std::ops::Range;

use anyhow::anyhow;

/// What is wrong, and where.
#[derive(Debug)]
pub struct Located {
    span: Range<usize>,
    message: String,
}

impl Located {
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    /// An error of TOML's. One that does not know where it is, is at `span`.
    pub fn of(error: &toml::de::Error, span: Range<usize>) -> Self {
        Self::new(error.span().unwrap_or(span), error.message())
    }

    /// The same, of something with a name.
    pub fn prefixed(self, name: &str) -> Self {
        Self { message: format!("{name}: {}", self.message), ..self }
    }

    /// The error with the line of the text that it is about.
    pub fn in_text(self, text: &str) -> anyhow::Error {
        let line = text[..self.span.start.min(text.len())].matches('\n').count() + 1;
        anyhow!("line {line}: {}", self.message)
    }
}
