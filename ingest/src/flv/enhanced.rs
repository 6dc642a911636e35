//! The tags that Enhanced RTMP v2 adds: "Enhanced Audio" and "Enhanced Video", tables *Extended AudioTagHeader* and *Extended VideoTagHeader*.

use bytes::{Buf, Bytes};
use nova_core::media::Codec;

use super::{Demuxer, Error, Event, Packet, Part, is_key, signed24};

/// Packet types common to both kinds, and those of one.
mod packet_type {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    pub(super) const VIDEO_CODED_FRAMES_X: u8 = 3;
    pub(super) const VIDEO_METADATA: u8 = 4;
    pub(super) const VIDEO_MPEG2TS_SEQUENCE_START: u8 = 5;
    pub(super) const VIDEO_MULTITRACK: u8 = 6;
    pub(super) const AUDIO_MULTICHANNEL_CONFIG: u8 = 4;
    pub(super) const AUDIO_MULTITRACK: u8 = 5;
    pub(super) const MOD_EX: u8 = 7;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Multitrack {
    OneTrack,
    ManyTracks,
    ManyTracksManyCodecs,
}

/// Header of a tag behind its first byte.
#[derive(Debug)]
struct Header {
    packet_type: u8,
    nanos: u32,
    multitrack: Option<Multitrack>,
}

impl Demuxer {
    pub(super) fn enhanced_video(
        &mut self,
        timestamp: i64,
        mut tag: Bytes,
        sink: &mut impl FnMut(Event),
    ) -> Result<(), Error> {
        const COMMAND: u8 = 5;
        let head = tag.get_u8();
        let frame_type = head >> 4 & 7;
        let header = header(
            head & 0x0f,
            packet_type::VIDEO_MULTITRACK,
            &mut tag,
            |tag, packet_type| {
                // A command frame has one byte and no codec; it is ignored (conformance 39).
                packet_type != packet_type::VIDEO_METADATA && frame_type == COMMAND && !tag.is_empty()
            },
        )?;
        let Some(header) = header else { return Ok(()) };
        tracks(&header, tag, |track, four_cc, mut data| {
            let codec = match &four_cc {
                b"avc1" => Codec::Avc,
                b"hvc1" => Codec::Hevc,
                b"av01" => Codec::Av1,
                b"vp09" => Codec::Vp9,
                _ => return Err(Error::UnknownCodec),
            };
            let mut composition = 0;
            let packet = match header.packet_type {
                packet_type::SEQUENCE_START => Packet::Config,
                packet_type::CODED_FRAMES => {
                    if matches!(codec, Codec::Avc | Codec::Hevc) {
                        if data.len() < 3 {
                            return Err(Error::Truncated);
                        }
                        composition = signed24(&mut data);
                    }
                    Packet::Frame
                }
                packet_type::VIDEO_CODED_FRAMES_X => Packet::Frame,
                // HDR metadata is in the bitstream as well; MPEG2-TS descriptors repeat what frames say.
                packet_type::SEQUENCE_END | packet_type::VIDEO_METADATA | packet_type::VIDEO_MPEG2TS_SEQUENCE_START => {
                    return Ok(());
                }
                other => return Err(Error::PacketType(other)),
            };
            self.part(
                Part {
                    track,
                    codec,
                    packet,
                    keyframe: is_key(frame_type),
                    timestamp,
                    composition,
                    nanos: header.nanos,
                    data,
                },
                sink,
            )
        })
    }

    pub(super) fn enhanced_audio(
        &mut self,
        timestamp: i64,
        mut tag: Bytes,
        sink: &mut impl FnMut(Event),
    ) -> Result<(), Error> {
        let head = tag.get_u8();
        let header = header(head & 0x0f, packet_type::AUDIO_MULTITRACK, &mut tag, |_, _| false)?;
        let Some(header) = header else { return Ok(()) };
        tracks(&header, tag, |track, four_cc, data| {
            let codec = match &four_cc {
                b"mp4a" => Codec::Aac,
                b"Opus" => Codec::Opus,
                b"fLaC" => Codec::Flac,
                b"ac-3" => Codec::Ac3,
                b"ec-3" => Codec::Eac3,
                b".mp3" => Codec::Mp3,
                _ => return Err(Error::UnknownCodec),
            };
            let packet = match header.packet_type {
                packet_type::SEQUENCE_START => Packet::Config,
                packet_type::CODED_FRAMES => Packet::Frame,
                // The codec's own configuration says how many channels there are; speaker positions have no place in a track.
                packet_type::SEQUENCE_END | packet_type::AUDIO_MULTICHANNEL_CONFIG => return Ok(()),
                other => return Err(Error::PacketType(other)),
            };
            self.part(
                Part {
                    track,
                    codec,
                    packet,
                    keyframe: true,
                    timestamp,
                    composition: 0,
                    nanos: header.nanos,
                    data,
                },
                sink,
            )
        })
    }
}

/// ModEx, commands and the multitrack byte. `None` when `is_command` says that nothing follows.
fn header(
    mut packet_type: u8,
    multitrack_type: u8,
    tag: &mut Bytes,
    is_command: impl Fn(&Bytes, u8) -> bool,
) -> Result<Option<Header>, Error> {
    const TIMESTAMP_OFFSET_NANO: u8 = 0;
    let mut nanos = 0;
    while packet_type == packet_type::MOD_EX {
        let mut size = usize::from(byte(tag)?) + 1;
        if size == 256 {
            size = usize::from(byte(tag)?) << 8;
            size = (size | usize::from(byte(tag)?)) + 1;
        }
        if tag.len() < size {
            return Err(Error::Truncated);
        }
        let data = tag.split_to(size);
        let next = byte(tag)?;
        if next >> 4 == TIMESTAMP_OFFSET_NANO && size >= 3 {
            nanos = u32::from_be_bytes([0, data[0], data[1], data[2]]);
        }
        packet_type = next & 0x0f;
    }
    if is_command(tag, packet_type) {
        return Ok(None);
    }
    let mut multitrack = None;
    if packet_type == multitrack_type {
        let next = byte(tag)?;
        multitrack = Some(match next >> 4 {
            0 => Multitrack::OneTrack,
            1 => Multitrack::ManyTracks,
            2 => Multitrack::ManyTracksManyCodecs,
            other => return Err(Error::PacketType(other)),
        });
        packet_type = next & 0x0f;
        if packet_type == multitrack_type || packet_type == packet_type::MOD_EX {
            return Err(Error::PacketType(packet_type));
        }
    }
    Ok(Some(Header {
        packet_type,
        nanos,
        multitrack,
    }))
}

/// Calls `each` with id, codec and body of every track in the tag. A track that fails does not take the others with it; the first failure
/// is returned.
fn tracks(
    header: &Header,
    mut tag: Bytes,
    mut each: impl FnMut(u8, [u8; 4], Bytes) -> Result<(), Error>,
) -> Result<(), Error> {
    let many_codecs = header.multitrack == Some(Multitrack::ManyTracksManyCodecs);
    let mut codec = if many_codecs { [0; 4] } else { four_cc(&mut tag)? };
    let Some(multitrack) = header.multitrack else {
        return each(0, codec, tag);
    };
    let mut result = Ok(());
    while !tag.is_empty() {
        if many_codecs {
            codec = four_cc(&mut tag)?;
        }
        let track = byte(&mut tag)?;
        if multitrack == Multitrack::OneTrack {
            return each(track, codec, tag);
        }
        if tag.len() < 3 {
            return Err(Error::Truncated);
        }
        let size = u32::from_be_bytes([0, tag[0], tag[1], tag[2]]) as usize;
        tag.advance(3);
        if tag.len() < size {
            return Err(Error::Truncated);
        }
        result = result.and(each(track, codec, tag.split_to(size)));
    }
    result
}

fn byte(tag: &mut Bytes) -> Result<u8, Error> {
    if tag.is_empty() {
        Err(Error::Truncated)
    } else {
        Ok(tag.get_u8())
    }
}

fn four_cc(tag: &mut Bytes) -> Result<[u8; 4], Error> {
    let code = tag
        .get(..4)
        .and_then(|code| code.try_into().ok())
        .ok_or(Error::Truncated)?;
    tag.advance(4);
    Ok(code)
}
