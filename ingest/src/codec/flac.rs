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
    // The one and last metadata block.
    let mut config = BytesMut::with_capacity(4 + STREAMINFO);
    config.put_slice(&[0x80, 0, 0, STREAMINFO as u8]);
    config.put_slice(info);
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
