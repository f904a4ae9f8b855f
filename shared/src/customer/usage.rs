//! How often a customer's Worker was used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $($(#[$doc])* $variant,)*
        }

        impl Operation {
            /// Every operation there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in `byOperation`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

operations! {
    /// `POST /files`, `PUT /files`.
    UploadFile = "uploadFile",
    /// `GET /files?key=`, `HEAD`.
    GetFile = "getFile",
    /// `DELETE /files`.
    DeleteFile = "deleteFile",
    /// `GET /files`.
    ListFiles = "listFiles",
    /// `POST /files/uploads`.
    CreateUpload = "createUpload",
    /// `PUT /files/uploads`.
    UploadPart = "uploadPart",
    /// `POST /files/uploads/complete`.
    CompleteUpload = "completeUpload",
    /// `DELETE /files/uploads`.
    AbortUpload = "abortUpload",
    /// `POST /data`.
    SetData = "setData",
    /// `GET /data?key=`.
    GetData = "getData",
    /// `DELETE /data`.
    DeleteData = "deleteData",
    /// `GET /data`.
    ListData = "listData",
    /// `POST /db/query`.
    QueryDatabase = "queryDatabase",
    /// `POST /db/batch`.
    BatchDatabase = "batchDatabase",
}

/// What one isolate has counted, or all of them together. Its JSON is what KV keeps of it, as a key's metadata: within
/// the 1024 bytes that there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// How many of each operation, by name; those that there were.
    #[serde(rename = "n")]
    counts: BTreeMap<String, u64>,
    /// When the last one was, in milliseconds since 1970.
    #[serde(rename = "t")]
    last: f64,
}

impl Usage {
    /// Where a KV namespace keeps them, apart from the customer's own keys: `usage/<the isolate's id>`.
    pub const PREFIX: &'static str = "usage/";

    /// For how long an isolate's count is kept after its last operation.
    pub const WINDOW_DAYS: u32 = 30;

    /// Nothing yet; in a constant, too.
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: BTreeMap::new(), last: 0.0 }
    }

    /// Counts one operation at `now`, in milliseconds since 1970.
    pub fn count(&mut self, operation: Operation, now: f64) {
        match self.counts.get_mut(operation.name()) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(operation.name().to_owned(), 1)),
        }
        self.last = self.last.max(now);
    }

    /// Adds what another isolate has counted.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
        self.last = self.last.max(other.last);
    }

    /// How many operations there were of each kind.
    #[must_use]
    pub fn by_operation(&self) -> BTreeMap<&'static str, u64> {
        let count = |operation: &Operation| Some((operation.name(), *self.counts.get(operation.name())?));
        Operation::ALL.iter().filter_map(count).collect()
    }

    /// When the last one was, in milliseconds since 1970, if there was one.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        (self.last > 0.0).then_some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_and_added() {
        let (mut one, mut other) = (Usage::new(), Usage::new());
        assert_eq!((one.by_operation(), one.last()), (BTreeMap::new(), None));
        one.count(Operation::GetData, 2.0);
        one.count(Operation::GetData, 1.0);
        other.count(Operation::GetData, 3.0);
        other.count(Operation::SetData, 2.0);
        one.add(&other);
        assert_eq!(one.by_operation(), BTreeMap::from([("getData", 3), ("setData", 1)]));
        assert_eq!(one.last(), Some(3.0));
    }

    #[test]
    fn a_full_count_fits_into_a_keys_metadata() {
        let mut usage = Usage::new();
        for operation in Operation::ALL {
            usage.counts.insert(operation.name().to_owned(), u64::MAX);
        }
        usage.last = 253_402_300_799_999.0;
        let json = serde_json::to_string(&usage).expect("JSON");
        assert!(json.len() <= 1024, "{} bytes", json.len());
        assert_eq!(serde_json::from_str::<Usage>(&json).expect("itself"), usage);
    }
}
