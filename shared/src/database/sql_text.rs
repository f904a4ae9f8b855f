//! Removal of whitespace and comments after the last SQL statement. D1 treats everything after the last semicolon as
//! another statement, and rejects it if it is only whitespace or comments; SQLite's own tools ignore it.
//!
//! The text is split into SQLite's tokens (<https://www.sqlite.org/lang_comment.html>, `tokenize.c`), but only in as
//! much detail as is needed to find comments and the semicolons that end statements.

/// Returns the text up to and including the semicolon that ends its last statement, or the whole text if no semicolon
/// ends that statement. Returns `None` if the text has only whitespace, comments and semicolons.
pub fn executable(sql: &str) -> Option<&str> {
    let (mut rest, mut end, mut after_semicolon) = (sql, None, false);
    while let Some(first) = rest.chars().next() {
        let token = SqlToken::first(rest, first);
        rest = &rest[token.len..];
        match token.kind {
            SqlTokenKind::Ignored => {}
            SqlTokenKind::Semicolon => {
                if end.is_some() && !after_semicolon {
                    after_semicolon = true;
                    end = Some(sql.len() - rest.len());
                }
            }
            SqlTokenKind::Sql => {
                after_semicolon = false;
                end = Some(sql.len());
            }
        }
    }
    end.map(|end| &sql[..end])
}

struct SqlToken {
    kind: SqlTokenKind,
    /// In bytes, at least 1.
    len: usize,
}

#[derive(Clone, Copy)]
enum SqlTokenKind {
    /// Whitespace or a comment.
    Ignored,
    Semicolon,
    Sql,
}

impl SqlToken {
    /// Returns the first token of a text. `first` is the text's first character.
    fn first(text: &str, first: char) -> Self {
        // The length up to and including the first `end` at or after the byte `from`, or the whole length if there is
        // none.
        let until = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
        let (kind, len) = match first {
            ';' => (SqlTokenKind::Semicolon, 1),
            // To SQLite, a `/*` that ends the text is not a comment.
            '/' if text.len() > 2 && text.starts_with("/*") => (SqlTokenKind::Ignored, until("*/", 2)),
            '-' if text.starts_with("--") => (SqlTokenKind::Ignored, until("\n", 2)),
            // A doubled quotation mark does not end a string. Here, such a string is split into two tokens, the second
            // of which ends where the string ends.
            '\'' => (SqlTokenKind::Sql, until("'", 1)),
            '"' => (SqlTokenKind::Sql, until("\"", 1)),
            '`' => (SqlTokenKind::Sql, until("`", 1)),
            '[' => (SqlTokenKind::Sql, until("]", 1)),
            '?' => (SqlTokenKind::Sql, 1 + text[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - 1)),
            '$' | '@' | ':' | '#' => (SqlTokenKind::Sql, parameter_len(text)),
            _ if is_whitespace(first) => (SqlTokenKind::Ignored, first.len_utf8()),
            _ if is_word_character(first) => {
                (SqlTokenKind::Sql, text.find(|c| !is_word_character(c)).unwrap_or(text.len()))
            }
            _ => (SqlTokenKind::Sql, first.len_utf8()),
        };
        Self { kind, len }
    }
}

/// Returns whether a character is whitespace: one that SQLite skips, or other Unicode whitespace, which SQLite would
/// reject.
fn is_whitespace(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\0' | '\u{feff}')
}

/// Returns whether a character can be in a name, keyword or number.
fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

/// Returns the length in bytes of the named parameter at the start of a text. The name may have the syntax of a Tcl
/// variable, `$a::b(c)`, with anything but whitespace between the parentheses.
fn parameter_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at) {
            Some(byte) if is_word_character((*byte).into()) => at += 1,
            Some(b':') if bytes.get(at + 1) == Some(&b':') => at += 2,
            Some(b'(') if at > 1 => {
                let end = text[at..].find(|c: char| c == ')' || c.is_ascii_whitespace());
                return end.map_or(text.len(), |end| at + end + usize::from(bytes[at + end] == b')'));
            }
            _ => return at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whitespace_and_comments_after_the_last_statement_are_removed() {
        for (sql, expected) in [
            ("SELECT 1", "SELECT 1"),
            ("SELECT 1;", "SELECT 1;"),
            ("SELECT 1;;", "SELECT 1;"),
            ("SELECT 1 ; \n;\t; ", "SELECT 1 ;"),
            ("SELECT 1; -- done", "SELECT 1;"),
            ("SELECT 1;-- a\n/* b */--\n", "SELECT 1;"),
            ("SELECT 1; /* x */", "SELECT 1;"),
            ("SELECT 1; /* x", "SELECT 1;"),
            ("SELECT 1; /*/ x", "SELECT 1;"),
            ("SELECT 1;\u{feff}\u{a0}", "SELECT 1;"),
            // SQLite itself skips these comments and semicolons.
            ("SELECT 1 -- done", "SELECT 1 -- done"),
            ("-- a\n;/* b */; SELECT 1", "-- a\n;/* b */; SELECT 1"),
            ("SELECT 1;; SELECT 2;;", "SELECT 1;; SELECT 2;"),
            // The text ends with another statement, or with something that SQLite does not ignore.
            ("SELECT 1; SELECT 2", "SELECT 1; SELECT 2"),
            ("SELECT 1; -- a\nSELECT 2", "SELECT 1; -- a\nSELECT 2"),
            ("SELECT 1; /* a */ SELECT 2", "SELECT 1; /* a */ SELECT 2"),
            ("SELECT 1; /*", "SELECT 1; /*"),
            ("SELECT 1; /", "SELECT 1; /"),
            ("SELECT 1; -", "SELECT 1; -"),
            ("SELECT 1; *//**/", "SELECT 1; *//**/"),
            // Semicolons and comment marks in a string, a name or a parameter do not count.
            ("SELECT ';--'", "SELECT ';--'"),
            ("SELECT 'it''s; --'; --", "SELECT 'it''s; --';"),
            ("SELECT '\\'; --'", "SELECT '\\';"),
            ("SELECT \";--\"", "SELECT \";--\""),
            ("SELECT \"a\"\";/*\";;", "SELECT \"a\"\";/*\";"),
            ("SELECT `;--`", "SELECT `;--`"),
            ("SELECT [;--]", "SELECT [;--]"),
            ("SELECT [a''b];--", "SELECT [a''b];"),
            ("SELECT x';--'", "SELECT x';--'"),
            ("SELECT 1 /* ; -- */", "SELECT 1 /* ; -- */"),
            ("SELECT -- ;\n1", "SELECT -- ;\n1"),
            ("SELECT $a(;--)", "SELECT $a(;--)"),
            ("SELECT $a::b(;/*);--", "SELECT $a::b(;/*);"),
            ("SELECT @a;--", "SELECT @a;"),
            ("SELECT ?;--", "SELECT ?;"),
            ("SELECT ?1;--", "SELECT ?1;"),
            ("SELECT ?1$a(;--", "SELECT ?1$a(;--"),
            ("SELECT a$(1);--)", "SELECT a$(1);"),
            ("SELECT 1--2;", "SELECT 1--2;"),
            ("SELECT a->>'$.b';-- c", "SELECT a->>'$.b';"),
            // A string or name without its closing mark goes up to the end.
            ("SELECT 'a; --", "SELECT 'a; --"),
            ("SELECT [a; --", "SELECT [a; --"),
            // A trigger contains semicolons. The one after its END is the last.
            (
                "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END; -- t",
                "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END;",
            ),
        ] {
            assert_eq!(executable(sql), Some(expected), "{sql}");
        }
    }

    #[test]
    fn a_text_of_whitespace_comments_and_semicolons_has_no_sql() {
        for sql in
            ["", " ", "\t\r\n\u{b}\u{c}", ";", " ; ;", "-- a", "--", "/* a", "/**/;--\n;/* ' */", "\u{a0}", "\u{feff};"]
        {
            assert_eq!(executable(sql), None, "{sql:?}");
        }
    }

    proptest! {
        /// The statement consists of complete tokens, and is followed by text without SQL.
        #[test]
        fn a_statement_is_unchanged_and_what_follows_it_is_removed(
            tokens in prop::collection::vec(
                "SELECT|é1|\\+|'([;/*\"-]|''){0,5}'|\"([;/*'-]|\"\"){0,5}\"|`[;/*'-]{0,5}`|\\[[;/*'-]{0,5}\\]|\\$a\\([;/*'-]{0,5}\\)",
                1..6,
            ),
            between in "( |\n|/\\*[^*/]{0,5}\\*/|--[^\n]{0,5}\n){1,3}",
            after in "(;| |\n|\u{a0}|/\\*[^*/]{0,5}\\*/|--[^\n]{0,5}\n){0,5}(--[^\n]{0,5}|/\\*[^*/]{1,5})?",
        ) {
            let statement = tokens.join(&between);
            let (expected, with_rest) = (format!("{statement};"), format!("{statement};{after}"));
            prop_assert_eq!(executable(&with_rest), Some(&*expected));
            let with_prefix = format!(";{between}{statement}");
            prop_assert_eq!(executable(&with_prefix), Some(&*with_prefix));
            prop_assert_eq!(executable(&after), None);
        }

        /// Only an end without SQL is removed from a text.
        #[test]
        fn the_removed_end_has_no_sql(sql in "([;/*'\"`\\[\\]$@:(a1 \n-]|\u{a0}){0,30}|.{0,30}") {
            let result = executable(&sql).unwrap_or_default();
            let rest = sql.strip_prefix(result).expect("the beginning");
            prop_assert_eq!(executable(rest), None);
            prop_assert!(rest.is_empty() || result.is_empty() || result.ends_with(';'));
            prop_assert_eq!(executable(result).unwrap_or_default(), result);
        }
    }
}
