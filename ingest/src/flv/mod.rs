//! Audio and video messages to tracks and frames: FLV tags (Adobe FLV 10.1, annex E.4) as they are, and as Enhanced RTMP v2 extends them.
//!
//! In goes the body of a message with its timestamp; out come [`Event`]s. What makes no sense, and what is for a codec nobody can carry in
//! CMAF, is dropped and counted; a tag never ends a session (conformance 28).
//!
//! **Track ids.** Video track *n* of the encoder is `TrackId(2n)`, audio track *n* is `TrackId(2n + 1)`; classic tags are track 0 of their
//! kind, so the usual stream is video 0 and audio 1. The mapping depends on nothing that was sent before, so an encoder that comes back
//! finds its tracks again.
//!
//! **Times.** A frame's `dts` is the message's timestamp in ticks of its track, not normalised in any way. Composition time and the
//! nanoseconds of `TimestampOffsetNano` go to `composition_offset` for video; for audio, which has none, the nanoseconds go to `dts`.

mod enhanced;
mod track;

use bytes::{Buf, Bytes};
use nova_core::media::{Codec, Frame, Track, TrackId};

use track::TrackState;

/// Video codecs of Enhanced RTMP that Nova takes.
pub(crate) const VIDEO_FOUR_CC: &[&str] = &["avc1", "hvc1", "av01", "vp09"];
/// Audio codecs of Enhanced RTMP that Nova takes.
pub(crate) const AUDIO_FOUR_CC: &[&str] = &["mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"];

/// What a tag was good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A track, or its changed configuration.
    Track(Track),
    /// A frame of a track announced before.
    Frame(Frame),
}

/// Why a tag was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Ends too soon.
    #[error("tag is cut off")]
    Truncated,
    /// A codec that cannot be carried.
    #[error("codec is not supported")]
    UnknownCodec,
    /// A packet type of no known meaning.
    #[error("packet type {0} is not known")]
    PacketType(u8),
    /// A frame before its configuration.
    #[error("frame of track {0} before its configuration")]
    NoConfig(TrackId),
    /// More tracks than are allowed.
    #[error("more than {0} tracks")]
    TooManyTracks(usize),
    /// A configuration or frame of no sense.
    #[error("{codec:?}: {source}")]
    Codec {
        /// The codec.
        codec: Codec,
        /// What is wrong.
        source: crate::codec::Error,
    },
}

/// What a packet holds, classic or enhanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packet {
    /// Decoder configuration.
    Config,
    /// A frame.
    Frame,
}

/// A packet of one track, freed of its headers.
#[derive(Debug)]
struct Part {
    track: u8,
    codec: Codec,
    packet: Packet,
    keyframe: bool,
    /// Milliseconds of the message.
    timestamp: i64,
    /// Composition time, milliseconds.
    composition: i32,
    /// Nanoseconds to be added to the presentation time.
    nanos: u32,
    data: Bytes,
}

/// Tags of one publisher.
#[derive(Debug)]
pub(crate) struct Demuxer {
    tracks: Vec<TrackState>,
    max_tracks: usize,
    dropped: u64,
}

impl Demuxer {
    pub(crate) const fn new(max_tracks: usize) -> Self {
        Self {
            tracks: Vec::new(),
            max_tracks,
            dropped: 0,
        }
    }

    /// Tags dropped so far, for whatever reason but being empty.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// A video message.
    pub(crate) fn video(&mut self, timestamp: i64, mut tag: Bytes, sink: &mut impl FnMut(Event)) {
        let Some(&head) = tag.first() else { return };
        let result = if head & 0x80 != 0 {
            self.enhanced_video(timestamp, tag, sink)
        } else {
            classic_video(timestamp, &mut tag).and_then(|part| match part {
                Some(part) => self.part(part, sink),
                None => Ok(()),
            })
        };
        self.count(result);
    }

    /// An audio message.
    pub(crate) fn audio(&mut self, timestamp: i64, mut tag: Bytes, sink: &mut impl FnMut(Event)) {
        let Some(&head) = tag.first() else { return };
        let result = if head >> 4 == 9 {
            self.enhanced_audio(timestamp, tag, sink)
        } else {
            classic_audio(timestamp, &mut tag).and_then(|part| match part {
                Some(part) => self.part(part, sink),
                None => Ok(()),
            })
        };
        self.count(result);
    }

    fn count(&mut self, result: Result<(), Error>) {
        if let Err(error) = result {
            self.dropped += 1;
            tracing::trace!(%error, "tag dropped");
        }
    }

    fn part(&mut self, part: Part, sink: &mut impl FnMut(Event)) -> Result<(), Error> {
        if part.data.is_empty() {
            // Conformance 39.
            return Ok(());
        }
        let video = part.codec.is_video();
        // Ids have eight bits, one of which says which kind it is.
        let id = part.track.checked_mul(2).ok_or(Error::TooManyTracks(128))? + u8::from(!video);
        let id = TrackId(id);
        let index = match self.tracks.iter().position(|t| t.id() == id) {
            Some(index) => index,
            None if self.tracks.len() >= self.max_tracks => return Err(Error::TooManyTracks(self.max_tracks)),
            None => {
                self.tracks.push(TrackState::new(id, part.codec));
                self.tracks.len() - 1
            }
        };
        self.tracks[index].part(part, sink)
    }
}

/// E.4.3.1. `None` for what is to be ignored.
fn classic_video(timestamp: i64, tag: &mut Bytes) -> Result<Option<Part>, Error> {
    const COMMAND: u8 = 5;
    let head = tag.get_u8();
    let codec = match head & 0x0f {
        7 => Codec::Avc,
        // Not in the standard: HEVC as many encoders sent it before Enhanced RTMP.
        12 => Codec::Hevc,
        _ => return Err(Error::UnknownCodec),
    };
    if head >> 4 == COMMAND || tag.is_empty() {
        return Ok(None);
    }
    if tag.len() < 4 {
        return Err(Error::Truncated);
    }
    let packet = match tag.get_u8() {
        0 => Packet::Config,
        1 => Packet::Frame,
        2 => return Ok(None),
        other => return Err(Error::PacketType(other)),
    };
    let composition = signed24(tag);
    Ok(Some(Part {
        track: 0,
        codec,
        packet,
        keyframe: is_key(head >> 4),
        timestamp,
        composition: if packet == Packet::Frame { composition } else { 0 },
        nanos: 0,
        data: std::mem::take(tag),
    }))
}

/// E.4.2.1. `None` for what is to be ignored.
fn classic_audio(timestamp: i64, tag: &mut Bytes) -> Result<Option<Part>, Error> {
    let (codec, packet) = match tag.get_u8() >> 4 {
        10 if tag.is_empty() => return Ok(None),
        10 => match tag.get_u8() {
            0 => (Codec::Aac, Packet::Config),
            1 => (Codec::Aac, Packet::Frame),
            other => return Err(Error::PacketType(other)),
        },
        2 | 14 => (Codec::Mp3, Packet::Frame),
        _ => return Err(Error::UnknownCodec),
    };
    Ok(Some(Part {
        track: 0,
        codec,
        packet,
        keyframe: true,
        timestamp,
        composition: 0,
        nanos: 0,
        data: std::mem::take(tag),
    }))
}

/// Frame types: 1 is a keyframe, 4 a "generated" one.
const fn is_key(frame_type: u8) -> bool {
    matches!(frame_type, 1 | 4)
}

/// SI24. The caller has seen to it that three bytes are there.
fn signed24(bytes: &mut Bytes) -> i32 {
    let value = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], 0]) >> 8;
    bytes.advance(3);
    value
}
