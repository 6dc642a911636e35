//! What leaves Nova for players and caches: the object store and the origin router.
//!
//! - [`store`]: objects on the local disk (S3 comes beside it);
//! - [`origin`]: HTTP over `nova_core::delivery`: cache lives, entity tags, ranges, CORS, held requests;
//! - [`body`]: response bodies that share the packager's bytes.
//!
//! Nothing here knows an account or a codec.
#![warn(missing_docs)]

pub mod body;
mod hot;
pub mod origin;
pub mod store;

pub use body::Body;
pub use origin::{Origin, Viewer, What};
pub use store::LocalStore;
