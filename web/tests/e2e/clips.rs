//! Clips of recordings, of what is on air and of uploads: what is between the cuts, packet by packet, as ffprobe reads it from both manifests.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clip::{self, Packet};
use crate::platform::{Person, json_of};
use crate::publisher::{Publisher, ffmpeg_enhanced};
use crate::reading_back::ENDS_SOON;
use crate::server::{Server, until};
use crate::videos::{until_status, upload};

/// A picture, and a little for clocks that count in milliseconds.
const PICTURE: f64 = 1.0 / 30.0 + 0.002;

/// Begins a stream that is recorded; its key.
fn recorded_stream(person: &Person<'_>) -> String {
    let body = json!({ "title": "Show", "record": true });
    let stream = json_of(person.call("POST", "/streams", Some(&body)).is(201));
    stream["stream_key"].as_str().expect("a key").to_owned()
}

/// The only video of this person, once it is there.
fn the_video(person: &Person<'_>) -> String {
    until("the video", 20, || {
        let list = json_of(person.call("GET", "/videos?owner=me", None).ok());
        list["items"][0]["id"].as_str().map(str::to_owned)
    })
}

/// The recording of a file that was broadcast.
fn recording_of(server: &Server, person: &Person<'_>, file: &Path, seconds: u64) -> String {
    let key = recorded_stream(person);
    Publisher::file(file, &format!("{}/{key}", server.rtmp)).finish(Duration::from_secs(seconds));
    let id = the_video(person);
    until_status(person, &id, "ready", 30);
    id
}

fn cut(person: &Person<'_>, id: &str, body: &Value) -> Value {
    let clip = json_of(person.call("POST", &format!("/videos/{id}/clips"), Some(body)).is(201));
    until_status(person, clip["id"].as_str().expect("an id"), "ready", 30)
}

/// Where packets begin and end when they are shown, and that none is missing between.
fn span(packets: &[Packet], length: f64, what: &str) -> (f64, f64) {
    let mut shown: Vec<f64> = packets.iter().map(|packet| packet.pts).collect();
    shown.sort_by(f64::total_cmp);
    let (first, last) = (shown[0], shown[shown.len() - 1]);
    for pair in shown.windows(2) {
        assert!((pair[1] - pair[0] - length).abs() < 0.0015, "{what}: {pair:?}");
    }
    for pair in packets.windows(2) {
        assert!(pair[0].dts < pair[1].dts, "{what}: decode times rise: {pair:?}");
    }
    (first, last + length)
}

/// The clip has what the source has from `start` to `end`, and nothing else; of its pictures, how many are the source's own bytes.
fn same_part(server: &Server, clip: &str, source: &str, (start, end): (f64, f64)) -> usize {
    let url = |id: &str, manifest: &str| server.url(&format!("/vod/{id}/{manifest}"));
    let mut same = usize::MAX;
    for manifest in ["master.m3u8", "manifest.mpd"] {
        let (from, to) = (url(source, manifest), url(clip, manifest));
        let (all, part) = (clip::packets(&from, "v"), clip::packets(&to, "v"));
        assert_eq!(
            part.len(),
            ((end - start) * 30.0).round() as usize,
            "{manifest}: pictures"
        );
        let (first, last) = span(&part, 1.0 / 30.0, manifest);
        assert!(
            (last - first - (end - start)).abs() < PICTURE,
            "{manifest}: {first} to {last}"
        );
        let known: HashSet<&str> = all.iter().map(|packet| packet.hash.as_str()).collect();
        same = same.min(
            part.iter()
                .filter(|packet| known.contains(packet.hash.as_str()))
                .count(),
        );
        let (all, sound) = (clip::packets(&from, "a"), clip::packets(&to, "a"));
        let (begins, ends) = span(&sound, 1024.0 / 48_000.0, manifest);
        // Sound and picture lie beside each other as they did.
        assert!(
            (begins - first).abs() < 0.025 && (ends - last).abs() < 0.05,
            "{manifest}: {begins} to {ends}, pictures {first} to {last}"
        );
        let known: HashSet<&str> = all.iter().map(|packet| packet.hash.as_str()).collect();
        assert!(
            sound.iter().all(|packet| known.contains(packet.hash.as_str())),
            "{manifest}: sound is never made anew"
        );
        assert_eq!(clip::complaints(&to), "", "{manifest}");
    }
    same
}

/// Files of the store that have a second name.
fn shared_objects(folder: &Path) -> usize {
    use std::os::unix::fs::MetadataExt;
    let files = |folder: &Path| {
        std::fs::read_dir(folder)
            .expect("a folder")
            .flatten()
            .map(|entry| entry.path())
    };
    let renditions = files(folder).filter(|path| path.is_dir());
    let objects = renditions.flat_map(|rendition| files(&rendition).collect::<Vec<_>>());
    objects
        .filter(|path| std::fs::metadata(path).expect("a file").nlink() > 1)
        .count()
}

#[test]
fn a_clip_of_a_recording_is_the_span_asked_for_and_only_its_ends_are_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = clip::make("ffmpeg", folder.path(), "clip.flv", 9, clip::H264_B_FRAMES);
    let server = Server::start(ENDS_SOON);
    let person = Person::register(&server, "ada");
    let source = recording_of(&server, &person, &file, 9);
    // Between keyframes at both ends, inside one segment, on borders, and to the very end.
    for (start, end, same) in [(1.5, 6.2, 120), (3.3, 4.5, 0), (2.0, 5.0, 90), (0.0, 4.1, 120)] {
        let shown = cut(&person, &source, &json!({ "start": start, "end": end }));
        let id = shown["id"].as_str().expect("an id");
        // Sound is whole packets at both ends.
        assert!(
            (shown["duration_s"].as_f64().unwrap_or_default() - (end - start)).abs() < 0.06,
            "{shown}"
        );
        let kept = same_part(&server, id, &source, (start, end));
        assert_eq!(kept, same, "{start} to {end}: pictures with the source's own bytes");
        let picture = server.get(&format!("/vod/{id}/thumbnail.jpg")).ok();
        assert!(picture.body.starts_with(&[0xff, 0xd8, 0xff]));
    }
    // What was made anew shows what the source shows, picture by picture.
    let url = |id: &str| server.url(&format!("/vod/{id}/master.m3u8"));
    let made = cut(&person, &source, &json!({ "start": 1.5, "end": 6.2 }));
    let made = url(made["id"].as_str().expect("an id"));
    for (from, count) in [(0, 15), (135, 6)] {
        let part = |first: u32| format!("trim=start_frame={first}:end_frame={}", first + count);
        let alike = ssim((&made, &part(from)), (&url(&source), &part(from + 45)), count);
        assert!(alike > 0.97, "{count} pictures from {from}: {alike}");
        eprintln!("{count} pictures from {from}: {alike}");
    }
    // What is shared is one file with two names, and stays when the source goes.
    let shown = cut(&person, &source, &json!({ "start": 1.5, "end": 6.2 }));
    let id = shown["id"].as_str().expect("an id");
    let list = server.text(&format!("/vod/{id}/master.m3u8"));
    let own = list.lines().find(|line| line.ends_with(".m3u8")).expect("a list");
    let own = server
        .data()
        .join("media/vod")
        .join(own.split('/').next().expect("a folder"));
    assert!(shared_objects(&own) >= 8, "{}", shared_objects(&own));
    // A clip of a clip is one like any other.
    let again = cut(&person, id, &json!({ "start": 0.7, "end": 3.9 }));
    assert_eq!(
        same_part(&server, again["id"].as_str().expect("an id"), id, (0.7, 3.9)),
        60
    );
    let before = clip::packets(&server.url(&format!("/vod/{id}/master.m3u8")), "v");
    person.call("DELETE", &format!("/videos/{source}"), None).is(204);
    until("the source to be gone", 10, || {
        (server.get(&format!("/vod/{source}/master.m3u8")).status == 404).then_some(())
    });
    let server = Server::start_in(server.leave("TERM"), ENDS_SOON);
    assert_eq!(
        clip::packets(&server.url(&format!("/vod/{id}/master.m3u8")), "v"),
        before
    );
}

#[test]
fn a_clip_of_what_is_on_air_may_end_a_little_ahead() {
    let server = Server::start(&[("NOVA_LIVE__SEGMENT_MS", "1000")]);
    let person = Person::register(&server, "ada");
    let key = recorded_stream(&person);
    let _publisher = Publisher::endless(&format!("{}/{key}", server.rtmp));
    let id = the_video(&person);
    let shown = cut(&person, &id, &json!({ "start": 1.4, "end": 8.7 }));
    let clip = shown["id"].as_str().expect("an id");
    let url = server.url(&format!("/vod/{clip}/master.m3u8"));
    let packets = clip::packets(&url, "v");
    assert_eq!(packets.len(), 219);
    let (first, last) = span(&packets, 1.0 / 30.0, "on air");
    assert!((last - first - 7.3).abs() < PICTURE);
    assert_eq!(clip::complaints(&url), "");
    // The broadcast goes on, and so does its recording.
    assert_eq!(
        json_of(person.call("GET", &format!("/videos/{id}"), None).ok())["status"],
        "live"
    );
}

/// How alike the first pictures of two films are: 1 is the same.
fn ssim(one: (&str, &str), other: (&str, &str), count: u32) -> f64 {
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "info", "-i", one.0, "-i", other.0]);
    let filter = format!(
        "[0:v]{},setpts=PTS-STARTPTS,settb=1/90000[a];[1:v]{},setpts=PTS-STARTPTS,settb=1/90000[b];[a][b]ssim",
        one.1, other.1
    );
    command.args(["-lavfi", &filter, "-frames:v", &count.to_string(), "-f", "null", "-"]);
    let said = String::from_utf8_lossy(&clip::run(&mut command).stderr).into_owned();
    let all = said.rsplit_once("All:").and_then(|(_, rest)| rest.split(' ').next());
    all.and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn a_reel_of_an_upload_has_every_rung_and_an_upright_cover_of_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let options =
        "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -threads 1 -c:a aac -b:a 64k -vf scale=568:320,setsar=1";
    let film = clip::make("ffmpeg", folder.path(), "film.mp4", 11, options);
    let server = Server::start(&[("NOVA_TRANSCODE__LADDER", "240p:300k")]);
    let person = Person::register(&server, "ada");
    assert!(upload(&server, &person, &film, &folder.path().join("address"), None));
    let source = the_video(&person);
    until_status(&person, &source, "ready", 60);
    let body = json!({ "start": 2.6, "end": 9.3, "reel": true, "cover_at": 3.1, "title": "The best of it" });
    let shown = cut(&person, &source, &body);
    let id = shown["id"].as_str().expect("an id");
    for manifest in ["master.m3u8", "manifest.mpd"] {
        let url = server.url(&format!("/vod/{id}/{manifest}"));
        for stream in ["v:0", "v:1"] {
            let packets = clip::packets(&url, stream);
            assert_eq!(packets.len(), 201, "{manifest} {stream}");
            span(&packets, 1.0 / 30.0, stream);
        }
        assert_eq!(clip::complaints(&url), "", "{manifest}");
    }
    let reels = json_of(server.get("/api/v1/reels").ok());
    assert_eq!(
        (
            reels["items"][0]["id"].as_str(),
            reels["items"].as_array().map(Vec::len)
        ),
        (Some(id), Some(1))
    );
    let jpeg = folder.path().join("cover.jpg");
    std::fs::write(&jpeg, server.get(&format!("/vod/{id}/thumbnail.jpg")).ok().body).expect("a file");
    // The middle of the film's picture at 2.6 + 3.1 s, and no other.
    let (jpeg, film) = (jpeg.to_str().expect("a path"), film.to_str().expect("a path"));
    let at = |seconds: f64| {
        ssim(
            (jpeg, "scale=180:320"),
            (film, &format!("trim=start={seconds},crop=180:320")),
            1,
        )
    };
    let (then, later) = (at(5.7), at(6.7));
    assert!(
        then > 0.9 && then > later + 0.05,
        "{then} at its time, {later} a second later"
    );
}

#[test]
fn hevc_is_cut_at_borders_of_segments_and_sound_alone_between_its_packets() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let hevc = "-c:v libx265 -preset ultrafast -x265-params keyint=30:min-keyint=30:bframes=0:log-level=none:pools=none -pix_fmt yuv420p \
                -tag:v hvc1 -c:a aac -b:a 64k";
    let hevc = clip::make(ffmpeg_enhanced(), folder, "hevc.mp4", 6, hevc);
    let sound = clip::make("ffmpeg", folder, "sound.flv", 6, "-vn -c:a aac -b:a 64k");
    let server = Server::start(ENDS_SOON);
    let packets = |id: &str, kind: &str| clip::packets(&server.url(&format!("/vod/{id}/master.m3u8")), kind);
    let hashes = |packets: &[Packet]| packets.iter().map(|packet| packet.hash.clone()).collect::<Vec<_>>();

    let ada = Person::register(&server, "ada");
    let key = recorded_stream(&ada);
    Publisher::enhanced_file(&hevc, &format!("{}/{key}", server.rtmp)).finish(Duration::from_secs(6));
    let source = the_video(&ada);
    until_status(&ada, &source, "ready", 30);
    let shown = cut(&ada, &source, &json!({ "start": 1.5, "end": 3.2 }));
    let part = packets(shown["id"].as_str().expect("an id"), "v");
    assert_eq!(
        hashes(&part),
        hashes(&packets(&source, "v")[30..120]),
        "the source's own pictures from 1 s to 4 s"
    );

    let eve = Person::register(&server, "eve");
    let source = recording_of(&server, &eve, &sound, 6);
    let shown = cut(&eve, &source, &json!({ "start": 1.5, "end": 3.2 }));
    let part = packets(shown["id"].as_str().expect("an id"), "a");
    let (first, last) = span(&part, 1024.0 / 48_000.0, "sound alone");
    assert!((last - first - 1.7).abs() < 0.045, "{first} to {last}");
    let all = hashes(&packets(&source, "a"));
    assert!(
        all.windows(part.len()).any(|window| window == hashes(&part)),
        "packets of the source, one behind the other"
    );
}

#[test]
fn kill_9_while_a_clip_is_made_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = clip::make("ffmpeg", folder.path(), "clip.flv", 6, clip::H264);
    let server = Server::start(ENDS_SOON);
    let person = Person::register(&server, "ada");
    let source = recording_of(&server, &person, &file, 6);
    let body = json!({ "start": 0.7, "end": 4.4 });
    let clip = json_of(
        person
            .call("POST", &format!("/videos/{source}/clips"), Some(&body))
            .is(201),
    );
    let id = clip["id"].as_str().expect("an id");
    // Its first objects are there.
    let made = server.data().join("media/vod");
    until("the clip to be begun", 10, || {
        let folders = std::fs::read_dir(&made).ok()?.flatten();
        folders
            .into_iter()
            .find(|entry| entry.file_name().to_string_lossy().starts_with('c'))
    });
    let server = Server::start_in(server.leave("KILL"), ENDS_SOON);
    let person = Person::login(&server, "ada");
    until_status(&person, id, "ready", 40);
    same_part(&server, id, &source, (0.7, 4.4));
}
