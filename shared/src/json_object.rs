//! Writing JSON objects of a few members: log lines, problems, short replies.
//!
//! `serde_json` writes a member in eight pieces, each of which is a call, and is a kilobyte of the dispatcher; here there are three.

/// An object that is being written.
#[derive(Debug)]
pub struct JsonObject {
    text: String,
}

impl JsonObject {
    /// An object without members.
    #[must_use]
    pub fn begin() -> Self {
        let mut text = String::with_capacity(256);
        text.push('{');
        Self { text }
    }

    /// Adds a text. The name is one that needs no escaping, here and in the other methods.
    pub fn text(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.name(name);
        self.text.push('"');
        if value.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            self.escaped(value);
        } else {
            self.text.push_str(value);
        }
        self.text.push('"');
        self
    }

    /// Adds a text, if there is one.
    pub fn optional_text(&mut self, name: &'static str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// Adds a number.
    pub fn number(&mut self, name: &'static str, value: u64) -> &mut Self {
        const MAX_DIGITS: usize = 20;

        self.name(name);
        let (mut digits, mut start, mut rest) = ([b'0'; MAX_DIGITS], MAX_DIGITS, value);
        while start == MAX_DIGITS || rest > 0 {
            start -= 1;
            let digit = (rest % 10) as u8;
            digits[start] = b'0' + digit;
            rest /= 10;
        }
        self.text.extend(digits[start..].iter().map(|digit| char::from(*digit)));
        self
    }

    /// Adds a number, if there is one.
    pub fn optional_number(&mut self, name: &'static str, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }

    /// Adds a value that is JSON already.
    pub fn json(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.name(name);
        self.text.push_str(value);
        self
    }

    /// The object.
    #[must_use]
    pub fn end(&mut self) -> String {
        self.text.push('}');
        std::mem::take(&mut self.text)
    }

    fn name(&mut self, name: &'static str) {
        self.text.push_str(if self.text.len() > 1 { ",\"" } else { "\"" });
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    /// RFC 8259, section 7.
    #[cold]
    fn escaped(&mut self, value: &str) {
        for letter in value.chars() {
            match letter {
                '"' | '\\' => self.text.extend(['\\', letter]),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\0'..' ' => {
                    let hex = |digit: u32| char::from_digit(digit, 16).unwrap_or_default();
                    self.text.push_str("\\u00");
                    self.text.extend([hex(letter as u32 >> 4), hex(letter as u32 & 15)]);
                }
                _ => self.text.push(letter),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).expect(text)
    }

    #[test]
    fn members_come_in_order_and_absent_ones_not_at_all() {
        let mut object = JsonObject::begin();
        object.text("a", "b").optional_text("c", None).optional_text("d", Some("")).number("e", 0);
        object.optional_number("f", None).optional_number("g", Some(120)).json("h", "null");
        assert_eq!(object.end(), r#"{"a":"b","d":"","e":0,"g":120,"h":null}"#);
        assert_eq!(JsonObject::begin().end(), "{}");
    }

    #[test]
    fn what_must_be_escaped_is() {
        let every: String = ('\0'..='\u{ff}').collect();
        assert_eq!(parsed(&JsonObject::begin().text("all", &every).end()), json!({"all": every}));
    }

    proptest! {
        #[test]
        fn any_text_and_number_come_back(text in any::<String>(), number: u64) {
            let written = JsonObject::begin().text("text", &text).number("number", number).end();
            prop_assert_eq!(parsed(&written), json!({"text": text, "number": number}));
        }
    }
}
