//! AV1: AV1CodecConfigurationRecord (AV1-ISOBMFF 2.3) and the sequence header (AV1 bitstream 5.5).

use bytes::{Buf, Bytes};
use nova_core::media::{Codec, Colour, Media};

use super::bits::{Bits, colour};
use super::{Description, Error, ratio};

const SEQUENCE_HEADER: u8 = 1;

/// A record. Without configOBUs it says no size; then `None`, and [`describe`] with the first keyframe.
pub(crate) fn parse_config(record: &[u8]) -> Result<Option<Description>, Error> {
    let head = record.get(..4).ok_or(Error::Truncated)?;
    // marker 1, version 1.
    if head[0] != 0x81 {
        return Err(Error::Invalid("AV1 record version"));
    }
    match describe(record, &record[4..]) {
        Ok(description) => Ok(Some(description)),
        Err(Error::Truncated) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The track of `record` with the size of the sequence header among `obus`.
pub(crate) fn describe(record: &[u8], obus: &[u8]) -> Result<Description, Error> {
    let head = record.get(..4).ok_or(Error::Truncated)?;
    let sequence = find(obus, SEQUENCE_HEADER).ok_or(Error::Truncated)?;
    let sequence = sequence_header(sequence)?;
    let (profile, level) = (head[1] >> 5, head[1] & 0x1f);
    let tier = if head[2] & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (head[2] & 0x40 != 0, head[2] & 0x20 != 0) {
        (true, true) => 12,
        (true, false) => 10,
        _ => 8,
    };
    Ok(Description {
        codec: Codec::Av1,
        config: Bytes::copy_from_slice(record),
        codec_string: format!("av01.{profile}.{level:02}{tier}.{depth:02}"),
        media: Media::Video {
            width: sequence.width,
            height: sequence.height,
            sar: (1, 1),
            frame_rate: sequence.frame_rate,
            colour: sequence.colour,
        },
    })
}

/// Takes temporal delimiters off the front (AV1-ISOBMFF 2.4: samples should not have them).
pub(crate) fn strip_delimiters(mut unit: Bytes) -> Bytes {
    while unit.starts_with(&[0x12, 0x00]) {
        unit.advance(2);
    }
    unit
}

/// The payload of the first OBU of a type, in the low-overhead format (5.3).
fn find(mut obus: &[u8], wanted: u8) -> Option<&[u8]> {
    while let Some((&header, rest)) = obus.split_first() {
        let kind = (header >> 3) & 0x0f;
        let mut at = usize::from(header >> 2 & 1);
        let size = if header & 2 == 0 {
            rest.len().checked_sub(at)?
        } else {
            let (size, bytes) = leb128(rest.get(at..)?)?;
            at += bytes;
            size
        };
        let payload = rest.get(at..)?.get(..size)?;
        if kind == wanted {
            return Some(payload);
        }
        obus = &rest[at + size..];
    }
    None
}

/// 4.10.5.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (index * 7);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, index + 1));
        }
    }
    None
}

struct Sequence {
    width: u16,
    height: u16,
    frame_rate: Option<(u32, u32)>,
    colour: Option<Colour>,
}

/// 5.5.1.
fn sequence_header(payload: &[u8]) -> Result<Sequence, Error> {
    let mut bits = Bits::new(payload);
    let profile = bits.u(3)?;
    bits.skip(1)?;
    let mut frame_rate = None;
    let reduced = bits.flag()?;
    if reduced {
        bits.skip(5)?;
    } else {
        let mut delay_bits = None;
        if bits.flag()? {
            let (units, scale) = (bits.u(32)?, bits.u(32)?);
            if bits.flag()? {
                let ticks = bits.ue()?.saturating_add(1);
                frame_rate = units.checked_mul(ticks).and_then(|units| ratio(scale, units));
            }
            if bits.flag()? {
                delay_bits = Some(bits.u(5)? as usize + 1);
                bits.skip(32 + 5 + 5)?;
            }
        }
        let display_delay = bits.flag()?;
        for _ in 0..=bits.u(5)? {
            bits.skip(12)?;
            if bits.u(5)? > 7 {
                bits.skip(1)?;
            }
            if let Some(delay_bits) = delay_bits
                && bits.flag()?
            {
                bits.skip(2 * delay_bits + 1)?;
            }
            if display_delay && bits.flag()? {
                bits.skip(4)?;
            }
        }
    }
    let (width_bits, height_bits) = (bits.u(4)? + 1, bits.u(4)? + 1);
    let size = |minus_1: u32| u16::try_from(minus_1 + 1).map_err(|_too_large| Error::Invalid("frame size"));
    Ok(Sequence {
        width: size(bits.u(width_bits)?)?,
        height: size(bits.u(height_bits)?)?,
        frame_rate,
        // A header that ends here still says the size.
        colour: tools(&mut bits, reduced)
            .and_then(|()| color_config(&mut bits, profile))
            .unwrap_or(None),
    })
}

/// 5.5.1 from behind the frame size to before the colours.
fn tools(bits: &mut Bits<'_>, reduced: bool) -> Result<(), Error> {
    if !reduced && bits.flag()? {
        bits.skip(7)?;
    }
    bits.skip(3)?;
    if !reduced {
        bits.skip(4)?;
        let order_hint = bits.flag()?;
        if order_hint {
            bits.skip(2)?;
        }
        let screen_content = bits.flag()? || bits.flag()?;
        if screen_content && !bits.flag()? {
            bits.skip(1)?;
        }
        if order_hint {
            bits.skip(3)?;
        }
    }
    bits.skip(3)
}

/// 5.5.2 as far as the range.
fn color_config(bits: &mut Bits<'_>, profile: u32) -> Result<Option<Colour>, Error> {
    let high_depth = bits.flag()?;
    if profile == 2 && high_depth {
        bits.skip(1)?;
    }
    if profile != 1 {
        bits.skip(1)?;
    }
    let Some(mut colour) = colour(bits, false)? else {
        let full_range = bits.flag()?;
        return Ok(full_range.then_some(Colour {
            primaries: Colour::UNSPECIFIED,
            transfer: Colour::UNSPECIFIED,
            matrix: Colour::UNSPECIFIED,
            full_range,
        }));
    };
    // RGB has no other range.
    let is_rgb = (colour.primaries, colour.transfer, colour.matrix) == (1, 13, 0);
    colour.full_range = is_rgb || bits.flag()?;
    Ok(Some(colour))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 160x90 by SVT-AV1.
    const RECORD: &[u8] = &[
        0x81, 0x00, 0x0c, 0x00, 0x0a, 0x0b, 0x02, 0x00, 0x00, 0x05, 0x1d, 0xa7, 0xec, 0x80, 0x5f, 0x00, 0x08,
    ];

    #[test]
    fn size_comes_from_the_record_or_from_the_first_keyframe() {
        let whole = parse_config(RECORD).unwrap().unwrap();
        assert_eq!(whole.codec_string, "av01.0.00M.08");
        assert!(matches!(
            whole.media,
            Media::Video {
                width: 160,
                height: 90,
                ..
            }
        ));
        assert_eq!(parse_config(&RECORD[..4]), Ok(None));
        // A temporal delimiter, then the sequence header, then a frame of unknown size.
        let unit = [&[0x12, 0x00][..], &RECORD[4..], &[0x30, 1, 2, 3]].concat();
        let late = describe(&RECORD[..4], &unit).unwrap();
        assert_eq!((late.codec_string, late.media), (whole.codec_string, whole.media));
        assert_eq!(strip_delimiters(unit.clone().into()), unit[2..]);
    }

    #[test]
    fn colours_are_what_the_sequence_header_says() {
        // 320x180 by SVT-AV1: ten bits, BT.2020, PQ.
        let header = b"\0\0\0\x04\x3c\xfe\xcc\xfb\xf9\x50\x91\0\x90\x40";
        let sequence = sequence_header(header).unwrap();
        assert_eq!((sequence.width, sequence.height), (320, 180));
        assert_eq!(
            sequence.colour,
            Some(Colour {
                primaries: 9,
                transfer: 16,
                matrix: 9,
                full_range: false
            })
        );
        // 160x90, where nothing is stated.
        assert_eq!(sequence_header(&RECORD[6..]).unwrap().colour, None);
        // Cut off within its colours, the size still stands.
        let cut = sequence_header(&header[..10]).unwrap();
        assert_eq!((cut.width, cut.height, cut.colour), (320, 180, None));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse_config(&[0x80, 0, 0, 0]).is_err());
        assert!(parse_config(&RECORD[..3]).is_err());
        assert_eq!(parse_config(&RECORD[..9]), Ok(None));
        assert!(describe(RECORD, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
