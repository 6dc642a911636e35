//! Which of GStreamer's elements do the work, in the order of preference.

use gstreamer as gst;
use nova_core::media::Codec;

/// A video encoder that may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoder {
    pub(crate) name: &'static str,
    pub(crate) hardware: bool,
}

/// H.264 encoders. Whether one works here, only a try shows: the factory exists wherever the library is installed.
const H264: [Encoder; 8] = [
    hardware("nvh264enc"),
    hardware("vah264enc"),
    hardware("vah264lpenc"),
    hardware("qsvh264enc"),
    hardware("v4l2h264enc"),
    hardware("vtenc_h264"),
    software("x264enc"),
    software("openh264enc"),
];

/// An encoder more, before all others and counted as hardware, for tests of what happens when one fails: as `gst-launch` writes it.
const TEST: &str = "NOVA_TRANSCODE_TEST_ENCODER";
const TEST_NAME: &str = "test";

/// The H.264 encoders to try, in order.
pub(crate) fn h264() -> impl Iterator<Item = Encoder> {
    let test = std::env::var_os(TEST).map(|_| hardware(TEST_NAME));
    test.into_iter().chain(H264)
}

pub(crate) fn is_hardware(name: &str) -> bool {
    h264().any(|encoder| encoder.name == name && encoder.hardware)
}

/// AAC encoders. The first is the best and often missing; the second is a third cheaper than the last.
pub(crate) const AAC: [Encoder; 3] = [software("fdkaacenc"), software("voaacenc"), software("avenc_aac")];

/// Codecs, what they are called, and their decoders.
pub(crate) const DECODERS: [(Codec, &str, &[&str]); 10] = [
    (Codec::Avc, "h264", &["avdec_h264", "openh264dec"]),
    (Codec::Hevc, "hevc", &["avdec_h265", "libde265dec"]),
    (Codec::Av1, "av1", &["dav1ddec", "avdec_libdav1d", "av1dec"]),
    (Codec::Vp9, "vp9", &["avdec_vp9", "vp9dec"]),
    (Codec::Aac, "aac", &["avdec_aac", "faad"]),
    (Codec::Opus, "opus", &["opusdec", "avdec_opus"]),
    (Codec::Ac3, "ac3", &["avdec_ac3", "a52dec"]),
    (Codec::Eac3, "eac3", &["avdec_eac3"]),
    (Codec::Flac, "flac", &["flacdec", "avdec_flac"]),
    (Codec::Mp3, "mp3", &["mpg123audiodec", "avdec_mp3"]),
];

const fn hardware(name: &'static str) -> Encoder {
    Encoder { name, hardware: true }
}

const fn software(name: &'static str) -> Encoder {
    Encoder { name, hardware: false }
}

pub(crate) fn exists(name: &str) -> bool {
    name == TEST_NAME || gst::ElementFactory::find(name).is_some()
}

/// The decoder of a codec as `gst-launch` writes it.
pub(crate) fn decoder(codec: Codec) -> Option<String> {
    let (_, _, names) = DECODERS.iter().find(|(known, ..)| *known == codec)?;
    let name = names.iter().find(|name| exists(name))?;
    Some(match *name {
        // More threads mean frames held back; one decodes 1080p60.
        "avdec_h264" | "avdec_h265" | "avdec_vp9" => format!("{name} max-threads=1"),
        other => other.to_owned(),
    })
}

/// A video encoder as `gst-launch` writes it, for one rung: no B pictures, no look-ahead, keyframes only when they are forced.
/// `parameter_set` is the number of its parameter sets, for the one encoder that can be told.
pub(crate) fn encoder(name: &str, bit_rate: u32, pixels_a_second: u64, parameter_set: u8) -> String {
    let kbit = bit_rate / 1000;
    // One thread does 1080p30 several times over; more of them cost memory.
    let threads = if pixels_a_second > 100_000_000 { 2 } else { 1 };
    let convert = "videoconvert n-threads=1";
    match name {
        "x264enc" => format!(
            "x264enc name=NAME speed-preset=veryfast tune=zerolatency threads={threads} bitrate={kbit} vbv-buf-capacity=1000 \
             key-int-max=1073741824 option-string=scenecut=0:sps-id={parameter_set} ! video/x-h264,profile=high"
        ),
        "openh264enc" => format!(
            "openh264enc name=NAME bitrate={bit_rate} rate-control=bitrate gop-size=2147483647 scene-change-detection=false \
             multi-thread={threads} complexity=low"
        ),
        "nvh264enc" => format!(
            "{convert} ! nvh264enc name=NAME bitrate={kbit} max-bitrate={kbit} rc-mode=cbr preset=low-latency-hq zerolatency=true \
             gop-size=-1 bframes=0"
        ),
        "vah264enc" | "vah264lpenc" => {
            format!("{convert} ! {name} name=NAME bitrate={kbit} rate-control=cbr key-int-max=1024 b-frames=0")
        }
        "qsvh264enc" => format!(
            "{convert} ! qsvh264enc name=NAME bitrate={kbit} max-bitrate={kbit} rate-control=cbr gop-size=2147483647 b-frames=0 \
             low-latency=true"
        ),
        "v4l2h264enc" => format!(
            "{convert} ! v4l2h264enc name=NAME extra-controls=\"controls,video_bitrate={bit_rate},video_gop_size=65535\" ! \
             video/x-h264,level=(string)4"
        ),
        "vtenc_h264" => format!(
            "{convert} ! vtenc_h264 name=NAME bitrate={kbit} realtime=true allow-frame-reordering=false \
             max-keyframe-interval=2147483647"
        ),
        TEST_NAME => std::env::var(TEST).unwrap_or_default(),
        other => format!("{convert} ! {other} name=NAME"),
    }
}

/// Samples by which what an AAC encoder gives is later than its timestamps say (measured with a tone that begins at a known sample, for the
/// last one documented).
pub(crate) fn sound_delay(name: &str) -> i64 {
    match name {
        "voaacenc" => 1600,
        "avenc_aac" => 1024,
        _ => 2048,
    }
}

/// An AAC encoder as `gst-launch` writes it.
pub(crate) fn sound_encoder(name: &str, bit_rate: u32) -> String {
    format!("{name} name=aac bitrate={bit_rate}")
}
