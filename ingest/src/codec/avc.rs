//! H.264: AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3), sequence parameter set (ITU-T H.264 7.3.2.1), NAL unit types.

use bytes::Bytes;
use nova_core::media::{Codec, Colour, Media};

use super::bits::{Bits, colour, unescape};
use super::nal::{self, Class};
use super::{ASPECT_RATIOS, Description, EXTENDED_SAR, Error, ratio};

/// A record, and the length size its stream has. The record says 4, since payloads are normalised to that.
pub(crate) fn parse_config(record: &[u8]) -> Result<(Description, usize), Error> {
    let &[version, profile, compatibility, level, length, count, ..] = record else {
        return Err(Error::Truncated);
    };
    if version != 1 {
        return Err(Error::Invalid("AVC record version"));
    }
    let mut at = 6;
    let mut first_sps = None;
    for _ in 0..count & 0x1f {
        let sps = sized(record, &mut at)?;
        first_sps = first_sps.or(Some(sps));
    }
    let pps = *record.get(at).ok_or(Error::Truncated)?;
    at += 1;
    for _ in 0..pps {
        sized(record, &mut at)?;
    }
    let sps = parse_sps(first_sps.ok_or(Error::Invalid("AVC record without SPS"))?)?;
    let mut out = record[..at].to_vec();
    out[4] = 0xfc | 3;
    if matches!(profile, 100 | 110 | 122 | 244) {
        // Conformance 83: present even where the encoder has left them out.
        match record.get(at..) {
            Some(tail) if tail.len() >= 4 && tail[0] & 0xfc == 0xfc => out.extend_from_slice(tail),
            _ => out.extend_from_slice(&[
                0xfc | sps.chroma_format as u8,
                0xf8 | sps.bit_depth_luma as u8,
                0xf8 | sps.bit_depth_chroma as u8,
                0,
            ]),
        }
    }
    let description = Description {
        codec: Codec::Avc,
        config: Bytes::from(out),
        codec_string: format!("avc1.{profile:02x}{compatibility:02x}{level:02x}"),
        media: Media::Video {
            width: sps.width,
            height: sps.height,
            sar: sps.sar,
            frame_rate: sps.frame_rate,
            colour: sps.colour,
        },
    };
    Ok((description, usize::from(length & 3) + 1))
}

/// The record that the parameter sets before the picture of an access unit make, when an SPS is among them: some encoders change their size
/// in the midst of a stream and say so nowhere else (conformance 37). Lengths are of four bytes.
pub(crate) fn record_in_band(payload: &[u8]) -> Option<Vec<u8>> {
    let mut sets = [Vec::new(), Vec::new()];
    for nal in nal::units(payload) {
        match nal.first()? & 0x1f {
            7 => sets[0].push(nal),
            8 => sets[1].push(nal),
            1..=5 => break,
            _ => {}
        }
    }
    let [sps, pps] = &sets;
    let &[_, profile, compatibility, level, ..] = *sps.first()? else {
        return None;
    };
    let mut record = vec![1, profile, compatibility, level, 0xff];
    for (list, mark) in [(sps, 0xe0), (pps, 0)] {
        record.push(mark | u8::try_from(list.len()).ok().filter(|count| *count < 32)?);
        for nal in list {
            record.extend(u16::try_from(nal.len()).ok()?.to_be_bytes());
            record.extend(*nal);
        }
    }
    Some(record)
}

fn sized<'a>(record: &'a [u8], at: &mut usize) -> Result<&'a [u8], Error> {
    let len = record.get(*at..*at + 2).ok_or(Error::Truncated)?;
    let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
    let body = record.get(*at + 2..*at + 2 + len).ok_or(Error::Truncated)?;
    *at += 2 + len;
    Ok(body)
}

/// Table 7-1.
pub(crate) fn class(nal: &[u8]) -> Class {
    const RECOVERY_POINT: u8 = 6;
    match nal[0] & 0x1f {
        5 => Class::RandomAccess,
        // An intra refresh without IDR begins with a recovery point or repeats the SPS.
        6 if nal.get(1) == Some(&RECOVERY_POINT) => Class::Hint,
        7 => Class::Hint,
        9 | 12 => Class::Noise,
        _ => Class::Other,
    }
}

#[derive(Debug)]
struct Sps {
    width: u16,
    height: u16,
    sar: (u16, u16),
    frame_rate: Option<(u32, u32)>,
    colour: Option<Colour>,
    chroma_format: u32,
    bit_depth_luma: u32,
    bit_depth_chroma: u32,
}

/// 7.3.2.1.1, and E.1.1 as far as the timing.
fn parse_sps(nal: &[u8]) -> Result<Sps, Error> {
    let rbsp = unescape(nal.get(1..).ok_or(Error::Truncated)?);
    let mut bits = Bits::new(&rbsp);
    let profile = bits.u(8)?;
    bits.skip(16)?;
    bits.ue()?;
    let (mut chroma_format, mut bit_depth_luma, mut bit_depth_chroma) = (1, 0, 0);
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        chroma_format = bits.ue()?;
        if chroma_format > 3 {
            return Err(Error::Invalid("chroma_format_idc"));
        }
        if chroma_format == 3 && bits.flag()? {
            chroma_format = 0;
        }
        bit_depth_luma = bits.ue()?;
        bit_depth_chroma = bits.ue()?;
        if bit_depth_luma > 6 || bit_depth_chroma > 6 {
            return Err(Error::Invalid("bit depth"));
        }
        bits.skip(1)?;
        if bits.flag()? {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.ue()?;
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.se()?;
            }
        }
        _ => {}
    }
    bits.ue()?;
    bits.skip(1)?;
    let width_mbs = bits.ue()?;
    let height_units = bits.ue()?;
    let frame_mbs_only = bits.flag()?;
    if !frame_mbs_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let mut crop = [0_u32; 4];
    if bits.flag()? {
        for edge in &mut crop {
            *edge = bits.ue()?;
        }
    }
    // Table 6-1 and equations 7-19 to 7-22: cropping counts in chroma samples, and in field lines.
    let (unit_x, unit_y) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let fields = 2 - u64::from(frame_mbs_only);
    let size = |units: u64, cut: u64| u16::try_from(units.saturating_sub(cut)).ok().filter(|size| *size > 0);
    let cut_x = (u64::from(crop[0]) + u64::from(crop[1])) * unit_x;
    let cut_y = (u64::from(crop[2]) + u64::from(crop[3])) * unit_y * fields;
    let width = size((u64::from(width_mbs) + 1) * 16, cut_x).ok_or(Error::Invalid("picture width"))?;
    let height = size((u64::from(height_units) + 1) * 16 * fields, cut_y).ok_or(Error::Invalid("picture height"))?;
    let mut sps = Sps {
        width,
        height,
        sar: (1, 1),
        frame_rate: None,
        colour: None,
        chroma_format,
        bit_depth_luma,
        bit_depth_chroma,
    };
    // A usability part that does not read costs only itself.
    let _ = bits
        .flag()
        .and_then(|present| if present { vui(&mut bits, &mut sps) } else { Ok(()) });
    Ok(sps)
}

fn vui(bits: &mut Bits<'_>, sps: &mut Sps) -> Result<(), Error> {
    if bits.flag()? {
        sps.sar = aspect_ratio(bits)?;
    }
    if bits.flag()? {
        bits.skip(1)?;
    }
    if bits.flag()? {
        bits.skip(3)?;
        let full_range = bits.flag()?;
        sps.colour = colour(bits, full_range)?;
    }
    if bits.flag()? {
        bits.ue()?;
        bits.ue()?;
    }
    if bits.flag()? {
        let (units, scale) = (bits.u(32)?, bits.u(32)?);
        // A tick is a field.
        sps.frame_rate = units.checked_mul(2).and_then(|units| ratio(scale, units));
    }
    Ok(())
}

/// `aspect_ratio_idc` and what may follow it; the same in H.265.
pub(crate) fn aspect_ratio(bits: &mut Bits<'_>) -> Result<(u16, u16), Error> {
    Ok(match bits.u(8)? {
        EXTENDED_SAR => {
            let (w, h) = (bits.u(16)?, bits.u(16)?);
            ratio(w, h).map_or((1, 1), |(w, h)| (w as u16, h as u16))
        }
        known => ASPECT_RATIOS.get(known as usize).copied().unwrap_or((1, 1)),
    })
}

/// 7.3.2.1.1.1.
fn scaling_list(bits: &mut Bits<'_>, size: usize) -> Result<(), Error> {
    let (mut last, mut next) = (8_i32, 8_i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// High profile, 1920x1080 cropped from 1088 lines, 30 frames a second (x264).
    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04,
        0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

    /// A record of that SPS.
    pub(crate) fn record(length: u8, tail: &[u8]) -> Vec<u8> {
        let head = [1, SPS[1], SPS[2], SPS[3], length, 0xe1, 0, SPS.len() as u8];
        [&head[..], SPS, &[1, 0, PPS.len() as u8], PPS, tail].concat()
    }

    #[test]
    fn size_rate_and_codecs_string_come_from_the_record() {
        let (description, length_size) = parse_config(&record(0xff, &[])).unwrap();
        assert_eq!(length_size, 4);
        assert_eq!(description.codec_string, "avc1.640028");
        assert_eq!(
            description.media,
            Media::Video {
                width: 1920,
                height: 1080,
                sar: (1, 1),
                frame_rate: Some((30, 1)),
                colour: None,
            }
        );
    }

    #[test]
    fn colours_are_what_the_usability_part_says() {
        // 320x180 by x264: BT.2020, HLG.
        let sps = [
            0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0x9f, 0x9f, 0x01, 0x6a, 0x12, 0x24, 0x12, 0x80, 0x00, 0x00,
            0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8a, 0x14, 0xcb,
        ];
        let parsed = parse_sps(&sps).unwrap();
        assert_eq!(
            (parsed.width, parsed.height, parsed.frame_rate),
            (320, 180, Some((30, 1)))
        );
        assert_eq!(
            parsed.colour,
            Some(Colour {
                primaries: 9,
                transfer: 18,
                matrix: 9,
                full_range: false
            })
        );
    }

    #[test]
    fn the_four_bytes_of_high_profile_are_there_even_if_the_encoder_left_them_out() {
        // Conformance 83.
        let complete = record(0xff, &[0xfd, 0xf8, 0xf8, 0]);
        for tail in [&[][..], &[0xfd], &[0xfd, 0xf8, 0xf8, 0]] {
            assert_eq!(
                parse_config(&record(0xff, tail)).unwrap().0.config,
                complete,
                "{tail:?}"
            );
        }
    }

    #[test]
    fn the_record_says_four_byte_lengths_whatever_the_stream_has() {
        // Conformance 38.
        for (length, size) in [(0xfc, 1), (0xfd, 2), (0xff, 4), (0x03, 4)] {
            let (description, length_size) = parse_config(&record(length, &[])).unwrap();
            assert_eq!((length_size, description.config[4]), (size, 0xff));
        }
    }

    #[test]
    fn records_cut_anywhere_are_errors() {
        let whole = record(0xff, &[]);
        for len in 0..whole.len() {
            assert!(parse_config(&whole[..len]).is_err(), "{len}");
        }
        assert!(parse_config(&[0; 40]).is_err());
    }
}
