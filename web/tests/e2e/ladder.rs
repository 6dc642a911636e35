//! The ladder: rungs beside their source, from a worker that may die.

use std::process::Command;

use crate::clip::{self, Packet};
use crate::playlist::{Media, Rendition, attributes};
use crate::publisher::{Publisher, encoder, ffmpeg_enhanced};
use crate::reading_back::ENDS_SOON;
use crate::server::{Server, until};

const LADDER: (&str, &str) = ("NOVA_TRANSCODE__LADDER", "360p:600k,240p:300k");

fn named<'a>(renditions: &'a [Rendition], file: &str) -> &'a Rendition {
    renditions
        .iter()
        .find(|one| one.file == file)
        .unwrap_or_else(|| panic!("no {file} in {renditions:?}"))
}

/// The list once the stream has ended.
fn whole(server: &Server, rendition: &Rendition) -> Media {
    Media::parse(&server.text(&rendition.path(&rendition.file)))
}

/// Light and colour of the first video stream as ffprobe finds them.
fn colours(url: &str) -> String {
    let entries = "stream=pix_fmt,color_range,color_space,color_transfer,color_primaries";
    let mut command = Command::new("ffprobe");
    command.args([
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-of",
        "default=nk=1:nw=1",
        "-show_entries",
        entries,
        url,
    ]);
    // HLS has its streams twice: alone, and as those of a program.
    let said = String::from_utf8_lossy(&clip::run(&mut command).stdout).into_owned();
    said.lines().take(5).collect::<Vec<_>>().join(" ")
}

#[test]
fn pictures_brighter_than_usual_say_so_and_so_do_their_rungs() {
    let server = Server::start(&[&[("NOVA_TRANSCODE__LADDER", "120p:200k")], ENDS_SOON].concat());
    let folder = tempfile::tempdir().expect("a folder");
    let codes = "colorprim=bt2020:colormatrix=bt2020nc:range=limited";
    std::thread::scope(|scope| {
        for (stream, transfer, range) in [("pq", "smpte2084", "PQ"), ("hlg", "arib-std-b67", "HLG")] {
            let (server, folder) = (&server, folder.path());
            scope.spawn(move || {
                let options = format!(
                    "-c:v libx265 -preset ultrafast -x265-params keyint=30:min-keyint=30:bframes=0:log-level=none:pools=none:{codes}:transfer={transfer} \
                     -pix_fmt yuv420p10le -tag:v hvc1 -c:a aac -b:a 64k"
                );
                let clip = clip::make(ffmpeg_enhanced(), folder, &format!("{stream}.mp4"), 5, &options);
                let url = format!("{}/{stream}", server.rtmp);
                Publisher::enhanced_file(&clip, &url).finish(std::time::Duration::from_secs(5));
                server.until_status(stream, "ended", 20);
                let list = server.text(&format!("/live/{stream}/master.m3u8"));
                let pictures = list.lines().filter(|line| line.contains("RESOLUTION="));
                assert!(pictures.clone().count() >= 4, "source and rung, each with I-frames: {list}");
                for line in pictures {
                    assert!(line.contains(&format!("VIDEO-RANGE={range}")), "{list}");
                }
                for (file, depth) in [("v0.m3u8", "yuv420p10le"), ("120p.m3u8", "yuv420p")] {
                    let renditions = Rendition::all(stream, &list);
                    let rendition = named(&renditions, file);
                    let found = colours(&server.url(&rendition.path(&rendition.file)));
                    assert_eq!(found, format!("{depth} tv bt2020nc {transfer} bt2020"), "{file}");
                }
                let manifest = server.text(&format!("/live/{stream}/manifest.mpd"));
                let code = if range == "PQ" { 16 } else { 18 };
                let property = format!("cicp:TransferCharacteristics\" value=\"{code}\"");
                assert_eq!(manifest.matches(&property).count(), 2, "a set for each codec: {manifest}");
            });
        }
    });
}

fn times(packets: &[Packet]) -> Vec<i64> {
    let mut times: Vec<i64> = packets
        .iter()
        .map(|packet| (packet.pts * 90_000.0).round() as i64)
        .collect();
    times.sort_unstable();
    times
}

fn kill_workers(server: &Server) {
    let killed = Command::new("pkill")
        .args(["-KILL", "-P", &server.pid().to_string(), "nova-transcode"])
        .status()
        .expect("pkill");
    assert!(killed.success(), "there was a worker to kill");
}

#[test]
fn conformance_48_73_rungs_have_every_picture_of_their_source_whatever_happens_to_their_worker() {
    let server = Server::start(&[&[LADDER, ("NOVA_LIVE__RECORD", "true")], ENDS_SOON].concat());
    let publisher = Publisher::run(encoder(
        &format!("{}/show", server.rtmp),
        &["size=640x480:rate=30", "440"],
        &[],
    ));
    let list = server.until_live("show");
    for resolution in ["640x480", "480x360", "320x240"] {
        assert!(
            list.contains(&format!("RESOLUTION={resolution},FRAME-RATE=30.000")),
            "{list}"
        );
    }
    let renditions = Rendition::all("show", &list);
    let (source, rung) = (named(&renditions, "v0.m3u8"), named(&renditions, "240p.m3u8"));
    // A still of it.
    let still = until("a still", 10, || {
        Some(server.get("/live/show/thumbnail.jpg")).filter(|answer| answer.status == 200)
    });
    assert!(still.header("content-type") == "image/jpeg" && still.body.starts_with(&[0xff, 0xd8, 0xff]));
    let id = rung.folder.split('/').nth(3).expect("an id").to_owned();
    // Three times in the middle of a segment.
    for _ in 0..3 {
        let next = rung.now(&server).next_msn() + 1;
        rung.at(&server, (next, 1));
        kill_workers(&server);
    }
    rung.at(&server, (rung.now(&server).next_msn() + 2, 0));
    publisher.kill();
    server.until_status("show", "ended", 20);
    let (source, rung) = (whole(&server, source), whole(&server, rung));
    assert_eq!(source.segments.len(), rung.segments.len());
    for (ours, theirs) in source.segments.iter().zip(&rung.segments) {
        assert_eq!(ours.uri.split('/').nth(1), theirs.uri.split('/').nth(1));
        assert!((ours.duration - theirs.duration).abs() < 0.002, "{ours:?} {theirs:?}");
        assert!(!theirs.gap, "{theirs:?}");
    }
    // The recording has it all: every presentation time of the source in every rung.
    let url = |name: &str| server.url(&format!("/vod/{id}/{id}/{name}.m3u8"));
    let sent = times(&clip::packets(&url("v0"), "v"));
    assert!(sent.len() > 150);
    for name in ["360p", "240p"] {
        let made = times(&clip::packets(&url(name), "v"));
        assert_eq!(made.len(), sent.len(), "{name}");
        assert!(
            made.iter().zip(&sent).all(|(made, sent)| (made - sent).abs() <= 1),
            "{name}"
        );
        assert_eq!(clip::complaints(&url(name)), "", "{name}");
    }
}

#[test]
fn after_a_blip_every_rung_has_the_one_discontinuity_of_its_source() {
    let server = Server::start(&[LADDER, ("NOVA_LIVE__SEGMENT_MS", "1000")]);
    let url = format!("{}/show", server.rtmp);
    let source = ["size=640x480:rate=30", "440"];
    let publisher = Publisher::run(encoder(&url, &source, &[]));
    let renditions = Rendition::all("show", &server.until_live("show"));
    let first = named(&renditions, "v0.m3u8").now(&server).next_msn();
    named(&renditions, "v0.m3u8").at(&server, (first + 1, 1));
    publisher.kill();
    server.until_status("show", "reconnecting", 10);
    let _again = Publisher::run(encoder(&url, &source, &[]));
    server.until_status("show", "live", 20);
    let next = named(&renditions, "v0.m3u8").now(&server).next_msn();
    for rendition in &renditions {
        rendition.at(&server, (next, 1));
        let list = rendition.at(&server, (next + 1, 1));
        let breaks: Vec<_> = list.segments.iter().filter(|segment| segment.discontinuity).collect();
        assert_eq!(breaks.len(), 1, "{}: {list:?}", rendition.file);
        assert!(
            list.segments.iter().all(|segment| !segment.gap),
            "{}: {list:?}",
            rendition.file
        );
    }
}

#[test]
fn opus_gets_an_aac_rendition_beside_it() {
    let server = Server::start(&[LADDER]);
    let folder = tempfile::tempdir().expect("a folder");
    let options =
        "-c:v libx264 -preset ultrafast -tune zerolatency -g 30 -pix_fmt yuv420p -threads 1 -c:a libopus -b:a 64k";
    let file = clip::make(ffmpeg_enhanced(), folder.path(), "opus.mp4", 12, options);
    let _publisher = Publisher::enhanced_file(&file, &format!("{}/show", server.rtmp));
    let list = server.until_live("show");
    let codecs: Vec<String> = list
        .lines()
        .filter_map(|line| line.strip_prefix("#EXT-X-STREAM-INF:"))
        .filter_map(|line| attributes(line).remove("CODECS"))
        .collect();
    assert!(
        codecs
            .iter()
            .any(|codecs| codecs.contains("opus") || codecs.contains("Opus")),
        "{list}"
    );
    assert!(codecs.iter().any(|codecs| codecs.contains("mp4a.40.2")), "{list}");
    let renditions = Rendition::all("show", &list);
    let sound = named(&renditions, "aac.m3u8");
    let next = sound.now(&server).next_msn() + 1;
    let made = sound.at(&server, (next, 1));
    assert!(made.segments.iter().all(|segment| !segment.gap), "{made:?}");
}
