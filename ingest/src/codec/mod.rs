//! What each codec's configuration and frames say about themselves: sizes, rates, `codecs` strings, keyframes, durations.
//!
//! Pure functions over bytes. Decoding ends where a manifest and a sample entry know enough; nothing here knows FLV or RTMP.

pub(crate) mod aac;
pub(crate) mod ac3;
pub(crate) mod av1;
pub(crate) mod avc;
pub(crate) mod bits;
pub(crate) mod flac;
pub(crate) mod hevc;
pub(crate) mod mp3;
pub(crate) mod nal;
pub(crate) mod opus;
pub(crate) mod vp9;

use bytes::Bytes;
use nova_core::media::{Codec, Media};

/// Why a configuration or a frame cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Ends too soon.
    #[error("cut off")]
    Truncated,
    /// A field has a value that it may not have.
    #[error("{0} is not valid")]
    Invalid(&'static str),
    /// Valid and not supported.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

/// Everything a track needs but its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) codec: Codec,
    pub(crate) config: Bytes,
    pub(crate) codec_string: String,
    pub(crate) media: Media,
}

/// A ratio in lowest terms; `None` when it says nothing.
pub(crate) fn ratio(numerator: u32, denominator: u32) -> Option<(u32, u32)> {
    if numerator == 0 || denominator == 0 {
        return None;
    }
    let (mut a, mut b) = (numerator, denominator);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Some((numerator / a, denominator / a))
}

/// Sample aspect ratios by `aspect_ratio_idc` (ITU-T H.273 table 11), common to H.264 and H.265.
pub(crate) const ASPECT_RATIOS: [(u16, u16); 17] = [
    (1, 1),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// `aspect_ratio_idc` that says the ratio follows in the bits.
pub(crate) const EXTENDED_SAR: u32 = 255;
