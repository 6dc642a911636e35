//! Streams and videos: who may publish to them, who may watch them, and what was on air.
//!
//! - [`Gate`]: what the delivery side must know of a stream without asking a database: its other names, and whether it is private;
//! - [`PlaybackTokens`]: short signed tokens that open the playlists of a private stream;
//! - [`authorizer`]: whether a publisher may go on, by stream key;
//! - [`Videos`]: the same of recordings, uploads and clips;
//! - [`Pictures`]: what makes the sizes of a picture that is uploaded; `image`: their rows and objects;
//! - [`Purge`]: a CDN that can be made to forget; `invalidation`: what it has to forget, and what has become of that;
//! - `watch`: writes down what goes on and off air, and cuts what must not go on;
//! - `routes`: the API.
//!
//! The media path never waits for this: a publisher is asked about once, when it arrives, and what is watched is decided from memory.
#![warn(missing_docs)]

mod authorizer;
mod caption;
mod clip;
mod domain;
mod forgetting;
mod gate;
mod image;
mod invalidation;
mod key;
mod library;
mod live;
mod make;
mod personal;
mod pictures;
mod purge;
mod quota;
mod reported;
mod routes;
mod stream;
mod token;
mod upload;
mod video;
mod watch;

pub use self::caption::Caption;
pub use self::domain::{Config, Media};
pub use self::gate::{Decision, Gate};
pub use self::library::{Cut, Facts, Kept, Library, MakeError, Nowhere, Opened, Videos};
pub use self::live::{Audio, Health, Live, OnAir, Sign, Signature, Video};
pub use self::pictures::{MadePicture, PictureError, PictureFile, PictureKind, Pictures};
pub use self::purge::{Purge, PurgeError, Remedy};
pub use self::token::PlaybackTokens;
