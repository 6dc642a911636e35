//! Endpoints of profiles.

pub(crate) mod batch;
pub(crate) mod me;
pub(crate) mod show;
pub(crate) mod update;
