//! Splits SQL into statements in the same way as SQLite: <https://www.sqlite.org/c3ref/complete.html>.

/// Returns the statements without the semicolons that end them. Statements that consist only of spaces and comments are
/// left out.
pub fn statements(sql: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut place = Place::Start;
    while let Some((token, len)) = next_token(&sql.as_bytes()[at..]) {
        if token == Token::Semicolon && place.ends_with_semicolon() {
            statements.extend((place != Place::Start).then(|| sql[start..at].trim()));
            place = Place::Start;
            start = at + len;
        } else {
            place = place.after(token);
        }
        at += len;
    }
    statements.extend((place != Place::Start).then(|| sql[start..].trim()));
    statements
}

/// A position in a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first token.
    Start,
    /// After `EXPLAIN` and the keywords that may follow it.
    Explain,
    /// After `CREATE` and the keywords that may follow it.
    Create,
    /// In a statement that ends with the next semicolon.
    Plain,
    /// In a trigger, which contains statements with semicolons of their own.
    Trigger,
    /// After a semicolon in a trigger.
    TriggerSemicolon,
    /// After an `END` that follows a semicolon in a trigger. The next semicolon ends the trigger.
    TriggerEnd,
}

impl Place {
    fn ends_with_semicolon(self) -> bool {
        !matches!(self, Self::Trigger | Self::TriggerSemicolon)
    }

    fn after(self, token: Token<'_>) -> Self {
        let word = |wanted: &str| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(wanted.as_bytes()));
        match self {
            _ if token == Token::Nothing => self,
            Self::Start if word("explain") => Self::Explain,
            Self::Start | Self::Explain if word("create") => Self::Create,
            Self::Explain if word("query") || word("plan") => Self::Explain,
            Self::Create if word("temp") || word("temporary") => Self::Create,
            Self::Create if word("trigger") => Self::Trigger,
            Self::Start | Self::Explain | Self::Create | Self::Plain => Self::Plain,
            Self::TriggerSemicolon if word("end") => Self::TriggerEnd,
            Self::Trigger | Self::TriggerSemicolon if token == Token::Semicolon => Self::TriggerSemicolon,
            Self::Trigger | Self::TriggerSemicolon | Self::TriggerEnd => Self::Trigger,
        }
    }
}

/// A token of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'s> {
    /// A space or a comment.
    Nothing,
    Semicolon,
    /// A keyword or a name.
    Word(&'s [u8]),
    /// A string, a quoted name or another character.
    Other,
}

/// Returns the first token of a text and its length.
fn next_token(text: &[u8]) -> Option<(Token<'_>, usize)> {
    let until = |end: &[u8]| {
        let found = text.get(end.len()..).and_then(|rest| rest.windows(end.len()).position(|window| window == end));
        found.map_or(text.len(), |at| at + 2 * end.len())
    };
    let closed_by = |end: u8| text[1..].iter().position(|byte| *byte == end).map_or(text.len(), |at| at + 2);
    Some(match *text.first()? {
        b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => (Token::Nothing, 1),
        b'-' if text.starts_with(b"--") => (Token::Nothing, closed_by(b'\n')),
        b'/' if text.starts_with(b"/*") => (Token::Nothing, until(b"*/")),
        b';' => (Token::Semicolon, 1),
        // A doubled quote in a string counts as the end of one string and the start of the next.
        quote @ (b'\'' | b'"' | b'`') => (Token::Other, closed_by(quote)),
        b'[' => (Token::Other, closed_by(b']')),
        _ => {
            let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'$' || *byte >= 0x80;
            match text.iter().take_while(|byte| inner(byte)).count() {
                0 => (Token::Other, 1),
                len => (Token::Word(&text[..len]), len),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statements_are_split_as_sqlite_splits_them() {
        let trigger = "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT CASE 1 WHEN 1 THEN 2 END; END";
        for (sql, expected) in [
            ("", &[][..]),
            (";", &[]),
            (" -- SELECT 1;\n /* ; */ ;; ", &[]),
            ("SELECT 1", &["SELECT 1"]),
            ("SELECT 1 a; SELECT 2 b", &["SELECT 1 a", "SELECT 2 b"]),
            ("SELECT 1;;SELECT 2; -- done", &["SELECT 1", "SELECT 2"]),
            ("SELECT ';', \";\", `;`, [;]; SELECT 'it''s;'", &["SELECT ';', \";\", `;`, [;]", "SELECT 'it''s;'"]),
            ("SELECT 1 -- ; a\n; SELECT /* ; */ 2", &["SELECT 1 -- ; a", "SELECT /* ; */ 2"]),
            ("SELECT 1 /*/ ; */; SELECT 2", &["SELECT 1 /*/ ; */", "SELECT 2"]),
            ("SELECT '; SELECT 2", &["SELECT '; SELECT 2"]),
            ("SELECT 1; /* SELECT 2", &["SELECT 1"]),
            ("BEGIN; COMMIT; END; SELECT 1", &["BEGIN", "COMMIT", "END", "SELECT 1"]),
            ("create table trigger_a (a); SELECT 2", &["create table trigger_a (a)", "SELECT 2"]),
            ("EXPLAIN QUERY PLAN SELECT 1; SELECT 2", &["EXPLAIN QUERY PLAN SELECT 1", "SELECT 2"]),
            ("SELECT 'é' AS ü; SELECT 2", &["SELECT 'é' AS ü", "SELECT 2"]),
            (&format!("{trigger}; SELECT 2;"), &[trigger, "SELECT 2"]),
            (&format!("explain {trigger};"), &[&format!("explain {trigger}")]),
        ] {
            assert_eq!(statements(sql), expected, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn joined_statements_are_the_original(sql in "([;'\"\\[\\]/* \n-]|SELECT|create|trigger|end|é){0,30}") {
            let once: Vec<&str> = statements(&sql);
            let joined = once.join("\n;");
            prop_assert_eq!(statements(&joined), once.clone());
            prop_assert!(once.iter().all(|statement| !statement.is_empty()));
        }
    }
}
