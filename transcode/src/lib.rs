//! The bitrate ladder: which rungs a source gets, and the worker processes that make them.
//!
//! A codec can never take the server down: nothing here is linked to one. Decoding, scaling and encoding happen in worker processes (package
//! `nova-transcode-worker`), one for each live ladder, that get frames over a Unix socket ([`wire`]) and give frames back. A [`Live`] belongs
//! to the task that packages the broadcast: it takes the hub's items without ever waiting and yields the rungs' frames in the source's media
//! time. Workers that die, hang or fall behind are dealt with inside; see [`live`](Live).
//!
//! Not done here: cutting segments and naming renditions (the packager does), and anything that needs HTTP or SQL.

mod edge;
mod file;
mod inventory;
mod kept;
pub mod ladder;
mod live;
mod pace;
mod process;
mod stills;
mod transcoder;
pub mod wire;

pub use edge::{EdgeJob, edge};
pub use file::{FileJob, FileLadder, Pictures, Probe, Sound, pictures_at, probe};
pub use inventory::{Attempt, Found, Inventory, confined, inventory};
pub use ladder::{Ladder, Rung, RungSpec, plan, plan_file};
pub use live::{Event, Live, RUNG_TRACK, SOUND_TRACK};
pub use transcoder::{Error, Settings, Transcoder};
