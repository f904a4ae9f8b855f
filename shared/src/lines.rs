//! Several texts in one: to hand one to Wasm costs about the same, whatever it holds.

/// The texts that JavaScript put together in lines: for each that is there, its number (0 to 9), a colon, itself, and a line feed,
/// which it has none of.
#[must_use]
pub fn lines<const N: usize>(text: &str) -> [Option<&str>; N] {
    let mut values = [None; N];
    let mut rest = text;
    while let Some(end) = rest.bytes().position(|byte| byte == b'\n') {
        let (number, value) = (rest.as_bytes()[0].wrapping_sub(b'0'), rest.get(2..end));
        if let Some(place) = values.get_mut(usize::from(number)) {
            *place = value;
        }
        rest = &rest[end + 1..];
    }
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_together_comes_apart(values in prop::array::uniform4(prop::option::of("[^\n]{0,20}"))) {
            let there = values.iter().zip('0'..).filter_map(|(value, number)| Some((number, value.as_ref()?)));
            let text = there.fold(String::new(), |text, (number, value)| text + &format!("{number}:{value}\n"));
            prop_assert_eq!(lines(&text), values.each_ref().map(Option::as_deref));
        }

        #[test]
        fn any_text_is_taken(text in "([0-4]:|.|\n){0,40}") {
            let _: [_; 3] = lines(&text);
        }
    }
}
