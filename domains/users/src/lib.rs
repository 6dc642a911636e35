//! People: who has which name, what they say about themselves, who follows and blocks whom, and what moderators do about it.
//!
//! In come the routes of `/users`, `/reports` and `/moderation`; out go the events `profile.updated`, `follow.*`, `block.created`, `report.*` and
//! `moderation.action`. Identity asks [`directory()`] for names; this domain asks identity how an account stands and has it suspended, and
//! the media domain where a person's pictures lie.
//!
//! # What holds
//!
//! - **A name is one row**, whether somebody has it, had it, or is gone: two people never win a race for it, and nobody steps into a name
//!   somebody has just given up. Until somebody takes it after its rest, it leads to its former owner.
//! - **A block is one row, and everybody's rule**: the view `users_hidden (viewer_id, hidden_id)` has both directions, and the predicate
//!   `nova_domain::policy::not_hidden` stands inside every query of every domain that lists people or things of theirs. A follow and a block of
//!   the same two people take one lock, so no follow is left beside a block.
//! - **Who is not public shows the card**: name and picture, and how many follow. The rest, and the lists, are for followers.
//! - **Counts are exact and nobody waits for them**: each change adds rows, readers add them up, a task folds them.
//! - **A decision is one transaction**: the strike with its reasons, the account, the log, the event. Nobody decides about themselves, and
//!   moderators not about admins. The person is told, may appeal while suspended, and is answered.
//! - **What is kept about a person** is exported without what is other people's, and erased without a trace of their id.
//!
//! # Why there is no graph database
//!
//! The questions are one hop (who follows, whom, do they), which an index answers, and two hops with a bound (suggestions). Both indexes of the
//! table of follows carry all that a page needs, in the order of the page. What a second store would add is a second truth: a block must end a
//! follow in the same transaction, and hide people inside queries that join other tables. Measured with `examples/graph.rs`, through the routes:
//! 100 000 people, 1 000 000 follows, 20 000 blocks, one person with 10 093 followers and one who follows some 5 000. Two cores shared with other
//! work, an unoptimised build; median and 99th percentile of 300 requests in milliseconds.
//!
//! | | SQLite | | PostgreSQL 15 | |
//! | --- | --- | --- | --- | --- |
//! | a profile by name, with counts and relationship | 0.35 | 0.97 | 0.79 | 1.35 |
//! | 50 profiles by id | 3.00 | 4.56 | 2.33 | 4.33 |
//! | a page of 20 of 10 093 followers | 0.72 | 0.91 | 0.80 | 3.44 |
//! | the same, in the middle of the list | 0.62 | 0.83 | 0.85 | 1.12 |
//! | whom somebody follows | 0.49 | 0.80 | 0.70 | 1.19 |
//! | suggestions | 1.37 | 8.55 | 1.90 | 13.9 |
//! | suggestions for who follows thousands | 4.24 | 7.37 | 12.3 | 19.4 |
//! | follow, committed | 0.99 | 2.51 | 1.46 | 3.85 |
//!
//! Suggestions look at the caller's 200 newest follows and at 20 000 of theirs, whoever asks: that is the bound of the last lines.
#![warn(missing_docs)]

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
pub use self::domain::domain;
