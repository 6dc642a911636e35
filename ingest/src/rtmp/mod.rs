//! RTMP as a server of publishers speaks it: Adobe RTMP 1.0 with the connect properties of Enhanced RTMP v2.
//!
//! [`Session`] is the whole of it without sockets and clocks; the other modules are its layers, from the bytes up.

pub mod amf0;
mod amf3;
pub mod chunk;
pub mod handshake;
mod session;
mod target;

pub use session::{Cause, Config, Error, Output, Publish, Refusal, Session};
