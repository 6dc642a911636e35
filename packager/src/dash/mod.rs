//! DASH (ISO/IEC 23009-1) over the same objects as HLS: segments are HLS segments, chunks are HLS parts.

pub mod mpd;
pub mod patch;
