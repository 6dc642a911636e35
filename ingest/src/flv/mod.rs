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

#[cfg(test)]
mod tests {
    use nova_core::media::Media;

    use super::*;
    use crate::codec::avc::{self, tests::record};

    /// An IDR slice behind its length.
    const IDR: &[u8] = &[0, 0, 0, 3, 0x65, 1, 2];
    const SLICE: &[u8] = &[0, 0, 0, 3, 0x41, 1, 2];
    const ASC: &[u8] = &[0x12, 0x10];

    struct Feed {
        demuxer: Demuxer,
        tracks: Vec<Track>,
        frames: Vec<Frame>,
    }

    impl Feed {
        fn new() -> Self {
            Self {
                demuxer: Demuxer::new(16),
                tracks: Vec::new(),
                frames: Vec::new(),
            }
        }

        fn video(&mut self, timestamp: i64, parts: &[&[u8]]) -> &mut Self {
            let (tracks, frames) = (&mut self.tracks, &mut self.frames);
            self.demuxer
                .video(timestamp, parts.concat().into(), &mut |event| match event {
                    Event::Track(track) => tracks.push(track),
                    Event::Frame(frame) => frames.push(frame),
                });
            self
        }

        fn audio(&mut self, timestamp: i64, parts: &[&[u8]]) -> &mut Self {
            let (tracks, frames) = (&mut self.tracks, &mut self.frames);
            self.demuxer
                .audio(timestamp, parts.concat().into(), &mut |event| match event {
                    Event::Track(track) => tracks.push(track),
                    Event::Frame(frame) => frames.push(frame),
                });
            self
        }

        fn ids(&self) -> Vec<(u8, Codec)> {
            self.tracks.iter().map(|t| (t.id.0, t.codec)).collect()
        }
    }

    /// x264's parameter sets of 320x180 and of 640x360.
    const SPS: [&[u8]; 2] = [
        b"\x67\x42\xc0\x0d\xda\x05\x06\x7e\x7c\x04\x40\0\0\x03\0\x40\0\0\x0f\x03\xc5\x0a\xa8",
        b"\x67\x42\xc0\x1e\xda\x02\x80\xbf\xe5\xc0\x44\0\0\x03\0\x04\0\0\x03\0\xf0\x3c\x58\xba\x80",
    ];
    const PPS: &[u8] = b"\x68\xce\x0f\xc8";

    #[test]
    fn conformance_37_another_sps_in_the_pictures_is_another_configuration_and_the_same_is_none() {
        let units = |sets: &[&[u8]]| -> Vec<u8> {
            let sized = |nal: &&[u8]| [&u32::try_from(nal.len()).unwrap().to_be_bytes()[..], *nal].concat();
            sets.iter().flat_map(sized).chain(IDR.iter().copied()).collect()
        };
        let config = avc::record_in_band(&units(&[SPS[0], PPS])).unwrap();
        let mut feed = Feed::new();
        feed.video(0, &[&[0x17, 0, 0, 0, 0], &config])
            .video(0, &[&[0x17, 1, 0, 0, 0], &units(&[SPS[0], PPS])])
            .video(40, &[&[0x17, 1, 0, 0, 0], &units(&[b"\x68\xce\x3c\x80"])])
            .video(80, &[&[0x17, 1, 0, 0, 0], &units(&[SPS[1], PPS])])
            .video(120, &[&[0x17, 1, 0, 0, 0], &units(&[SPS[1], PPS])])
            .video(160, &[&[0x17, 0, 0, 0, 0], &config])
            .video(160, &[&[0x17, 1, 0, 0, 0], IDR])
            .video(200, &[&[0x17, 1, 0, 0, 0], &units(&[SPS[0], PPS])]);
        let sizes: Vec<_> = feed.tracks.iter().map(|track| &track.media).collect();
        assert!(
            matches!(
                sizes[..],
                [
                    Media::Video { width: 320, .. },
                    Media::Video {
                        width: 640,
                        height: 360,
                        ..
                    },
                    Media::Video { width: 320, .. }
                ]
            ),
            "{sizes:?}"
        );
        feed.video(240, &[&[0x17, 1, 0, 0, 0], &units(&[&SPS[1][..6], PPS])]);
        assert_eq!((feed.tracks.len(), feed.frames.len()), (3, 7));
    }

    #[test]
    fn classic_h264_and_aac_become_tracks_0_and_1() {
        let mut feed = Feed::new();
        feed.video(0, &[&[0x17, 0, 0, 0, 0], &record(0xff, &[])])
            .audio(0, &[&[0xaf, 0], ASC])
            .video(40, &[&[0x17, 1, 0, 0, 80], IDR])
            .video(80, &[&[0x27, 1, 0xff, 0xff, 0xd8], SLICE])
            .audio(23, &[&[0xaf, 1], b"aac"]);
        assert_eq!(feed.ids(), [(0, Codec::Avc), (1, Codec::Aac)]);
        assert_eq!((feed.tracks[0].timescale, feed.tracks[1].timescale), (90_000, 44_100));
        let times: Vec<_> = feed
            .frames
            .iter()
            .map(|f| (f.track.0, f.dts, f.composition_offset, f.keyframe))
            .collect();
        // Composition time is signed; sound is timed by its own rate.
        assert_eq!(
            times,
            [(0, 3600, 7200, true), (0, 7200, -3600, false), (1, 1014, 0, true)]
        );
        assert_eq!(feed.frames[2].payload, "aac");
        assert_eq!(feed.demuxer.dropped(), 0);
    }

    #[test]
    fn the_same_configuration_again_is_no_news_and_another_one_is() {
        // Conformance 37.
        let mut feed = Feed::new();
        for _ in 0..3 {
            feed.video(0, &[&[0x17, 0, 0, 0, 0], &record(0xff, &[])])
                .audio(0, &[&[0xaf, 0], ASC]);
        }
        assert_eq!(feed.tracks.len(), 2);
        // With the four trailing bytes it means the same.
        feed.video(0, &[&[0x17, 0, 0, 0, 0], &record(0xff, &[0xfd, 0xf8, 0xf8, 0])]);
        assert_eq!(feed.tracks.len(), 2);
        feed.audio(0, &[&[0xaf, 0], &[0x11, 0x90]]);
        assert_eq!(feed.tracks[2].timescale, 48_000);
    }

    #[test]
    fn empty_tags_and_commands_are_ignored() {
        // Conformance 39.
        let mut feed = Feed::new();
        feed.video(0, &[&[0x17, 0, 0, 0, 0], &record(0xff, &[])])
            .audio(0, &[&[0xaf, 0], ASC]);
        feed.video(1, &[])
            .audio(1, &[])
            .video(1, &[&[0x17]])
            .audio(1, &[&[0xaf]])
            .audio(1, &[&[0xaf, 1]]);
        feed.video(1, &[&[0x57, 0]])
            .video(1, &[&[0x57, 1, 0, 0, 0], IDR])
            .video(1, &[&[0x17, 1, 0, 0, 0]])
            .video(1, &[&[0x17, 2, 0, 0, 0]]);
        // Enhanced: a command frame, an empty body.
        feed.video(1, &[&[0xd1, 0]]).video(1, &[&[0x93], b"avc1"]);
        assert!(feed.frames.is_empty());
        assert_eq!(feed.demuxer.dropped(), 0);
    }

    #[test]
    fn an_unknown_codec_loses_its_track_and_nothing_else() {
        // Conformance 28.
        let mut feed = Feed::new();
        feed.video(0, &[&[0x90], b"vp08", b"x"])
            .video(0, &[&[0x90], b"vvc1", b"x"])
            .video(0, &[&[0x12, 1]])
            .audio(0, &[&[0x90], b"????"]);
        feed.audio(0, &[&[0xb2, 1]])
            .audio(0, &[&[0xaf, 0], ASC])
            .audio(0, &[&[0xaf, 1], b"aac"]);
        assert_eq!((feed.demuxer.dropped(), feed.frames.len()), (5, 1));
    }

    #[test]
    fn frames_before_their_configuration_are_dropped() {
        let mut feed = Feed::new();
        feed.video(0, &[&[0x17, 1, 0, 0, 0], IDR])
            .audio(0, &[&[0xaf, 1], b"aac"])
            .audio(0, &[&[0x91], b"mp4a", b"aac"]);
        assert_eq!((feed.demuxer.dropped(), feed.frames.len()), (3, 0));
    }

    #[test]
    fn a_keyframe_is_one_if_the_bitstream_says_so() {
        let mut feed = Feed::new();
        feed.video(0, &[&[0x17, 0, 0, 0, 0], &record(0xff, &[])]);
        // Flagged without IDR; IDR without flag; an intra refresh with its recovery point.
        feed.video(1, &[&[0x17, 1, 0, 0, 0], SLICE])
            .video(2, &[&[0x27, 1, 0, 0, 0], IDR]);
        feed.video(3, &[&[0x17, 1, 0, 0, 0], &[0, 0, 0, 3, 6, 6, 1], SLICE])
            .video(4, &[&[0x27, 1, 0, 0, 0], &[0, 0, 0, 3, 6, 6, 1], SLICE]);
        let keys: Vec<_> = feed.frames.iter().map(|f| f.keyframe).collect();
        assert_eq!(keys, [false, true, true, false]);
    }

    #[test]
    fn every_enhanced_packet_type_does_what_it_says() {
        // Conformance 29.
        let mut feed = Feed::new();
        feed.video(0, &[&[0x90], b"avc1", &record(0xff, &[])])
            .video(40, &[&[0x91], b"avc1", &[0, 0, 40], IDR])
            .video(80, &[&[0xa3], b"avc1", SLICE])
            .video(80, &[&[0x94], b"avc1", &[2, 0, 9], b"colorInfo"])
            .video(80, &[&[0x95], b"avc1", b"descriptor"])
            .video(80, &[&[0x92], b"avc1"])
            .audio(
                0,
                &[
                    &[0x90],
                    b"Opus",
                    b"OpusHead",
                    &[1, 2, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0],
                ],
            )
            .audio(0, &[&[0x94], b"Opus", &[1, 2, 0, 0, 0, 3]])
            .audio(20, &[&[0x91], b"Opus", &[0xfc, 1, 2]])
            .audio(20, &[&[0x92], b"Opus"]);
        assert_eq!(feed.ids(), [(0, Codec::Avc), (1, Codec::Opus)]);
        let times: Vec<_> = feed
            .frames
            .iter()
            .map(|f| (f.dts, f.composition_offset, f.duration))
            .collect();
        assert_eq!(times, [(3600, 3600, None), (7200, 0, None), (960, 0, Some(960))]);
        assert_eq!(feed.demuxer.dropped(), 0);
        feed.video(80, &[&[0x98], b"avc1", SLICE])
            .audio(20, &[&[0x93], b"Opus", &[0xfc]]);
        assert_eq!(feed.demuxer.dropped(), 2);
    }

    #[test]
    fn nanoseconds_move_the_presentation_and_not_the_decode_time_of_pictures() {
        // Conformance 30: ModEx with 500,000 ns = 45 ticks; a second extension of another type, and one of 300 bytes, are stepped over.
        let mut feed = Feed::new();
        feed.video(0, &[&[0x90], b"avc1", &record(0xff, &[])]);
        let nanos = [2, 0x07, 0xa1, 0x20];
        feed.video(40, &[&[0x97], &nanos, &[0x01], b"avc1", &[0, 0, 1], IDR]);
        feed.video(80, &[&[0xa7], &nanos, &[0x07], &[0, 9, 0x13], b"avc1", SLICE]);
        feed.video(120, &[&[0xa7], &[255, 1, 43], &[0; 300], &[0x13], b"avc1", SLICE]);
        let times: Vec<_> = feed.frames.iter().map(|f| (f.dts, f.composition_offset)).collect();
        assert_eq!(times, [(3600, 90 + 45), (7200, 45), (10_800, 0)]);
        // Sound has one time: 500,000 ns are 24 samples at 48 kHz.
        feed.audio(20, &[&[0x97], &nanos, &[0x01], b"Opus", &[0xfc]]);
        assert_eq!(feed.frames[3].dts, 960 + 24);
        assert_eq!(feed.demuxer.dropped(), 0);
    }

    #[test]
    fn many_tracks_in_one_message_all_arrive() {
        // Conformance 31.
        let config = record(0xff, &[]);
        let sized = |track: u8, body: &[u8]| [&[track][..], &(body.len() as u32).to_be_bytes()[1..], body].concat();
        let coded = |body: &[u8]| [&[0, 0, 0][..], body].concat();
        let mut feed = Feed::new();
        // OneTrack, then ManyTracks of one codec, then ManyTracksManyCodecs.
        feed.video(0, &[&[0x96], &[0x00], b"avc1", &[3], &config]);
        feed.video(0, &[&[0x96], &[0x10], b"avc1", &sized(0, &config), &sized(1, &config)]);
        feed.video(
            40,
            &[
                &[0x96],
                &[0x11],
                b"avc1",
                &sized(0, &coded(IDR)),
                &sized(1, &coded(IDR)),
                &sized(3, &coded(IDR)),
            ],
        );
        feed.audio(
            0,
            &[
                &[0x95],
                &[0x20],
                b"mp4a",
                &sized(0, ASC),
                b"Opus",
                &sized(1, &[&[1, 1][..], &[0; 9]].concat()),
            ],
        );
        feed.audio(
            20,
            &[
                &[0x95],
                &[0x21],
                b"mp4a",
                &sized(0, b"aac"),
                b"Opus",
                &sized(1, &[0xf8]),
            ],
        );
        assert_eq!(
            feed.ids(),
            [
                (6, Codec::Avc),
                (0, Codec::Avc),
                (2, Codec::Avc),
                (1, Codec::Aac),
                (3, Codec::Opus)
            ]
        );
        let ids: Vec<_> = feed.frames.iter().map(|f| f.track.0).collect();
        assert_eq!(ids, [0, 2, 6, 1, 3]);
        assert_eq!(feed.demuxer.dropped(), 0);
        // A track that fails does not take the others with it; multitrack in multitrack is nonsense.
        feed.video(
            80,
            &[
                &[0x96],
                &[0x21],
                b"vp08",
                &sized(9, b"x"),
                b"avc1",
                &sized(0, &coded(IDR)),
            ],
        );
        assert_eq!((feed.demuxer.dropped(), feed.frames.len()), (1, 6));
        feed.video(80, &[&[0x96], &[0x06], b"avc1", &[0]])
            .video(80, &[&[0x96], &[0x11], b"avc1", &[0, 0, 1, 0], b"short"]);
        assert_eq!(feed.demuxer.dropped(), 3);
    }

    #[test]
    fn tracks_are_bounded_and_ids_keep_their_range() {
        let mut feed = Feed::new();
        for track in 0..=255 {
            feed.audio(0, &[&[0x95], &[0x00], b"mp4a", &[track], ASC]);
        }
        assert_eq!(feed.tracks.len(), 16);
        assert_eq!(feed.demuxer.dropped(), 240);
        let mut feed = Feed::new();
        feed.audio(0, &[&[0x95], &[0x00], b"mp4a", &[127], ASC])
            .audio(0, &[&[0x95], &[0x00], b"mp4a", &[128], ASC]);
        assert_eq!(feed.ids(), [(255, Codec::Aac)]);
    }

    #[test]
    fn codecs_without_a_header_announce_themselves_by_their_first_frame() {
        let mut feed = Feed::new();
        let mp3 = [0xff, 0xfb, 0x90, 0x64, 0, 0];
        feed.audio(0, &[&[0x2f], &mp3]).audio(26, &[&[0x2f], &mp3]);
        let ac3 = [0x0b, 0x77, 0, 0, 0x1c, 0x40, 0xe1, 0x00];
        feed.audio(40, &[&[0x95], &[0x01], b"ac-3", &[1], &ac3])
            .audio(72, &[&[0x95], &[0x01], b"ac-3", &[1], &ac3]);
        assert_eq!(feed.ids(), [(1, Codec::Mp3), (3, Codec::Ac3)]);
        let durations: Vec<_> = feed.frames.iter().map(|f| f.duration).collect();
        assert_eq!(durations, [Some(1152), Some(1152), Some(1536), Some(1536)]);
    }

    #[test]
    fn hevc_comes_by_four_cc_and_by_the_old_codec_id_12() {
        for (config, frame) in [
            (&[0x1c, 0, 0, 0, 0][..], &[0x1c, 1, 0, 0, 10][..]),
            (b"\x90hvc1", b"\x91hvc1\x00\x00\x0a"),
        ] {
            let mut feed = Feed::new();
            feed.video(0, &[config, crate::codec::hevc::tests::RECORD])
                .video(40, &[frame, &[0, 3, 0x26, 1, 9]]);
            assert_eq!(feed.ids(), [(0, Codec::Hevc)]);
            let frame = &feed.frames[0];
            assert_eq!((frame.dts, frame.composition_offset, frame.keyframe), (3600, 900, true));
            assert_eq!(frame.payload[..], [0, 0, 0, 3, 0x26, 1, 9]);
        }
    }

    #[test]
    fn a_track_may_change_its_codec() {
        let mut feed = Feed::new();
        feed.video(0, &[&[0x17, 0, 0, 0, 0], &record(0xff, &[])])
            .video(0, &[&[0x90], b"vp09", &[0, 31, 0x80, 1, 1, 1, 0, 0]]);
        // Not yet: the size is in the keyframe.
        feed.video(10, &[&[0xa3], b"vp09", &[0x86, 0, 0]]);
        assert_eq!((feed.tracks.len(), feed.demuxer.dropped()), (1, 1));
        feed.video(
            40,
            &[
                &[0x93],
                b"vp09",
                &[0x82, 0x49, 0x83, 0x42, 0x20, 0x4f, 0xf0, 0x2c, 0xf0],
            ],
        );
        assert_eq!(feed.ids(), [(0, Codec::Avc), (0, Codec::Vp9)]);
        assert!(matches!(
            feed.tracks[1].media,
            Media::Video {
                width: 1280,
                height: 720,
                ..
            }
        ));
        assert_eq!(feed.frames.len(), 1);
    }
}
