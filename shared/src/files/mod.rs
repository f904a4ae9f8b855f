//! Files, which customers keep in R2: keys, headers, listings, uploads in parts.

mod headers;
mod key;
pub mod multipart_upload;
mod page;
mod reply;

pub use headers::{FileHeaders, StoredMetadata};
pub use key::FileKey;
pub use page::FilesPage;
pub use reply::{FileList, FileStored, ListedFile, UploadCreated, UploadedPart};
