//! Short clips that ffmpeg makes for the tests, and what ffprobe finds in a file or at a URL.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Makes a clip of `seconds` with these encoder options in this folder.
pub(crate) fn make(program: impl AsRef<Path>, folder: &Path, name: &str, seconds: u32, options: &str) -> PathBuf {
    let file = folder.join(name);
    let program = program.as_ref();
    let mut command = Command::new(program);
    command.args("-hide_banner -loglevel error -y -f lavfi -i testsrc2=size=320x180:rate=30".split(' '));
    command.args("-f lavfi -i sine=frequency=440:sample_rate=48000".split(' '));
    command
        .args(["-t", &seconds.to_string()])
        .args(options.split(' '))
        .arg(&file);
    run(&mut command);
    file
}

/// Options of H.264 without B-frames, a keyframe a second, and AAC.
pub(crate) const H264: &str =
    "-c:v libx264 -preset ultrafast -tune zerolatency -g 30 -pix_fmt yuv420p -threads 1 -c:a aac -b:a 64k";
/// The same with B-frames and the High profile.
pub(crate) const H264_B_FRAMES: &str =
    "-c:v libx264 -preset veryfast -profile:v high -bf 3 -g 30 -pix_fmt yuv420p -threads 1 -c:a aac -b:a 64k";

/// Runs a tool and returns what it printed; a failure fails the test.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{:?}: {error}; see scripts/setup", command.get_program()));
    assert!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A packet as ffprobe sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) pts: f64,
    pub(crate) dts: f64,
    /// CRC-32 of its bytes.
    pub(crate) hash: String,
}

/// The packets of a kind (`v` or `a`), in decode order.
pub(crate) fn packets(source: &str, kind: &str) -> Vec<Packet> {
    let mut command = Command::new("ffprobe");
    command.args("-v error -show_data_hash crc32 -show_entries packet=pts_time,dts_time,data_hash -of json".split(' '));
    command.args(["-select_streams", kind, source]);
    let found: serde_json::Value = serde_json::from_slice(&run(&mut command).stdout).expect("JSON");
    let seconds = |packet: &serde_json::Value, name: &str| {
        packet[name]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or(f64::NAN)
    };
    let packets = found["packets"].as_array().map(Vec::as_slice).unwrap_or_default();
    packets
        .iter()
        .map(|packet| Packet {
            pts: seconds(packet, "pts_time"),
            dts: seconds(packet, "dts_time"),
            hash: packet["data_hash"].as_str().unwrap_or_default().to_owned(),
        })
        .collect()
}

/// What ffmpeg complains about while decoding all of it.
pub(crate) fn complaints(source: &str) -> String {
    let output = run(Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "warning", "-i", source])
        .args("-map 0 -f null -".split(' ')));
    String::from_utf8_lossy(&output.stderr).into_owned()
}
