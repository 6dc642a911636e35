//! Where finished objects rest: a local folder or S3, both in `nova-cdn`.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

/// A future behind a pointer, so that stores can be chosen at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why an object could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No object has this key.
    #[error("no object {0}")]
    NotFound(String),
    /// The key would leave the store, or has characters outside `[A-Za-z0-9._/-]`.
    #[error("object key {0:?} is not allowed")]
    BadKey(String),
    /// The disk or quota is full.
    #[error("no space left for object {key}")]
    Full {
        /// The object that did not fit.
        key: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Anything else the system said.
    #[error("object {key}: {source}")]
    Io {
        /// The object concerned.
        key: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Keeps immutable objects by key. A key is written once; readers see the whole object or none.
pub trait ObjectStore: Send + Sync {
    /// Stores the concatenation of `pieces` under `key`. Visible to [`ObjectStore::get`] once the future is done, never before, never in part.
    fn put<'a>(&'a self, key: &'a str, pieces: Vec<Bytes>) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Reads a whole object.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Bytes, StoreError>>;
    /// Gives the bytes of `from` a second key. Either may be deleted without the other. A store that can do it without moving the bytes does.
    fn copy<'a>(&'a self, from: &'a str, to: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let bytes = self.get(from).await?;
            self.put(to, vec![bytes]).await
        })
    }
    /// Removes an object; one that is not there is no error.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Removes all objects whose key starts with `prefix` (which ends with `/`).
    fn delete_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;
}
