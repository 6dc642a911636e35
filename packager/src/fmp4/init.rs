//! The CMAF header: `ftyp` and `moov` of one track (ISO/IEC 23000-19 7.3.1, conformance 70).

use bytes::Bytes;
use nova_core::media::{Codec, Media, Track};

use super::boxes::{put_u16, put_u32, put_zeros, write_box, write_full_box};

/// The track number inside every track file; each has only one.
pub(crate) const TRACK_NUMBER: u32 = 1;

/// The unity matrix of `mvhd` and `tkhd` (14496-12 8.2.2).
const UNITY: [u32; 9] = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];

/// Bytes of the header that [`super::fragment`]s of `track` follow.
pub fn header(track: &Track) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    write_box(&mut out, b"ftyp", |out| {
        out.extend_from_slice(b"cmf2");
        put_u32(out, 0);
        for brand in [b"iso6", b"cmfc", b"cmf2"] {
            out.extend_from_slice(brand);
        }
    });
    write_box(&mut out, b"moov", |out| {
        mvhd(out, track);
        trak(out, track);
        write_box(out, b"mvex", |out| {
            write_full_box(out, b"trex", 0, 0, |out| {
                for value in [TRACK_NUMBER, 1, 0, 0, 0] {
                    put_u32(out, value);
                }
            });
        });
    });
    Bytes::from(out)
}

fn matrix(out: &mut Vec<u8>) {
    for value in UNITY {
        put_u32(out, value);
    }
}

fn mvhd(out: &mut Vec<u8>, track: &Track) {
    write_full_box(out, b"mvhd", 0, 0, |out| {
        put_zeros(out, 8); // creation and modification time
        put_u32(out, track.timescale);
        put_u32(out, 0); // duration: unknown, the fragments tell
        put_u32(out, 0x0001_0000); // rate 1.0
        put_u16(out, 0x0100); // volume 1.0
        put_zeros(out, 10);
        matrix(out);
        put_zeros(out, 24);
        put_u32(out, TRACK_NUMBER + 1);
    });
}

fn trak(out: &mut Vec<u8>, track: &Track) {
    write_box(out, b"trak", |out| {
        // Flags: enabled, in movie, in preview.
        write_full_box(out, b"tkhd", 0, 7, |out| {
            put_zeros(out, 8);
            put_u32(out, TRACK_NUMBER);
            put_zeros(out, 4);
            put_u32(out, 0);
            put_zeros(out, 8);
            put_u16(out, 0);
            put_u16(out, u16::from(track.is_video()));
            put_u16(out, if track.is_video() { 0 } else { 0x0100 });
            put_u16(out, 0);
            matrix(out);
            let (width, height) = presentation_size(track);
            put_u32(out, width << 16);
            put_u32(out, height << 16);
        });
        write_box(out, b"mdia", |out| {
            write_full_box(out, b"mdhd", 0, 0, |out| {
                put_zeros(out, 8);
                put_u32(out, track.timescale);
                put_u32(out, 0);
                put_u16(out, 0x55c4); // "und"
                put_u16(out, 0);
            });
            write_full_box(out, b"hdlr", 0, 0, |out| {
                put_u32(out, 0);
                out.extend_from_slice(if track.is_video() { b"vide" } else { b"soun" });
                put_zeros(out, 12);
                out.extend_from_slice(b"Nova\0");
            });
            write_box(out, b"minf", |out| {
                if track.is_video() {
                    write_full_box(out, b"vmhd", 0, 1, |out| put_zeros(out, 8));
                } else {
                    write_full_box(out, b"smhd", 0, 0, |out| put_zeros(out, 4));
                }
                write_box(out, b"dinf", |out| {
                    write_full_box(out, b"dref", 0, 0, |out| {
                        put_u32(out, 1);
                        write_full_box(out, b"url ", 0, 1, |_self_contained| {});
                    });
                });
                stbl(out, track);
            });
        });
    });
}

/// Width and height on the screen: the sample aspect ratio applied to the width.
fn presentation_size(track: &Track) -> (u32, u32) {
    match track.media {
        Media::Video {
            width,
            height,
            sar: (horizontal, vertical),
            ..
        } => {
            let (horizontal, vertical) = (u32::from(horizontal.max(1)), u32::from(vertical.max(1)));
            (
                (u32::from(width) * horizontal / vertical).min(0xffff),
                u32::from(height),
            )
        }
        Media::Audio { .. } => (0, 0),
    }
}

fn stbl(out: &mut Vec<u8>, track: &Track) {
    write_box(out, b"stbl", |out| {
        write_full_box(out, b"stsd", 0, 0, |out| {
            put_u32(out, 1);
            sample_entry(out, track);
        });
        for kind in [b"stts", b"stsc", b"stco"] {
            write_full_box(out, kind, 0, 0, |out| put_u32(out, 0));
        }
        write_full_box(out, b"stsz", 0, 0, |out| put_zeros(out, 8));
        if track.codec == Codec::Opus {
            // A decoder that starts here needs 80 ms to converge: four frames of 20 ms (Opus in ISO-BMFF 4.3.6.2, conformance 36).
            write_full_box(out, b"sgpd", 1, 0, |out| {
                out.extend_from_slice(b"roll");
                put_u32(out, 2); // length of each description
                put_u32(out, 1);
                put_u16(out, (-4i16).cast_unsigned());
            });
        }
    });
}

fn sample_entry(out: &mut Vec<u8>, track: &Track) {
    match track.media {
        Media::Video {
            width,
            height,
            sar,
            colour,
            ..
        } => {
            let (entry, config): (&[u8; 4], &[u8; 4]) = match track.codec {
                Codec::Hevc => (b"hvc1", b"hvcC"),
                Codec::Av1 => (b"av01", b"av1C"),
                Codec::Vp9 => (b"vp09", b"vpcC"),
                _ => (b"avc1", b"avcC"),
            };
            write_box(out, entry, |out| {
                put_zeros(out, 6);
                put_u16(out, 1); // data reference
                put_zeros(out, 16);
                put_u16(out, width);
                put_u16(out, height);
                put_u32(out, 0x0048_0000); // 72 dpi
                put_u32(out, 0x0048_0000);
                put_u32(out, 0);
                put_u16(out, 1); // frames per sample
                put_zeros(out, 32); // compressor name
                put_u16(out, 0x0018); // colour, no alpha
                put_u16(out, 0xffff);
                if track.codec == Codec::Vp9 {
                    write_full_box(out, config, 1, 0, |out| out.extend_from_slice(&track.config));
                } else {
                    write_box(out, config, |out| out.extend_from_slice(&track.config));
                }
                if let Some(colour) = colour {
                    // ISO/IEC 14496-12 12.1.5.
                    write_box(out, b"colr", |out| {
                        out.extend_from_slice(b"nclx");
                        for code in [colour.primaries, colour.transfer, colour.matrix] {
                            put_u16(out, u16::from(code));
                        }
                        out.push(u8::from(colour.full_range) << 7);
                    });
                }
                if sar.0 != sar.1 && sar.0 > 0 && sar.1 > 0 {
                    write_box(out, b"pasp", |out| {
                        put_u32(out, u32::from(sar.0));
                        put_u32(out, u32::from(sar.1));
                    });
                }
            });
        }
        Media::Audio {
            sample_rate, channels, ..
        } => {
            let entry: &[u8; 4] = match track.codec {
                Codec::Opus => b"Opus",
                Codec::Ac3 => b"ac-3",
                Codec::Eac3 => b"ec-3",
                Codec::Flac => b"fLaC",
                _ => b"mp4a",
            };
            write_box(out, entry, |out| {
                put_zeros(out, 6);
                put_u16(out, 1);
                put_zeros(out, 8);
                put_u16(out, u16::from(channels.max(1)));
                put_u16(out, 16);
                put_zeros(out, 4);
                // 16.16 fixed point: rates above 65,535 Hz are left to the codec configuration (14496-12 12.2.3).
                put_u32(out, u16::try_from(sample_rate).map_or(0, |rate| u32::from(rate) << 16));
                match track.codec {
                    Codec::Opus => write_box(out, b"dOps", |out| out.extend_from_slice(&track.config)),
                    Codec::Ac3 => write_box(out, b"dac3", |out| out.extend_from_slice(&track.config)),
                    Codec::Eac3 => write_box(out, b"dec3", |out| out.extend_from_slice(&track.config)),
                    Codec::Flac => write_full_box(out, b"dfLa", 0, 0, |out| out.extend_from_slice(&track.config)),
                    Codec::Mp3 => esds(out, 0x6b, &[]),
                    _ => esds(out, 0x40, &track.config),
                }
            });
        }
    }
}

/// Elementary stream descriptor (ISO/IEC 14496-1 7.2.6.5, 14496-14 6.7.2). Lengths take one byte: configurations are short.
fn esds(out: &mut Vec<u8>, object_type: u8, specific: &[u8]) {
    let specific_length = if specific.is_empty() { 0 } else { 2 + specific.len() };
    let byte = |length: usize| u8::try_from(length & 0x7f).unwrap_or(0x7f);
    write_full_box(out, b"esds", 0, 0, |out| {
        out.extend_from_slice(&[0x03, byte(3 + 2 + 13 + specific_length + 3)]);
        put_u16(out, 0); // ES_ID
        out.push(0);
        out.extend_from_slice(&[0x04, byte(13 + specific_length)]);
        out.push(object_type);
        out.push(0x15); // audio stream, upstream 0, reserved 1
        put_zeros(out, 3 + 4 + 4); // buffer size, maximum and average bit rate: not known
        if !specific.is_empty() {
            out.extend_from_slice(&[0x05, byte(specific.len())]);
            out.extend_from_slice(specific);
        }
        out.extend_from_slice(&[0x06, 1, 2]); // SL: MP4 file
    });
}
