//! Opus: the identification header (RFC 7845 5.1) to a `dOps` box (Opus in ISOBMFF 4.3.2), and packet durations (RFC 6716 3.1).

use bytes::{BufMut, Bytes, BytesMut};
use nova_core::media::{Codec, Media};

use super::{Description, Error};

/// Opus always decodes at this rate.
pub(crate) const RATE: u32 = 48_000;

/// The track of an identification header, with or without its magic signature.
pub(crate) fn parse_config(header: &[u8]) -> Result<Description, Error> {
    let body = header.strip_prefix(b"OpusHead").unwrap_or(header);
    let &[
        version,
        channels,
        skip_low,
        skip_high,
        r0,
        r1,
        r2,
        r3,
        gain_low,
        gain_high,
        family,
        ref mapping @ ..,
    ] = body
    else {
        return Err(Error::Truncated);
    };
    if version & 0xf0 != 0 {
        return Err(Error::Unsupported("Opus header version"));
    }
    if channels == 0 {
        return Err(Error::Invalid("Opus channel count"));
    }
    // The header is little-endian, the box big-endian.
    let mut dops = BytesMut::with_capacity(11 + 2 + usize::from(channels));
    dops.put_slice(&[
        0, channels, skip_high, skip_low, r3, r2, r1, r0, gain_high, gain_low, family,
    ]);
    if family != 0 {
        dops.put_slice(mapping.get(..2 + usize::from(channels)).ok_or(Error::Truncated)?);
    } else if channels > 2 {
        return Err(Error::Invalid("Opus channel mapping"));
    }
    Ok(describe(dops.freeze(), channels))
}

/// The track of a stream without a header, by its first packet.
pub(crate) fn describe_packet(packet: &[u8]) -> Result<Description, Error> {
    let toc = *packet.first().ok_or(Error::Truncated)?;
    let channels = 1 + (toc >> 2 & 1);
    let mut dops = BytesMut::with_capacity(11);
    dops.put_slice(&[0, channels]);
    dops.put_u16(0);
    dops.put_u32(RATE);
    dops.put_slice(&[0, 0, 0]);
    Ok(describe(dops.freeze(), channels))
}

fn describe(config: Bytes, channels: u8) -> Description {
    Description {
        codec: Codec::Opus,
        config,
        codec_string: "opus".into(),
        media: Media::Audio {
            sample_rate: RATE,
            channels,
            frame_samples: None,
        },
    }
}

/// Samples a packet lasts; at most 120 ms.
pub(crate) fn duration(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    // Table 2.
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    Some(frame * count).filter(|samples| (1..=5760).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_becomes_a_box_with_its_pre_skip() {
        // Conformance 36.
        let head = [
            b"OpusHead".as_slice(),
            &[1, 2, 0x38, 0x01, 0x80, 0xbb, 0, 0, 0x00, 0xff, 0],
        ]
        .concat();
        let description = parse_config(&head).unwrap();
        assert_eq!(
            description.config[..],
            [0, 2, 0x01, 0x38, 0, 0, 0xbb, 0x80, 0xff, 0x00, 0]
        );
        assert_eq!(description.codec_string, "opus");
        let surround = [
            b"OpusHead".as_slice(),
            &[1, 6, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 2, 0, 4, 1, 2, 3, 5],
        ]
        .concat();
        assert_eq!(parse_config(&surround).unwrap().config[11..], [4, 2, 0, 4, 1, 2, 3, 5]);
        for len in 0..surround.len() {
            assert!(parse_config(&surround[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn packets_say_how_long_they_last() {
        // Conformance 36.
        for (packet, samples) in [
            (&[0xfc][..], Some(960)),
            (&[0x00], Some(480)),
            (&[0x18], Some(2880)),
            (&[0x60], Some(480)),
            (&[0x81], Some(240)),
            (&[0xfb, 0x06], Some(5760)),
            (&[0xfb, 0x07], None),
            (&[0xfb, 0x00], None),
            (&[0xfb], None),
            (&[], None),
        ] {
            assert_eq!(duration(packet), samples, "{packet:02x?}");
        }
    }
}
