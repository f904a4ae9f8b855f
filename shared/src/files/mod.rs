//! Customers' files, which R2 stores: keys, headers, listings, multipart uploads, and the bodies of replies.

mod headers;
mod key;
pub mod multipart_upload;
mod page;
mod reply;

pub use headers::{FileHeaders, StoredMetadata};
pub use key::FileKey;
pub use page::FilesPage;
pub use reply::{FileList, FileStored, ListedFile, UploadCreated, UploadedPart};
