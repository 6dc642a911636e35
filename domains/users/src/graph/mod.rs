//! Endpoints of the graph: who follows, asks, blocks and mutes whom.

pub(crate) mod block;
pub(crate) mod blocks;
mod edges;
pub(crate) mod follow;
pub(crate) mod follower;
pub(crate) mod followers;
pub(crate) mod following;
mod listed;
pub(crate) mod mute;
pub(crate) mod mutes;
pub(crate) mod request;
pub(crate) mod requests;
pub(crate) mod suggestions;
