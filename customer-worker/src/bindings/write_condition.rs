//! The preconditions of a write. R2 checks them and writes in one atomic step.

use js_sys::Date;
use shared::http::{EntityTags, HttpDate, Preconditions, Problem};
use wasm_bindgen::JsValue;

/// The preconditions of a write, in the form that R2 takes.
#[derive(Debug, Default, PartialEq)]
pub struct WriteCondition {
    headers: Vec<(&'static str, String)>,
    unmodified_since: Option<HttpDate>,
}

impl WriteCondition {
    /// Converts a request's preconditions. `If-Modified-Since` is ignored for a write (RFC 9110, 13.1.3).
    pub fn new(conditions: &Preconditions) -> Result<Self, Problem> {
        let mut condition = Self::default();
        for (name, tags) in [("If-Match", &conditions.if_match), ("If-None-Match", &conditions.if_none_match)] {
            match tags {
                None => {}
                Some(tags) if tags.is_empty() => {
                    return Err(Problem::invalid_parameter(&format!("{name} must be * or a list of etags")));
                }
                Some(EntityTags::Any) => condition.headers.push((name, "*".to_owned())),
                Some(EntityTags::OneOf(tags)) => {
                    let tags = tags.iter().filter(|(weak, tag)| is_r2_etag(tag) && !(*weak && name == "If-Match"));
                    let tags: Vec<String> = tags.map(|(_, tag)| format!("\"{tag}\"")).collect();
                    match (name, tags.is_empty()) {
                        ("If-Match", true) => return Err(Problem::precondition_failed()),
                        // No version of a file has any of these etags, so the condition holds.
                        (_, true) => {}
                        (_, false) => condition.headers.push((name, tags.join(", "))),
                    }
                }
            }
        }
        if conditions.if_match.is_none() {
            condition.unmodified_since = conditions.if_unmodified_since;
        }
        if condition.unmodified_since.is_some() && !condition.headers.is_empty() {
            return Err(Problem::invalid_parameter("If-None-Match and If-Unmodified-Since cannot be used together"));
        }
        Ok(condition)
    }

    /// Returns R2's option `onlyIf`. Etags are passed as headers, because the option's other form accepts neither `*`
    /// nor several etags.
    pub fn to_only_if(&self) -> JsValue {
        if let Some(date) = self.unmodified_since {
            // `uploadedBefore` is exclusive, in milliseconds. The header is inclusive, in whole seconds.
            let before = Date::new(&edge::number(date.min(HttpDate::LATEST).milliseconds() + 1000).into());
            return edge::object(&[("uploadedBefore", before.into())]).into();
        }
        if self.headers.is_empty() {
            return JsValue::UNDEFINED;
        }
        edge::headers(self.headers.iter().map(|(name, value)| (*name, &**value))).into()
    }
}

/// Returns whether `tag` has the form of R2's etags: ASCII letters, digits and hyphens. Other tags are never sent to
/// R2, which refuses a header that it cannot parse, and treats `*` as any version.
pub fn is_r2_etag(tag: &str) -> bool {
    !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(headers: &[(&str, &str)]) -> Result<Vec<(&'static str, String)>, &'static str> {
        let header =
            |name: &str| headers.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        let condition = WriteCondition::new(&Preconditions::read(header));
        condition.map(|condition| condition.headers).map_err(|problem| problem.code().name())
    }

    #[test]
    fn only_etags_that_r2_can_parse_are_sent() {
        for (headers, expected) in [
            (&[][..], &[][..]),
            (&[("If-Match", "*")], &[("If-Match", "*")]),
            (&[("If-Match", "\"a\", W/\"b\", c")], &[("If-Match", "\"a\", \"c\"")]),
            (&[("If-None-Match", "W/\"a\", \"b?\"")], &[("If-None-Match", "\"a\"")]),
            // No version of a file has such an etag.
            (&[("If-None-Match", "\"?\"")], &[]),
            (&[("If-None-Match", "\"*\"")], &[]),
            (&[("If-None-Match", "\"x,a\"")], &[]),
            (&[("If-Match", "\"x,a\", \"b\"")], &[("If-Match", "\"b\"")]),
            (&[("If-Modified-Since", "Sat, 21 Nov 2026 20:00:00 GMT")], &[]),
        ] {
            let converted = condition(headers).expect("valid");
            let converted: Vec<_> = converted.iter().map(|(name, value)| (*name, &**value)).collect();
            assert_eq!(converted, expected, "{headers:?}");
        }
    }

    #[test]
    fn conditions_that_cannot_hold_or_be_combined_are_refused() {
        let date = ("If-Unmodified-Since", "Sat, 21 Nov 2026 20:00:00 GMT");
        for (headers, code) in [
            (&[("If-Match", "")][..], "invalid_parameter"),
            (&[("If-None-Match", ",")], "invalid_parameter"),
            (&[("If-Match", "\"?\"")], "precondition_failed"),
            (&[("If-Match", "\"a,b\"")], "precondition_failed"),
            (&[("If-Match", "\"*\"")], "precondition_failed"),
            (&[("If-Match", "W/\"a\"")], "precondition_failed"),
            (&[("If-None-Match", "\"a\""), date], "invalid_parameter"),
        ] {
            assert_eq!(condition(headers).expect_err("refused"), code, "{headers:?}");
        }
        // `If-Unmodified-Since` is ignored if there is an `If-Match` (RFC 9110, 13.1.4).
        assert_eq!(condition(&[("If-Match", "\"a\""), date]).expect("valid"), [("If-Match", "\"a\"".to_owned())]);
    }
}
