//! The library with the real worker program.

mod captions;
mod epochs;
mod file;
mod hardware;
mod hostile;
mod ladder;
mod restart;
mod rig;
mod sandbox;
mod slow;
mod sound;
mod stills;
