//! One CMAF chunk: `prft`, `moof`, `mdat` (ISO/IEC 23000-19 7.3.2.3, conformance 71, 72, 74). The first chunk of a segment carries `styp`.

use bytes::Bytes;
use nova_core::clock::Timestamp;
use nova_core::media::Frame;

use super::boxes::{put_u32, put_u64, write_box, write_full_box};
use super::init::TRACK_NUMBER;

/// Sample flags (14496-12 8.8.3.1): depends on no other sample.
const SYNC: u32 = 0x0200_0000;
/// Sample flags: depends on others, is no sync sample.
const NON_SYNC: u32 = 0x0101_0000;
/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_OFFSET: i64 = 2_208_988_800;

/// What a chunk is made of. Frames are in decode order, and each has its duration.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// `mfhd` sequence number, rising by one per chunk of a track.
    pub sequence: u32,
    /// Decode time of the first frame on the track's clock (`tfdt`).
    pub decode_time: u64,
    /// The frames.
    pub frames: &'a [Frame],
    /// Durations of the frames, in ticks.
    pub durations: &'a [u32],
    /// Wall-clock time of media time `wall_time` (`prft`).
    pub wall: Timestamp,
    /// Where the chunk begins on the presentation clock, in ticks.
    pub wall_time: u64,
    /// First chunk of a segment.
    pub starts_segment: bool,
    /// Every sample belongs to the roll group that the header describes (Opus).
    pub roll_group: bool,
}

/// Frames as bytes.
#[derive(Debug)]
pub struct Written {
    /// One chunk, or two.
    pub bytes: Bytes,
    /// How many.
    pub chunks: u32,
    /// Length of the first, if it was asked to be apart, else 0.
    pub apart: u32,
}

impl Chunk<'_> {
    /// The bytes of the chunk: the one copy a payload sees on its way to viewers.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.size());
        self.append_to(&mut out);
        out.into()
    }

    /// The same, and with `first_apart` the first frame is a chunk of its own, so that it can be shown without anything of the others (which is
    /// what a list of I-frames is for).
    pub fn write(&self, first_apart: bool) -> Written {
        let whole = |apart: bool| {
            let bytes = self.to_bytes();
            Written {
                apart: u32::try_from(bytes.len()).ok().filter(|_| apart).unwrap_or(0),
                chunks: 1,
                bytes,
            }
        };
        let ([first, rest @ ..], [its_duration, durations @ ..]) = (self.frames, self.durations) else {
            return whole(false);
        };
        let Some(second) = rest.first().filter(|_| first_apart) else {
            return whole(first_apart);
        };
        let apart = Chunk {
            frames: std::slice::from_ref(first),
            durations: std::slice::from_ref(its_duration),
            ..*self
        };
        let behind = Chunk {
            sequence: self.sequence.wrapping_add(1),
            decode_time: second.dts.max(0).cast_unsigned(),
            frames: rest,
            durations,
            starts_segment: false,
            ..*self
        };
        let mut out = Vec::with_capacity(apart.size() + behind.size());
        apart.append_to(&mut out);
        let length = out.len();
        // Its clock reading is the first chunk's: what time is shown when stays true.
        behind.append_to(&mut out);
        Written {
            bytes: out.into(),
            chunks: 2,
            apart: u32::try_from(length).unwrap_or(0),
        }
    }

    fn payload(&self) -> usize {
        self.frames.iter().map(|frame| frame.payload.len()).sum()
    }

    /// At most.
    fn size(&self) -> usize {
        self.payload() + 208 + 16 * self.frames.len()
    }

    fn append_to(&self, out: &mut Vec<u8>) {
        if self.starts_segment {
            write_box(out, b"styp", |out| {
                out.extend_from_slice(b"cmfs");
                put_u32(out, 0);
                for brand in [b"cmfs", b"cmff", b"cmfl", b"msdh"] {
                    out.extend_from_slice(brand);
                }
            });
        }
        // Flag 24: a consistent relation to the time of capture (14496-12 8.16.5).
        write_full_box(out, b"prft", 1, 24, |out| {
            put_u32(out, TRACK_NUMBER);
            put_u64(out, ntp(self.wall));
            put_u64(out, self.wall_time);
        });
        let moof = out.len();
        let mut data_offset = 0;
        write_box(out, b"moof", |out| {
            write_full_box(out, b"mfhd", 0, 0, |out| put_u32(out, self.sequence));
            write_box(out, b"traf", |out| {
                self.tfhd(out);
                write_full_box(out, b"tfdt", 1, 0, |out| put_u64(out, self.decode_time));
                data_offset = self.trun(out);
                if self.roll_group {
                    write_full_box(out, b"sbgp", 0, 0, |out| {
                        out.extend_from_slice(b"roll");
                        put_u32(out, 1);
                        put_u32(out, u32::try_from(self.frames.len()).unwrap_or(u32::MAX));
                        put_u32(out, 1);
                    });
                }
            });
        });
        let offset = u32::try_from(out.len() - moof + 8).unwrap_or(u32::MAX);
        out[data_offset..data_offset + 4].copy_from_slice(&offset.to_be_bytes());
        put_u32(out, u32::try_from(self.payload() + 8).unwrap_or(u32::MAX));
        out.extend_from_slice(b"mdat");
        for frame in self.frames {
            out.extend_from_slice(&frame.payload);
        }
    }

    fn uniform_duration(&self) -> Option<u32> {
        let first = *self.durations.first()?;
        self.durations
            .iter()
            .all(|duration| *duration == first)
            .then_some(first)
    }

    fn tfhd(&self, out: &mut Vec<u8>) {
        // default-base-is-moof; duration and flags as defaults where they serve all samples.
        let duration = self.uniform_duration();
        let all_sync = self.frames.iter().all(|frame| frame.keyframe);
        let flags = 0x02_0000 | if duration.is_some() { 0x08 } else { 0 } | 0x20;
        write_full_box(out, b"tfhd", 0, flags, |out| {
            put_u32(out, TRACK_NUMBER);
            if let Some(duration) = duration {
                put_u32(out, duration);
            }
            put_u32(out, if all_sync { SYNC } else { NON_SYNC });
        });
    }

    /// Writes `trun` and returns where its data offset is to be patched in.
    fn trun(&self, out: &mut Vec<u8>) -> usize {
        let all_sync = self.frames.iter().all(|frame| frame.keyframe);
        // Only the first sample is a sync sample: one field says so. Otherwise each says for itself.
        let first_sync = !all_sync && self.frames.iter().skip(1).all(|frame| !frame.keyframe);
        let each_flags = !all_sync && !first_sync;
        let each_duration = self.uniform_duration().is_none();
        let offsets = self.frames.iter().any(|frame| frame.composition_offset != 0);
        let flags = 0x01
            | if first_sync { 0x04 } else { 0 }
            | if each_duration { 0x100 } else { 0 }
            | 0x200
            | if each_flags { 0x400 } else { 0 }
            | if offsets { 0x800 } else { 0 };
        let mut data_offset = 0;
        write_full_box(out, b"trun", 1, flags, |out| {
            put_u32(out, u32::try_from(self.frames.len()).unwrap_or(u32::MAX));
            data_offset = out.len();
            put_u32(out, 0);
            if first_sync {
                put_u32(out, if self.frames[0].keyframe { SYNC } else { NON_SYNC });
            }
            for (frame, duration) in self.frames.iter().zip(self.durations) {
                if each_duration {
                    put_u32(out, *duration);
                }
                put_u32(out, u32::try_from(frame.payload.len()).unwrap_or(u32::MAX));
                if each_flags {
                    put_u32(out, if frame.keyframe { SYNC } else { NON_SYNC });
                }
                if offsets {
                    put_u32(out, frame.composition_offset.cast_unsigned());
                }
            }
        });
        data_offset
    }
}

/// 32.32 fixed-point NTP time (RFC 5905 6).
fn ntp(wall: Timestamp) -> u64 {
    let seconds = wall.0.div_euclid(1_000_000) + NTP_OFFSET;
    let micros = wall.0.rem_euclid(1_000_000).cast_unsigned();
    (seconds.cast_unsigned() << 32) | ((micros << 32) / 1_000_000)
}
