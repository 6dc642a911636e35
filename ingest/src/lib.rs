//! Encoders' bytes to tracks and frames: RTMP, RTMPS and Enhanced RTMP v2.
//!
//! In reading order:
//!
//! - [`Server`]: sockets, TLS, time-outs, limits, authorisation; one task a connection, and the only part that knows tokio;
//! - [`rtmp::Session`]: one connection as a state machine, bytes in and [`rtmp::Output`] out. Below it [`rtmp::handshake`],
//!   [`rtmp::chunk`] and [`rtmp::amf0`];
//! - `flv`: audio and video messages, classic and enhanced, to [`Track`](nova_core::media::Track) and [`Frame`](nova_core::media::Frame);
//! - `codec`: decoder configurations and what frames say about themselves.
//!
//! Frames leave with the encoder's own timestamps. Making a clock of them is the timeline's work (`nova_core::timeline`); cutting, packaging
//! and storing is not known here at all.
#![warn(missing_docs)]

mod codec;
mod flv;
#[doc(hidden)]
pub mod fuzz;
mod limit;
pub mod rtmp;
mod server;
mod sink;

pub use server::{Server, TlsSource};
pub use sink::{Discarded, discard};
