//! AAC: AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1).
//!
//! It alone gives rate and channels; the bits of the FLV tag are wrong for most streams (conformance 34). Explicit SBR and PS give the
//! decoder's output. Implicit SBR cannot be seen here: such a stream is announced as what it says it is, and decoders find out.

use bytes::Bytes;
use nova_core::media::{Codec, Media};

use super::bits::Bits;
use super::{Description, Error};

const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];
const SBR: u32 = 5;
const PS: u32 = 29;

/// The track of a configuration.
pub(crate) fn parse_config(config: &[u8]) -> Result<Description, Error> {
    let mut bits = Bits::new(config);
    let mut object = object_type(&mut bits)?;
    let mut rate = sampling_frequency(&mut bits)?;
    let layout = bits.u(4)?;
    let (mut sbr, mut ps) = (false, false);
    let mut core_rate = rate;
    if object == SBR || object == PS {
        (sbr, ps) = (true, object == PS);
        rate = sampling_frequency(&mut bits)?;
        object = object_type(&mut bits)?;
        if object == 22 {
            bits.skip(4)?;
        }
    }
    let mut samples = 1024;
    let mut channels = match layout {
        1..=6 => layout as u8,
        7 | 12 | 14 => 8,
        11 => 7,
        _ => 0,
    };
    if matches!(object, 1..=4 | 6 | 7 | 17 | 19..=23) {
        // GASpecificConfig, 4.4.1.
        if bits.flag()? {
            samples = 960;
        }
        if object == 23 {
            samples /= 2;
        }
        if bits.flag()? {
            bits.skip(14)?;
        }
        let extension = bits.flag()?;
        if layout == 0 {
            channels = program_config(&mut bits)?;
        }
        if matches!(object, 6 | 20) {
            bits.skip(3)?;
        }
        if extension {
            bits.skip(match object {
                22 => 16,
                17 | 19 | 20 | 23 => 3,
                _ => 0,
            })?;
            bits.skip(1)?;
        }
    }
    // Backward compatible explicit signalling: a sync word behind the configuration.
    if !sbr && bits.left() >= 16 && bits.u(11)? == 0x2b7 && object_type(&mut bits)? == SBR && bits.flag()? {
        sbr = true;
        core_rate = rate;
        rate = sampling_frequency(&mut bits)?;
        if bits.left() >= 12 && bits.u(11)? == 0x548 {
            ps = bits.flag()?;
        }
    }
    if channels == 0 {
        return Err(Error::Unsupported("AAC channel configuration"));
    }
    if ps && channels == 1 {
        channels = 2;
    }
    // Down-sampled SBR keeps the rate, and the frame its length.
    if sbr && rate > core_rate {
        samples *= 2;
    }
    let signalled = match (sbr, ps) {
        (_, true) => PS,
        (true, false) => SBR,
        _ => object,
    };
    Ok(Description {
        codec: Codec::Aac,
        config: Bytes::copy_from_slice(config),
        codec_string: format!("mp4a.40.{signalled}"),
        media: Media::Audio {
            sample_rate: rate,
            channels,
            frame_samples: Some(samples),
        },
    })
}

fn object_type(bits: &mut Bits<'_>) -> Result<u32, Error> {
    match bits.u(5)? {
        31 => Ok(32 + bits.u(6)?),
        0 => Err(Error::Invalid("audio object type")),
        object => Ok(object),
    }
}

fn sampling_frequency(bits: &mut Bits<'_>) -> Result<u32, Error> {
    let rate = match bits.u(4)? {
        15 => bits.u(24)?,
        index => *RATES
            .get(index as usize)
            .ok_or(Error::Invalid("sampling frequency index"))?,
    };
    // Nothing plays less, and a clock of a few ticks a second times nothing.
    if rate < 4_000 {
        return Err(Error::Invalid("sampling frequency"));
    }
    Ok(rate)
}

/// Channels of a program_config_element (4.4.1.1).
fn program_config(bits: &mut Bits<'_>) -> Result<u8, Error> {
    bits.skip(4 + 2 + 4)?;
    let (front, side, back, lfe) = (bits.u(4)?, bits.u(4)?, bits.u(4)?, bits.u(2)?);
    let (data, coupling) = (bits.u(3)?, bits.u(4)?);
    for mixdown in [4, 4, 3] {
        if bits.flag()? {
            bits.skip(mixdown)?;
        }
    }
    let mut channels = lfe;
    for _ in 0..front + side + back {
        channels += 1 + bits.u(1)?;
        bits.skip(4)?;
    }
    bits.skip(4 * (lfe + data) as usize + 5 * coupling as usize)?;
    bits.align();
    let comment = bits.u(8)? as usize;
    bits.skip(comment * 8)?;
    Ok(channels as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &[u8]) -> (String, u32, u8, Option<u32>) {
        let description = parse_config(config).unwrap();
        let Media::Audio {
            sample_rate,
            channels,
            frame_samples,
        } = description.media
        else {
            panic!("sound")
        };
        assert_eq!(description.config, config);
        (description.codec_string, sample_rate, channels, frame_samples)
    }

    #[test]
    fn rate_and_channels_are_those_of_the_configuration() {
        // Conformance 34.
        assert_eq!(read(&[0x12, 0x10]), ("mp4a.40.2".into(), 44_100, 2, Some(1024)));
        assert_eq!(read(&[0x11, 0x88]), ("mp4a.40.2".into(), 48_000, 1, Some(1024)));
        assert_eq!(read(&[0x11, 0xb8]), ("mp4a.40.2".into(), 48_000, 8, Some(1024)));
        // 960 samples a frame, and a rate written out.
        assert_eq!(read(&[0x12, 0x14]).3, Some(960));
        assert_eq!(
            read(&[0x17, 0x80, 0x56, 0x22, 0x10]),
            ("mp4a.40.2".into(), 44_100, 2, Some(1024))
        );
    }

    #[test]
    fn explicit_sbr_and_ps_give_the_rate_and_channels_of_the_output() {
        // Conformance 34: hierarchical, then backward compatible, which is how most encoders write it.
        assert_eq!(
            read(&[0x2b, 0x11, 0x88, 0x00]),
            ("mp4a.40.5".into(), 48_000, 2, Some(2048))
        );
        assert_eq!(
            read(&[0xeb, 0x09, 0x88, 0x00]),
            ("mp4a.40.29".into(), 48_000, 2, Some(2048))
        );
        assert_eq!(
            read(&[0x13, 0x10, 0x56, 0xe5, 0x98]),
            ("mp4a.40.5".into(), 48_000, 2, Some(2048))
        );
        assert_eq!(
            read(&[0x13, 0x08, 0x56, 0xe5, 0x9d, 0x48, 0x80]),
            ("mp4a.40.29".into(), 48_000, 2, Some(2048))
        );
        // The extension that says there is none.
        assert_eq!(
            read(&[0x11, 0x90, 0x56, 0xe5, 0x00]),
            ("mp4a.40.2".into(), 48_000, 2, Some(1024))
        );
    }

    #[test]
    fn implicit_sbr_stays_what_it_says_it_is() {
        assert_eq!(read(&[0x13, 0x10]), ("mp4a.40.2".into(), 24_000, 2, Some(1024)));
    }

    #[test]
    fn a_program_config_element_is_counted() {
        // LC, 48 kHz, layout 0; two front elements (a single, a pair), one back pair, one LFE.
        let mut bits = String::from("00010 0011 0000 0 0 0");
        bits.push_str(" 0000 01 0011 0010 0000 0001 01 000 0000 0 0 0 00000 10001 10010 0000");
        let bits: Vec<u8> = bits.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
        let mut config: Vec<u8> = bits
            .chunks(8)
            .map(|c| c.iter().enumerate().fold(0, |byte, (i, bit)| byte | bit << (7 - i)))
            .collect();
        config.push(0);
        assert_eq!(read(&config), ("mp4a.40.2".into(), 48_000, 6, Some(1024)));
    }

    #[test]
    fn nonsense_is_refused() {
        for config in [
            &[][..],
            &[0x12],
            &[0x00, 0x00],
            &[0x16, 0x90],
            &[0x17, 0x80, 0x00, 0x00, 0x90],
        ] {
            assert!(parse_config(config).is_err(), "{config:02x?}");
        }
    }
}
