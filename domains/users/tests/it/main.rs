//! The domain from outside, on both engines: its routes as the binary mounts them, its events as others hear them.

mod contract;
mod follows;
mod house;
mod moderation;
mod names;
mod personal;
mod profiles;
mod routes;
