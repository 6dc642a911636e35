//! VP9: VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding 2.2) and the uncompressed frame header (VP9 bitstream 6.2).

use bytes::Bytes;
use nova_core::media::{Codec, Colour, Media};

use super::bits::Bits;
use super::{Description, Error};

/// The record without a full-box header, which some encoders send and some do not.
pub(crate) fn parse_config(config: &[u8]) -> Result<Bytes, Error> {
    let record = match config {
        [1, 0, 0, 0, record @ ..] if record.len() >= 8 => record,
        record => record,
    };
    if record.len() < 8 {
        return Err(Error::Truncated);
    }
    if record[0] > 3 {
        return Err(Error::Invalid("VP9 profile"));
    }
    Ok(Bytes::copy_from_slice(record))
}

/// The track of `record` with the size that the keyframe `frame` states.
pub(crate) fn describe(record: &Bytes, frame: &[u8]) -> Result<Description, Error> {
    let head = record.get(..8).ok_or(Error::Truncated)?;
    let (width, height) = key_frame_size(frame)?.ok_or(Error::Invalid("VP9 keyframe"))?;
    // Level 0 is "unknown", which players refuse.
    let level = head[1].max(10);
    Ok(Description {
        codec: Codec::Vp9,
        config: record.clone(),
        codec_string: format!("vp09.{:02}.{level:02}.{:02}", head[0], head[2] >> 4),
        media: Media::Video {
            width,
            height,
            sar: (1, 1),
            frame_rate: None,
            colour: colour(head),
        },
    })
}

/// The record says it; what it says to be unknown is not stated.
fn colour(head: &[u8]) -> Option<Colour> {
    let &[_, _, depth, primaries, transfer, matrix, ..] = head else {
        return None;
    };
    let codes = [primaries, transfer, matrix];
    let full_range = depth & 1 == 1;
    (full_range || codes.iter().any(|code| !matches!(*code, 0 | Colour::UNSPECIFIED))).then_some(Colour {
        primaries,
        transfer,
        matrix,
        full_range,
    })
}

/// Size of a keyframe, `None` for any other frame.
pub(crate) fn key_frame_size(frame: &[u8]) -> Result<Option<(u16, u16)>, Error> {
    let mut bits = Bits::new(frame);
    if bits.u(2)? != 2 {
        return Err(Error::Invalid("VP9 frame marker"));
    }
    let profile = bits.u(1)? | bits.u(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    let show_existing = bits.flag()?;
    if show_existing || bits.flag()? {
        return Ok(None);
    }
    bits.skip(2)?;
    if bits.u(24)? != 0x0049_8342 {
        return Err(Error::Invalid("VP9 sync code"));
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    // CS_RGB has no range bit.
    if bits.u(3)? != 7 {
        bits.skip(1)?;
        if profile & 1 == 1 {
            bits.skip(3)?;
        }
    } else if profile & 1 == 1 {
        bits.skip(1)?;
    }
    let size = |minus_1: u32| u16::try_from(minus_1 + 1).map_err(|_too_large| Error::Invalid("frame size"));
    Ok(Some((size(bits.u(16)?)?, size(bits.u(16)?)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_read_with_and_without_a_box_header() {
        let record = [0, 31, 0x80, 1, 1, 1, 0, 0];
        let boxed = [&[1, 0, 0, 0][..], &record].concat();
        assert_eq!(parse_config(&boxed).unwrap(), parse_config(&record).unwrap());
        // Keyframe of profile 0: marker, sync code, colour, 1280x720.
        let key = [0x82, 0x49, 0x83, 0x42, 0x20, 0x4f, 0xf0, 0x2c, 0xf0];
        assert_eq!(key_frame_size(&key), Ok(Some((1280, 720))));
        assert_eq!(key_frame_size(&[0x86, 0, 0]), Ok(None));
        let description = describe(&parse_config(&record).unwrap(), &key).unwrap();
        assert_eq!(description.codec_string, "vp09.00.31.08");
        assert!(parse_config(&record[..7]).is_err());
    }
}
