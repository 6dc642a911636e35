//! FLAC: the STREAMINFO block (RFC 9639 8.2) and frame headers (9.1).

use bytes::{BufMut, BytesMut};
use nova_core::media::{Codec, Media};

use super::bits::Bits;
use super::{Description, Error};

const STREAMINFO: usize = 34;

/// The track of a stream header: with the `fLaC` marker, without it, or the bare block.
pub(crate) fn parse_config(header: &[u8]) -> Result<Description, Error> {
    let blocks = header.strip_prefix(b"fLaC").unwrap_or(header);
    let info = match blocks {
        bare if bare.len() == STREAMINFO => bare,
        [kind, 0, 0, 34, rest @ ..] if kind & 0x7f == 0 => rest.get(..STREAMINFO).ok_or(Error::Truncated)?,
        _ => return Err(Error::Invalid("FLAC header")),
    };
    let mut bits = Bits::new(info);
    let (least, most) = (bits.u(16)?, bits.u(16)?);
    bits.skip(48)?;
    let rate = bits.u(20)?;
    let channels = bits.u(3)? as u8 + 1;
    if rate < 1_000 || most < 16 || least > most {
        return Err(Error::Invalid("FLAC stream info"));
    }
    // The one and last metadata block. What only a finished file knows (frame sizes, length, MD5) is "unknown", as it is for a live stream:
    // encoders that send the header once more at the end would otherwise seem to change the format.
    let mut config = BytesMut::with_capacity(4 + STREAMINFO);
    config.put_slice(&[0x80, 0, 0, STREAMINFO as u8]);
    config.put_slice(&info[..4]);
    config.put_bytes(0, 6);
    config.put_slice(&info[10..13]);
    config.put_u8(info[13] & 0xf0);
    config.put_bytes(0, 4 + 16);
    Ok(Description {
        codec: Codec::Flac,
        config: config.freeze(),
        codec_string: "flac".into(),
        media: Media::Audio {
            sample_rate: rate,
            channels,
            frame_samples: (least == most).then_some(most),
        },
    })
}

/// Samples of a frame, as its header says.
pub(crate) fn duration(frame: &[u8]) -> Option<u32> {
    let &[0xff, 0xf8 | 0xf9, sizes, _, number, ..] = frame else {
        return None;
    };
    // The coded number has as many bytes as it has leading ones (9.1.5).
    let coded = match number.leading_ones() {
        0 => 1,
        ones => ones as usize,
    };
    let behind = frame.get(4 + coded..)?;
    match sizes >> 4 {
        1 => Some(192),
        code @ 2..=5 => Some(144 << code),
        6 => Some(u32::from(*behind.first()?) + 1),
        7 => Some(u32::from(u16::from_be_bytes([*behind.first()?, *behind.get(1)?])) + 1),
        code @ 8..=15 => Some(1 << code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_info(block: u16, rate: u32, channels: u8, samples: u64) -> Vec<u8> {
        let mut info = [block.to_be_bytes(), block.to_be_bytes()].concat();
        info.extend_from_slice(&[7; 6]);
        let packed = u64::from(rate) << 44 | u64::from(channels - 1) << 41 | 15 << 36 | samples;
        info.extend_from_slice(&packed.to_be_bytes());
        info.extend_from_slice(&[9; 16]);
        info
    }

    #[test]
    fn a_stream_header_is_read_in_all_three_forms_and_keeps_nothing_of_the_file() {
        // Conformance 36.
        let info = stream_info(4096, 48_000, 6, 1234);
        let block = [&[0x80, 0, 0, 34][..], &info].concat();
        let marked = [b"fLaC".as_slice(), &[0, 0, 0, 34], &info, &[0x84, 0, 0, 0]].concat();
        let described = parse_config(&info).unwrap();
        assert_eq!(parse_config(&block).unwrap(), described);
        assert_eq!(parse_config(&marked).unwrap(), described);
        assert_eq!(parse_config(&stream_info(4096, 48_000, 6, 0)).unwrap(), described);
        assert_eq!(described.config.len(), 38);
        assert_eq!(
            described.media,
            Media::Audio {
                sample_rate: 48_000,
                channels: 6,
                frame_samples: Some(4096)
            }
        );
        assert!(parse_config(&marked[..20]).is_err());
        assert!(parse_config(&stream_info(4096, 10, 2, 0)).is_err());
    }

    #[test]
    fn frame_headers_tell_their_samples() {
        for (header, samples) in [
            (&[0xff, 0xf8, 0x19, 0x18, 0x00][..], Some(192)),
            (&[0xff, 0xf8, 0x59, 0x18, 0x00], Some(4608)),
            (&[0xff, 0xf8, 0xc9, 0x18, 0x00], Some(4096)),
            (&[0xff, 0xf8, 0x69, 0x18, 0x00, 0x0f], Some(16)),
            (&[0xff, 0xf9, 0x79, 0x18, 0xc2, 0x80, 0x03, 0xff], Some(1024)),
            (&[0xff, 0xf8, 0x09, 0x18, 0x00], None),
            (&[0x00, 0xf8, 0xc9, 0x18, 0x00], None),
        ] {
            assert_eq!(duration(&[header, &[0]].concat()), samples, "{header:02x?}");
        }
    }
}
