//! What comes in: the caps and the decoder of a track, and its times as GStreamer counts them.

use gstreamer as gst;
use nova_core::media::{Codec, Frame, Media, Track};

use crate::elements;

/// Media time may begin a little below zero, buffers cannot: everything is shifted by this.
const SHIFT_S: i128 = 1000;
const NANOS: i128 = 1_000_000_000;

/// Ticks as a buffer's time; [`ticks`] gives exactly them back.
pub(crate) fn nanos(ticks: i64, timescale: u32) -> gst::ClockTime {
    let scale = i128::from(timescale);
    let nanos = ((i128::from(ticks) + SHIFT_S * scale) * NANOS + scale / 2).div_euclid(scale);
    // Far from the end of what elements may add to it.
    gst::ClockTime::from_nseconds(nanos.clamp(0, i128::from(i64::MAX / 2)) as u64)
}

/// A buffer's time as ticks.
pub(crate) fn ticks(time: gst::ClockTime, timescale: u32) -> i64 {
    let scale = i128::from(timescale);
    ((i128::from(time.nseconds()) * scale + NANOS / 2).div_euclid(NANOS) - SHIFT_S * scale) as i64
}

/// The frame as a buffer; its payload is not copied.
pub(crate) fn buffer(frame: Frame, timescale: u32) -> gst::Buffer {
    let (pts, dts) = (nanos(frame.pts(), timescale), nanos(frame.dts, timescale));
    let keyframe = frame.keyframe;
    let mut buffer = gst::Buffer::from_slice(frame.payload);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(pts);
        buffer.set_dts(dts);
        if !keyframe {
            buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
    }
    buffer
}

/// The elements that decode a track, as `gst-launch` writes them; `None` when this machine has none.
pub(crate) fn decoder(track: &Track) -> Option<String> {
    let decoder = elements::decoder(track.codec)?;
    Some(match track.codec {
        Codec::Avc => format!("h264parse ! {decoder}"),
        Codec::Hevc => format!("h265parse ! {decoder}"),
        Codec::Av1 => format!("av1parse ! {decoder}"),
        Codec::Vp9 => format!("vp9parse ! {decoder}"),
        Codec::Aac | Codec::Opus | Codec::Ac3 | Codec::Eac3 | Codec::Flac | Codec::Mp3 => decoder,
    })
}

/// What its buffers are.
pub(crate) fn caps(track: &Track) -> gst::Caps {
    let config = gst::Buffer::from_slice(track.config.clone());
    let (name, format) = match track.codec {
        Codec::Avc => ("video/x-h264", Some(("avc", "au"))),
        Codec::Hevc => ("video/x-h265", Some(("hvc1", "au"))),
        Codec::Av1 => ("video/x-av1", Some(("obu-stream", "tu"))),
        Codec::Vp9 => ("video/x-vp9", None),
        Codec::Aac | Codec::Mp3 => ("audio/mpeg", None),
        Codec::Opus => ("audio/x-opus", None),
        Codec::Ac3 => ("audio/x-ac3", None),
        Codec::Eac3 => ("audio/x-eac3", None),
        Codec::Flac => ("audio/x-flac", None),
    };
    let mut caps = gst::Caps::builder(name);
    if let Some((format, alignment)) = format {
        caps = caps.field("stream-format", format).field("alignment", alignment);
        caps = caps.field("codec_data", &config);
    }
    if let Media::Audio {
        sample_rate, channels, ..
    } = track.media
    {
        caps = caps
            .field("rate", sample_rate as i32)
            .field("channels", i32::from(channels));
    }
    match track.codec {
        Codec::Aac => {
            caps = caps
                .field("mpegversion", 4_i32)
                .field("stream-format", "raw")
                .field("framed", true);
            caps = caps.field("codec_data", &config);
        }
        Codec::Mp3 => {
            caps = caps.field("mpegversion", 1_i32).field("mpegaudioversion", 1_i32);
            caps = caps.field("layer", 3_i32).field("parsed", true);
        }
        Codec::Opus => caps = opus(caps, &track.config),
        Codec::Ac3 | Codec::Eac3 => caps = caps.field("framed", true).field("alignment", "frame"),
        Codec::Flac => {
            caps = caps
                .field("framed", true)
                .field("streamheader", flac_header(&track.config))
        }
        Codec::Avc | Codec::Hevc | Codec::Av1 | Codec::Vp9 => {}
    }
    caps.build()
}

/// The channel mapping of a `dOps` box (Encapsulation of Opus in ISO-BMFF 4.3.2).
fn opus(caps: gst::caps::Builder<gst::caps::NoFeature>, config: &[u8]) -> gst::caps::Builder<gst::caps::NoFeature> {
    let family = config.get(10).copied().unwrap_or(0);
    let caps = caps.field("channel-mapping-family", i32::from(family));
    let (Some(&streams), Some(&coupled), Some(mapping)) = (config.get(11), config.get(12), config.get(13..)) else {
        return caps;
    };
    if family == 0 {
        return caps;
    }
    let channels = usize::from(config[1]).min(mapping.len());
    let mapping = gst::Array::new(mapping[..channels].iter().map(|channel| i32::from(*channel)));
    caps.field("stream-count", i32::from(streams))
        .field("coupled-count", i32::from(coupled))
        .field("channel-mapping", mapping)
}

/// STREAMINFO as the first packet of the Ogg mapping, which is how GStreamer hands it around.
fn flac_header(config: &[u8]) -> gst::Array {
    let mut first = b"\x7fFLAC\x01\x00\x00\x00fLaC".to_vec();
    first.extend_from_slice(config);
    if let Some(kind) = first.get_mut(13) {
        // The last metadata block.
        *kind |= 0x80;
    }
    gst::Array::new([gst::Buffer::from_slice(first)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_survive_the_way_through_nanoseconds() {
        for timescale in [90_000, 48_000, 44_100, 1000] {
            for at in (-90_000..200_000).chain((1 << 40)..(1 << 40) + 1000) {
                assert_eq!(ticks(nanos(at, timescale), timescale), at, "{timescale}");
            }
        }
    }
}
