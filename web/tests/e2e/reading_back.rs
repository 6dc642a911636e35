//! What encoders publish comes back whole: read by ffprobe, decoded by ffmpeg, played by GStreamer.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::clip::{self, Packet};
use crate::playlist::Rendition;
use crate::publisher::{Publisher, ffmpeg_enhanced};
use crate::server::{Server, until};

const SECONDS: u32 = 5;

/// A broadcast ends a second after its encoder has gone: its lists then hold all of it, from the first frame to the last.
pub(crate) const ENDS_SOON: &[(&str, &str)] = &[("NOVA_LIVE__RECONNECT_S", "1"), ("NOVA_LIVE__SEGMENT_MS", "1000")];

/// Publishes the clip, waits for the end of the broadcast and compares every packet of both manifests with what was sent.
fn publish_and_compare(server: &Server, clip: &Path, stream: &str, publish: impl FnOnce(&Path, &str) -> Publisher) {
    let url = format!("{}/{stream}", server.rtmp);
    publish(clip, &url).finish(Duration::from_secs(SECONDS.into()));
    server.until_status(stream, "ended", 20);
    compare(server, clip, &format!("/live/{stream}"));
}

/// What lies behind both manifests below this path is what was sent.
pub(crate) fn compare(server: &Server, clip: &Path, path: &str) {
    let clip = clip.to_str().expect("a path");
    for manifest in ["master.m3u8", "manifest.mpd"] {
        let url = server.url(&format!("{path}/{manifest}"));
        let mut shift = HashMap::new();
        for kind in ["v", "a"] {
            let what = format!("{path}/{manifest} {kind}");
            let (sent, got) = (clip::packets(clip, kind), clip::packets(&url, kind));
            if sent.is_empty() {
                assert!(got.is_empty(), "{what}: frames that nobody sent");
                continue;
            }
            shift.insert(kind, same_packets(&what, &sent, &got, kind == "v"));
        }
        // Sound and picture are as far from each other as they were (40).
        if let (Some(video), Some(audio)) = (shift.get("v"), shift.get("a")) {
            assert!(
                (video - audio).abs() < 0.025,
                "{path}/{manifest}: {video} s against {audio} s"
            );
        }
        assert_eq!(clip::complaints(&url), "", "{path}/{manifest}");
    }
    compare_iframes(server, clip, path);
}

/// The lists of I-frames (57) name pictures that were sent, one a segment, each whole and fit to be shown alone.
fn compare_iframes(server: &Server, clip: &str, path: &str) {
    let sent: HashSet<String> = clip::packets(clip, "v").into_iter().map(|packet| packet.hash).collect();
    let multivariant = server.text(&format!("{path}/master.m3u8"));
    let lists = multivariant
        .lines()
        .filter(|line| line.starts_with("#EXT-X-I-FRAME-STREAM-INF"));
    let lists: Vec<_> = lists
        .filter_map(|line| line.split('"').find(|part| part.ends_with(".m3u8")))
        .collect();
    assert_eq!(lists.is_empty(), sent.is_empty(), "{multivariant}");
    for list in lists {
        let list = format!("{path}/{list}");
        let segments = server.text(&list).matches("#EXT-X-BYTERANGE").count();
        let got = clip::packets(&server.url(&list), "v");
        assert_eq!(got.len(), segments, "{list}");
        assert!(
            got.iter().all(|packet| sent.contains(&packet.hash)),
            "{list}: other pictures than were sent"
        );
        assert_eq!(clip::complaints(&server.url(&list)), "", "{list}");
    }
}

/// Every byte of every frame, in order, with its time; returns by how much times were shifted. Sound that ends before the first picture may
/// be left out (41).
fn same_packets(what: &str, sent: &[Packet], got: &[Packet], all: bool) -> f64 {
    let missing = sent
        .len()
        .checked_sub(got.len())
        .unwrap_or_else(|| panic!("{what}: {} packets sent, {} came", sent.len(), got.len()));
    assert!(
        missing == 0 || !all && missing <= 3,
        "{what}: {} packets sent, {} came",
        sent.len(),
        got.len()
    );
    let sent = &sent[missing..];
    let shift = got[0].pts - sent[0].pts;
    for (number, (sent, got)) in sent.iter().zip(got).enumerate() {
        assert_eq!(sent.hash, got.hash, "{what}: the bytes of packet {number}");
        assert!(
            (got.pts - sent.pts - shift).abs() < 0.0025,
            "{what}: packet {number} was at {} s and is at {} s; the first moved by {shift} s",
            sent.pts,
            got.pts
        );
    }
    for pair in got.windows(2) {
        assert!(pair[0].dts < pair[1].dts, "{what}: decode times rise (42): {pair:?}");
    }
    shift
}

#[test]
fn every_packet_of_ffmpeg_comes_back_through_hls_and_dash() {
    let server = Server::start(ENDS_SOON);
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let plain = clip::make("ffmpeg", folder, "plain.flv", SECONDS, clip::H264);
    let video = clip::make("ffmpeg", folder, "video.flv", SECONDS, &format!("{} -an", clip::H264));
    let audio = clip::make("ffmpeg", folder, "audio.flv", SECONDS, "-vn -c:a aac -b:a 64k");
    thread::scope(|scope| {
        for (clip, stream) in [(&plain, "plain"), (&video, "video-only"), (&audio, "audio-only")] {
            let server = &server;
            scope.spawn(move || publish_and_compare(server, clip, stream, Publisher::file));
        }
    });
}

#[test]
fn every_packet_of_enhanced_rtmp_comes_back() {
    let server = Server::start(ENDS_SOON);
    let folder = tempfile::tempdir().expect("a folder");
    let clip = |name: &str, options: &str| clip::make(ffmpeg_enhanced(), folder.path(), name, SECONDS, options);
    let hevc = clip(
        "hevc.mp4",
        "-c:v libx265 -preset ultrafast -x265-params keyint=30:min-keyint=30:bframes=0:log-level=none:pools=none -pix_fmt yuv420p -tag:v hvc1 -c:a aac -b:a 64k",
    );
    let opus = clip(
        "opus.mp4",
        "-c:v libx264 -preset ultrafast -tune zerolatency -g 30 -pix_fmt yuv420p -threads 1 -c:a libopus -b:a 64k",
    );
    let av1 = clip(
        "av1.mp4",
        "-c:v libsvtav1 -preset 12 -g 30 -svtav1-params lp=1 -pix_fmt yuv420p -c:a aac -b:a 64k",
    );
    thread::scope(|scope| {
        for (clip, stream) in [(&hevc, "hevc"), (&opus, "opus"), (&av1, "av1")] {
            let server = &server;
            scope.spawn(move || publish_and_compare(server, clip, stream, Publisher::enhanced_file));
        }
    });
    let multivariant = server.text("/live/hevc/master.m3u8");
    assert!(multivariant.contains("CODECS=\"hvc1."), "{multivariant}");
    let multivariant = server.text("/live/av1/master.m3u8");
    assert!(multivariant.contains("CODECS=\"av01."), "{multivariant}");
    let multivariant = server.text("/live/opus/master.m3u8");
    assert!(multivariant.to_lowercase().contains("opus\""), "{multivariant}");
}

#[test]
fn conformance_37_hevc_that_changes_its_size_in_its_pictures_alone_gets_another_header() {
    let server = Server::start(ENDS_SOON);
    let folder = tempfile::tempdir().expect("a folder");
    // In a transport stream the sets travel with the pictures; ffmpeg tells the first ones, and no others.
    let part = |name: &str, size: &str| {
        let options = format!(
            "-an -vf scale={size} -pix_fmt yuv420p -c:v libx265 -preset ultrafast -x265-params \
             log-level=none:pools=none:keyint=30:min-keyint=30:bframes=0:repeat-headers=1"
        );
        std::fs::read(clip::make(ffmpeg_enhanced(), folder.path(), name, 3, &options)).expect("a part")
    };
    let both = folder.path().join("both.ts");
    std::fs::write(
        &both,
        [part("small.ts", "160:90"), part("large.ts", "320:180")].concat(),
    )
    .expect("written");
    Publisher::enhanced_file(&both, &format!("{}/change", server.rtmp)).finish(Duration::from_secs(6));
    server.until_status("change", "ended", 20);
    let multivariant = server.text("/live/change/master.m3u8");
    let list = server.text(&Rendition::all("change", &multivariant)[0].path("v0.m3u8"));
    assert_eq!(
        (
            list.matches("#EXT-X-MAP:").count(),
            list.matches("#EXT-X-DISCONTINUITY\n").count()
        ),
        (2, 1),
        "{list}"
    );
    let mut command = Command::new("ffprobe");
    command.args("-v error -select_streams v:0 -show_entries frame=width,height -of csv=p=0".split(' '));
    command.arg(server.url(&Rendition::all("change", &multivariant)[0].path("v0.m3u8")));
    let said = clip::run(&mut command).stdout;
    let said = String::from_utf8_lossy(&said);
    let of = |size: &str| said.lines().filter(|line| line.starts_with(size)).count();
    assert_eq!((of("160,90"), of("320,180")), (90, 90), "{said}");
}

#[test]
fn conformance_31_every_packet_of_every_track_comes_back_as_a_rendition_of_its_own() {
    let server = Server::start(ENDS_SOON);
    let folder = tempfile::tempdir().expect("a folder");
    let options = format!(
        "-filter_complex [0:v]split[large][more];[more]scale=160:90[small] -map [large] -map [small] -map 1:a -map 1:a {} -b:a:1 32k",
        clip::H264
    );
    let clip = clip::make(ffmpeg_enhanced(), folder.path(), "tracks.mp4", SECONDS, &options);
    Publisher::enhanced_file(&clip, &format!("{}/tracks", server.rtmp)).finish(Duration::from_secs(SECONDS.into()));
    server.until_status("tracks", "ended", 20);
    let multivariant = server.text("/live/tracks/master.m3u8");
    assert!(
        multivariant.contains("RESOLUTION=320x180") && multivariant.contains("RESOLUTION=160x90"),
        "{multivariant}"
    );
    let clip = clip.to_str().expect("a path");
    for (kind, names) in [("v", ["/v0.", "/v2."]), ("a", ["/a1.", "/a3."])] {
        for (number, name) in names.into_iter().enumerate() {
            let list = multivariant
                .split(['"', '\n'])
                .find(|word| word.contains(name))
                .unwrap_or_else(|| panic!("{name} in {multivariant}"));
            let sent = clip::packets(clip, &format!("{kind}:{number}"));
            let got = clip::packets(&server.url(&format!("/live/tracks/{list}")), kind);
            same_packets(list, &sent, &got, kind == "v");
        }
    }
    assert_eq!(clip::complaints(&server.url("/live/tracks/manifest.mpd")), "");
}

/// A pipeline that publishes the H.264 and AAC of a clip with this sink.
fn gstreamer(sink: &str, clip: &Path, url: &str) -> Publisher {
    let pipeline = format!(
        "filesrc location={} ! flvdemux name=d flvmux name=m streamable=true ! {sink} location={url} \
         d.video ! queue ! h264parse ! identity sync=true ! m.video d.audio ! queue ! aacparse ! m.audio",
        clip.display()
    );
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace());
    Publisher::run(command)
}

#[test]
fn every_packet_of_gstreamer_and_librtmp_comes_back() {
    let server = Server::start(ENDS_SOON);
    let folder = tempfile::tempdir().expect("a folder");
    let clip = clip::make("ffmpeg", folder.path(), "clip.flv", SECONDS, clip::H264);
    thread::scope(|scope| {
        for sink in ["rtmp2sink", "rtmpsink"] {
            let (server, clip) = (&server, &clip);
            scope.spawn(move || publish_and_compare(server, clip, sink, |clip, url| gstreamer(sink, clip, url)));
        }
    });
}

#[test]
fn live_readers_of_other_make_get_pictures_from_the_start() {
    let server = Server::start(&[]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let multivariant = server.until_live("show");
    let video = &Rendition::all("show", &multivariant)[0];
    // These readers know nothing of parts: there must be segments.
    until("three segments", 20, || {
        (video.now(&server).segments.len() >= 3).then_some(())
    });
    let frames = |url: &str, more: &[&str]| {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-hide_banner", "-nostdin", "-v", "warning"])
            .args(more)
            .args(["-i", url]);
        command.args("-t 4 -map 0:v -f framecrc -".split(' '));
        let output = clip::run(&mut command);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{url}");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| !line.starts_with('#'))
            .count()
    };
    thread::scope(|scope| {
        let server = &server;
        scope.spawn(move || {
            assert_eq!(
                frames(&server.url("/live/show/master.m3u8"), &["-live_start_index", "0"]),
                120
            )
        });
        scope.spawn(move || assert_eq!(frames(&server.url("/live/show/manifest.mpd"), &[]), 120));
        scope.spawn(|| {
            // Ends by itself when that many pictures have been shown.
            let pipeline = format!(
                "uridecodebin3 uri={} ! video/x-raw ! identity eos-after=60 ! fakesink",
                server.url("/live/show/master.m3u8")
            );
            let output = clip::run(
                Command::new("timeout")
                    .args(["40", "gst-launch-1.0"])
                    .args(pipeline.split_whitespace()),
            );
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(
                said.contains("Got EOS"),
                "{said}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        });
    });
}

#[test]
fn b_frames_come_back_with_their_sound_in_time() {
    let server = Server::start(ENDS_SOON);
    let folder = tempfile::tempdir().expect("a folder");
    let clip = clip::make("ffmpeg", folder.path(), "clip.flv", SECONDS, clip::H264_B_FRAMES);
    publish_and_compare(&server, &clip, "b-frames", Publisher::file);
}
