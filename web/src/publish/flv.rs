//! Reads an FLV file (Adobe Flash Video File Format 10.1, annex E). Tags go out as they are, so any codec that is in the file is published.

use anyhow::{Context, bail};
use bytes::{Buf, Bytes};

use super::clip::{Clip, Kind, Tag};

pub(super) fn read(mut file: Bytes) -> anyhow::Result<Clip> {
    if file.len() < 13 || !file.starts_with(b"FLV") {
        bail!("it is not an FLV file");
    }
    let header = u32::from_be_bytes([file[5], file[6], file[7], file[8]]) as usize;
    if header < 9 || header + 4 > file.len() {
        bail!("its FLV header is broken");
    }
    file.advance(header + 4);
    let mut tags = Vec::new();
    while file.len() >= 11 {
        let kind = file[0] & 0x1f;
        let size = u32::from_be_bytes([0, file[1], file[2], file[3]]) as usize;
        let time_ms = u32::from_be_bytes([file[7], file[4], file[5], file[6]]);
        file.advance(11);
        if size > file.len() {
            // Cut off in the middle of a tag, as recordings of a crashed program are.
            break;
        }
        let body = file.split_to(size);
        file.advance(file.len().min(4));
        let kind = match kind {
            8 => Kind::Audio,
            9 => Kind::Video,
            _ => continue,
        };
        let Some(&first) = body.first() else { continue };
        let second = body.get(1).copied();
        let config = match kind {
            // Enhanced: packet type SequenceStart. Classic: codec 7 (AVC) or 12 (HEVC) and packet type 0.
            Kind::Video if first & 0x80 != 0 => first & 0x0f == 0,
            Kind::Video => matches!(first & 0x0f, 7 | 12) && second == Some(0),
            Kind::Audio if first >> 4 == 9 => first & 0x0f == 0,
            Kind::Audio => first >> 4 == 10 && second == Some(0),
        };
        tags.push(Tag {
            kind,
            time_ms,
            body,
            config,
        });
    }
    Clip::new(tags).context("it has no audio or video tags")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_files_are_refused_or_read_up_to_the_break() {
        assert!(read(Bytes::from_static(b"FLV")).is_err());
        assert!(read(Bytes::from_static(b"FLV\x01\x05\xff\xff\xff\xff\0\0\0\0")).is_err());
        assert!(read(Bytes::from_static(b"FLV\x01\x05\0\0\0\x09\0\0\0\0")).is_err());
        let mut cut = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
        cut.extend_from_slice(&[8, 0, 0, 3, 0, 0, 5, 0, 0, 0, 0, 0xaf, 1, 9, 0, 0, 0, 14]);
        cut.extend_from_slice(&[8, 0, 0, 9, 0, 0, 9, 0, 0, 0, 0, 0xaf]);
        assert_eq!(read(cut.into()).unwrap().tags.len(), 1);
    }
}
