//! How a domain speaks HTTP: who asks, how errors look, what is limited.

pub mod caller;
pub mod client;
pub mod headers;
pub mod idempotency;
pub mod json;
pub mod limit;
pub mod problem;

pub use self::client::Client;
pub use self::json::{Json, Path, Query};
