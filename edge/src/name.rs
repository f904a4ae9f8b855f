//! Constant texts, outside Wasm.

use std::cell::RefCell;
use std::thread::LocalKey;

use js_sys::{Array, JsString};

/// What was made of constants, by their address: a comparison of texts would cost more, and the same text elsewhere is only there
/// once more.
type Made<K, V> = LocalKey<RefCell<Vec<(*const K, V)>>>;

/// Calls something with a name as JavaScript has it. It is made once: to hand one over costs more than the look-up that it is
/// for.
pub fn with<T>(name: &'static str, call: impl FnOnce(&JsString) -> T) -> T {
    thread_local! {
        static NAMES: RefCell<Vec<(*const str, JsString)>> = const { RefCell::new(Vec::new()) };
    }
    with_made(&NAMES, name, || name.into(), call)
}

/// The same with a list of names.
pub fn with_all<T>(names: &'static [&'static str], call: impl FnOnce(&Array) -> T) -> T {
    thread_local! {
        static LISTS: RefCell<Vec<(*const [&'static str], Array)>> = const { RefCell::new(Vec::new()) };
    }
    with_made(&LISTS, names, || names.iter().map(|name| JsString::from(*name)).collect(), call)
}

fn with_made<K: ?Sized, V, T>(
    made: &'static Made<K, V>,
    key: &'static K,
    new: impl FnOnce() -> V,
    call: impl FnOnce(&V) -> T,
) -> T {
    made.with_borrow_mut(|made| {
        let known = made.iter().position(|(known, _)| std::ptr::eq(*known, key));
        let at = known.unwrap_or_else(|| {
            made.push((key, new()));
            made.len() - 1
        });
        call(&made[at].1)
    })
}
