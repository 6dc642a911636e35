//! The live media playlist with its low-latency parts (conformance 50-65). Whole, or as a delta update.

use std::fmt::Write;

use nova_core::clock::Timestamp;
use nova_core::media::rescale;

use super::write_seconds;
use crate::rendition::View;
use crate::stream::Timing;

/// What a media playlist is printed from.
#[derive(Debug)]
pub struct MediaPlaylist<'a> {
    /// The rendition's name, the folder its objects are in.
    pub name: &'a str,
    /// The instant.
    pub view: &'a View,
    /// Fixed values.
    pub timing: Timing,
    /// The other renditions, and the segment and part they have come to.
    pub reports: &'a [(&'a str, u64, Option<usize>)],
    /// Everything from the beginning, in whole segments: `EVENT` while it grows, `VOD` once it has ended.
    pub recorded: bool,
}

impl MediaPlaylist<'_> {
    /// Renders it; `skip` asks for a delta update, which is given when there is something to skip (conformance 62).
    pub fn render(&self, skip: bool) -> String {
        let view = self.view;
        let listed = view.playlist();
        let timescale = view.track.timescale;
        let target_us = i64::from(self.timing.target_duration_s) * 1_000_000;
        let part_target_ms = self.timing.part_target_us / 1000;
        let skip_until_us = 6 * target_us;

        // Distance of each segment's end from the newest edge, from the back.
        let open_ticks: i64 = view.open.parts.iter().map(|part| i64::from(part.duration)).sum();
        let mut behind_us = rescale(open_ticks, timescale, 1_000_000);
        let (mut first_with_parts, mut skipped) = (0, 0);
        for (index, segment) in listed.iter().enumerate().rev() {
            if behind_us > 3 * target_us && first_with_parts == 0 {
                first_with_parts = index + 1;
            }
            if behind_us > skip_until_us && skipped == 0 {
                skipped = index + 1;
            }
            behind_us += segment.duration_us();
        }
        let skipped = if skip && !view.ended { skipped } else { 0 };

        let mut out = String::with_capacity(512 + 160 * (listed.len() - skipped) + 96 * 32);
        let _infallible = writeln!(
            out,
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{}",
            self.timing.target_duration_s
        );
        if self.recorded {
            out.push_str(if view.ended {
                "#EXT-X-PLAYLIST-TYPE:VOD\n"
            } else {
                "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n"
            });
            self.numbers(&mut out);
            let mut init = None;
            self.segments(&mut out, 0, listed.len(), &mut init);
            if view.ended {
                out.push_str("#EXT-X-ENDLIST\n");
            }
            return out;
        }
        let _infallible = writeln!(
            out,
            "{},CAN-SKIP-UNTIL={}.0",
            self.timing.server_control(),
            6 * self.timing.target_duration_s,
        );
        let _infallible = writeln!(
            out,
            "#EXT-X-PART-INF:PART-TARGET={}.{:03}",
            part_target_ms / 1000,
            part_target_ms % 1000
        );
        self.numbers(&mut out);
        if skipped > 0 {
            let _infallible = writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
        }
        // A delta update says again which header its first segment needs: Shaka 5.2 does not carry it on from the skipped ones, and gives a decoder
        // pictures without their header.
        let mut init = None;
        let first_with_parts = if view.ended { listed.len() } else { first_with_parts };
        self.segments(&mut out, skipped, first_with_parts, &mut init);
        if view.ended {
            out.push_str("#EXT-X-ENDLIST\n");
            return out;
        }
        if !view.open.parts.is_empty() {
            self.before_segment(
                &mut out,
                view.open.discontinuity,
                view.open.init,
                &mut init,
                view.open.wall,
            );
            for (number, part) in view.open.parts.iter().enumerate() {
                self.part(
                    &mut out,
                    view.open.msn,
                    number,
                    (part.duration, timescale),
                    part.independent,
                );
            }
        } else if view.open.init != init.unwrap_or(view.open.init) && !view.offline {
            // Conformance 63: the header of what comes next differs.
            let _infallible = writeln!(
                out,
                "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"{}/init-{}.mp4\"",
                self.name, view.open.init
            );
        }
        if !view.offline {
            let _infallible = writeln!(
                out,
                "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}/{}.{}.m4s\"",
                self.name,
                view.open.msn,
                view.open.parts.len()
            );
        }
        for (name, msn, part) in self.reports {
            let _infallible = write!(out, "#EXT-X-RENDITION-REPORT:URI=\"{name}.m3u8\",LAST-MSN={msn}");
            if let Some(part) = part {
                let _infallible = write!(out, ",LAST-PART={part}");
            }
            out.push('\n');
        }
        out
    }

    fn numbers(&self, out: &mut String) {
        let (view, listed) = (self.view, self.view.playlist());
        let first = listed.first().map_or(view.open.msn, |segment| segment.msn);
        let _infallible = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{first}");
        if view.discontinuity_sequence > 0 {
            let _infallible = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", view.discontinuity_sequence);
        }
        // The tag is a promise about every segment of the list (conformance 56).
        let independent = listed.iter().all(|segment| segment.independent || segment.gap)
            && view.open.parts.first().is_none_or(|part| part.independent);
        if independent {
            out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
    }

    /// The whole segments from the one at index `from`; those from `parts_from` with their parts.
    fn segments(&self, out: &mut String, from: usize, parts_from: usize, init: &mut Option<usize>) {
        for (index, segment) in self.view.playlist().iter().enumerate().skip(from) {
            self.before_segment(out, segment.discontinuity, segment.init, init, segment.wall);
            if index >= parts_from {
                for (number, part) in segment.parts.iter().enumerate() {
                    self.part(
                        out,
                        segment.msn,
                        number,
                        (part.duration, segment.timescale),
                        part.independent,
                    );
                }
            }
            if segment.gap {
                out.push_str("#EXT-X-GAP\n");
            }
            out.push_str("#EXTINF:");
            write_seconds(out, i64::from(segment.duration), segment.timescale);
            let _infallible = writeln!(out, ",\n{}/{}.m4s", self.name, segment.msn);
        }
    }

    fn before_segment(
        &self,
        out: &mut String,
        discontinuity: bool,
        init: usize,
        current: &mut Option<usize>,
        wall: Timestamp,
    ) {
        if discontinuity {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if *current != Some(init) {
            *current = Some(init);
            let _infallible = writeln!(out, "#EXT-X-MAP:URI=\"{}/init-{init}.mp4\"", self.name);
        }
        let _infallible = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", wall.to_rfc3339_millis());
    }

    fn part(&self, out: &mut String, msn: u64, number: usize, (duration, timescale): (u32, u32), independent: bool) {
        out.push_str("#EXT-X-PART:DURATION=");
        write_seconds(out, i64::from(duration), timescale);
        let _infallible = write!(out, ",URI=\"{}/{msn}.{number}.m4s\"", self.name);
        out.push_str(if independent { ",INDEPENDENT=YES\n" } else { "\n" });
    }
}
