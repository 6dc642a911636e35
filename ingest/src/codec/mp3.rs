//! MPEG audio layer III: the frame header (ISO/IEC 11172-3 2.4.2.3, 13818-3 2.4.2.3). There is no configuration.

use bytes::Bytes;
use nova_core::media::{Codec, Media};

use super::{Description, Error};

/// The track of a stream whose frame this is, and the samples of the frame.
pub(crate) fn describe(frame: &[u8]) -> Result<(Description, u32), Error> {
    let &[sync, kind, rates, mode, ..] = frame else {
        return Err(Error::Truncated);
    };
    if sync != 0xff || kind & 0xe0 != 0xe0 {
        return Err(Error::Invalid("MPEG audio sync word"));
    }
    if kind >> 1 & 3 != 1 {
        return Err(Error::Unsupported("MPEG audio layer"));
    }
    let rate = *[44_100_u32, 48_000, 32_000]
        .get(usize::from(rates >> 2 & 3))
        .ok_or(Error::Invalid("MPEG audio sampling rate"))?;
    let (rate, samples) = match kind >> 3 & 3 {
        3 => (rate, 1152),
        2 => (rate / 2, 576),
        0 => (rate / 4, 576),
        _ => return Err(Error::Invalid("MPEG audio version")),
    };
    let description = Description {
        codec: Codec::Mp3,
        config: Bytes::new(),
        codec_string: "mp4a.6B".into(),
        media: Media::Audio {
            sample_rate: rate,
            channels: if mode >> 6 == 3 { 1 } else { 2 },
            frame_samples: Some(samples),
        },
    };
    Ok((description, samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_give_rate_channels_and_samples() {
        for (header, rate, channels, samples) in [
            ([0xff, 0xfb, 0x90, 0x64], 44_100, 2, 1152),
            ([0xff, 0xfb, 0x94, 0xc4], 48_000, 1, 1152),
            ([0xff, 0xf3, 0x90, 0x64], 22_050, 2, 576),
            ([0xff, 0xe3, 0x98, 0x64], 8_000, 2, 576),
        ] {
            let (description, length) = describe(&header).unwrap();
            assert_eq!(length, samples);
            assert_eq!(
                description.media,
                Media::Audio {
                    sample_rate: rate,
                    channels,
                    frame_samples: Some(samples)
                }
            );
        }
        for broken in [
            &[0xff, 0xfb, 0x90][..],
            &[0xff, 0xfd, 0x90, 0x64],
            &[0xff, 0xfb, 0x9c, 0x64],
            &[0xff, 0xeb, 0x90, 0x64],
        ] {
            assert!(describe(broken).is_err());
        }
    }
}
