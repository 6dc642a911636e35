//! Reads an MP4 file with H.264 and AAC into FLV tag bodies. Files of other codecs or in fragments are for ffmpeg to remux first.

use anyhow::{Context, bail};
use bytes::{BufMut, Bytes, BytesMut};
use mp4_atom::{Codec, DecodeMaybe, Encode, Header, Moov, ReadAtom, Stbl, StszSamples, Trak};

use super::clip::{Clip, Kind, Tag};

/// Samples of a file: 24 hours of 60 pictures a second.
const MOST_SAMPLES: usize = 6_000_000;

pub(super) fn read(file: &Bytes) -> anyhow::Result<Clip> {
    let moov = find_moov(file)?;
    let mut tags = Vec::new();
    for trak in &moov.trak {
        match trak.mdia.minf.stbl.stsd.codecs.first() {
            Some(Codec::Avc1(entry)) => {
                let mut config = Vec::new();
                entry.avcc.encode(&mut config)?;
                // Behind the box header lies the decoder configuration record.
                let record = config.get(8..).unwrap_or_default();
                tags.push(video_tag(0, true, 0, 0, record));
                for sample in samples(file, trak)? {
                    tags.push(video_tag(
                        sample.time_ms,
                        sample.keyframe,
                        1,
                        sample.offset_ms,
                        &sample.bytes,
                    ));
                }
            }
            Some(Codec::Mp4a(entry)) => {
                let specific = entry
                    .esds
                    .es_desc
                    .dec_config
                    .dec_specific
                    .as_ref()
                    .context("its AAC track has no configuration")?;
                tags.push(audio_tag(0, true, &specific.raw));
                for sample in samples(file, trak)? {
                    tags.push(audio_tag(sample.time_ms, false, &sample.bytes));
                }
            }
            _ => {}
        }
    }
    Clip::new(tags).context("it has no H.264 or AAC track; `ffmpeg -i FILE -c copy out.flv` may help")
}

fn find_moov(file: &Bytes) -> anyhow::Result<Moov> {
    let mut rest = &file[..];
    while let Some(header) = Header::decode_maybe(&mut rest)? {
        let size = header.size.unwrap_or(rest.len());
        if size > rest.len() {
            bail!("it is cut off");
        }
        if header.kind == b"moov".into() {
            return Ok(Moov::read_atom(&header, &mut &rest[..size])?);
        }
        rest = &rest[size..];
    }
    bail!("it is neither FLV nor MP4")
}

struct Sample {
    time_ms: u32,
    offset_ms: i32,
    keyframe: bool,
    bytes: Bytes,
}

/// Walks the sample tables (ISO/IEC 14496-12 8.6.1, 8.7).
fn samples(file: &Bytes, trak: &Trak) -> anyhow::Result<Vec<Sample>> {
    let stbl: &Stbl = &trak.mdia.minf.stbl;
    let timescale = u64::from(trak.mdia.mdhd.timescale.max(1));
    let sizes: Vec<u32> = match &stbl.stsz.samples {
        StszSamples::Different { sizes } => sizes.clone(),
        StszSamples::Identical { count, size } if (*count as usize) <= MOST_SAMPLES => vec![*size; *count as usize],
        StszSamples::Identical { .. } => bail!("it has too many samples"),
    };
    if sizes.is_empty() {
        bail!("it is fragmented or empty; `ffmpeg -i FILE -c copy out.flv` makes a file that can be published");
    }
    let chunks: Vec<u64> = match (&stbl.stco, &stbl.co64) {
        (Some(stco), _) => stco.entries.iter().map(|offset| u64::from(*offset)).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        (None, None) => bail!("it has no chunk offsets"),
    };
    let mut deltas = stbl
        .stts
        .entries
        .iter()
        .flat_map(|entry| std::iter::repeat_n(entry.sample_delta, entry.sample_count as usize));
    let mut offsets = stbl
        .ctts
        .iter()
        .flat_map(|ctts| &ctts.entries)
        .flat_map(|entry| std::iter::repeat_n(entry.sample_offset, entry.sample_count as usize));
    let ms = |ticks: u64| u32::try_from(ticks * 1000 / timescale).unwrap_or(u32::MAX);

    let mut out = Vec::with_capacity(sizes.len());
    let (mut number, mut ticks, mut run) = (0, 0u64, 0);
    for (chunk, start) in chunks.iter().enumerate() {
        while stbl
            .stsc
            .entries
            .get(run + 1)
            .is_some_and(|next| next.first_chunk as usize <= chunk + 1)
        {
            run += 1;
        }
        let per_chunk = stbl.stsc.entries.get(run).map_or(0, |entry| entry.samples_per_chunk);
        let mut at = usize::try_from(*start)?;
        for _ in 0..per_chunk {
            let Some(size) = sizes.get(number).map(|size| *size as usize) else {
                break;
            };
            if at.checked_add(size).is_none_or(|end| end > file.len()) {
                bail!("sample {number} lies outside the file");
            }
            let offset = offsets.next().unwrap_or(0);
            let keyframe = stbl
                .stss
                .as_ref()
                .is_none_or(|stss| stss.entries.binary_search(&(number as u32 + 1)).is_ok());
            out.push(Sample {
                time_ms: ms(ticks),
                offset_ms: i32::try_from(offset * 1000 / timescale.cast_signed()).unwrap_or(0),
                keyframe,
                bytes: file.slice(at..at + size),
            });
            at += size;
            number += 1;
            ticks += u64::from(deltas.next().unwrap_or(0));
        }
    }
    Ok(out)
}

fn video_tag(time_ms: u32, keyframe: bool, packet_type: u8, offset_ms: i32, payload: &[u8]) -> Tag {
    let mut body = BytesMut::with_capacity(payload.len() + 5);
    body.put_u8(if keyframe { 0x17 } else { 0x27 });
    body.put_u8(packet_type);
    body.put_slice(&offset_ms.to_be_bytes()[1..]);
    body.put_slice(payload);
    Tag {
        kind: Kind::Video,
        time_ms,
        body: body.freeze(),
        config: packet_type == 0,
    }
}

fn audio_tag(time_ms: u32, config: bool, payload: &[u8]) -> Tag {
    let mut body = BytesMut::with_capacity(payload.len() + 2);
    body.put_u8(0xaf);
    body.put_u8(u8::from(!config));
    body.put_slice(payload);
    Tag {
        kind: Kind::Audio,
        time_ms,
        body: body.freeze(),
        config,
    }
}
