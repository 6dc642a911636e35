//! H.265: HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 8.3.3), sequence parameter set (ITU-T H.265 7.3.2.2), NAL unit types.

use std::fmt::Write as _;

use bytes::Bytes;
use nova_core::media::{Codec, Colour, Media};

use super::avc::aspect_ratio;
use super::bits::{Bits, colour, unescape};
use super::nal::{self, Class};
use super::{Description, Error, ratio};

const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;

/// A record, and the length size its stream has. The record says 4, since payloads are normalised to that.
pub(crate) fn parse_config(record: &[u8]) -> Result<(Description, usize), Error> {
    let head = record.get(..23).ok_or(Error::Truncated)?;
    if head[0] > 1 {
        return Err(Error::Invalid("HEVC record version"));
    }
    let length_size = usize::from(head[21] & 3) + 1;
    let mut at = 23;
    let mut first_sps = None;
    for _ in 0..head[22] {
        let array = record.get(at..at + 3).ok_or(Error::Truncated)?;
        at += 3;
        for _ in 0..u16::from_be_bytes([array[1], array[2]]) {
            let len = record.get(at..at + 2).ok_or(Error::Truncated)?;
            let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
            let nal = record.get(at + 2..at + 2 + len).ok_or(Error::Truncated)?;
            at += 2 + len;
            if array[0] & 0x3f == SPS {
                first_sps = first_sps.or(Some(nal));
            }
        }
    }
    let sps = parse_sps(first_sps.ok_or(Error::Invalid("HEVC record without SPS"))?)?;
    let mut out = record[..at].to_vec();
    // Some encoders write version 0.
    out[0] = 1;
    out[21] |= 3;
    let description = Description {
        codec: Codec::Hevc,
        config: Bytes::from(out),
        codec_string: codec_string(head),
        media: Media::Video {
            width: sps.width,
            height: sps.height,
            sar: sps.sar,
            frame_rate: sps.frame_rate,
            colour: sps.colour,
        },
    };
    Ok((description, length_size))
}

/// The record that the parameter sets before the picture of an access unit make, when an SPS is among them (conformance 37). Lengths are of
/// four bytes.
pub(crate) fn record_in_band(payload: &[u8]) -> Option<Vec<u8>> {
    let mut sets: [Vec<&[u8]>; 3] = Default::default();
    for nal in nal::units(payload) {
        match (nal.first()? >> 1) & 0x3f {
            kind @ VPS..=PPS => sets[usize::from(kind - VPS)].push(nal),
            0..32 => break,
            _ => {}
        }
    }
    let sps = *sets[1].first()?;
    let rbsp = unescape(sps.get(2..)?);
    let parsed = parse_sps(sps).ok()?;
    let [first, general @ ..] = rbsp.get(..13)? else {
        return None;
    };
    let mut record = vec![1];
    record.extend_from_slice(general);
    let (sub_layers, nested) = ((first >> 1 & 7) + 1, first & 1);
    record.extend_from_slice(&[
        0xf0,
        0,
        0xfc,
        0xfc | parsed.chroma_format as u8,
        0xf8 | parsed.bit_depth_luma as u8,
        0xf8 | parsed.bit_depth_chroma as u8,
        0,
        0,
        sub_layers << 3 | nested << 2 | 3,
        3,
    ]);
    for (kind, list) in (VPS..).zip(&sets) {
        record.push(0x80 | kind);
        record.extend(u16::try_from(list.len()).ok()?.to_be_bytes());
        for nal in list {
            record.extend(u16::try_from(nal.len()).ok()?.to_be_bytes());
            record.extend(*nal);
        }
    }
    Some(record)
}

/// 14496-15 annex E.3.
fn codec_string(head: &[u8]) -> String {
    let space = ["", "A", "B", "C"][usize::from(head[1] >> 6)];
    let profile = head[1] & 0x1f;
    let compatibility = u32::from_be_bytes([head[2], head[3], head[4], head[5]]).reverse_bits();
    let tier = if head[1] & 0x20 == 0 { 'L' } else { 'H' };
    let mut text = format!("hvc1.{space}{profile}.{compatibility:X}.{tier}{}", head[12]);
    let constraints = &head[6..12];
    let used = constraints.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        let _ = write!(text, ".{byte:X}");
    }
    text
}

/// Table 7-1.
pub(crate) fn class(nal: &[u8]) -> Class {
    match (nal[0] >> 1) & 0x3f {
        16..=21 => Class::RandomAccess,
        SPS => Class::Hint,
        35 | 38 => Class::Noise,
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

/// 7.3.2.2.1.
fn parse_sps(nal: &[u8]) -> Result<Sps, Error> {
    let rbsp = unescape(nal.get(2..).ok_or(Error::Truncated)?);
    let mut bits = Bits::new(&rbsp);
    bits.skip(4)?;
    let sub_layers = bits.u(3)?;
    bits.skip(1)?;
    profile_tier_level(&mut bits, sub_layers)?;
    bits.ue()?;
    let mut chroma_format = bits.ue()?;
    if chroma_format > 3 {
        return Err(Error::Invalid("chroma_format_idc"));
    }
    if chroma_format == 3 && bits.flag()? {
        chroma_format = 0;
    }
    let (width, height) = (bits.ue()?, bits.ue()?);
    let mut window = [0_u32; 4];
    if bits.flag()? {
        for edge in &mut window {
            *edge = bits.ue()?;
        }
    }
    let (unit_x, unit_y) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let size = |size: u32, first: u32, second: u32, unit: u64| {
        let cut = (u64::from(first) + u64::from(second)) * unit;
        u16::try_from(u64::from(size).saturating_sub(cut))
            .ok()
            .filter(|size| *size > 0)
    };
    let mut sps = Sps {
        width: size(width, window[0], window[1], unit_x).ok_or(Error::Invalid("picture width"))?,
        height: size(height, window[2], window[3], unit_y).ok_or(Error::Invalid("picture height"))?,
        sar: (1, 1),
        frame_rate: None,
        colour: None,
        chroma_format,
        bit_depth_luma: 0,
        bit_depth_chroma: 0,
    };
    // What comes before the usability part is long; when it does not read, the size still stands.
    let _ = rest(&mut bits, sub_layers, &mut sps);
    Ok(sps)
}

/// 7.3.3.
fn profile_tier_level(bits: &mut Bits<'_>, sub_layers: u32) -> Result<(), Error> {
    bits.skip(88 + 8)?;
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((bits.flag()?, bits.flag()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers as usize))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Ok(())
}

fn rest(bits: &mut Bits<'_>, sub_layers: u32, sps: &mut Sps) -> Result<(), Error> {
    (sps.bit_depth_luma, sps.bit_depth_chroma) = (bits.ue()?, bits.ue()?);
    if sps.bit_depth_luma > 8 || sps.bit_depth_chroma > 8 {
        return Err(Error::Invalid("bit depth"));
    }
    let poc_bits = bits.ue()? + 4;
    if poc_bits > 16 {
        return Err(Error::Invalid("log2_max_pic_order_cnt_lsb"));
    }
    let ordering = if bits.flag()? { sub_layers + 1 } else { 1 };
    for _ in 0..ordering * 3 + 6 {
        bits.ue()?;
    }
    if bits.flag()? && bits.flag()? {
        scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.flag()? {
        bits.skip(8)?;
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    let sets = bits.ue()?;
    if sets > 64 {
        return Err(Error::Invalid("num_short_term_ref_pic_sets"));
    }
    let mut pictures = 0;
    for index in 0..sets {
        pictures = reference_set(bits, index, pictures)?;
    }
    if bits.flag()? {
        for _ in 0..bits.ue()?.min(33) {
            bits.skip(poc_bits as usize + 1)?;
        }
    }
    bits.skip(2)?;
    if bits.flag()? { vui(bits, sps) } else { Ok(()) }
}

/// 7.3.7. Returns the number of pictures in the set (NumDeltaPocs, 7-71).
fn reference_set(bits: &mut Bits<'_>, index: u32, previous: u32) -> Result<u32, Error> {
    if index > 0 && bits.flag()? {
        bits.skip(1)?;
        bits.ue()?;
        let mut pictures = 0;
        for _ in 0..=previous {
            let used = bits.flag()?;
            if used || bits.flag()? {
                pictures += 1;
            }
        }
        return Ok(pictures);
    }
    let (negative, positive) = (bits.ue()?, bits.ue()?);
    if negative > 16 || positive > 16 {
        return Err(Error::Invalid("reference picture set"));
    }
    for _ in 0..negative + positive {
        bits.ue()?;
        bits.skip(1)?;
    }
    Ok(negative + positive)
}

/// 7.3.4.
fn scaling_lists(bits: &mut Bits<'_>) -> Result<(), Error> {
    for size in 0..4_u32 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.flag()? {
                bits.ue()?;
                continue;
            }
            if size > 1 {
                bits.se()?;
            }
            for _ in 0..64.min(1 << (4 + (size << 1))) {
                bits.se()?;
            }
        }
    }
    Ok(())
}

/// E.2.1 as far as the timing.
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
    bits.skip(3)?;
    if bits.flag()? {
        for _ in 0..4 {
            bits.ue()?;
        }
    }
    if bits.flag()? {
        let (units, scale) = (bits.u(32)?, bits.u(32)?);
        sps.frame_rate = ratio(scale, units);
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// 160x90 at 15 frames a second by x265, SPS only, with two-byte lengths.
    pub(crate) const RECORD: &[u8] = &[
        0x01, 0x01, 0x60, 0x00, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1e, 0xf0, 0x00, 0xfc, 0xfd, 0xf8,
        0xf8, 0x00, 0x00, 0x0d, 0x01, 0x21, 0x00, 0x01, 0x00, 0x2a, 0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03,
        0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x1e, 0xa0, 0x14, 0x20, 0x61, 0xf2, 0x65, 0x95, 0x92,
        0x49, 0x32, 0xbc, 0x05, 0xa0, 0x20, 0x00, 0x00, 0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x01, 0xe1,
    ];

    #[test]
    fn size_and_rate_come_from_the_record_which_then_says_four_byte_lengths() {
        // Conformance 38.
        let (description, length_size) = parse_config(RECORD).unwrap();
        assert_eq!((length_size, description.config[21] & 3), (2, 3));
        assert_eq!(description.codec_string, "hvc1.1.6.L30.90");
        assert_eq!(
            description.media,
            Media::Video {
                width: 160,
                height: 90,
                sar: (1, 1),
                frame_rate: Some((15, 1)),
                colour: None,
            }
        );
        for len in 0..60 {
            assert!(parse_config(&RECORD[..len]).is_err(), "{len}");
        }
    }

    /// 640x360 at 25 frames a second by x265: ten bits, BT.2020, HLG.
    const SETS: [&[u8]; 3] = [
        b"\x40\x01\x0c\x01\xff\xff\x02\x20\0\0\x03\0\x90\0\0\x03\0\0\x03\0\x3f\x95\x98\x09",
        b"\x42\x01\x01\x02\x20\0\0\x03\0\x90\0\0\x03\0\0\x03\0\x3f\xa0\x05\x02\x01\x69\x36\x59\x59\xa4\x93\x2b\xc0\x5a\x84\x89\x04\x82\0\0\x03\0\x02\0\0\x03\0\x32\x10",
        b"\x44\x01\xc1\x72\xb4\x62\x40",
    ];

    #[test]
    fn parameter_sets_among_the_pictures_make_a_record() {
        // Conformance 37.
        let unit = |sets: &[&[u8]]| -> Vec<u8> {
            let sized = |nal: &&[u8]| [&u32::try_from(nal.len()).unwrap().to_be_bytes()[..], *nal].concat();
            sets.iter().flat_map(sized).collect()
        };
        let picture: &[u8] = &[0x26, 0x01, 0xaf];
        let record = record_in_band(&unit(&[SETS[0], SETS[1], SETS[2], picture])).unwrap();
        let (described, length_size) = parse_config(&record).unwrap();
        assert_eq!(length_size, 4);
        // The record that ffmpeg 9 writes for the same pictures in MP4, down to its sets.
        let head = b"\x01\x02\x20\0\0\0\x90\0\0\0\0\0\x3f\xf0\0\xfc\xfd\xfa\xfa\0\0\x0f\x03\xa0\0\x01\0\x18";
        assert!(record.starts_with(head), "{record:x?}");
        assert_eq!(record.len(), 115);
        assert_eq!(described.codec_string, "hvc1.2.4.L63.90");
        assert_eq!(
            described.media,
            Media::Video {
                width: 640,
                height: 360,
                sar: (1, 1),
                frame_rate: Some((25, 1)),
                colour: Some(Colour {
                    primaries: 9,
                    transfer: 18,
                    matrix: 9,
                    full_range: false
                }),
            }
        );
        for set in SETS {
            assert!(record.windows(set.len()).any(|window| window == set));
        }
        assert_eq!(record_in_band(&unit(&[picture])), None);
        assert_eq!(record_in_band(&unit(&[SETS[2], picture])), None);
        assert_eq!(record_in_band(&unit(&[picture, SETS[1]])), None);
    }

    #[test]
    fn the_codecs_string_has_reversed_flags_and_no_trailing_zeros() {
        let mut head = [0; 23];
        (head[1], head[12]) = (0x01, 93);
        head[2..6].copy_from_slice(&0x6000_0000_u32.to_be_bytes());
        head[6] = 0xb0;
        assert_eq!(codec_string(&head), "hvc1.1.6.L93.B0");
        (head[1], head[6], head[8]) = (0xa2, 0, 0x10);
        head[2..6].copy_from_slice(&0x2000_0000_u32.to_be_bytes());
        assert_eq!(codec_string(&head), "hvc1.B2.4.H93.0.0.10");
    }

    #[test]
    fn random_access_pictures_are_keyframes_and_leading_ones_are_not() {
        for (kind, expected) in [
            (19, Class::RandomAccess),
            (20, Class::RandomAccess),
            (21, Class::RandomAccess),
            (16, Class::RandomAccess),
            (9, Class::Other),
            (1, Class::Other),
            (39, Class::Other),
            (35, Class::Noise),
            (38, Class::Noise),
        ] {
            assert_eq!(class(&[kind << 1, 1]), expected, "{kind}");
        }
    }
}
