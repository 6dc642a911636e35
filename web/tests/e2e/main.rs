//! End to end: the real program, real encoders, real readers. Each test starts a server of its own on free ports and watches real time go
//! by, so several scenarios share one where they do not disturb each other. Numbers in comments are lines of the media conformance list.
//!
//! A tool that is missing fails the test: `scripts/setup test` and `scripts/setup tools` install them all.
#![expect(
    clippy::disallowed_methods,
    reason = "real time goes by here: these tests watch a process, not a state machine"
)]

mod clip;
mod isobmff;
mod playlist;
mod publisher;
mod rtmp;
mod server;

mod browser;
mod bucket;
mod clips;
mod cloudfront;
mod connections;
mod dash;
mod delivery;
mod draining;
mod dvr;
mod faults;
mod images;
mod ladder;
mod path_tokens;
mod platform;
mod playlist_rules;
mod program;
mod publishers;
mod reading_back;
mod readme;
mod reconnect;
mod recording;
mod segments;
mod streams;
mod tls;
mod videos;
