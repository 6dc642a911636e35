//! H.264 as ISO-BMFF wants it from an encoder: parameter sets in the record only, and the record complete.

use nova_core::media::{Codec, Media, Track, TrackId};

/// The track of an encoder's AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3); `None` when it is none.
pub(crate) fn track(id: TrackId, timescale: u32, record: &[u8], media: Media) -> Option<Track> {
    let &[1, profile, compatibility, level, ..] = record else {
        return None;
    };
    let mut config = record.to_vec();
    // Conformance 83: these four bytes are there for High profile. Pictures are 4:2:0 of 8 bits here.
    if matches!(profile, 100 | 110 | 122 | 244) && end_of_parameter_sets(record)? == record.len() {
        config.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
    }
    Some(Track {
        id,
        codec: Codec::Avc,
        timescale,
        config: config.into(),
        codec_string: format!("avc1.{profile:02x}{compatibility:02x}{level:02x}"),
        media,
    })
}

fn end_of_parameter_sets(record: &[u8]) -> Option<usize> {
    let mut at = 5;
    for mask in [0x1f, 0xff] {
        let count = record.get(at)? & mask;
        at += 1;
        for _ in 0..count {
            let len = record.get(at..at + 2)?;
            at += 2 + usize::from(u16::from_be_bytes([len[0], len[1]]));
        }
    }
    (at <= record.len()).then_some(at)
}

/// The access unit (4-byte lengths) without parameter sets, delimiters and filler (14496-15 5.3.2: an `avc1` sample has none of the first).
pub(crate) fn without_parameter_sets(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len());
    let mut rest = unit;
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*head) as usize;
        let Some((nal, after)) = tail.split_at_checked(len) else {
            break;
        };
        if nal.first().is_some_and(|byte| !matches!(byte & 0x1f, 7..=9 | 12 | 13)) {
            out.extend_from_slice(&rest[..4 + len]);
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIA: Media = Media::Video {
        width: 16,
        height: 16,
        sar: (1, 1),
        frame_rate: None,
        colour: None,
    };

    #[test]
    fn high_profile_gets_its_four_bytes_once() {
        let short = [1, 100, 0, 31, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 1, 0x68];
        let complete = [&short[..], &[0xfd, 0xf8, 0xf8, 0]].concat();
        for record in [&short[..], &complete] {
            let track = track(TrackId(0x80), 90_000, record, MEDIA).unwrap();
            assert_eq!(track.config, complete);
            assert_eq!(track.codec_string, "avc1.64001f");
        }
        assert_eq!(track(TrackId(0x80), 90_000, &short[..9], MEDIA), None);
    }

    #[test]
    fn parameter_sets_leave_the_samples() {
        let unit = [
            0, 0, 0, 1, 9, 0, 0, 0, 2, 0x67, 0, 0, 0, 0, 1, 0x68, 0, 0, 0, 2, 0x65, 7,
        ];
        assert_eq!(without_parameter_sets(&unit), [0, 0, 0, 2, 0x65, 7]);
        assert!(without_parameter_sets(&[0, 0, 0, 9, 0x65]).is_empty());
    }
}
