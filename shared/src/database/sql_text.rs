//! Where the SQL of a text ends. D1 takes what follows the last statement for one more, and refuses it if it is only blanks
//! or comments; SQLite's own tools ignore it.
//!
//! The tokens are SQLite's (<https://www.sqlite.org/lang_comment.html>, `tokenize.c`), as far as they say where a comment
//! begins and which semicolon ends a statement.

/// The text without what follows the semicolon of its last statement; nothing else is changed. `None` if there is no SQL in
/// it: only blanks, comments and semicolons.
pub fn executable(sql: &str) -> Option<&str> {
    let (mut rest, mut end, mut after_semicolon) = (sql, None, false);
    while let Some(first) = rest.chars().next() {
        let token = Token::of(rest, first);
        rest = &rest[token.len..];
        match token.kind {
            Kind::Nothing => {}
            Kind::Semicolon => {
                if end.is_some() && !after_semicolon {
                    after_semicolon = true;
                    end = Some(sql.len() - rest.len());
                }
            }
            Kind::Sql => {
                after_semicolon = false;
                end = Some(sql.len());
            }
        }
    }
    end.map(|end| &sql[..end])
}

struct Token {
    kind: Kind,
    /// In bytes, at least 1.
    len: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Blanks, or a comment.
    Nothing,
    Semicolon,
    Sql,
}

impl Token {
    /// The token that a text begins with.
    fn of(text: &str, first: char) -> Self {
        // Up to and with an end that is looked for from a byte on; to the end of the text if there is none.
        let until = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
        let (kind, len) = match first {
            ';' => (Kind::Semicolon, 1),
            // At the very end of a text `/*` is no comment.
            '/' if text.len() > 2 && text.starts_with("/*") => (Kind::Nothing, until("*/", 2)),
            '-' if text.starts_with("--") => (Kind::Nothing, until("\n", 2)),
            // A quotation mark that is doubled is one in the text: two texts side by side end where it does.
            '\'' => (Kind::Sql, until("'", 1)),
            '"' => (Kind::Sql, until("\"", 1)),
            '`' => (Kind::Sql, until("`", 1)),
            '[' => (Kind::Sql, until("]", 1)),
            '?' => (Kind::Sql, text[1..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |digits| 1 + digits)),
            '$' | '@' | ':' | '#' => (Kind::Sql, variable(text)),
            _ if is_blank(first) => (Kind::Nothing, first.len_utf8()),
            _ if in_word(first) => (Kind::Sql, text.find(|c| !in_word(c)).unwrap_or(text.len())),
            _ => (Kind::Sql, first.len_utf8()),
        };
        Self { kind, len }
    }
}

/// What SQLite skips, and the blanks of other alphabets, which it would refuse.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\0' | '\u{feff}')
}

/// What names, keywords and numbers are made of.
fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

/// The length of a parameter's name, which may have what Tcl's variables have: `$a::b(c)`, where anything but a blank may
/// stand between the parentheses.
fn variable(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at) {
            Some(byte) if in_word((*byte).into()) => at += 1,
            Some(b':') if bytes.get(at + 1) == Some(&b':') => at += 2,
            Some(b'(') if at > 1 => {
                let inside = text[at..].find(|c: char| c == ')' || c.is_ascii_whitespace());
                return inside.map_or(text.len(), |end| at + end + usize::from(bytes[at + end] == b')'));
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
    fn what_follows_the_last_statement_is_left_out() {
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
            // SQLite skips these itself.
            ("SELECT 1 -- done", "SELECT 1 -- done"),
            ("-- a\n;/* b */; SELECT 1", "-- a\n;/* b */; SELECT 1"),
            ("SELECT 1;; SELECT 2;;", "SELECT 1;; SELECT 2;"),
            // All of it is SQL, or none that SQLite would ignore.
            ("SELECT 1; SELECT 2", "SELECT 1; SELECT 2"),
            ("SELECT 1; -- a\nSELECT 2", "SELECT 1; -- a\nSELECT 2"),
            ("SELECT 1; /* a */ SELECT 2", "SELECT 1; /* a */ SELECT 2"),
            ("SELECT 1; /*", "SELECT 1; /*"),
            ("SELECT 1; /", "SELECT 1; /"),
            ("SELECT 1; -", "SELECT 1; -"),
            ("SELECT 1; *//**/", "SELECT 1; *//**/"),
            // What looks like a comment or an end stands in a text, a name or a parameter.
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
            // A text without an end has none.
            ("SELECT 'a; --", "SELECT 'a; --"),
            ("SELECT [a; --", "SELECT [a; --"),
            // The semicolon before END ends nothing that the caller could send by itself.
            (
                "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END; -- t",
                "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END;",
            ),
        ] {
            assert_eq!(executable(sql), Some(expected), "{sql}");
        }
    }

    #[test]
    fn some_texts_have_no_sql() {
        for sql in
            ["", " ", "\t\r\n\u{b}\u{c}", ";", " ; ;", "-- a", "--", "/* a", "/**/;--\n;/* ' */", "\u{a0}", "\u{feff};"]
        {
            assert_eq!(executable(sql), None, "{sql:?}");
        }
    }

    proptest! {
        /// A statement that is made of tokens whose ends are known, and after it what is no SQL.
        #[test]
        fn a_statement_is_kept_whole_and_nothing_after_it(
            tokens in prop::collection::vec(
                "SELECT|é1|\\+|'([;/*\"-]|''){0,5}'|\"([;/*'-]|\"\"){0,5}\"|`[;/*'-]{0,5}`|\\[[;/*'-]{0,5}\\]|\\$a\\([;/*'-]{0,5}\\)",
                1..6,
            ),
            between in "( |\n|/\\*[^*/]{0,5}\\*/|--[^\n]{0,5}\n){1,3}",
            after in "(;| |\n|\u{a0}|/\\*[^*/]{0,5}\\*/|--[^\n]{0,5}\n){0,5}(--[^\n]{0,5}|/\\*[^*/]{1,5})?",
        ) {
            let statement = tokens.join(&between);
            let (ended, followed) = (format!("{statement};"), format!("{statement};{after}"));
            prop_assert_eq!(executable(&followed), Some(&*ended));
            let led = format!(";{between}{statement}");
            prop_assert_eq!(executable(&led), Some(&*led));
            prop_assert_eq!(executable(&after), None);
        }

        /// Whatever the text, only its end goes, and in that there is no SQL.
        #[test]
        fn what_is_left_out_has_no_sql(sql in "([;/*'\"`\\[\\]$@:(a1 \n-]|\u{a0}){0,30}|.{0,30}") {
            let kept = executable(&sql).unwrap_or_default();
            let rest = sql.strip_prefix(kept).expect("the beginning");
            prop_assert_eq!(executable(rest), None);
            prop_assert!(rest.is_empty() || kept.is_empty() || kept.ends_with(';'));
            prop_assert_eq!(executable(kept).unwrap_or_default(), kept);
        }
    }
}
