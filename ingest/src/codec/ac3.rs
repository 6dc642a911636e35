//! AC-3 and E-AC-3: sync frames (ETSI TS 102 366 4.3, 4.4 and E.1.2) to `dac3` and `dec3` boxes (F.4, F.6). There is no header to send.

use bytes::Bytes;
use nova_core::media::{Codec, Media};

use super::bits::Bits;
use super::{Description, Error};

const RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Full-bandwidth channels by acmod (4.4.2.3).
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];

/// The track of a stream whose first frame this is, and the samples of the frame.
pub(crate) fn describe(codec: Codec, frame: &[u8]) -> Result<(Description, u32), Error> {
    if codec == Codec::Ac3 { ac3(frame) } else { eac3(frame) }
}

fn track(codec: Codec, config: &[u8], rate: u32, channels: u8, samples: u32) -> (Description, u32) {
    let description = Description {
        codec,
        config: Bytes::copy_from_slice(config),
        codec_string: if codec == Codec::Ac3 { "ac-3" } else { "ec-3" }.into(),
        media: Media::Audio {
            sample_rate: rate,
            channels,
            frame_samples: Some(samples),
        },
    };
    (description, samples)
}

/// Samples of one AC-3 frame: six blocks of 256.
const AC3_SAMPLES: u32 = 1536;

fn sync<'a>(frame: &'a [u8]) -> Result<Bits<'a>, Error> {
    let mut bits = Bits::new(frame);
    if bits.u(16)? == 0x0b77 {
        Ok(bits)
    } else {
        Err(Error::Invalid("AC-3 sync word"))
    }
}

fn ac3(frame: &[u8]) -> Result<(Description, u32), Error> {
    let mut bits = sync(frame)?;
    bits.skip(16)?;
    let (fscod, frmsizecod, bsid, bsmod, acmod) = (bits.u(2)?, bits.u(6)?, bits.u(5)?, bits.u(3)?, bits.u(3)?);
    let rate = *RATES.get(fscod as usize).ok_or(Error::Invalid("fscod"))?;
    if bsid > 10 || frmsizecod > 37 {
        return Err(Error::Invalid("AC-3 header"));
    }
    if acmod & 1 == 1 && acmod != 1 {
        bits.skip(2)?;
    }
    if acmod & 4 != 0 {
        bits.skip(2)?;
    }
    if acmod == 2 {
        bits.skip(2)?;
    }
    let lfe = bits.u(1)?;
    let config = fscod << 22 | bsid << 17 | bsmod << 14 | acmod << 11 | lfe << 10 | (frmsizecod >> 1) << 5;
    let channels = CHANNELS[acmod as usize] + lfe as u8;
    Ok(track(
        Codec::Ac3,
        &config.to_be_bytes()[1..],
        rate,
        channels,
        AC3_SAMPLES,
    ))
}

/// Of one independent substream with the dependent ones behind it; a second programme is not announced.
fn eac3(frame: &[u8]) -> Result<(Description, u32), Error> {
    let head = substream(frame)?;
    if head.kind == 1 || head.bsid < 11 {
        return Err(Error::Invalid("E-AC-3 substream"));
    }
    let mut dependents = 0_u32;
    let mut locations = 0_u32;
    let mut extra = 0;
    let mut at = head.size;
    while let Some(next) = frame.get(at..).filter(|rest| rest.len() > 6) {
        let Ok(next) = substream(next) else { break };
        if next.kind != 1 {
            break;
        }
        dependents += 1;
        locations |= next.locations;
        // Locations 0, 1, 4, 5 and 6 are pairs.
        extra += next.locations.count_ones() as u8 + (next.locations & 0b111_0011).count_ones() as u8;
        at += next.size;
    }
    let kbps =
        (at.min(frame.len()) as u64 * 8 * u64::from(head.rate) / u64::from(head.samples) / 1000).min(0x1fff) as u32;
    let mut config = Vec::with_capacity(6);
    config.extend_from_slice(&((kbps << 3) as u16).to_be_bytes());
    let body = head.fscod << 22
        | head.bsid << 17
        | head.bsmod << 12
        | head.acmod << 9
        | head.lfe << 8
        | dependents.min(15) << 1;
    if dependents > 0 {
        config.extend_from_slice(&(body | locations >> 8 & 1).to_be_bytes()[1..]);
        config.push(locations as u8);
    } else {
        config.extend_from_slice(&body.to_be_bytes()[1..]);
    }
    let channels = CHANNELS[head.acmod as usize] + head.lfe as u8 + extra;
    Ok(track(Codec::Eac3, &config, head.rate, channels, head.samples))
}

struct Substream {
    kind: u32,
    size: usize,
    fscod: u32,
    rate: u32,
    samples: u32,
    acmod: u32,
    lfe: u32,
    bsid: u32,
    bsmod: u32,
    /// `chan_loc` bits of F.6.2.12 for a dependent substream.
    locations: u32,
}

/// E.1.2.1 and the start of E.1.2.2.
fn substream(frame: &[u8]) -> Result<Substream, Error> {
    let mut bits = sync(frame)?;
    let kind = bits.u(2)?;
    bits.skip(3)?;
    let size = (bits.u(11)? as usize + 1) * 2;
    let fscod = bits.u(2)?;
    let (rate, blocks) = if fscod == 3 {
        let half = *RATES.get(bits.u(2)? as usize).ok_or(Error::Invalid("fscod2"))?;
        (half / 2, 6)
    } else {
        (RATES[fscod as usize], [1, 2, 3, 6][bits.u(2)? as usize])
    };
    let (acmod, lfe, bsid) = (bits.u(3)?, bits.u(1)?, bits.u(5)?);
    bits.skip(5)?;
    if bits.flag()? {
        bits.skip(8)?;
    }
    if acmod == 0 {
        bits.skip(5)?;
        if bits.flag()? {
            bits.skip(8)?;
        }
    }
    let mut locations = 0;
    if kind == 1 && bits.flag()? {
        // chanmap bit 15 - n is location n; chan_loc leaves the five that an independent substream has out (table F.6.1).
        let map = bits.u(16)?;
        for (bit, location) in [
            (5, 0),
            (6, 1),
            (7, 2),
            (8, 3),
            (9, 4),
            (10, 5),
            (11, 6),
            (12, 7),
            (14, 8),
        ] {
            if map >> (15 - bit) & 1 == 1 {
                locations |= 1 << location;
            }
        }
    }
    Ok(Substream {
        kind,
        size,
        fscod,
        rate,
        samples: blocks * 256,
        acmod,
        lfe,
        bsid,
        bsmod: 0,
        locations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_frame_of_ac3_becomes_a_box() {
        // 48 kHz, 384 kbit/s, 3/2 with LFE.
        let frame = [0x0b, 0x77, 0, 0, 0x1c, 0x40, 0xe1, 0x00];
        let (description, samples) = describe(Codec::Ac3, &frame).unwrap();
        assert_eq!(samples, 1536);
        assert_eq!(description.config[..], [0x10, 0x3d, 0xc0]);
        assert_eq!(
            description.media,
            Media::Audio {
                sample_rate: 48_000,
                channels: 6,
                frame_samples: Some(1536)
            }
        );
        assert!(describe(Codec::Ac3, &frame[..6]).is_err());
        assert!(describe(Codec::Eac3, &frame).is_err());
    }

    #[test]
    fn a_sync_frame_of_eac3_with_a_dependent_substream_becomes_a_box() {
        // Independent 3/2 with LFE, 256 bytes; dependent 2/0 of 256 bytes with a channel map of Lrs/Rrs.
        let mut frame = vec![0x0b, 0x77, 0x00, 0x7f, 0x3f, 0x87, 0xc0, 0x00];
        frame.resize(256, 0);
        let (alone, samples) = describe(Codec::Eac3, &frame).unwrap();
        assert_eq!(samples, 1536);
        assert_eq!(alone.config[..], [0x02, 0x00, 0x20, 0x0f, 0x00]);
        let mut dependent = vec![0x0b, 0x77, 0x40, 0x7f, 0x34, 0x87, 0xd0, 0x20, 0x00];
        dependent.resize(256, 0);
        frame.extend_from_slice(&dependent);
        let (both, _) = describe(Codec::Eac3, &frame).unwrap();
        assert_eq!(both.config[..], [0x04, 0x00, 0x20, 0x0f, 0x02, 0x02]);
        assert!(matches!(both.media, Media::Audio { channels: 8, .. }));
    }
}
