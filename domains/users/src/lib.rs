//! People: who has which name, what they say about themselves, who follows and blocks whom, and what moderators do about it.

mod bio;
mod card;
mod config;
mod counts;
mod directory;
mod domain;
mod graph;
mod link;
mod moderation;
mod name;
mod people;
mod personal;
mod preferences;
mod profile;
mod refusals;
mod relationship;
mod state;

pub use self::config::Config;
pub use self::directory::directory;
pub use self::domain::{domain, domain_with};
