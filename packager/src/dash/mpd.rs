//! The dynamic MPD (conformance 76-82): a Period per epoch, SegmentTimeline with `$Number$`, low-latency availability.

use std::fmt::Write;
use std::sync::Arc;

use nova_core::clock::Timestamp;
use nova_core::media::{Codec, DynamicRange, Media, Track, rescale};

use super::patch;
use crate::captioned::Captions;
use crate::rendition::{Rendition, View};
use crate::stream::{Period, Timing};

/// What an MPD is printed from.
#[derive(Debug)]
pub struct Mpd<'a> {
    /// Captions that were added.
    pub captions: &'a [Captions],
    /// Folder of the objects.
    pub id: &'a str,
    /// Fixed values.
    pub timing: Timing,
    /// Seconds a viewer may go back; `None` for a recording, of which whole segments from the beginning are told.
    pub window_s: Option<u32>,
    /// All renditions, with the index that [`Period`] uses.
    pub renditions: &'a [Arc<Rendition>],
    /// Their views at one instant.
    pub views: &'a [Arc<View>],
    /// Oldest first.
    pub periods: &'a [Period],
    /// Wall-clock time of media time zero: `availabilityStartTime`, the same for the life of the broadcast.
    pub zero: Timestamp,
    /// When the newest object came to be.
    pub published: Timestamp,
}

impl Mpd<'_> {
    /// Renders it.
    pub fn render(&self) -> String {
        let ended = self.views.iter().all(|view| view.ended);
        let part_us = self.timing.part_target_us;
        let mut out = String::with_capacity(4096);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        out.push_str("<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\"");
        if ended {
            // What was live is now on demand: nothing more will come, and all of it can be had.
            let _infallible = write!(
                out,
                " type=\"static\" mediaPresentationDuration=\"{}\"",
                duration(if self.is_recording() {
                    self.periods
                        .iter()
                        .zip(1..)
                        .map(|(period, next)| self.length_us(period, next))
                        .sum()
                } else {
                    self.end_us() - self.start_us()
                })
            );
        } else {
            let _infallible = write!(
                out,
                " type=\"dynamic\" availabilityStartTime=\"{}\" publishTime=\"{}\" minimumUpdatePeriod=\"{}\"",
                self.zero.to_rfc3339_millis(),
                self.published.to_rfc3339_millis(),
                duration(i64::from(self.timing.segment_ms) * 500),
            );
            if let Some(window_s) = self.window_s {
                let _infallible = write!(out, " timeShiftBufferDepth=\"PT{window_s}S\"");
            }
            let _infallible = write!(
                out,
                " suggestedPresentationDelay=\"{}\" maxSegmentDuration=\"PT{}S\"",
                duration(3 * part_us + 1_000_000),
                self.timing.target_duration_s
            );
        }
        // What is asked for often and is long can be patched; the last patch makes it static.
        let is_long = self.window_s.is_some_and(|window_s| window_s >= patch::LONG_WINDOW_S);
        if is_long {
            let _infallible = write!(out, " id=\"{}\"", self.id);
        }
        if is_long && ended {
            let _infallible = write!(out, " publishTime=\"{}\"", self.published.to_rfc3339_millis());
        }
        let _infallible = writeln!(out, " minBufferTime=\"{}\">", duration(2 * part_us));
        if is_long && !ended {
            let _infallible = writeln!(
                out,
                "  <PatchLocation ttl=\"{}\">{}</PatchLocation>",
                patch::LIFE_S,
                patch::location(self.published)
            );
        }
        if !ended && self.window_s.is_some() {
            let target_ms = (3 * part_us + 500_000) / 1000;
            out.push_str("  <ServiceDescription id=\"0\">\n");
            let _infallible = writeln!(
                out,
                "    <Latency target=\"{target_ms}\" min=\"{}\" max=\"{}\"/>",
                target_ms / 2,
                target_ms * 4
            );
            out.push_str("    <PlaybackRate min=\"0.95\" max=\"1.05\"/>\n  </ServiceDescription>\n");
        }
        let periods = match self.periods {
            [told @ .., newest] if !ended && !told.is_empty() && self.is_unready(newest) => told,
            all => all,
        };
        for (number, period) in periods.iter().enumerate() {
            let next = periods.get(number + 1);
            self.period(&mut out, number, period, next, number == 0 && ended);
        }
        if !ended {
            // Relative to the manifest at /live/{stream}/manifest.mpd.
            out.push_str("  <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-xsdate:2014\" value=\"../../time\"/>\n");
        }
        out.push_str("</MPD>\n");
        out
    }

    /// Whether a track of the newest period has nothing yet. Players (Shaka) take the renditions that a Period has when they first see it for all
    /// that it will ever have, and would wait for sound without end. After a segment it is told all the same: a track may stay silent.
    fn is_unready(&self, newest: &Period) -> bool {
        let mut tracks = newest
            .tracks
            .iter()
            .zip(self.views)
            .filter_map(|(track, view)| Some((track.as_ref()?, view)));
        let has_segment = |view: &View| view.playlist().last().is_some_and(|last| last.msn >= newest.first_msn);
        tracks.clone().all(|(_, view)| !has_segment(view))
            && tracks
                .any(|(track, view)| entries(view, track, newest.first_msn, u64::MAX, self.timing, false).is_empty())
    }

    /// A recording that is whole: what was broken off in between is left out, one Period follows the other.
    fn is_recording(&self) -> bool {
        self.window_s.is_none() && self.views.iter().all(|view| view.ended)
    }

    /// When the period is shown, from `availabilityStartTime` on. Where the encoder's clock runs differently from the wall clock, that is
    /// not its media time (conformance 77); once all has ended it is.
    fn presented_us(&self, period: &Period) -> i64 {
        let ended = self.views.iter().all(|view| view.ended);
        period.start_us + if ended { 0 } else { period.zero.0 - self.zero.0 }
    }

    /// How much media the period has that is followed by the one at index `next`.
    fn length_us(&self, period: &Period, next: usize) -> i64 {
        let until = self.periods.get(next).map_or(u64::MAX, |next| next.first_msn);
        let ends = self.views.iter().filter_map(|view| {
            let last = view
                .playlist()
                .iter()
                .rev()
                .find(|segment| (period.first_msn..until).contains(&segment.msn))?;
            Some(last.end_us())
        });
        (ends.max().unwrap_or(period.start_us) - period.start_us).max(0)
    }

    /// Start of the oldest segment that is listed, for a static MPD.
    fn start_us(&self) -> i64 {
        let first = |view: &Arc<View>| {
            view.playlist()
                .first()
                .map(|segment| rescale(segment.start, segment.timescale, 1_000_000))
        };
        self.views.iter().filter_map(first).min().unwrap_or(0)
    }

    fn end_us(&self) -> i64 {
        let last = |view: &Arc<View>| view.playlist().last().map(|segment| segment.end_us());
        self.views.iter().filter_map(last).max().unwrap_or(0)
    }

    fn period(&self, out: &mut String, number: usize, period: &Period, next: Option<&Period>, rebase: bool) {
        let until = next.map_or(u64::MAX, |next| next.first_msn);
        let lists: Vec<_> = self
            .renditions
            .iter()
            .zip(self.views)
            .enumerate()
            .filter_map(|(index, (rendition, view))| {
                let track = period.tracks.get(index)?.as_ref()?;
                let entries = entries(
                    view,
                    track,
                    period.first_msn,
                    until,
                    self.timing,
                    self.window_s.is_none(),
                );
                Some((index, rendition, view, track, entries))
            })
            .filter(|(.., entries)| !entries.is_empty())
            .collect();
        if lists.is_empty() {
            return;
        }
        let origin = self.start_us();
        let start_us = if rebase {
            0
        } else {
            self.presented_us(period)
                - if self.views.iter().all(|view| view.ended) {
                    origin
                } else {
                    0
                }
        };
        let offset_us = if rebase { origin } else { period.start_us };
        let _infallible = write!(out, "  <Period id=\"{}\"", period.first_msn);
        if rebase || !self.is_recording() {
            let _infallible = write!(out, " start=\"{}\"", duration(start_us.max(0)));
        }
        if next.is_some() || self.is_recording() {
            // What came was shorter than the time until the next: without this, players wait for the rest of it (conformance 79).
            let end = |(.., track, entries): &(_, _, _, &Arc<Track>, Vec<Entry>)| {
                entries
                    .last()
                    .map(|last| rescale(last.start + last.duration, track.timescale, 1_000_000))
            };
            let end_us = lists.iter().filter_map(end).max().unwrap_or(offset_us);
            let mut length_us = end_us - offset_us;
            if let Some(next) = next
                && !self.is_recording()
            {
                // An encoder that is too fast has sent more than fits.
                length_us = length_us.min(self.presented_us(next) - self.presented_us(period));
            }
            let _infallible = write!(out, " duration=\"{}\"", duration(length_us.max(0)));
        }
        out.push_str(">\n");
        for video in [true, false] {
            let mut set = None;
            // A GOP longer than the target is cut where no keyframe is (conformance 46).
            let independent = lists
                .iter()
                .filter(|(.., track, _)| track.is_video() == video)
                .all(|(.., entries)| entries.iter().all(|entry| entry.independent));
            let members = lists.iter().filter(|(.., track, _)| track.is_video() == video);
            for (index, rendition, view, track, entries) in members {
                // A switching set holds one codec and one range of light; another is another AdaptationSet (conformance 73).
                let family = (
                    track.codec_string.split('.').next().unwrap_or_default(),
                    track.media.dynamic_range(),
                );
                if set != Some(family) || !video {
                    if set.is_some() {
                        out.push_str("    </AdaptationSet>\n");
                    }
                    set = Some(family);
                    let _infallible = writeln!(
                        out,
                        "    <AdaptationSet id=\"{index}\" contentType=\"{}\" segmentAlignment=\"true\"{}>",
                        if video { "video" } else { "audio" },
                        if independent { " startWithSAP=\"1\"" } else { "" }
                    );
                    high_range(out, &track.media);
                    if !self.views.iter().all(|view| view.ended) {
                        // The prft boxes of the chunks carry these times; this is where they begin (23009-1 5.12).
                        let _infallible = writeln!(
                            out,
                            "      <ProducerReferenceTime id=\"{index}\" inband=\"true\" type=\"encoder\" wallClockTime=\"{}\" presentationTime=\"{}\">",
                            period.zero.plus_micros(period.start_us).to_rfc3339_millis(),
                            rescale(period.start_us, 1_000_000, track.timescale),
                        );
                        out.push_str("        <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-xsdate:2014\" value=\"../../time\"/>\n      </ProducerReferenceTime>\n");
                    }
                    // SCTE 214-1 7.4: channels of 608, services of 708. Accessibility comes before Role (23009-1 5.3.7).
                    for id in rendition.captions().instream_ids() {
                        let _infallible = match id.strip_prefix("SERVICE") {
                            Some(service) => writeln!(
                                out,
                                "      <Accessibility schemeIdUri=\"urn:scte:dash:cc:cea-708:2015\" value=\"{service}=lang:und\"/>"
                            ),
                            None => writeln!(
                                out,
                                "      <Accessibility schemeIdUri=\"urn:scte:dash:cc:cea-608:2015\" value=\"{id}\"/>"
                            ),
                        };
                    }
                    out.push_str("      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>\n");
                }
                self.representation(
                    out,
                    (rendition, view, track),
                    entries,
                    period.inits.get(*index).copied().unwrap_or(0),
                    offset_us,
                );
            }
            if set.is_some() {
                out.push_str("    </AdaptationSet>\n");
            }
        }
        for (place, track) in self.captions.iter().enumerate() {
            // Beside the media, one file a Period, whose times begin with it.
            let (name, set) = (track.name(), self.renditions.len() + place);
            let _infallible = write!(
                out,
                "    <AdaptationSet id=\"{set}\" contentType=\"text\" mimeType=\"text/vtt\" lang=\"{}\">\n      <Label>{}</Label>\n      \
                 <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"subtitle\"/>\n      <Representation id=\"{name}\" bandwidth=\"1000\">\n        \
                 <BaseURL>{}/{name}/{}.{number}.plain.vtt</BaseURL>\n      </Representation>\n    </AdaptationSet>\n",
                track.language,
                escaped(&track.label),
                self.id,
                track.revision,
            );
        }
        out.push_str("  </Period>\n");
    }

    fn representation(
        &self,
        out: &mut String,
        (rendition, view, track): (&Rendition, &View, &Track),
        entries: &[Entry],
        init: usize,
        offset_us: i64,
    ) {
        let _infallible = write!(
            out,
            "      <Representation id=\"{}\" mimeType=\"{}/mp4\" codecs=\"{}\" bandwidth=\"{}\"",
            rendition.name,
            if track.is_video() { "video" } else { "audio" },
            track.codec_string,
            rendition.bit_rate().peak.max(1)
        );
        match track.media {
            Media::Video { width, height, sar, .. } => {
                let _infallible = write!(
                    out,
                    " width=\"{width}\" height=\"{height}\" sar=\"{}:{}\"",
                    sar.0.max(1),
                    sar.1.max(1)
                );
                if let Some((numerator, denominator)) = rendition.frame_rate() {
                    let _infallible = match denominator {
                        1 => write!(out, " frameRate=\"{numerator}\""),
                        _ => write!(out, " frameRate=\"{numerator}/{denominator}\""),
                    };
                }
                out.push_str(">\n");
            }
            Media::Audio {
                sample_rate, channels, ..
            } => {
                let _infallible = writeln!(out, " audioSamplingRate=\"{sample_rate}\">");
                let (scheme, value) = match track.codec {
                    // ISO/IEC 23091-3 (CICP) channel configurations are what players read; for the usual layouts the number is the count.
                    _ if channels == 8 => ("urn:mpeg:mpegB:cicp:ChannelConfiguration", 12),
                    Codec::Ac3 | Codec::Eac3 | Codec::Aac | Codec::Opus | Codec::Flac | Codec::Mp3 if channels <= 6 => {
                        ("urn:mpeg:mpegB:cicp:ChannelConfiguration", channels)
                    }
                    _ => ("urn:mpeg:dash:23003:3:audio_channel_configuration:2011", channels),
                };
                let _infallible = writeln!(
                    out,
                    "        <AudioChannelConfiguration schemeIdUri=\"{scheme}\" value=\"{value}\"/>"
                );
            }
        }
        let offset = rescale(offset_us, 1_000_000, track.timescale);
        let _infallible = write!(
            out,
            "        <SegmentTemplate timescale=\"{}\" presentationTimeOffset=\"{offset}\" initialization=\"{}/{}/init-{init}.mp4\" media=\"{}/{}/$Number$.m4s\" startNumber=\"{}\"",
            track.timescale,
            self.id,
            rendition.name,
            self.id,
            rendition.name,
            entries.first().map_or(0, |entry| entry.msn),
        );
        if !view.ended && self.window_s.is_some() {
            // The growing segment can be had from its first part on, however long it gets (conformance 46, 80).
            let newest = entries.last().map_or(0, |newest| newest.duration);
            let ahead_us = (rescale(newest, track.timescale, 1_000_000) - self.timing.part_target_us).max(0);
            let _infallible = write!(
                out,
                " availabilityTimeOffset=\"{}.{:03}\" availabilityTimeComplete=\"false\"",
                ahead_us / 1_000_000,
                ahead_us / 1000 % 1000
            );
        }
        out.push_str(">\n          <SegmentTimeline>\n");
        let mut expected = None;
        let mut index = 0;
        while let Some(entry) = entries.get(index) {
            let run = entries[index..]
                .windows(2)
                .take_while(|pair| {
                    pair[1].duration == entry.duration && pair[1].start == pair[0].start + pair[0].duration
                })
                .count();
            out.push_str("            <S");
            if expected != Some(entry.start) {
                let _infallible = write!(out, " t=\"{}\"", entry.start);
            }
            let _infallible = write!(out, " d=\"{}\"", entry.duration);
            if run > 0 {
                let _infallible = write!(out, " r=\"{run}\"");
            }
            out.push_str("/>\n");
            expected = Some(entry.start + entry.duration * (run as i64 + 1));
            index += run + 1;
        }
        out.push_str("          </SegmentTimeline>\n        </SegmentTemplate>\n      </Representation>\n");
    }
}

/// What a player has to know of pictures brighter than usual (23001-8, DASH-IF IOP part 7); of others nothing is said.
fn high_range(out: &mut String, media: &Media) {
    let Media::Video {
        colour: Some(colour), ..
    } = media
    else {
        return;
    };
    if media.dynamic_range() == DynamicRange::Sdr {
        return;
    }
    for (name, code) in [
        ("ColourPrimaries", colour.primaries),
        ("TransferCharacteristics", colour.transfer),
        ("MatrixCoefficients", colour.matrix),
    ] {
        let _infallible = writeln!(
            out,
            "      <SupplementalProperty schemeIdUri=\"urn:mpeg:mpegB:cicp:{name}\" value=\"{code}\"/>"
        );
    }
}

/// Text of an element (XML 1.0 2.4).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// One `S` element before run-length coding.
#[derive(Clone, Copy, Debug)]
struct Entry {
    msn: u64,
    start: i64,
    duration: i64,
    /// Starts with a sync sample.
    independent: bool,
}

/// The segments of a view numbered `from..until`, the growing one with the duration it aims at. `gaps` are told as well where everything
/// stays: players find nothing there and go on behind it.
fn entries(view: &View, track: &Track, from: u64, until: u64, timing: Timing, gaps: bool) -> Vec<Entry> {
    let mut entries: Vec<Entry> = view
        .playlist()
        .iter()
        .filter(|segment| (from..until).contains(&segment.msn) && (gaps || !segment.gap))
        .map(|segment| Entry {
            msn: segment.msn,
            start: segment.start,
            duration: i64::from(segment.duration),
            independent: segment.independent || segment.gap,
        })
        .collect();
    // $Number$ counts the S elements, so only the newest run without a gap can be told.
    if let Some(hole) = entries.windows(2).rposition(|pair| pair[1].msn != pair[0].msn + 1) {
        entries.drain(..=hole);
    }
    let open = &view.open;
    if !view.ended
        && !open.parts.is_empty()
        && (from..until).contains(&open.msn)
        && entries.last().is_none_or(|last| last.msn + 1 == open.msn)
    {
        let so_far: i64 = open.parts.iter().map(|part| i64::from(part.duration)).sum();
        let aim = entries.last().map_or_else(
            || rescale(i64::from(timing.segment_ms), 1000, track.timescale),
            |last| last.duration,
        );
        entries.push(Entry {
            msn: open.msn,
            start: open.start,
            duration: aim.max(so_far),
            independent: open.parts[0].independent,
        });
    }
    entries
}

/// ISO 8601 duration of microseconds, to the millisecond.
fn duration(us: i64) -> String {
    let millis = (us + 500) / 1000;
    format!("PT{}.{:03}S", millis / 1000, millis % 1000)
}
