//! Frames in, CMAF out, and the playlists over it. Sans-IO: no socket, no clock, no store.
//!
//! A broadcast's [`Packager`] takes the hub's items and fills a [`Stream`]: per track a [`rendition::Rendition`] with the window of segments and
//! parts. The [`Stream`] answers viewers through `nova_core::delivery::Presentation`. One set of objects serves HLS, low-latency HLS
//! (RFC 8216bis) and DASH (ISO/IEC 23009-1): a part is a CMAF chunk (ISO/IEC 23000-19), a segment the list of its parts.
//!
//! Read in this order: [`segmenter`] (where to cut), [`packager`](Packager) (cutting), [`fmp4`] (bytes), [`rendition`] (the window),
//! [`hls`] and [`dash`] (text), [`presentation`] (requests), [`recording`] (what a broadcast leaves), [`clip`] (a part of that),
//! [`captioned`] (with captions).
#![warn(missing_docs)]

pub mod avc;
pub mod captioned;
pub mod captions;
pub mod clip;
pub mod dash;
pub mod fmp4;
#[doc(hidden)]
pub mod fuzz;
pub mod hls;
mod packager;
pub mod presentation;
pub mod recording;
pub mod rendition;
pub mod segmenter;
mod stream;

pub use clip::Clip;
pub use packager::{Config, Output, Packager};
pub use recording::{Recorder, Recording};
pub use stream::{Period, Stream, Timing};
