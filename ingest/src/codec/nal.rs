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
