//! Constant texts, outside Wasm.

use std::cell::RefCell;

use js_sys::JsString;

/// Calls something with a name as JavaScript has it. It is made once: to hand one over costs more than the look-up that it is
/// for.
pub fn with<T>(name: &'static str, call: impl FnOnce(&JsString) -> T) -> T {
    thread_local! {
        /// By address: a comparison of texts would cost more, and the same text elsewhere is only there once more.
        static NAMES: RefCell<Vec<(*const str, JsString)>> = const { RefCell::new(Vec::new()) };
    }
    NAMES.with_borrow_mut(|names| {
        let known = names.iter().position(|(known, _)| std::ptr::eq(*known, name));
        let at = known.unwrap_or_else(|| {
            names.push((name, name.into()));
            names.len() - 1
        });
        call(&names[at].1)
    })
}
