//! Length-prefixed NAL units (ISO/IEC 14496-15 4.3.2): checked, normalised to four-byte lengths, cleared of what fragments must not hold.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Error;

/// What a NAL unit is to an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A slice of a picture at which decoding may start.
    RandomAccess,
    /// Something that goes with a picture at which decoding may start, if the container says it is one.
    Hint,
    /// Access unit delimiter, filler: 14496-15 has no use for them (conformance 38).
    Noise,
    /// Anything else, SEI with captions included.
    Other,
}

/// An access unit ready for a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessUnit {
    pub(crate) payload: Bytes,
    pub(crate) random_access: bool,
    pub(crate) hint: bool,
}

/// Checks `payload`, whose units have `length_size`-byte lengths. No copy is made unless the lengths or units in the midst have to change.
///
/// Some encoders send Annex B start codes in spite of the record; that is mended as well. `None` when nothing but noise is in it.
pub(crate) fn normalize(
    mut payload: Bytes,
    length_size: usize,
    class: fn(&[u8]) -> Class,
) -> Result<Option<AccessUnit>, Error> {
    let mut unit = AccessUnit {
        payload: Bytes::new(),
        random_access: false,
        hint: false,
    };
    let mut kept = 0;
    let mut units = 0;
    // The span from the first to the last unit to keep, and whether something in it goes.
    let (mut start, mut end, mut noise, mut holes) = (None, 0, false, false);
    let mut at = 0;
    while at < payload.len() {
        let Some(nal) = payload.get(at..).and_then(|rest| split(rest, length_size)) else {
            return match annex_b(&payload) {
                Some(converted) if !is_annex_b(&converted) => normalize(converted, 4, class),
                _ => Err(Error::Invalid("NAL unit length")),
            };
        };
        let next = at + length_size + nal.len();
        let found = if nal.is_empty() { Class::Noise } else { class(nal) };
        match found {
            Class::RandomAccess => unit.random_access = true,
            Class::Hint => unit.hint = true,
            Class::Noise | Class::Other => {}
        }
        if found == Class::Noise {
            noise = true;
        } else {
            holes |= noise && start.is_some();
            noise = false;
            start.get_or_insert(at);
            end = next;
            kept += nal.len();
            units += 1;
        }
        at = next;
    }
    let Some(start) = start else { return Ok(None) };
    if length_size == 4 && !holes {
        payload.truncate(end);
        payload.advance(start);
        unit.payload = payload;
        return Ok(Some(unit));
    }
    let mut out = BytesMut::with_capacity(kept + 4 * units);
    let mut rest = &payload[start..end];
    while let Some(nal) = split(rest, length_size) {
        rest = &rest[length_size + nal.len()..];
        if !nal.is_empty() && class(nal) != Class::Noise {
            out.put_u32(nal.len() as u32);
            out.put_slice(nal);
        }
    }
    unit.payload = out.freeze();
    Ok(Some(unit))
}

/// The units of an access unit that [`normalize`] has made.
pub(crate) fn units(mut payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let nal = split(payload, 4)?;
        payload = &payload[4 + nal.len()..];
        Some(nal)
    })
}

/// The first NAL unit behind its length.
fn split(bytes: &[u8], length_size: usize) -> Option<&[u8]> {
    let mut length = 0_usize;
    for &byte in bytes.get(..length_size)? {
        length = length << 8 | usize::from(byte);
    }
    bytes.get(length_size..)?.get(..length)
}

fn is_annex_b(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 1])
}

/// Start codes (H.264 annex B) to four-byte lengths.
fn annex_b(bytes: &[u8]) -> Option<Bytes> {
    if !is_annex_b(bytes) {
        return None;
    }
    let mut out = BytesMut::with_capacity(bytes.len() + 64);
    let mut begin = None;
    let mut at = 0;
    let mut put = |nal: &[u8]| {
        let len = nal.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        if len > 0 {
            out.put_u32(len as u32);
            out.put_slice(&nal[..len]);
        }
    };
    while at + 3 <= bytes.len() {
        if bytes[at..at + 3] == [0, 0, 1] {
            if let Some(begin) = begin {
                put(&bytes[begin..at]);
            }
            at += 3;
            begin = Some(at);
        } else {
            at += 1;
        }
    }
    put(&bytes[begin?..]);
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::avc;

    fn units(length_size: usize, nals: &[&[u8]]) -> Bytes {
        let mut out = Vec::new();
        for nal in nals {
            out.extend_from_slice(&(nal.len() as u32).to_be_bytes()[4 - length_size..]);
            out.extend_from_slice(nal);
        }
        out.into()
    }

    const AUD: &[u8] = &[0x09, 0xf0];
    const SEI: &[u8] = &[0x06, 0x04, 1, 2, 3];
    const IDR: &[u8] = &[0x65, 9, 9, 9];
    const SLICE: &[u8] = &[0x41, 8, 8];
    const FILLER: &[u8] = &[0x0c, 0xff, 0xff];

    #[test]
    fn lengths_of_one_two_and_four_bytes_become_four() {
        // Conformance 38.
        for size in [1, 2, 3, 4] {
            let unit = normalize(units(size, &[SEI, IDR]), size, avc::class).unwrap().unwrap();
            assert_eq!(unit.payload, units(4, &[SEI, IDR]));
            assert!(unit.random_access);
        }
    }

    #[test]
    fn delimiters_and_filler_go_and_captions_stay() {
        // Conformance 38.
        let unit = normalize(units(4, &[AUD, SEI, AUD, SLICE, FILLER, b""]), 4, avc::class)
            .unwrap()
            .unwrap();
        assert_eq!(unit.payload, units(4, &[SEI, SLICE]));
        assert!(!unit.random_access);
        assert_eq!(normalize(units(4, &[AUD, FILLER]), 4, avc::class), Ok(None));
        assert_eq!(normalize(Bytes::new(), 4, avc::class), Ok(None));
    }

    #[test]
    fn noise_at_the_ends_costs_no_copy() {
        let payload = units(4, &[AUD, SEI, IDR, FILLER]);
        let start = payload.as_ptr();
        let unit = normalize(payload, 4, avc::class).unwrap().unwrap();
        assert_eq!(unit.payload, units(4, &[SEI, IDR]));
        assert_eq!(unit.payload.as_ptr(), start.wrapping_add(4 + AUD.len()));
    }

    #[test]
    fn start_codes_are_mended_and_lengths_that_lie_refused() {
        let stream = [&[0, 0, 0, 1][..], AUD, &[0, 0, 1], SEI, &[0, 0, 0, 1], IDR].concat();
        let unit = normalize(stream.into(), 4, avc::class).unwrap().unwrap();
        assert_eq!(unit.payload, units(4, &[SEI, IDR]));
        for broken in [
            &[0, 0, 0, 9, 0x65][..],
            &[0, 0, 1],
            &[0, 0, 0, 1],
            &[7],
            &[0, 0, 0, 1, 0, 0, 1, 0, 0, 1],
        ] {
            assert!(
                !matches!(normalize(Bytes::copy_from_slice(broken), 4, avc::class), Ok(Some(_))),
                "{broken:?}"
            );
        }
    }
}
