//! What every domain of Nova stands on.
//!
//! A domain is a plain function from a [`Context`] to a [`Domain`]: routes, event handlers, jobs and tasks, plugged together by the binary.
//! Domains never see each other; they share what is here:
//!
//! - [`db`]: one database handle on SQLite or PostgreSQL, migrations, keyset pages, value types;
//! - [`outbox`]: events and jobs written in the business transaction and delivered afterwards; [`events`]: the shared vocabulary;
//! - [`http`]: who asks ([`Caller`]), errors as problem+json, limits, idempotency, security headers;
//! - [`accounts`]: what domains ask each other about people;
//! - [`personal`]: what a domain keeps about a person, for export and erasure; [`audit`]: who did what;
//! - [`reports`]: what domains show to moderators;
//! - [`secret`]: values that must not lie readable in the database.
//!
//! It knows no domain.

pub mod accounts;
pub mod audit;
mod context;
pub mod db;
mod domain;
pub mod events;
pub mod http;
pub mod outbox;
pub mod personal;
pub mod policy;
pub mod reports;
pub mod secret;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::context::{Context, section};
pub use self::domain::{Domain, Task};
pub use self::http::caller::{Authenticator, Caller, Role};
pub use self::http::problem::Problem;
