//! Customers' values, which KV stores: keys, listings, and the bodies of requests and replies.

mod key;
mod page;
mod reply;
mod set;

pub use key::DataKey;
pub use page::DataPage;
pub use reply::{DataList, DataStored, ListedKey};
pub use set::{Expiry, SetData};
