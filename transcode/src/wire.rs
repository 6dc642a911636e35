//! What server and worker say to each other on a Unix socket: [`Request`]s down, [`Reply`]s up.
//!
//! A message is a big-endian `u32` length, a kind byte, and the fields in order. Both ends are built together, so there is no version; both
//! ends distrust each other, so that every length is bounded and anything unexpected is an [`Error`], after which the peer is given up.
//! Sans-IO: bytes come in and go out in buffers of the caller's.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use nova_core::media::{Codec, Colour, Frame, Media, Track, TrackId};

/// The longest message: a keyframe of 4K at any sane quality, with room.
pub const MESSAGE_MAX: usize = 16 << 20;
/// Rungs in one ladder.
const RUNGS_MAX: usize = 16;

/// Why a message does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than [`MESSAGE_MAX`], or empty.
    #[error("a message of {len} bytes")]
    Length {
        /// As the peer states it.
        len: usize,
    },
    /// No such kind of message.
    #[error("unknown kind of message {0}")]
    Kind(u8),
    /// The message ends within a field.
    #[error("a message ends too early")]
    Truncated,
    /// Bytes are left behind the last field.
    #[error("{0} bytes behind the end of a message")]
    Trailing(usize),
    /// A field has a value that means nothing.
    #[error("invalid {0}")]
    Invalid(&'static str),
}

impl From<bytes::TryGetError> for Error {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Truncated
    }
}

/// A rung as the worker makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RungStart {
    /// The track its frames carry.
    pub track: TrackId,
    /// Its name.
    pub name: String,
    /// Luma samples a row.
    pub width: u16,
    /// Luma rows.
    pub height: u16,
    /// Bits a second, which is also what the decoder's buffer is filled with.
    pub bit_rate: u32,
    /// One of this many pictures is encoded.
    pub frame_rate_divisor: u8,
    /// Pictures up to this PTS are out already: encoding begins with the next one.
    pub after: Option<i64>,
    /// It makes nothing until [`Request::Restore`].
    pub shed: bool,
    /// Number of its parameter sets (H.264 7.4.2.1.1), for pictures that lie beside those of another encoder in one track.
    pub parameter_set: u8,
}

/// The AAC rendition as the worker makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundStart {
    /// The source.
    pub source: Track,
    /// The track the rendition's frames carry.
    pub track: TrackId,
    /// Bits a second.
    pub bit_rate: u32,
    /// Sound begins with this sample (ticks of the rendition's rate); what comes before is out already.
    pub from: Option<i64>,
}

/// A file to make a ladder from. The worker may read it only if it was started for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStart {
    /// Absolute path.
    pub path: String,
    /// Only pictures from here on, in microseconds from the file's start.
    pub from_us: u64,
    /// Only pictures before this.
    pub to_us: Option<u64>,
    /// Keyframes are the first picture at or after each multiple of this.
    pub grid_ms: u32,
}

/// A ladder to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The pictures' source; without it there are no rungs.
    pub video: Option<Track>,
    /// Largest first.
    pub rungs: Vec<RungStart>,
    /// The sound to re-encode.
    pub sound: Option<SoundStart>,
    /// The encoder that an earlier probe chose; the worker probes when there is none.
    pub encoder: Option<String>,
    /// Names of encoders that failed at work, with commas: a probe takes one of them only where there is no other.
    pub avoid: String,
    /// Pictures a second as an earlier worker measured them ([`Reply::FrameRate`]).
    pub frame_rate: Option<(u32, u32)>,
    /// Frames come from this file and not over the socket; the tracks then only say sizes and rates.
    pub file: Option<FileStart>,
}

/// From the server to the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Make this ladder from the frames that follow.
    Start(Box<Start>),
    /// A frame of the source, in decoding order.
    Frame(Frame),
    /// Make nothing of this rung until further notice.
    Shed(TrackId),
    /// Make it again from the next keyframe of the source on.
    Restore(TrackId),
    /// Let everything come out, then say [`Reply::Flushed`] and wait for another start.
    Flush,
    /// Make a JPEG of one keyframe.
    Still {
        /// Comes back with the answer.
        id: u32,
        /// Width of the JPEG; the height follows from the aspect ratio.
        width: u16,
        /// The frame's track.
        track: Box<Track>,
        /// A keyframe.
        frame: Frame,
    },
}

/// From the worker to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The ladder stands and waits for frames.
    Ready {
        /// The video encoder in use; empty when there are no rungs.
        encoder: String,
    },
    /// Pictures a second of the source, as a fraction, by the times of its first frames.
    FrameRate(u32, u32),
    /// A rung's decoder configuration.
    Track {
        /// The rung's name.
        name: String,
        /// What its frames are.
        track: Box<Track>,
    },
    /// A frame of a rung or of the AAC rendition.
    Frame(Frame),
    /// So many pictures of the source have been taken into the decoder since the start.
    Taken(u64),
    /// Everything is out.
    Flushed,
    /// The answer to [`Request::Still`].
    Still {
        /// The request's.
        id: u32,
        /// A JPEG, or why there is none.
        picture: Result<Bytes, String>,
    },
    /// The worker cannot go on and ends.
    Fault(String),
    /// The same, by the fault of an encoder in hardware: another one may do it.
    EncoderFault(String),
}

impl Request {
    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        message(out, |out| match self {
            Self::Start(start) => {
                out.put_u8(0);
                put_option(out, start.video.as_ref(), put_track);
                out.put_u8(start.rungs.len().min(RUNGS_MAX) as u8);
                for rung in start.rungs.iter().take(RUNGS_MAX) {
                    put_rung(out, rung);
                }
                put_option(out, start.sound.as_ref(), put_sound);
                put_option(out, start.encoder.as_ref(), |out, name| put_text(out, name));
                put_text(out, &start.avoid);
                put_option(out, start.frame_rate, put_rate);
                put_option(out, start.file.as_ref(), put_file);
            }
            Self::Frame(frame) => {
                out.put_u8(1);
                put_frame(out, frame);
            }
            Self::Shed(track) => out.put_slice(&[2, track.0]),
            Self::Restore(track) => out.put_slice(&[3, track.0]),
            Self::Flush => out.put_u8(4),
            Self::Still {
                id,
                width,
                track,
                frame,
            } => {
                out.put_u8(5);
                out.put_u32(*id);
                out.put_u16(*width);
                put_track(out, track);
                put_frame(out, frame);
            }
        });
    }

    /// Takes the next message off `input`; `None` until it is there in full.
    pub fn decode(input: &mut BytesMut) -> Result<Option<Self>, Error> {
        parse(input, |kind, body| {
            Ok(match kind {
                0 => {
                    let video = get_option(body, get_track)?;
                    let count = usize::from(body.try_get_u8()?);
                    if count > RUNGS_MAX {
                        return Err(Error::Invalid("number of rungs"));
                    }
                    let rungs = (0..count).map(|_| get_rung(body)).collect::<Result<_, _>>()?;
                    let sound = get_option(body, get_sound)?;
                    let encoder = get_option(body, get_text)?;
                    let avoid = get_text(body)?;
                    let frame_rate = get_option(body, get_rate)?;
                    let file = get_option(body, get_file)?;
                    Self::Start(Box::new(Start {
                        video,
                        rungs,
                        sound,
                        encoder,
                        avoid,
                        frame_rate,
                        file,
                    }))
                }
                1 => Self::Frame(get_frame(body)?),
                2 => Self::Shed(TrackId(body.try_get_u8()?)),
                3 => Self::Restore(TrackId(body.try_get_u8()?)),
                4 => Self::Flush,
                5 => Self::Still {
                    id: body.try_get_u32()?,
                    width: body.try_get_u16()?,
                    track: Box::new(get_track(body)?),
                    frame: get_frame(body)?,
                },
                other => return Err(Error::Kind(other)),
            })
        })
    }
}

impl Reply {
    /// Appends the message.
    pub fn encode(&self, out: &mut BytesMut) {
        message(out, |out| match self {
            Self::Ready { encoder } => {
                out.put_u8(0x80);
                put_text(out, encoder);
            }
            Self::Track { name, track } => {
                out.put_u8(0x81);
                put_text(out, name);
                put_track(out, track);
            }
            Self::Frame(frame) => {
                out.put_u8(0x82);
                put_frame(out, frame);
            }
            Self::Taken(count) => {
                out.put_u8(0x83);
                out.put_u64(*count);
            }
            Self::Flushed => out.put_u8(0x84),
            Self::Still { id, picture } => {
                out.put_u8(0x85);
                out.put_u32(*id);
                match picture {
                    Ok(jpeg) => {
                        out.put_u8(1);
                        put_bytes(out, jpeg);
                    }
                    Err(reason) => {
                        out.put_u8(0);
                        put_text(out, reason);
                    }
                }
            }
            Self::Fault(reason) => {
                out.put_u8(0x86);
                put_text(out, reason);
            }
            Self::EncoderFault(reason) => {
                out.put_u8(0x88);
                put_text(out, reason);
            }
            Self::FrameRate(count, seconds) => {
                out.put_u8(0x87);
                put_rate(out, (*count, *seconds));
            }
        });
    }

    /// Takes the next message off `input`; `None` until it is there in full.
    pub fn decode(input: &mut BytesMut) -> Result<Option<Self>, Error> {
        parse(input, |kind, body| {
            Ok(match kind {
                0x80 => Self::Ready {
                    encoder: get_text(body)?,
                },
                0x81 => Self::Track {
                    name: get_text(body)?,
                    track: Box::new(get_track(body)?),
                },
                0x82 => Self::Frame(get_frame(body)?),
                0x83 => Self::Taken(body.try_get_u64()?),
                0x84 => Self::Flushed,
                0x85 => Self::Still {
                    id: body.try_get_u32()?,
                    picture: if get_flag(body)? {
                        Ok(get_bytes(body)?)
                    } else {
                        Err(get_text(body)?)
                    },
                },
                0x86 => Self::Fault(get_text(body)?),
                0x88 => Self::EncoderFault(get_text(body)?),
                0x87 => {
                    let (count, seconds) = get_rate(body)?;
                    Self::FrameRate(count, seconds)
                }
                other => return Err(Error::Kind(other)),
            })
        })
    }
}

fn message(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    body(out);
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

fn parse<T>(input: &mut BytesMut, read: impl FnOnce(u8, &mut Bytes) -> Result<T, Error>) -> Result<Option<T>, Error> {
    let Some(head) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes(*head) as usize;
    if len == 0 || len > MESSAGE_MAX {
        return Err(Error::Length { len });
    }
    if input.len() < 4 + len {
        input.reserve(4 + len - input.len());
        return Ok(None);
    }
    input.advance(4);
    let mut body = input.split_to(len).freeze();
    let kind = body.try_get_u8()?;
    let value = read(kind, &mut body)?;
    if body.has_remaining() {
        return Err(Error::Trailing(body.remaining()));
    }
    Ok(Some(value))
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
}

fn get_bytes(body: &mut Bytes) -> Result<Bytes, Error> {
    let len = body.try_get_u32()? as usize;
    if len > body.len() {
        return Err(Error::Truncated);
    }
    Ok(body.split_to(len))
}

fn put_text(out: &mut BytesMut, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn get_text(body: &mut Bytes) -> Result<String, Error> {
    String::from_utf8(get_bytes(body)?.to_vec()).map_err(|_not_utf8| Error::Invalid("text"))
}

fn get_flag(body: &mut Bytes) -> Result<bool, Error> {
    match body.try_get_u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::Invalid("flag")),
    }
}

fn put_option<T>(out: &mut BytesMut, value: Option<T>, put: impl FnOnce(&mut BytesMut, T)) {
    out.put_u8(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn get_option<T>(body: &mut Bytes, get: impl FnOnce(&mut Bytes) -> Result<T, Error>) -> Result<Option<T>, Error> {
    Ok(if get_flag(body)? { Some(get(body)?) } else { None })
}

fn put_file(out: &mut BytesMut, file: &FileStart) {
    put_text(out, &file.path);
    out.put_u64(file.from_us);
    put_option(out, file.to_us, BytesMut::put_u64);
    out.put_u32(file.grid_ms);
}

fn get_file(body: &mut Bytes) -> Result<FileStart, Error> {
    Ok(FileStart {
        path: get_text(body)?,
        from_us: body.try_get_u64()?,
        to_us: get_option(body, |body| Ok(body.try_get_u64()?))?,
        grid_ms: body.try_get_u32()?,
    })
}

fn put_rate(out: &mut BytesMut, (count, seconds): (u32, u32)) {
    out.put_u32(count);
    out.put_u32(seconds);
}

fn get_rate(body: &mut Bytes) -> Result<(u32, u32), Error> {
    Ok((body.try_get_u32()?, body.try_get_u32()?))
}

fn put_rung(out: &mut BytesMut, rung: &RungStart) {
    out.put_u8(rung.track.0);
    put_text(out, &rung.name);
    out.put_u16(rung.width);
    out.put_u16(rung.height);
    out.put_u32(rung.bit_rate);
    out.put_u8(rung.frame_rate_divisor);
    put_option(out, rung.after, BytesMut::put_i64);
    out.put_u8(u8::from(rung.shed));
    out.put_u8(rung.parameter_set);
}

fn get_rung(body: &mut Bytes) -> Result<RungStart, Error> {
    Ok(RungStart {
        track: TrackId(body.try_get_u8()?),
        name: get_text(body)?,
        width: body.try_get_u16()?,
        height: body.try_get_u16()?,
        bit_rate: body.try_get_u32()?,
        frame_rate_divisor: body.try_get_u8()?,
        after: get_option(body, |body| Ok(body.try_get_i64()?))?,
        shed: get_flag(body)?,
        parameter_set: body.try_get_u8()?,
    })
}

fn put_sound(out: &mut BytesMut, sound: &SoundStart) {
    put_track(out, &sound.source);
    out.put_u8(sound.track.0);
    out.put_u32(sound.bit_rate);
    put_option(out, sound.from, BytesMut::put_i64);
}

fn get_sound(body: &mut Bytes) -> Result<SoundStart, Error> {
    Ok(SoundStart {
        source: get_track(body)?,
        track: TrackId(body.try_get_u8()?),
        bit_rate: body.try_get_u32()?,
        from: get_option(body, |body| Ok(body.try_get_i64()?))?,
    })
}

const CODECS: [Codec; 10] = [
    Codec::Avc,
    Codec::Hevc,
    Codec::Av1,
    Codec::Vp9,
    Codec::Aac,
    Codec::Opus,
    Codec::Ac3,
    Codec::Eac3,
    Codec::Flac,
    Codec::Mp3,
];

fn put_track(out: &mut BytesMut, track: &Track) {
    out.put_u8(track.id.0);
    let codec = CODECS.iter().position(|codec| *codec == track.codec);
    out.put_u8(codec.map_or(u8::MAX, |index| index as u8));
    out.put_u32(track.timescale);
    put_bytes(out, &track.config);
    put_text(out, &track.codec_string);
    match &track.media {
        Media::Video {
            width,
            height,
            sar,
            frame_rate,
            colour,
        } => {
            out.put_u8(1);
            for value in [*width, *height, sar.0, sar.1] {
                out.put_u16(value);
            }
            put_option(out, *frame_rate, put_rate);
            put_option(out, *colour, put_colour);
        }
        Media::Audio {
            sample_rate,
            channels,
            frame_samples,
        } => {
            out.put_u8(0);
            out.put_u32(*sample_rate);
            out.put_u8(*channels);
            put_option(out, *frame_samples, BytesMut::put_u32);
        }
    }
}

fn get_track(body: &mut Bytes) -> Result<Track, Error> {
    let id = TrackId(body.try_get_u8()?);
    let codec = CODECS.get(usize::from(body.try_get_u8()?));
    let codec = *codec.ok_or(Error::Invalid("codec"))?;
    let timescale = body.try_get_u32()?;
    let config = get_bytes(body)?;
    let codec_string = get_text(body)?;
    let is_video = get_flag(body)?;
    if timescale == 0 || is_video != codec.is_video() {
        return Err(Error::Invalid("track"));
    }
    let media = if is_video {
        Media::Video {
            width: body.try_get_u16()?,
            height: body.try_get_u16()?,
            sar: (body.try_get_u16()?, body.try_get_u16()?),
            frame_rate: get_option(body, get_rate)?,
            colour: get_option(body, get_colour)?,
        }
    } else {
        Media::Audio {
            sample_rate: body.try_get_u32()?,
            channels: body.try_get_u8()?,
            frame_samples: get_option(body, |body| Ok(body.try_get_u32()?))?,
        }
    };
    Ok(Track {
        id,
        codec,
        timescale,
        config,
        codec_string,
        media,
    })
}

fn put_colour(out: &mut BytesMut, colour: Colour) {
    let codes = [
        colour.primaries,
        colour.transfer,
        colour.matrix,
        u8::from(colour.full_range),
    ];
    out.put_slice(&codes);
}

fn get_colour(body: &mut Bytes) -> Result<Colour, Error> {
    Ok(Colour {
        primaries: body.try_get_u8()?,
        transfer: body.try_get_u8()?,
        matrix: body.try_get_u8()?,
        full_range: get_flag(body)?,
    })
}

fn put_frame(out: &mut BytesMut, frame: &Frame) {
    out.put_u8(frame.track.0);
    out.put_i64(frame.dts);
    out.put_i32(frame.composition_offset);
    put_option(out, frame.duration, BytesMut::put_u32);
    out.put_u8(u8::from(frame.keyframe));
    put_bytes(out, &frame.payload);
}

fn get_frame(body: &mut Bytes) -> Result<Frame, Error> {
    let frame = Frame {
        track: TrackId(body.try_get_u8()?),
        dts: body.try_get_i64()?,
        composition_offset: body.try_get_i32()?,
        duration: get_option(body, |body| Ok(body.try_get_u32()?))?,
        keyframe: get_flag(body)?,
        payload: get_bytes(body)?,
    };
    // A hundred years of any timescale: sums of times cannot overflow.
    if frame.dts.unsigned_abs() > 1 << 50 {
        return Err(Error::Invalid("time"));
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..100).prop_map(Bytes::from)
    }

    fn frame() -> impl Strategy<Value = Frame> {
        let times = (-(1_i64 << 50)..1 << 50, any::<i32>(), option::of(any::<u32>()));
        (any::<u8>(), times, any::<bool>(), bytes()).prop_map(|(track, times, keyframe, payload)| Frame {
            track: TrackId(track),
            dts: times.0,
            composition_offset: times.1,
            duration: times.2,
            keyframe,
            payload,
        })
    }

    fn media(codec: Codec, a: u32, b: u16, option: Option<u32>) -> Media {
        if codec.is_video() {
            Media::Video {
                width: a as u16,
                height: b,
                sar: (b, a as u16),
                frame_rate: option.map(|rate| (rate, a)),
                colour: option.map(|codes| Colour {
                    primaries: codes as u8,
                    transfer: (codes >> 8) as u8,
                    matrix: (codes >> 16) as u8,
                    full_range: codes >> 31 == 1,
                }),
            }
        } else {
            Media::Audio {
                sample_rate: a,
                channels: b as u8,
                frame_samples: option,
            }
        }
    }

    fn track() -> impl Strategy<Value = Track> {
        let fields = (any::<u32>(), any::<u16>(), option::of(any::<u32>()));
        (any::<u8>(), 0..CODECS.len(), 1_u32.., bytes(), ".*", fields).prop_map(
            |(id, codec, timescale, config, codec_string, (a, b, option))| Track {
                id: TrackId(id),
                codec: CODECS[codec],
                timescale,
                config,
                codec_string,
                media: media(CODECS[codec], a, b, option),
            },
        )
    }

    fn rung() -> impl Strategy<Value = RungStart> {
        let sizes = (any::<u16>(), any::<u16>(), any::<u32>(), any::<u8>());
        let state = (option::of(any::<i64>()), any::<bool>(), any::<u8>());
        (any::<u8>(), ".*", sizes, state).prop_map(
            |(track, name, (width, height, bit_rate, frame_rate_divisor), (after, shed, parameter_set))| RungStart {
                track: TrackId(track),
                name,
                width,
                height,
                bit_rate,
                frame_rate_divisor,
                after,
                shed,
                parameter_set,
            },
        )
    }

    fn start() -> impl Strategy<Value = Start> {
        let sound = (track(), any::<u8>(), any::<u32>(), option::of(any::<i64>())).prop_map(
            |(source, track, bit_rate, from)| SoundStart {
                source,
                track: TrackId(track),
                bit_rate,
                from,
            },
        );
        (
            option::of(track()),
            vec(rung(), 0..5),
            option::of(sound),
            (option::of(".*"), ".*"),
            option::of((any::<u32>(), any::<u32>())),
            option::of((".*", any::<u64>(), option::of(any::<u64>()), any::<u32>())),
        )
            .prop_map(|(video, rungs, sound, (encoder, avoid), frame_rate, file)| Start {
                video,
                rungs,
                sound,
                encoder,
                avoid,
                frame_rate,
                file: file.map(|(path, from_us, to_us, grid_ms)| FileStart {
                    path,
                    from_us,
                    to_us,
                    grid_ms,
                }),
            })
    }

    fn request() -> impl Strategy<Value = Request> {
        prop_oneof![
            start().prop_map(|start| Request::Start(Box::new(start))),
            frame().prop_map(Request::Frame),
            any::<u8>().prop_map(|track| Request::Shed(TrackId(track))),
            any::<u8>().prop_map(|track| Request::Restore(TrackId(track))),
            Just(Request::Flush),
            (any::<u32>(), any::<u16>(), track(), frame()).prop_map(|(id, width, track, frame)| Request::Still {
                id,
                width,
                track: Box::new(track),
                frame
            }),
        ]
    }

    fn reply() -> impl Strategy<Value = Reply> {
        prop_oneof![
            ".*".prop_map(|encoder| Reply::Ready { encoder }),
            (".*", track()).prop_map(|(name, track)| Reply::Track {
                name,
                track: Box::new(track)
            }),
            frame().prop_map(Reply::Frame),
            any::<u64>().prop_map(Reply::Taken),
            Just(Reply::Flushed),
            (any::<u32>(), proptest::result::maybe_ok(bytes(), ".*"))
                .prop_map(|(id, picture)| Reply::Still { id, picture }),
            ".*".prop_map(Reply::Fault),
            ".*".prop_map(Reply::EncoderFault),
            (any::<u32>(), any::<u32>()).prop_map(|(count, seconds)| Reply::FrameRate(count, seconds)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_however_it_is_cut(requests in vec(request(), 1..4), replies in vec(reply(), 1..4), cut in 1..50_usize) {
            let (mut down, mut up) = (BytesMut::new(), BytesMut::new());
            requests.iter().for_each(|request| request.encode(&mut down));
            replies.iter().for_each(|reply| reply.encode(&mut up));
            let (mut input, mut read) = (BytesMut::new(), Vec::new());
            for piece in down.chunks(cut) {
                input.extend_from_slice(piece);
                while let Some(request) = Request::decode(&mut input).unwrap() {
                    read.push(request);
                }
            }
            prop_assert_eq!((read, input.len()), (requests, 0));
            let (mut input, mut read) = (BytesMut::new(), Vec::new());
            for piece in up.chunks(cut) {
                input.extend_from_slice(piece);
                while let Some(reply) = Reply::decode(&mut input).unwrap() {
                    read.push(reply);
                }
            }
            prop_assert_eq!((read, input.len()), (replies, 0));
        }

        #[test]
        fn garbage_is_an_error_or_incomplete_but_never_a_panic(garbage in vec(any::<u8>(), 0..300)) {
            let mut input = BytesMut::from(&garbage[..]);
            while let Ok(Some(_)) = Request::decode(&mut input) {}
            let mut input = BytesMut::from(&garbage[..]);
            while let Ok(Some(_)) = Reply::decode(&mut input) {}
        }

        #[test]
        fn a_damaged_message_never_panics(request in request(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
            let mut bytes = BytesMut::new();
            request.encode(&mut bytes);
            let at = at.index(bytes.len());
            bytes[at] = value;
            while let Ok(Some(_)) = Request::decode(&mut bytes) {}
        }
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_anything_is_reserved() {
        let mut input = BytesMut::from(&[0xff, 0xff, 0xff, 0xff, 0x82][..]);
        let len = u32::MAX as usize;
        assert_eq!(Reply::decode(&mut input), Err(Error::Length { len }));
        assert!(input.capacity() < 1000);
    }
}
