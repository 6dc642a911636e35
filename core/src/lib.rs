//! The middle of Nova: what every other crate speaks about and nothing that knows a protocol, HTTP, SQL or a domain.
//!
//! - [`media`]: `Track` and `Frame`, what ingest makes and the packager eats;
//! - [`timeline`]: the normaliser that turns an encoder's timestamps into a clock that only goes forward;
//! - [`live`]: the hub. One writer and many readers a broadcast, bounded, and the writer never waits;
//! - [`delivery`]: what a stream offers to whoever serves it (bytes, text, "wait for part 7"), without HTTP;
//! - [`webvtt`]: captions that people upload, read strictly and written anew;
//! - [`store`] and [`publish`]: the traits that join crates (`ObjectStore`, `PublishAuthorizer`);
//! - [`config`], [`clock`], [`runtimes`], [`shutdown`], [`telemetry`], [`error`]: the process around it.
#![doc = include_str!("../ARCHITECTURE.md")]
#![warn(missing_docs)]

pub mod clock;
pub mod config;
pub mod delivery;
pub mod error;
pub mod live;
pub mod media;
pub mod publish;
pub mod runtimes;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod timeline;
pub mod webvtt;
