//! The domain from outside, on both engines: its routes as the binary mounts them, its events as others hear them.

mod follows;
mod house;
mod names;
mod profiles;
