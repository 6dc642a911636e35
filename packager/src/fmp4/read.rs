//! Reads back what [`super::fragment`] wrote: the frames of a segment, for whoever cuts it. Only what Nova writes is understood; anything else
//! is `None`, and nothing here panics or allocates more than it is given.

use bytes::Bytes;
use nova_core::media::{Frame, TrackId};

/// `trex` has no defaults that matter, so an absent field is this.
const NON_SYNC_BIT: u32 = 0x0001_0000;

/// The frames of a segment in decoding order, each with its duration.
pub fn frames(segment: &Bytes, track: TrackId) -> Option<Vec<Frame>> {
    let mut frames = Vec::new();
    let mut at = 0;
    let mut runs = Vec::new();
    while at < segment.len() {
        let (kind, body, end) = next_box(segment, at)?;
        match &kind {
            b"moof" => runs = traf(segment.get(body..end)?)?,
            b"mdat" => {
                let mut from = body;
                for sample in runs.drain(..) {
                    let until = from.checked_add(usize::try_from(sample.size).ok()?)?;
                    if until > end {
                        return None;
                    }
                    frames.push(Frame {
                        track,
                        dts: sample.dts,
                        composition_offset: sample.offset,
                        duration: Some(sample.duration),
                        keyframe: sample.flags & NON_SYNC_BIT == 0,
                        payload: segment.slice(from..until),
                    });
                    from = until;
                }
            }
            _ => {}
        }
        at = end;
    }
    Some(frames)
}

struct Sample {
    dts: i64,
    offset: i32,
    duration: u32,
    size: u32,
    flags: u32,
}

/// The kind of the box at `at`, where its body begins, and where it ends.
fn next_box(bytes: &[u8], at: usize) -> Option<([u8; 4], usize, usize)> {
    let head: &[u8; 8] = bytes.get(at..)?.first_chunk()?;
    let [a, b, c, d, kind @ ..] = *head;
    let end = at.checked_add(usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?)?;
    (end >= at + 8 && end <= bytes.len()).then_some((kind, at + 8, end))
}

fn find<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    let mut at = 0;
    while at < bytes.len() {
        let (kind, body, end) = next_box(bytes, at)?;
        if kind == *wanted {
            return bytes.get(body..end);
        }
        at = end;
    }
    None
}

/// Fields of a box, one behind the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (field, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*field))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    /// The next field when `flag` says that it is there, else `default`.
    fn optional(&mut self, flag: bool, default: u32) -> Option<u32> {
        if flag { self.u32() } else { Some(default) }
    }
}

fn traf(moof: &[u8]) -> Option<Vec<Sample>> {
    let traf = find(moof, b"traf")?;
    let mut tfhd = Fields(find(traf, b"tfhd")?);
    let flags = tfhd.u32()? & 0x00ff_ffff;
    let _track = tfhd.u32()?;
    let duration = tfhd.optional(flags & 0x08 != 0, 0)?;
    let sample_flags = tfhd.optional(flags & 0x20 != 0, 0)?;
    let mut tfdt = Fields(find(traf, b"tfdt")?);
    let _version = tfdt.u32()?;
    let mut dts = i64::try_from(tfdt.u64()?).ok()?;
    let mut trun = Fields(find(traf, b"trun")?);
    let flags = trun.u32()? & 0x00ff_ffff;
    let count = usize::try_from(trun.u32()?).ok()?;
    let _data_offset = trun.u32()?;
    let first_flags = trun.optional(flags & 0x04 != 0, sample_flags)?;
    let mut samples = Vec::with_capacity(count.min(trun.0.len() / 4 + 1));
    for index in 0..count {
        let duration = trun.optional(flags & 0x100 != 0, duration)?;
        let size = trun.optional(flags & 0x200 != 0, 0)?;
        let usual = if index == 0 { first_flags } else { sample_flags };
        let sample_flags = trun.optional(flags & 0x400 != 0, usual)?;
        let offset = trun.optional(flags & 0x800 != 0, 0)?.cast_signed();
        samples.push(Sample {
            dts,
            offset,
            duration,
            size,
            flags: sample_flags,
        });
        dts = dts.checked_add(i64::from(duration))?;
    }
    Some(samples)
}

#[cfg(test)]
mod tests {
    use nova_core::clock::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::fmp4::fragment::Chunk;

    fn sample() -> impl Strategy<Value = (Vec<u8>, i32, u32, bool)> {
        (
            prop::collection::vec(any::<u8>(), 0..40),
            -5000..5000_i32,
            1..5000_u32,
            any::<bool>(),
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            chunks in prop::collection::vec(prop::collection::vec(sample(), 1..8), 1..5),
            start in 0..1_i64 << 40,
        ) {
            let (mut dts, mut all, mut bytes) = (start, Vec::new(), Vec::new());
            for (number, chunk) in chunks.iter().enumerate() {
                let mut frames = Vec::new();
                for (payload, offset, duration, keyframe) in chunk {
                    frames.push(Frame {
                        track: TrackId(3),
                        dts,
                        composition_offset: *offset,
                        duration: Some(*duration),
                        keyframe: *keyframe,
                        payload: payload.clone().into(),
                    });
                    dts += i64::from(*duration);
                }
                let durations: Vec<u32> = chunk.iter().map(|(_, _, duration, _)| *duration).collect();
                let chunk = Chunk {
                    sequence: 1,
                    decode_time: frames[0].dts.cast_unsigned(),
                    frames: &frames,
                    durations: &durations,
                    wall: Timestamp(0),
                    wall_time: 0,
                    starts_segment: number == 0,
                    roll_group: number % 2 == 1,
                };
                bytes.extend_from_slice(&chunk.write(number % 3 == 0).bytes);
                all.extend(frames);
            }
            prop_assert_eq!(super::frames(&bytes.into(), TrackId(3)), Some(all));
        }

        #[test]
        fn rubbish_is_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _nothing = super::frames(&bytes.into(), TrackId(0));
        }
    }
}
