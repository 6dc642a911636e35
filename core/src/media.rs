//! The types that flow: a [`Track`] says what a stream of [`Frame`]s is. Ingest fills them, everything else reads them.
//!
//! Times are integer ticks of the track's own timescale. Seconds as floating point exist only where a playlist is printed.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Names one track inside one broadcast. Small, dense, and kept when the encoder comes back with the same layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u8);

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The codec of a track, by the name its sample entry carries in ISO-BMFF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// H.264, `avc1`. `Track::config` is an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3).
    Avc,
    /// H.265, `hvc1`. `Track::config` is an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 8.3.3).
    Hevc,
    /// AV1, `av01`. `Track::config` is an AV1CodecConfigurationRecord (AV1-ISOBMFF 2.3).
    Av1,
    /// VP9, `vp09`. `Track::config` is a VPCodecConfigurationRecord without the full-box header.
    Vp9,
    /// AAC, `mp4a`. `Track::config` is an AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1).
    Aac,
    /// Opus, `Opus`. `Track::config` is the body of a `dOps` box (big-endian, version 0).
    Opus,
    /// AC-3, `ac-3`. `Track::config` is the body of a `dac3` box (ETSI TS 102 366 F.4).
    Ac3,
    /// E-AC-3, `ec-3`. `Track::config` is the body of a `dec3` box (ETSI TS 102 366 F.6).
    Eac3,
    /// FLAC, `fLaC`. `Track::config` is the STREAMINFO metadata block with its four-byte header.
    Flac,
    /// MP3, `mp4a` with object type 0x6B. `Track::config` is empty.
    Mp3,
}

impl Codec {
    /// True for the codecs whose frames are pictures.
    pub const fn is_video(self) -> bool {
        matches!(self, Self::Avc | Self::Hevc | Self::Av1 | Self::Vp9)
    }
}

/// What the samples of a picture mean as light and colour, in the code points of ITU-T H.273.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colour {
    /// `ColourPrimaries`: 1 is BT.709, 9 is BT.2020, 2 is "not stated".
    pub primaries: u8,
    /// `TransferCharacteristics`: 1 is BT.709, 16 is PQ, 18 is HLG.
    pub transfer: u8,
    /// `MatrixCoefficients`.
    pub matrix: u8,
    /// All sample values are used, not those from black to white of television.
    pub full_range: bool,
}

impl Colour {
    /// The code point of what nobody has stated.
    pub const UNSPECIFIED: u8 = 2;
}

/// How much brighter than a white page a picture can be: `VIDEO-RANGE` of HLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DynamicRange {
    /// Standard.
    #[default]
    Sdr,
    /// Hybrid log-gamma.
    Hlg,
    /// Perceptual quantiser: HDR10.
    Pq,
}

/// What is particular to pictures or to sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// Pictures.
    Video {
        /// Luma samples a row, after cropping.
        width: u16,
        /// Luma rows, after cropping.
        height: u16,
        /// Sample aspect ratio as the bitstream states it; 1:1 when it states none.
        sar: (u16, u16),
        /// Frames a second as numerator and denominator when the bitstream states it. Never trusted for timing.
        frame_rate: Option<(u32, u32)>,
        /// Light and colour when the bitstream states them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        colour: Option<Colour>,
    },
    /// Sound.
    Audio {
        /// Samples a second of the decoder's output (SBR included).
        sample_rate: u32,
        /// Channels of the decoder's output.
        channels: u8,
        /// Samples of `Track::timescale` one frame covers; `None` where it differs from frame to frame.
        frame_samples: Option<u32>,
    },
}

impl Media {
    /// Of pictures that state nothing, and of sound, standard.
    pub const fn dynamic_range(&self) -> DynamicRange {
        match self {
            Self::Video {
                colour: Some(Colour { transfer: 16, .. }),
                ..
            } => DynamicRange::Pq,
            Self::Video {
                colour: Some(Colour { transfer: 18, .. }),
                ..
            } => DynamicRange::Hlg,
            _ => DynamicRange::Sdr,
        }
    }
}

/// One elementary stream of a broadcast: everything a decoder and a manifest have to know before the first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its name in this broadcast.
    pub id: TrackId,
    /// Codec; decides how `config` and the payloads read.
    pub codec: Codec,
    /// Ticks a second: 90,000 for video, the sample rate for audio (48,000 for Opus).
    pub timescale: u32,
    /// The decoder configuration in the form [`Codec`] states.
    pub config: Bytes,
    /// The `codecs` parameter of RFC 6381 (`avc1.64001f`, `mp4a.40.2`), equal in HLS and DASH.
    pub codec_string: String,
    /// Pictures or sound.
    pub media: Media,
}

impl Track {
    /// True when frames are pictures.
    pub const fn is_video(&self) -> bool {
        self.codec.is_video()
    }
}

/// One encoded access unit of one [`Track`]. Clones share `payload`: queues and viewers never copy it; the packager does, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The track it belongs to.
    pub track: TrackId,
    /// Decode time in `Track::timescale` ticks from stream start; rising per track behind the timeline (`tfdt`, ISO/IEC 14496-12 8.8.12).
    pub dts: i64,
    /// PTS minus DTS in ticks (`trun` sample_composition_time_offset, 8.8.8). Negative is legal.
    pub composition_offset: i32,
    /// Ticks. `None` until the next frame arrives (RTMP does not carry it).
    pub duration: Option<u32>,
    /// Sync sample: a reader may start here. Queues skip forward to one of these, never into the middle of a GOP. True on every audio frame.
    pub keyframe: bool,
    /// H.26x: 4-byte length-prefixed NAL units (14496-15). AAC: raw access unit, no ADTS. AV1: low-overhead OBUs without temporal delimiters.
    pub payload: Bytes,
}

impl Frame {
    /// Presentation time in ticks.
    pub const fn pts(&self) -> i64 {
        self.dts + self.composition_offset as i64
    }
}

/// Rescales ticks between timescales, rounding to nearest; exact for any time a stream can reach.
pub const fn rescale(ticks: i64, from: u32, to: u32) -> i64 {
    if from == to {
        return ticks;
    }
    let wide = ticks as i128 * to as i128;
    let half = from as i128 / 2;
    (if wide >= 0 {
        (wide + half) / from as i128
    } else {
        (wide - half) / from as i128
    }) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescaling_rounds_to_nearest_on_both_sides_of_zero() {
        assert_eq!(rescale(90_000, 90_000, 48_000), 48_000);
        assert_eq!(rescale(1, 90_000, 48_000), 1);
        assert_eq!(rescale(-1, 90_000, 48_000), -1);
        assert_eq!(rescale(i64::MAX / 48_000, 1, 48_000), (i64::MAX / 48_000) * 48_000);
    }
}
