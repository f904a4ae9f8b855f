//! Counts of a customer's operations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// An operation of the customer Worker that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $($(#[$doc])* $variant,)*
        }

        impl Operation {
            /// All operations.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the operation's name in `byOperation`.
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

/// The counts of operations in one isolate, or the sum over several isolates. KV stores an isolate's counts as JSON in
/// a key's metadata, which may have at most 1024 bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// The count of each operation, by name. Operations that never happened are absent.
    #[serde(rename = "n")]
    counts: BTreeMap<String, u64>,
    /// The time of the last operation, in milliseconds since 1970.
    #[serde(rename = "t")]
    last_operation: f64,
}

impl Usage {
    /// The prefix of the keys of counts in the customer's KV namespace, `usage/<isolate id>`. It separates them from
    /// the keys of the customer's values.
    pub const PREFIX: &'static str = "usage/";

    /// How long an isolate's counts are stored after its last operation, in days.
    pub const WINDOW_DAYS: u32 = 30;

    /// Creates counts of zero. The function is `const`, so a `static` can hold them.
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: BTreeMap::new(), last_operation: 0.0 }
    }

    /// Counts one operation at `now`, in milliseconds since 1970.
    pub fn count(&mut self, operation: Operation, now: f64) {
        match self.counts.get_mut(operation.name()) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(operation.name().to_owned(), 1)),
        }
        self.last_operation = self.last_operation.max(now);
    }

    /// Adds another isolate's counts.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
        self.last_operation = self.last_operation.max(other.last_operation);
    }

    /// Returns the number of operations of each kind.
    #[must_use]
    pub fn by_operation(&self) -> BTreeMap<&'static str, u64> {
        let count = |operation: &Operation| Some((operation.name(), *self.counts.get(operation.name())?));
        Operation::ALL.iter().filter_map(count).collect()
    }

    /// Returns the time of the last operation, in milliseconds since 1970, or `None` if there was none.
    #[must_use]
    pub fn last_operation(&self) -> Option<f64> {
        (self.last_operation > 0.0).then_some(self.last_operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_and_added() {
        let (mut usage, mut other) = (Usage::new(), Usage::new());
        assert_eq!((usage.by_operation(), usage.last_operation()), (BTreeMap::new(), None));
        usage.count(Operation::GetData, 2.0);
        usage.count(Operation::GetData, 1.0);
        other.count(Operation::GetData, 3.0);
        other.count(Operation::SetData, 2.0);
        usage.add(&other);
        assert_eq!(usage.by_operation(), BTreeMap::from([("getData", 3), ("setData", 1)]));
        assert_eq!(usage.last_operation(), Some(3.0));
    }

    #[test]
    fn the_largest_count_fits_into_a_keys_metadata() {
        let mut usage = Usage::new();
        for operation in Operation::ALL {
            usage.counts.insert(operation.name().to_owned(), u64::MAX);
        }
        usage.last_operation = 253_402_300_799_999.0;
        let json = serde_json::to_string(&usage).expect("JSON");
        assert!(json.len() <= 1024, "{} bytes", json.len());
        assert_eq!(serde_json::from_str::<Usage>(&json).expect("a count"), usage);
    }
}
