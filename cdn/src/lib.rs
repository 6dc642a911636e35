//! What leaves Nova for players and caches: the object store and the origin router.
//!
//! - [`store`]: objects on the local disk;
//! - [`s3`]: objects in a bucket;
//! - [`spool`]: what the bucket does not take at the moment;
//! - [`origin`]: HTTP over `nova_core::delivery`: cache lives, entity tags, ranges, CORS, held requests;
//! - [`cloudfront`]: signatures; [`invalidation`]: making a distribution forget;
//! - [`path_token`]: the same as signatures for other CDNs;
//! - [`body`]: response bodies that share the packager's bytes.
//!
//! Nothing here knows an account or a codec.
#![warn(missing_docs)]

pub mod body;
pub mod cloudfront;
mod hot;
pub mod invalidation;
pub mod origin;
pub mod path_token;
pub mod s3;
pub mod spool;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use body::Body;
pub use invalidation::CloudFront;
pub use origin::{Origin, Viewer, What};
pub use path_token::PathTokens;
pub use s3::S3Store;
pub use spool::Spool;
pub use store::LocalStore;
