//! The contents that may be stored under a key, and how replies narrow them down.

use std::collections::BTreeMap;
use std::fmt;

use super::content::GeneratedContent;
use crate::Reply;

/// The contents that may be stored under one key; `None` stands for no content. The first is the content that was
/// acknowledged last. The others were sent later and not acknowledged. There is exactly one if nothing is in doubt.
pub(super) type PossibleContents = Vec<Option<GeneratedContent>>;

/// Returns what may be stored under a key. A key that was never written has no content.
pub(super) fn possible_contents(ledger: &BTreeMap<String, PossibleContents>, key: &str) -> PossibleContents {
    ledger.get(key).cloned().unwrap_or_else(|| vec![None])
}

/// Returns the keys that have content. Panics if one is in doubt.
pub(super) fn settled_entries<K: fmt::Debug>(
    ledger: &BTreeMap<K, PossibleContents>,
) -> impl Iterator<Item = (&K, GeneratedContent)> {
    ledger.iter().filter_map(|(key, possible)| match possible[..] {
        [only] => Some((key, only?)),
        _ => panic!("{key:?} is in doubt: {possible:?}"),
    })
}

/// Checks the reply to a read of a key: a 404, or a 200 for which `has_content` holds with one of the possible
/// contents.
pub(super) fn check_reply(
    ledger: &mut BTreeMap<String, PossibleContents>,
    key: &str,
    reply: &Reply,
    read_settles: bool,
    has_content: impl Fn(&GeneratedContent) -> bool,
) {
    let possible = possible_contents(ledger, key);
    let index = possible.iter().rposition(|content| match (reply.status.as_u16(), content) {
        (404, None) => true,
        (200, Some(content)) => has_content(content),
        _ => false,
    });
    let index = index.unwrap_or_else(|| panic!("{key}: none of {possible:?}, but {reply}"));
    settle(read_settles, ledger.get_mut(key), index);
}

/// Keeps only the possible content that was read, unless a write in progress may still change it.
pub(super) fn settle(read_settles: bool, possible: Option<&mut PossibleContents>, index: usize) {
    if read_settles && let Some(possible) = possible {
        *possible = vec![possible[index]];
    }
}
