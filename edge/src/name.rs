//! Constant texts, outside Wasm. They are made once: to hand one over costs more than most of what it is for.

use std::cell::RefCell;
use std::thread::LocalKey;

use js_sys::{Array, JsString};

/// What was made of constants, by their address: a comparison of texts would cost more, and the same text elsewhere is only there
/// once more.
type Made<K, V> = LocalKey<RefCell<Vec<(*const K, &'static V)>>>;

/// A text as JavaScript has it.
#[must_use]
pub fn of(name: &'static str) -> &'static JsString {
    thread_local! {
        static NAMES: RefCell<Vec<(*const str, &'static JsString)>> = const { RefCell::new(Vec::new()) };
    }
    once(&NAMES, name, || name.into())
}

/// Several texts in an array.
#[must_use]
pub fn all(names: &'static [&'static str]) -> &'static Array {
    thread_local! {
        static LISTS: RefCell<Vec<(*const [&'static str], &'static Array)>> = const { RefCell::new(Vec::new()) };
    }
    once(&LISTS, names, || names.iter().map(|name| JsString::from(*name)).collect())
}

fn once<K: ?Sized, V>(made: &'static Made<K, V>, constant: &'static K, new: impl FnOnce() -> V) -> &'static V {
    made.with_borrow_mut(|made| {
        if let Some((_, value)) = made.iter().find(|(known, _)| std::ptr::eq(*known, constant)) {
            return *value;
        }
        let value: &V = Box::leak(Box::new(new()));
        made.push((constant, value));
        value
    })
}
