//! HLS playlists (RFC 8216, draft-pantos-hls-rfc8216bis), as text.

pub mod iframes;
pub mod media;
pub mod multivariant;

use std::fmt::Write;

/// Appends `ticks` as seconds with five digits, exactly rounded: the only place a time becomes a decimal.
pub(crate) fn write_seconds(out: &mut String, ticks: i64, timescale: u32) {
    let scaled = (i128::from(ticks) * 100_000 + i128::from(timescale) / 2) / i128::from(timescale);
    let _infallible = write!(out, "{}.{:05}", scaled / 100_000, scaled % 100_000);
}
