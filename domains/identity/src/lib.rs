//! Who somebody is, and how they prove it.
//!
//! The rules of identity as plain functions and structs, which take the time and the randomness they use as arguments and know neither
//! SQL nor HTTP. What a request handler does with them is: read rows, ask here, write what was decided.
//!
//! - [`random`]: secrets' source, the machine's or a test's;
//! - [`password`]: which passwords are taken (NIST SP 800-63B-4); [`hash`]: argon2id in a bounded pool of its own;
//! - [`secret`]: opaque bearer secrets, of which only a hash is kept; [`token`]: signed access tokens, their keys and their revocation;
//!   [`refresh`]: when a refresh token is taken, recovered, or taken for stolen;
//! - [`totp`]: authenticator apps and recovery codes; [`code`]: codes and links that prove an address;
//! - [`mail`]: what Nova writes to people, and how it is sent;
//! - [`oidc`]: sign-in through Google, Apple, Facebook or any OpenID provider, and when such an account is joined to a local one.
#![warn(missing_docs)]

pub mod code;
pub mod hash;
mod jws;
pub mod mail;
pub mod oidc;
pub mod password;
pub mod random;
pub mod refresh;
pub mod revocation;
pub mod secret;
pub mod token;
pub mod totp;
