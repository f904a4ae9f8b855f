//! Values, which customers keep in KV: keys, listings, and what is set.

mod key;
mod page;
mod reply;
mod set;

pub use key::DataKey;
pub use page::DataPage;
pub use reply::{DataList, DataStored, ListedKey};
pub use set::{Expiry, SetData};
