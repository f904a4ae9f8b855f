//! The parameters of headers such as `Content-Type` and `Content-Disposition`.

/// An iterator over the parameters of a header's value (RFC 9110, 5.6.6): `; name=value` or `; name="value"`. In
/// quotation marks, a backslash escapes a quotation mark or a backslash.
pub struct Parameters<'a>(pub &'a str);

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a str, String);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // The text before the first semicolon is not a parameter.
            let (_, rest) = self.0.split_once(';')?;
            self.0 = rest;
            let end = rest.find([';', '=']).unwrap_or(rest.len());
            let Some(value) = rest[end..].strip_prefix('=') else { continue };
            let name = rest[..end].trim();
            let value = value.trim_start();
            if let Some(quoted) = value.strip_prefix('"') {
                let (text, rest) = unquote(quoted);
                self.0 = rest;
                return Some((name, text));
            }
            let end = value.find(';').unwrap_or(value.len());
            self.0 = &value[end..];
            return Some((name, value[..end].trim_end().to_owned()));
        }
    }
}

/// Returns the text up to the closing quotation mark, and the rest.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (text, &quoted[at + 1..]),
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => text.extend(characters.next().map(|(_, next)| next)),
            _ => text.push(character),
        }
    }
    (text, "")
}
