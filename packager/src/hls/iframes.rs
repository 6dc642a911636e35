//! The I-frame playlist of a rendition (RFC 8216 4.3.3.6, conformance 57): the first picture of each segment, as a range of its bytes. Players show
//! them while a viewer seeks.
//!
//! It has an entry for each segment of the media playlist, under the same numbers: a segment that begins without a sync sample is a gap.

use std::fmt::Write;

use super::write_seconds;
use crate::rendition::{BitRate, Segment, View};
use crate::stream::Timing;

/// What follows the name of a rendition in the name of this list.
pub const SUFFIX: &str = "-iframes";

/// Renders the list of the rendition `name`. `recorded` as in the media playlist.
pub fn render(name: &str, view: &View, timing: Timing, recorded: bool) -> String {
    let listed = view.playlist();
    let mut out = String::with_capacity(256 + 128 * listed.len());
    let _infallible = writeln!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{}\n#EXT-X-I-FRAMES-ONLY",
        timing.target_duration_s
    );
    match (recorded, view.ended) {
        (true, true) => out.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
        (true, false) => out.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n"),
        (false, _) => {}
    }
    if !view.ended && !recorded {
        // Players look for the distances of low latency wherever there is this line.
        let _infallible = writeln!(out, "{}", timing.server_control());
    }
    let first = listed.first().map_or(view.open.msn, |segment| segment.msn);
    let _infallible = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{first}");
    if view.discontinuity_sequence > 0 {
        let _infallible = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", view.discontinuity_sequence);
    }
    let mut init = None;
    for segment in listed {
        if segment.discontinuity {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if init != Some(segment.init) {
            init = Some(segment.init);
            let _infallible = writeln!(out, "#EXT-X-MAP:URI=\"{name}/init-{}.mp4\"", segment.init);
        }
        let _infallible = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", segment.wall.to_rfc3339_millis());
        if segment.first_picture == 0 {
            out.push_str("#EXT-X-GAP\n");
        }
        out.push_str("#EXTINF:");
        write_seconds(&mut out, i64::from(segment.duration), segment.timescale);
        out.push_str(",\n");
        if segment.first_picture > 0 {
            let _infallible = writeln!(out, "#EXT-X-BYTERANGE:{}@0", segment.first_picture);
        }
        let _infallible = writeln!(out, "{name}/{}.m4s", segment.msn);
    }
    if view.ended {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    out
}

/// Bits a second of a list's ranges; `None` while it has none.
pub(super) fn bit_rate(view: &View) -> Option<BitRate> {
    let told = |segment: &&std::sync::Arc<Segment>| segment.first_picture > 0 && segment.duration > 0;
    let (mut peak, mut bits, mut micros) = (0, 0u64, 0u64);
    for segment in view.playlist().iter().filter(told) {
        let (own, length) = (
            8 * u64::from(segment.first_picture),
            segment.duration_us().max(1).cast_unsigned(),
        );
        // A sliver of a segment says nothing about what a span costs.
        if length >= 500_000 {
            peak = peak.max(own.saturating_mul(1_000_000) / length);
        }
        bits = bits.saturating_add(own);
        micros = micros.saturating_add(length);
    }
    let average = (u128::from(bits) * 1_000_000).checked_div(u128::from(micros))?;
    let average = u64::try_from(average).unwrap_or(u64::MAX).max(1);
    Some(BitRate {
        peak: peak.max(average),
        average,
    })
}
