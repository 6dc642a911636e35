//! The library with the real worker program.

mod captions;
mod epochs;
mod file;
mod ladder;
mod restart;
mod rig;
mod slow;
mod sound;
mod stills;
