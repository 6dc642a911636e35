//! Who somebody is, and how they prove it.
//!
//! The rules of identity are plain functions and structs, which take the time and the randomness they use as arguments and know neither
//! SQL nor HTTP. What a request handler does with them is: read rows, ask here, write what was decided.
//!
//! Rules:
//!
//! - [`random`]: secrets' source, the machine's or a test's;
//! - [`password`]: which passwords are taken (NIST SP 800-63B-4); [`hash`]: argon2id in a bounded pool of its own;
//! - [`secret`]: opaque bearer secrets, of which only a hash is kept; [`token`]: signed access tokens, their keys and their revocation;
//!   [`refresh`]: when a refresh token is taken, recovered, or taken for stolen;
//! - [`totp`]: authenticator apps and recovery codes; [`code`]: codes and links that prove an address;
//! - [`mail`]: what Nova writes to people, and how it is sent;
//!
//! Around them: `account` and `session` hold the rows, `authenticate` answers for a token on every request, `flow` is one attempt to prove an
//! address, `post` the mails that leave, `erase` what export and deletion do, `routes` one file an endpoint.
#![warn(missing_docs)]

mod account;
mod authenticate;
pub mod code;
mod domain;
mod erase;
mod flow;
pub mod hash;
mod jws;
pub mod mail;
pub mod oidc;
pub mod password;
mod post;
mod providers;
pub mod random;
pub mod refresh;
pub mod revocation;
mod routes;
pub mod secret;
mod session;
pub mod token;
pub mod totp;

pub use self::domain::{Config, Identity, Outgoing, Registration};
pub use self::providers::ProviderConfig;
