//! What a broadcast leaves: an index over the segments that were written while it was live. Nothing is muxed again (architecture 2).
//!
//! A [`Recorder`] watches a live [`Stream`] and says, as lines of JSON, what of it has come to rest in the store. The lines are appended to a
//! journal as they come, so a killed process loses nothing but what it had not yet stored; the whole journal, closed by its last line, is the
//! index of the finished recording. A [`Recording`] is read from such lines and has a [`Stream`] of its own, which answers for HLS
//! (`EVENT`, then `VOD`) and DASH as the live one does: the same renderers over the same objects.

use std::fmt::Write;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use nova_core::clock::Timestamp;
use nova_core::media::{Codec, Media, Track, TrackId, rescale};
use serde::{Deserialize, Serialize};

use crate::captions::Captions;
use crate::rendition::{BitRate, OpenSegment, Rendition, Segment, View};
use crate::stream::{Period, Stream, Timing};

/// Version of the lines.
const VERSION: u32 = 1;
/// Renditions of one recording: more than any ladder has.
const RENDITIONS: usize = 64;

const DAY_S: i64 = 86_400;
/// No broadcast is longer: ten years.
const LONGEST_S: i64 = 3652 * DAY_S;
/// The end of the year 9999, in microseconds.
const LAST_WALL: i64 = 253_402_300_799_999_999;

/// Why lines are not a recording.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line in the middle is not an entry.
    #[error("line {line} of the index cannot be read: {source}")]
    Line {
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The first line does not begin a recording of a version that is known.
    #[error("the index does not begin as one of version {VERSION}")]
    Beginning,
    /// An entry names what was not told before it, or goes back.
    #[error("line {line} of the index does not follow from those before it")]
    Order {
        /// Counted from one.
        line: usize,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Entry {
    Begin {
        version: u32,
        id: String,
        prefix: String,
        target_duration_s: u32,
        part_target_us: i64,
        segment_ms: u32,
    },
    Rendition {
        name: String,
    },
    Header {
        rendition: usize,
        track: TrackEntry,
        bytes: String,
    },
    /// With the `first_msn` of the one before, it takes its place.
    Period {
        first_msn: u64,
        start_us: i64,
        zero: i64,
        headers: Vec<Option<usize>>,
    },
    Segment(SegmentEntry),
    FrameRate {
        rendition: usize,
        numerator: u32,
        denominator: u32,
    },
    Captions {
        rendition: usize,
        services: u8,
    },
    End,
}

impl Entry {
    /// The beginning of an index.
    pub(crate) fn begin(id: &str, prefix: &str, timing: Timing) -> Self {
        Self::Begin {
            version: VERSION,
            id: id.to_owned(),
            prefix: prefix.to_owned(),
            target_duration_s: timing.target_duration_s,
            part_target_us: timing.part_target_us,
            segment_ms: timing.segment_ms,
        }
    }

    pub(crate) fn header(rendition: usize, track: &Track, bytes: &[u8]) -> Self {
        Self::Header {
            rendition,
            track: TrackEntry {
                id: track.id.0,
                codec: track.codec,
                timescale: track.timescale,
                config: BASE64.encode(&track.config),
                codec_string: track.codec_string.clone(),
                media: track.media.clone(),
            },
            bytes: BASE64.encode(bytes),
        }
    }

    /// Appends it as a line.
    pub(crate) fn write(&self, lines: &mut String) {
        if let Ok(line) = serde_json::to_string(self) {
            let _infallible = writeln!(lines, "{line}");
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrackEntry {
    id: u8,
    codec: Codec,
    timescale: u32,
    config: String,
    codec_string: String,
    media: Media,
}

/// A segment that rests in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentEntry {
    pub(crate) rendition: usize,
    pub(crate) msn: u64,
    pub(crate) start: i64,
    pub(crate) duration: u32,
    pub(crate) timescale: u32,
    pub(crate) header: usize,
    pub(crate) independent: bool,
    pub(crate) discontinuity: bool,
    pub(crate) gap: bool,
    pub(crate) wall: i64,
    pub(crate) size: u64,
    /// Missing in indexes of before there were lists of I-frames.
    #[serde(default)]
    pub(crate) first_picture: u32,
}

impl SegmentEntry {
    /// Within what any broadcast reaches, so that sums of it hold what they say.
    fn is_possible(&self) -> bool {
        let second = i64::from(self.timescale);
        second > 0
            && self.msn < 1 << 40
            && (-DAY_S * second..=LONGEST_S * second).contains(&self.start)
            && i64::from(self.duration) <= DAY_S * second
            && (0..=LAST_WALL).contains(&self.wall)
            && self.size < 1 << 40
            && u64::from(self.first_picture) <= self.size
    }

    /// `lost` was never stored: what stands for it is a gap (conformance 68).
    pub(crate) fn of(rendition: usize, segment: &Segment, lost: bool) -> Self {
        Self {
            rendition,
            msn: segment.msn,
            start: segment.start,
            duration: segment.duration,
            timescale: segment.timescale,
            header: segment.init,
            independent: segment.independent,
            discontinuity: segment.discontinuity,
            gap: segment.gap || lost,
            wall: segment.wall.0,
            size: if lost { 0 } else { segment.size },
            first_picture: if lost { 0 } else { segment.first_picture },
        }
    }
}

/// A recording, finished or growing.
#[derive(Debug)]
pub struct Recording {
    stream: Arc<Stream>,
    renditions: Vec<Kept>,
    periods: Vec<Period>,
    ended: bool,
}

#[derive(Debug)]
struct Kept {
    name: String,
    headers: Arc<Vec<Bytes>>,
    tracks: Vec<Arc<Track>>,
    segments: Arc<Vec<Arc<Segment>>>,
    frame_rate: Option<(u32, u32)>,
    captions: Captions,
    rate: BitRate,
    bits: u128,
    ticks: u128,
    /// Made with the first header.
    rendition: Option<Arc<Rendition>>,
}

impl Recording {
    /// Reads an index, or the journal of a broadcast that a killed process had on air: a last line that was cut off is let go.
    pub fn read(text: &str) -> Result<Self, Error> {
        let mut lines = text.split_inclusive('\n').enumerate();
        let Some(Ok(Entry::Begin {
            version: VERSION,
            id,
            prefix,
            target_duration_s,
            part_target_us,
            segment_ms,
        })) = lines.next().map(|(_, line)| serde_json::from_str(line))
        else {
            return Err(Error::Beginning);
        };
        let timing = Timing {
            target_duration_s: target_duration_s.clamp(1, DAY_S as u32),
            part_target_us: part_target_us.clamp(1, DAY_S * 1_000_000),
            segment_ms: segment_ms.min(DAY_S as u32 * 1000),
        };
        let mut recording = Self::new(id, prefix, timing);
        for (number, line) in lines {
            let line_number = number + 1;
            match serde_json::from_str(line) {
                Ok(entry) => recording.apply(entry).ok_or(Error::Order { line: line_number })?,
                Err(_cut) if !line.ends_with('\n') => break,
                Err(source) => {
                    return Err(Error::Line {
                        line: line_number,
                        source,
                    });
                }
            }
        }
        recording.publish();
        Ok(recording)
    }

    fn new(id: String, prefix: String, timing: Timing) -> Self {
        Self {
            stream: Arc::new(Stream::recorded(prefix, id, timing)),
            renditions: Vec::new(),
            periods: Vec::new(),
            ended: false,
        }
    }

    /// Answers for its playlists and objects.
    pub const fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Nothing follows.
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// From the beginning of the first segment to the end of the last, microseconds, of the rendition that lasts longest: sound may outlast
    /// pictures. Breaks between are not counted.
    pub fn duration_us(&self) -> i64 {
        let length = |kept: &Kept| kept.segments.iter().map(|segment| segment.duration_us()).sum();
        self.renditions.iter().map(length).max().unwrap_or(0)
    }

    /// Bytes in the store.
    pub fn bytes(&self) -> u64 {
        let of = |kept: &Kept| kept.segments.iter().map(|segment| segment.size).sum::<u64>();
        self.renditions.iter().map(of).sum()
    }

    /// Width and height of the largest picture.
    pub fn size(&self) -> Option<(u16, u16)> {
        let tracks = self.renditions.iter().flat_map(|kept| &kept.tracks);
        let sizes = tracks.filter_map(|track| match track.media {
            Media::Video { width, height, .. } => Some((width, height)),
            Media::Audio { .. } => None,
        });
        sizes.max_by_key(|(width, height)| u32::from(*width) * u32::from(*height))
    }

    /// Wall-clock time of the first segment.
    pub fn began(&self) -> Option<Timestamp> {
        let first = self.renditions.iter().filter_map(|kept| kept.segments.first());
        first.map(|segment| segment.wall).min()
    }

    /// True when nothing was kept.
    pub fn is_empty(&self) -> bool {
        self.renditions
            .iter()
            .all(|kept| kept.segments.iter().all(|segment| segment.gap))
    }

    /// Closes a recording whose process was killed. The line to append.
    pub fn end(&mut self) -> String {
        let mut lines = String::new();
        self.add(Entry::End, &mut lines);
        self.publish();
        lines
    }

    /// Applies an entry that was just made and writes its line.
    fn add(&mut self, entry: Entry, lines: &mut String) {
        entry.write(lines);
        let _follows = self.apply(entry);
    }

    /// `None` when the entry does not follow from those before it.
    fn apply(&mut self, entry: Entry) -> Option<()> {
        if self.ended {
            return None;
        }
        match entry {
            Entry::Begin { .. } => return None,
            Entry::Rendition { name } => {
                if self.renditions.len() >= RENDITIONS {
                    return None;
                }
                self.renditions.push(Kept {
                    name,
                    headers: Arc::default(),
                    tracks: Vec::new(),
                    segments: Arc::default(),
                    frame_rate: None,
                    captions: Captions::default(),
                    rate: BitRate::default(),
                    bits: 0,
                    ticks: 0,
                    rendition: None,
                });
            }
            Entry::Header {
                rendition,
                track,
                bytes,
            } => {
                let kept = self.renditions.get_mut(rendition)?;
                let track = Track {
                    id: TrackId(track.id),
                    codec: track.codec,
                    timescale: (track.timescale > 0).then_some(track.timescale)?,
                    config: BASE64.decode(track.config).ok()?.into(),
                    codec_string: track.codec_string,
                    media: track.media,
                };
                kept.tracks.push(Arc::new(track));
                Arc::make_mut(&mut kept.headers).push(BASE64.decode(bytes).ok()?.into());
            }
            Entry::Period {
                first_msn,
                start_us,
                zero,
                headers,
            } => {
                if !(0..=LONGEST_S * 1_000_000).contains(&start_us) || !(0..=LAST_WALL).contains(&zero) {
                    return None;
                }
                let tracks = self.renditions.iter().zip(&headers).map(|(kept, header)| match header {
                    Some(header) => kept.tracks.get(*header).map(|track| Some(Arc::clone(track))),
                    None => Some(None),
                });
                let period = Period {
                    first_msn,
                    start_us,
                    zero: Timestamp(zero),
                    tracks: tracks.collect::<Option<_>>()?,
                    inits: headers.iter().map(|header| header.unwrap_or(0)).collect(),
                };
                match self.periods.last_mut() {
                    Some(last) if last.first_msn == first_msn => *last = period,
                    Some(last) if last.first_msn > first_msn => return None,
                    _ => self.periods.push(period),
                }
            }
            Entry::Segment(entry) => {
                let kept = self.renditions.get_mut(entry.rendition)?;
                let follows = kept.segments.last().is_none_or(|last| last.msn + 1 == entry.msn);
                if !follows || entry.header >= kept.tracks.len() || !entry.is_possible() {
                    return None;
                }
                let key = format!("{}/{}/{}.m4s", self.stream.prefix(), kept.name, entry.msn);
                kept.measure(&entry);
                Arc::make_mut(&mut kept.segments).push(Arc::new(Segment::kept(&entry, key)));
            }
            Entry::FrameRate {
                rendition,
                numerator,
                denominator,
            } => {
                let kept = self.renditions.get_mut(rendition)?;
                kept.frame_rate = Some((numerator, (denominator > 0).then_some(denominator)?));
            }
            Entry::Captions { rendition, services } => {
                let kept = self.renditions.get_mut(rendition)?;
                kept.captions = kept.captions.with(Captions(services));
            }
            Entry::End => self.ended = true,
        }
        Some(())
    }

    /// Makes what was applied visible, and wakes whoever waits for it.
    fn publish(&mut self) {
        for period in &self.periods {
            self.stream.keep_period(period);
        }
        let mut shown = Vec::new();
        for kept in &mut self.renditions {
            let Some(view) = kept.view(self.ended) else { continue };
            let rendition = match &kept.rendition {
                Some(rendition) => {
                    rendition.publish(view);
                    Arc::clone(rendition)
                }
                None => Arc::new(Rendition::new(kept.name.clone(), view)),
            };
            rendition.set_bit_rate(kept.rate);
            rendition.set_frame_rate(kept.frame_rate);
            rendition.add_captions(kept.captions);
            kept.rendition = Some(Arc::clone(&rendition));
            shown.push(rendition);
        }
        self.stream.set_renditions(shown);
    }
}

impl Kept {
    fn measure(&mut self, entry: &SegmentEntry) {
        if entry.gap || entry.duration == 0 {
            return;
        }
        let (bits, ticks, scale) = (
            u128::from(entry.size) * 8,
            u128::from(entry.duration),
            u128::from(entry.timescale),
        );
        self.bits += bits;
        self.ticks += ticks * 1_000_000 / scale;
        let average = u64::try_from(self.bits * 1_000_000 / self.ticks.max(1)).unwrap_or(u64::MAX);
        let peak = if ticks * 2 >= scale {
            u64::try_from(bits * scale / ticks).unwrap_or(u64::MAX)
        } else {
            0
        };
        self.rate = BitRate {
            peak: self.rate.peak.max(peak).max(average),
            average,
        };
    }

    /// `None` before there is a header.
    fn view(&self, ended: bool) -> Option<View> {
        let track = Arc::clone(self.tracks.last()?);
        let (msn, start, wall) = self.segments.last().map_or((0, 0, Timestamp(0)), |last| {
            let end = last.start + i64::from(last.duration);
            (last.msn + 1, end, last.wall.plus_micros(last.duration_us()))
        });
        Some(View {
            open: OpenSegment {
                msn,
                start: rescale(
                    start,
                    self.segments.last().map_or(track.timescale, |last| last.timescale),
                    track.timescale,
                ),
                parts: Vec::new(),
                discontinuity: false,
                init: self.tracks.len() - 1,
                wall,
            },
            track,
            segments: Arc::clone(&self.segments),
            listed: 0,
            discontinuity_sequence: 0,
            inits: Arc::clone(&self.headers),
            ended,
            offline: false,
            text: Default::default(),
        })
    }
}

/// Watches a live stream and records what of it has been stored.
#[derive(Debug)]
pub struct Recorder {
    source: Arc<Stream>,
    recording: Option<Recording>,
}

impl Recorder {
    /// Records `source` from its beginning.
    pub const fn new(source: Arc<Stream>) -> Self {
        Self {
            source,
            recording: None,
        }
    }

    /// What there is of it, once there is something.
    pub const fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// Takes up what has been stored since the last call, in order. The lines to append to the journal.
    pub fn observe(&mut self) -> String {
        self.take(false)
    }

    /// The broadcast is over, and what is not stored now will not be. The last lines.
    pub fn finish(&mut self) -> String {
        let mut lines = self.take(true);
        if let Some(recording) = &mut self.recording {
            lines.push_str(&recording.end());
        }
        lines
    }

    fn take(&mut self, last: bool) -> String {
        let mut lines = String::new();
        let Some(timing) = self.source.timing() else {
            return lines;
        };
        let recording = match &mut self.recording {
            Some(recording) => recording,
            none => {
                let (id, prefix) = (self.source.id().to_owned(), self.source.prefix().to_owned());
                Entry::begin(&id, &prefix, timing).write(&mut lines);
                none.insert(Recording::new(id, prefix, timing))
            }
        };
        let renditions = self.source.renditions();
        for rendition in renditions.iter().skip(recording.renditions.len()) {
            let name = rendition.name.clone();
            recording.add(Entry::Rendition { name }, &mut lines);
        }
        for (index, rendition) in renditions.iter().enumerate() {
            let view = rendition.view();
            for bytes in view.inits.iter().skip(recording.renditions[index].tracks.len()) {
                recording.add(Entry::header(index, &view.track, bytes), &mut lines);
            }
        }
        let known = recording.periods.last().map(|period| period.first_msn);
        for period in self.source.periods().iter() {
            let headers: Vec<Option<usize>> = period
                .tracks
                .iter()
                .zip(&period.inits)
                .map(|(track, init)| track.as_ref().map(|_present| *init))
                .collect();
            let same = recording.periods.last().is_some_and(|last| {
                last.first_msn == period.first_msn
                    && last
                        .tracks
                        .iter()
                        .map(Option::is_some)
                        .eq(headers.iter().map(Option::is_some))
                    && last.inits.len() == headers.len()
            });
            if !same && known.is_none_or(|known| period.first_msn >= known) {
                let entry = Entry::Period {
                    first_msn: period.first_msn,
                    start_us: period.start_us,
                    zero: period.zero.0,
                    headers,
                };
                recording.add(entry, &mut lines);
            }
        }
        for (index, rendition) in renditions.iter().enumerate() {
            if let Some((numerator, denominator)) = rendition.frame_rate()
                && recording.renditions[index].frame_rate != Some((numerator, denominator))
            {
                let rate = Entry::FrameRate {
                    rendition: index,
                    numerator,
                    denominator,
                };
                recording.add(rate, &mut lines);
            }
            let captions = rendition.captions();
            if !recording.renditions[index].captions.has(captions) {
                let entry = Entry::Captions {
                    rendition: index,
                    services: captions.0,
                };
                recording.add(entry, &mut lines);
            }
            let view = rendition.view();
            let next = recording.renditions[index].segments.last().map(|last| last.msn + 1);
            for segment in view
                .segments
                .iter()
                .filter(|segment| next.is_none_or(|next| segment.msn >= next))
            {
                // What has left memory unstored is lost, and so is what is unstored at the end.
                let lost = !segment.gap && !segment.is_stored() && (last || !segment.in_memory());
                if !segment.gap && !segment.is_stored() && !lost {
                    break;
                }
                recording.add(Entry::Segment(SegmentEntry::of(index, segment, lost)), &mut lines);
            }
        }
        if !lines.is_empty() {
            recording.publish();
        }
        lines
    }
}
