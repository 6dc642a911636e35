//! Pictures that people upload. Bytes of anybody come in, pictures that any page may show go out.
//!
//! - [`source`]: what the bytes are, by their first bytes, and how large a picture they say they are; all of it before anything is decoded;
//! - [`kind`]: which sizes a picture is made in;
//! - [`render`]: decoding, turning upright, cropping, scaling, writing anew;
//! - [`sheet`]: many small pictures on one;
//! - [`studio`]: the few threads that this runs on.
//!
//! What goes out was written here from pixels: nothing of what came in is in it but what can be seen. No EXIF, no place, no comment, no colour profile
//! (pixels are converted to sRGB), nothing behind the end of the picture.
//!
//! **Formats.** The `image` crate writes lossy JPEG and lossless WebP without C code. A lossless photograph is several times its JPEG, and AVIF
//! (`rav1e`) takes seconds of a core for each picture; so an opaque picture is JPEG, and one with transparency lossless WebP, which is smaller
//! than PNG and known to every browser of this decade, beside JPEG on white for what knows neither.
//!
//! It knows no HTTP, no SQL and no accounts.
#![warn(missing_docs)]

pub mod kind;
pub mod render;
pub mod sheet;
pub mod source;
pub mod studio;

pub use self::kind::Kind;
pub use self::render::{Format, Picture, Variant};
pub use self::sheet::Sheet;
pub use self::source::{Error, Limits};
pub use self::studio::Studio;
