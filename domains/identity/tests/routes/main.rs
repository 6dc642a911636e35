//! Identity through its routes, on both engines. One file a subject.

mod attacks;
mod enumeration;
mod erasure;
mod house;
mod login;
mod notices;
mod oauth;
mod passkeys;
mod refresh;
mod register;
mod second_factor;
mod sessions;
mod sudo;
mod tokens;
