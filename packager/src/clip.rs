//! A part of a recording as a recording of its own. Whole segments are the source's very objects under a second key; only the two at the ends
//! are written anew, and of their pictures only those are encoded again that cannot be had otherwise.
//!
//! A [`Clip`] is planned over the source's [`Stream`] and says what its ends are ([`End`]). Whoever drives it reads those segments, asks
//! [`Clip::cut`] what becomes of them, has pictures encoded where that is the answer, hands the frames to [`Clip::put`], copies what is
//! [`Clip::shared`], and stores the [`Clip::index`]. No clock, no store, no codec.
//!
//! **One decoder configuration.** Pictures made anew have parameter sets with numbers of their own, which are added to the source's
//! record: the clip has no discontinuity where its ends meet the rest, in HLS as in DASH, and keeps the media times, dates and numbers of its source.
//!
//! **Which pictures.** At the beginning everything from the keyframe on has to be decoded, so the pictures from the cut on are made anew. At the end
//! they are too, unless they lie in the order in which they are shown: then the rest is left out. Sound is cut between its packets. Pictures
//! that are not 8-bit 4:2:0 H.264 are not made anew: such a clip begins and ends at borders of segments.

use std::sync::Arc;

use bytes::Bytes;
use nova_core::clock::Timestamp;
use nova_core::media::{Codec, Frame, Track, rescale};

use crate::avc::Record;
use crate::fmp4::fragment::Chunk;
use crate::fmp4::{init, read};
use crate::recording::{Entry, SegmentEntry};
use crate::rendition::{Rendition, Segment};
use crate::stream::{Period, Stream, Timing};

/// A cut so near to the border of a segment is at the border: no sound would be on its other side.
const NEAR_US: i64 = 25_000;
/// Times are told in milliseconds: a picture that begins within one of a cut begins at it.
const SLACK_US: i64 = 1_000;

/// Why there is no such clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The source has nothing yet.
    #[error("there is nothing to cut from")]
    Empty,
    /// The source does not reach so far. It may when it grows.
    #[error("it has {length_us} microseconds")]
    Beyond {
        /// What it has.
        length_us: i64,
    },
    /// The end is not behind the beginning.
    #[error("there is nothing between the cuts")]
    Nothing,
    /// A segment does not read as one of Nova's.
    #[error("a segment of the source cannot be read")]
    Segment,
}

/// See the module.
#[derive(Debug)]
pub struct Clip {
    timing: Timing,
    renditions: Vec<Part>,
    periods: Vec<Period>,
    /// Objects that stay as they are: their keys in the source, and the rest of their keys in the clip.
    shared: Vec<(String, String)>,
}

/// What of a rendition is in the clip.
#[derive(Debug)]
struct Part {
    name: String,
    headers: Vec<Arc<Track>>,
    segments: Vec<SegmentEntry>,
    frame_rate: Option<(u32, u32)>,
    captions: u8,
    /// Bits a second.
    bit_rate: u64,
}

/// A segment that is cut.
#[derive(Clone, Debug)]
pub struct End {
    /// Its object in the source's store.
    pub key: String,
    rendition: usize,
    /// Its place among the rendition's segments in the clip.
    index: usize,
    /// Ticks: what is over by then is left out.
    from: Option<i64>,
    /// Ticks: what begins then or later is left out.
    until: Option<i64>,
}

/// What becomes of a segment that is cut.
#[derive(Debug)]
pub enum Cut {
    /// Nothing of it is left out: it is shared after all.
    Whole,
    /// All of it is left out: a gap is where it was.
    Nothing,
    /// These frames stay as they are.
    Frames(Vec<Frame>),
    /// These pictures have to be encoded first.
    Recode(Box<Recode>),
}

/// Pictures that have to be encoded again.
#[derive(Clone, Debug)]
pub struct Recode {
    /// What they are.
    pub track: Track,
    /// From a keyframe on, in decoding order.
    pub frames: Vec<Frame>,
    /// The first one that is wanted, by its presentation time.
    pub from: i64,
    /// Those from here on are not.
    pub until: i64,
    /// Pictures a second.
    pub frame_rate: Option<(u32, u32)>,
    /// What the rendition has now, bits a second.
    pub bit_rate: u64,
    /// The number that their parameter sets are to have.
    pub parameter_set: u8,
    /// By how much the pictures around them are decoded before they are shown.
    shift: i32,
    /// When the picture that follows the last one is shown.
    end: i64,
}

impl Recode {
    /// The pictures as the encoder made them, without reordering, with the decode times that fit between their neighbours'.
    pub fn fit(&self, made: Vec<Frame>) -> Vec<Frame> {
        let ends: Vec<i64> = made.iter().skip(1).map(Frame::pts).chain([self.end]).collect();
        let fitted = made.into_iter().zip(ends).map(|(frame, end)| Frame {
            track: self.track.id,
            dts: frame.pts() - i64::from(self.shift),
            composition_offset: self.shift,
            duration: u32::try_from(end - frame.pts()).ok(),
            ..frame
        });
        fitted.collect()
    }
}

impl Clip {
    /// The part of `source` from `start_us` to `end_us`, microseconds from its beginning as players count them: breaks are not counted.
    pub fn plan(source: &Stream, start_us: i64, end_us: i64) -> Result<(Self, Vec<End>), Error> {
        let (timing, renditions) = (source.timing().ok_or(Error::Empty)?, source.renditions());
        let views: Vec<_> = renditions.iter().map(|rendition| rendition.view()).collect();
        let leader = views.first().ok_or(Error::Empty)?;
        if start_us < 0 || end_us <= start_us {
            return Err(Error::Nothing);
        }
        let (mut first, mut from_us) = place(&leader.segments, start_us, false)?;
        let (last, until_us) = place(&leader.segments, end_us, true)?;
        if (last, until_us.unwrap_or(i64::MAX)) <= (first, from_us.unwrap_or(i64::MIN)) {
            return Err(Error::Nothing);
        }
        // A segment that was cut without a keyframe (conformance 46) is not where anybody can begin.
        let begins = |msn: u64| {
            let segment = leader.segments.iter().find(|segment| segment.msn == msn);
            segment.is_none_or(|segment| segment.independent || segment.gap)
        };
        while !begins(first) {
            (first, from_us) = (first - 1, None);
        }
        let all_periods = source.periods();
        let track_of = |index: usize, header: usize| {
            let mut periods = all_periods
                .iter()
                .filter(|period| period.inits.get(index) == Some(&header));
            let told = periods.find_map(|period| period.tracks.get(index)?.clone());
            told.unwrap_or_else(|| Arc::clone(&views[index].track))
        };
        let is_within = |segment: &Segment| (first..=last).contains(&segment.msn);
        let chosen: Vec<usize> = (0..views.len())
            .filter(|index| views[*index].segments.iter().any(|segment| is_within(segment)))
            .collect();
        // One that cannot be cut there keeps all of them from it: they begin and end together.
        let exact = |msn: u64| {
            chosen.iter().all(|index| {
                let mut segments = views[*index].segments.iter();
                let segment = segments.find(|segment| segment.msn == msn);
                segment.is_none_or(|segment| {
                    segment.gap || segment.independent && can_be_cut(&track_of(*index, segment.init))
                })
            })
        };
        let (from_us, until_us) = (from_us.filter(|_| exact(first)), until_us.filter(|_| exact(last)));
        let (mut parts, mut shared, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (place, index) in chosen.iter().enumerate() {
            let (rendition, view) = (&renditions[*index], &views[*index]);
            let mut part = Part {
                name: rendition.name.clone(),
                headers: (0..view.inits.len()).map(|header| track_of(*index, header)).collect(),
                segments: Vec::new(),
                frame_rate: rendition.frame_rate(),
                captions: rendition.captions().0,
                bit_rate: rendition.bit_rate().average,
            };
            for segment in view.segments.iter().filter(|segment| is_within(segment)) {
                let ticks = |us: i64| rescale(us, 1_000_000, segment.timescale);
                let from = from_us.filter(|_| segment.msn == first);
                let until = until_us.filter(|_| segment.msn == last);
                let mut entry = SegmentEntry::of(place, segment, false);
                entry.discontinuity &= segment.msn != first;
                part.segments.push(entry);
                if segment.gap {
                    continue;
                }
                if from.is_none() && until.is_none() {
                    shared.push((segment.key.clone(), part.object(segment.msn)));
                    continue;
                }
                ends.push(End {
                    key: segment.key.clone(),
                    rendition: place,
                    index: part.segments.len() - 1,
                    from: from.map(|us| ticks(us + SLACK_US)),
                    until: until.map(|us| ticks(us - SLACK_US)),
                });
            }
            parts.push(part);
        }
        let periods = all_periods.iter().enumerate().filter_map(|(number, period)| {
            let next = all_periods.get(number + 1).map_or(u64::MAX, |next| next.first_msn);
            (period.first_msn <= last && next > first).then(|| Period {
                first_msn: period.first_msn.max(first),
                start_us: period.start_us,
                zero: period.zero,
                tracks: chosen
                    .iter()
                    .map(|index| period.tracks.get(*index).cloned().flatten())
                    .collect(),
                inits: chosen
                    .iter()
                    .map(|index| period.inits.get(*index).copied().unwrap_or(0))
                    .collect(),
            })
        });
        let clip = Self {
            timing,
            periods: periods.collect(),
            renditions: parts,
            shared,
        };
        Ok((clip, ends))
    }

    /// True when every rendition has come to the end: of what is on air, some may lag behind.
    pub fn is_complete(&self) -> bool {
        let last = |part: &Part| part.segments.last().map(|segment| segment.msn);
        let newest = self.renditions.iter().filter_map(last).max();
        self.renditions.iter().all(|part| last(part) == newest)
    }

    /// Objects that the clip shares with its source: their keys there, and what follows the clip's own prefix. Complete once every end was
    /// cut.
    pub fn shared(&self) -> &[(String, String)] {
        &self.shared
    }

    /// What becomes of an end, whose object is `segment`.
    pub fn cut(&mut self, end: &End, segment: &Bytes) -> Result<Cut, Error> {
        let part = &self.renditions[end.rendition];
        let entry = &part.segments[end.index];
        let track = &part.headers[entry.header];
        let frames = read::frames(segment, track.id).ok_or(Error::Segment)?;
        let (from, until) = (end.from.unwrap_or(i64::MIN), end.until.unwrap_or(i64::MAX));
        if !track.is_video() {
            let length = |frame: &Frame| i64::from(frame.duration.unwrap_or(0));
            let stays = |frame: &Frame| frame.dts + length(frame) > from && frame.dts < until;
            let frames: Vec<Frame> = frames.into_iter().filter(stays).collect();
            if frames.is_empty() {
                let entry = &mut self.renditions[end.rendition].segments[end.index];
                let ends = (entry.start + i64::from(entry.duration)).min(until);
                entry.start = entry.start.max(from);
                entry.duration = u32::try_from(ends - entry.start).unwrap_or(0).max(1);
                (entry.gap, entry.size, entry.first_picture) = (true, 0, 0);
                return Ok(Cut::Nothing);
            }
            return Ok(Cut::Frames(frames));
        }
        let mut times: Vec<i64> = frames.iter().map(Frame::pts).collect();
        let in_order = times.is_sorted();
        times.sort_unstable();
        let (Some(first), Some(key)) = (times.first().copied(), frames.first()) else {
            return Err(Error::Segment);
        };
        // The picture that is on the screen at the cut.
        let from = times.iter().rev().find(|time| **time <= from).copied().unwrap_or(first);
        let follower = times.iter().find(|time| **time >= until && **time > from).copied();
        if from == first && follower.is_none() {
            self.shared
                .push((end.key.clone(), self.renditions[end.rendition].object(entry.msn)));
            return Ok(Cut::Whole);
        }
        if from == first && in_order {
            let until = follower.unwrap_or(i64::MAX);
            return Ok(Cut::Frames(
                frames.into_iter().filter(|frame| frame.pts() < until).collect(),
            ));
        }
        let record = Record::read(&track.config).ok_or(Error::Segment)?;
        Ok(Cut::Recode(Box::new(Recode {
            from,
            until: follower.unwrap_or(i64::MAX),
            end: follower.unwrap_or(entry.start + i64::from(entry.duration)),
            frame_rate: part.frame_rate,
            bit_rate: part.bit_rate,
            parameter_set: record.free_number(&[]).ok_or(Error::Segment)?,
            shift: key.composition_offset,
            track: Track::clone(track),
            frames,
        })))
    }

    /// An end is made of these frames; `config` is the decoder configuration of those that were encoded again. Its object, and what
    /// follows the clip's prefix in its key.
    pub fn put(&mut self, end: &End, frames: &[Frame], config: Option<&Bytes>) -> Result<(String, Bytes), Error> {
        let part = &mut self.renditions[end.rendition];
        let entry = &mut part.segments[end.index];
        let track = &mut part.headers[entry.header];
        if let Some(config) = config {
            let mut record = Record::read(&track.config).ok_or(Error::Segment)?;
            record.add(&Record::read(config).ok_or(Error::Segment)?);
            let track = Arc::make_mut(track);
            (track.config, track.codec_string) = (record.write(), record.codec_string());
        }
        let durations: Vec<u32> = frames.iter().map(|frame| frame.duration.unwrap_or(1).max(1)).collect();
        let (Some(first), Some(shown)) = (frames.first(), frames.iter().map(Frame::pts).min()) else {
            return Err(Error::Segment);
        };
        let moved = rescale(shown - entry.start, track.timescale, 1_000_000);
        entry.wall += moved;
        entry.start = shown;
        entry.duration = durations.iter().fold(0, |sum: u32, ticks| sum.saturating_add(*ticks));
        entry.independent = first.keyframe;
        let chunk = Chunk {
            sequence: u32::try_from(entry.msn & 0xffff_ffff).unwrap_or(0),
            decode_time: first.dts.max(0).cast_unsigned(),
            frames,
            durations: &durations,
            wall: Timestamp(entry.wall),
            wall_time: shown.max(0).cast_unsigned(),
            starts_segment: true,
            roll_group: track.codec == Codec::Opus,
        };
        let written = chunk.write(track.is_video() && first.keyframe);
        (entry.size, entry.first_picture) = (written.bytes.len() as u64, written.apart);
        let msn = entry.msn;
        Ok((part.object(msn), written.bytes))
    }

    /// The clip's index, once every end was put: it is a recording that has ended. `prefix` is where its objects lie.
    pub fn index(&self, id: &str, prefix: &str) -> String {
        let mut lines = String::new();
        Entry::begin(id, prefix, self.timing).write(&mut lines);
        for part in &self.renditions {
            let name = part.name.clone();
            Entry::Rendition { name }.write(&mut lines);
        }
        for (rendition, part) in self.renditions.iter().enumerate() {
            for track in &part.headers {
                Entry::header(rendition, track, &init::header(track)).write(&mut lines);
            }
        }
        let firsts = self.renditions.iter().filter_map(|part| {
            let first = part.segments.first()?;
            Some(rescale(first.start, first.timescale, 1_000_000))
        });
        let start_us = firsts.min().unwrap_or(0);
        for (number, period) in self.periods.iter().enumerate() {
            let headers = period.tracks.iter().zip(&period.inits);
            Entry::Period {
                first_msn: period.first_msn,
                start_us: if number == 0 { start_us } else { period.start_us },
                zero: period.zero.0,
                headers: headers
                    .map(|(track, init)| track.as_ref().map(|_present| *init))
                    .collect(),
            }
            .write(&mut lines);
        }
        for (rendition, part) in self.renditions.iter().enumerate() {
            if let Some((numerator, denominator)) = part.frame_rate {
                Entry::FrameRate {
                    rendition,
                    numerator,
                    denominator,
                }
                .write(&mut lines);
            }
            if part.captions != 0 {
                let services = part.captions;
                Entry::Captions { rendition, services }.write(&mut lines);
            }
            for segment in &part.segments {
                Entry::Segment(segment.clone()).write(&mut lines);
            }
        }
        Entry::End.write(&mut lines);
        lines
    }
}

impl Part {
    fn object(&self, msn: u64) -> String {
        format!("{}/{msn}.m4s", self.name)
    }
}

/// Where in a recording a picture is.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The segment that has it.
    pub key: String,
    /// What its pictures are.
    pub track: Arc<Track>,
    /// Pictures a second.
    pub frame_rate: Option<(u32, u32)>,
    /// A picture between keyframes can be made a keyframe.
    pub can_be_cut: bool,
    /// Ticks.
    at: i64,
}

impl Moment {
    /// What is shown at a position, microseconds from the beginning as players count them; of the last picture behind it. `None` where there are no
    /// pictures.
    pub fn at(stream: &Stream, at_us: i64) -> Option<Self> {
        Self::of(stream, 0, at_us)
    }

    /// The same of the rendition that is the least to read, among those that are there from beginning to end.
    pub fn small(stream: &Stream, at_us: i64) -> Option<Self> {
        let renditions = stream.renditions();
        let segments = |rendition: &Rendition| rendition.peek().segments.len();
        let most = renditions.iter().map(|rendition| segments(rendition)).max()?;
        let whole = renditions.iter().enumerate().filter(|(_, rendition)| {
            let view = rendition.peek();
            view.track.is_video() && view.segments.len() == most && !view.segments.iter().any(|segment| segment.gap)
        });
        let least = whole.min_by_key(|(_, rendition)| rendition.bit_rate().average);
        Self::of(stream, least.map_or(0, |(index, _)| index), at_us)
    }

    fn of(stream: &Stream, index: usize, at_us: i64) -> Option<Self> {
        let renditions = stream.renditions();
        let rendition = renditions.get(index)?;
        let view = rendition.view();
        let mut begins_us = 0;
        let mut found = None;
        for segment in view.segments.iter() {
            if !segment.gap && (found.is_none() || begins_us <= at_us) {
                found = Some((segment, (at_us - begins_us).max(0)));
            }
            begins_us += segment.duration_us();
        }
        let (segment, behind_us) = found?;
        let periods = stream.periods();
        let told = periods
            .iter()
            .filter(|period| period.inits.get(index) == Some(&segment.init));
        let track = told.filter_map(|period| period.tracks.get(index)?.clone()).next();
        let track = track.unwrap_or_else(|| Arc::clone(&view.track));
        track.is_video().then(|| Self {
            key: segment.key.clone(),
            frame_rate: rendition.frame_rate(),
            can_be_cut: can_be_cut(&track),
            at: segment.start + rescale(behind_us + SLACK_US, 1_000_000, segment.timescale),
            track,
        })
    }

    /// The segment's frames, and the presentation time of the one that is shown.
    pub fn frames(&self, segment: &Bytes) -> Option<(Vec<Frame>, i64)> {
        let frames = read::frames(segment, self.track.id)?;
        let shown = frames.iter().map(Frame::pts).filter(|time| *time <= self.at).max();
        let shown = shown.or_else(|| frames.first().map(Frame::pts))?;
        Some((frames, shown))
    }
}

/// The number of the segment in which a position lies, and the media time of a cut inside it.
fn place(segments: &[Arc<Segment>], at_us: i64, is_end: bool) -> Result<(u64, Option<i64>), Error> {
    let mut begins_us = 0;
    for segment in segments {
        let (before, behind) = (at_us - begins_us, begins_us + segment.duration_us() - at_us);
        if is_end && behind.abs() < NEAR_US {
            return Ok((segment.msn, None));
        }
        if !is_end && before.abs() < NEAR_US {
            return Ok((segment.msn, None));
        }
        if before >= NEAR_US && behind >= NEAR_US {
            let start_us = rescale(segment.start, segment.timescale, 1_000_000);
            return Ok((segment.msn, Some(start_us + before)));
        }
        begins_us += segment.duration_us();
    }
    match segments {
        [] => Err(Error::Empty),
        _ if at_us < begins_us + NEAR_US => Err(Error::Nothing),
        _ => Err(Error::Beyond { length_us: begins_us }),
    }
}

/// Sound is a row of packets; pictures have to be such as can be made again.
fn can_be_cut(track: &Track) -> bool {
    !track.is_video()
        || track.codec == Codec::Avc && Record::read(&track.config).is_some_and(|record| record.is_plain())
}
