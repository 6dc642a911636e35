//! Recordings and uploads as people meet them: through the API, with a tus client and players nobody here wrote.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::clip;
use crate::platform::{Person, json_of};
use crate::publisher::{Publisher, encoder};
use crate::reading_back::ENDS_SOON;
use crate::server::{Server, until};

const LADDER: (&str, &str) = ("NOVA_TRANSCODE__LADDER", "240p:300k");

fn video(person: &Person<'_>, id: &str) -> Value {
    json_of(person.call("GET", &format!("/videos/{id}"), None).ok())
}

pub(crate) fn until_status(person: &Person<'_>, id: &str, status: &str, seconds: u64) -> Value {
    until(&format!("the video to be {status}"), seconds, || {
        let shown = video(person, id);
        assert!(shown["status"] != "failed" || status == "failed", "{shown}");
        (shown["status"] == status).then_some(shown)
    })
}

/// Runs the tus client of the browser tests' folder.
pub(crate) fn upload(server: &Server, person: &Person<'_>, file: &Path, state: &Path, stop_after: Option<u32>) -> bool {
    let folder = crate::browser::folder();
    let mut command = Command::new("node");
    command.arg("upload.mjs").current_dir(folder);
    command.args([&server.url("/api/v1/uploads"), &person.token]);
    command.arg(file).arg("My film").arg(state);
    if let Some(bytes) = stop_after {
        command.args(["stop-after", &bytes.to_string()]);
    }
    let output = command.output().expect("node; see scripts/setup");
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

#[test]
fn a_file_is_uploaded_through_a_kill_and_plays_in_every_rung_with_every_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    // Longer than a span, so that several are made beside each other and joined.
    let options = "-c:v libx264 -preset ultrafast -g 77 -bf 2 -pix_fmt yuv420p -threads 1 -c:a aac -b:a 64k -vf scale=568:320,setsar=1";
    let file = clip::make("ffmpeg", folder.path(), "film.mkv", 61, options);
    let state = folder.path().join("address");
    let server = Server::start(&[LADDER]);
    let person = Person::register(&server, "ada");
    assert!(upload(&server, &person, &file, &state, Some(300_000)));
    let server = Server::start_in(server.leave("KILL"), &[LADDER]);
    let person = Person::login(&server, "ada");
    let list = json_of(person.call("GET", "/videos?owner=me", None).ok());
    let id = list["items"][0]["id"].as_str().expect("a video").to_owned();
    assert_eq!(list["items"][0]["status"], "uploading");
    assert!(upload(&server, &person, &file, &state, None));
    let shown = until_status(&person, &id, "ready", 120);
    assert_eq!(
        (
            shown["title"].as_str(),
            shown["width"].as_i64(),
            shown["height"].as_i64()
        ),
        (Some("My film"), Some(568), Some(320))
    );
    assert!(
        (shown["duration_s"].as_f64().unwrap_or_default() - 61.0).abs() < 0.3,
        "{shown}"
    );

    let list = server.text(&format!("/vod/{id}/master.m3u8"));
    assert!(
        list.contains("RESOLUTION=568x320") && list.contains("RESOLUTION=426x240"),
        "{list}"
    );
    let sent = clip::packets(file.to_str().expect("a path"), "v");
    for manifest in ["master.m3u8", "manifest.mpd"] {
        let url = server.url(&format!("/vod/{id}/{manifest}"));
        for stream in ["v:0", "v:1"] {
            let mut got: Vec<f64> = clip::packets(&url, stream).iter().map(|packet| packet.pts).collect();
            got.sort_by(f64::total_cmp);
            assert_eq!(got.len(), sent.len(), "{manifest} {stream}");
            let widest = got.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
            assert!(widest < 0.04, "{manifest} {stream}: a hole of {widest} s");
        }
        assert_eq!(clip::complaints(&url), "", "{manifest}");
    }
    let picture = server.get(&format!("/vod/{id}/thumbnail.jpg")).ok();
    assert!(picture.body.starts_with(&[0xff, 0xd8, 0xff]));

    has_storyboard(&server, &person, &id, 61);

    // Private: the playlists want a token, what they list does not.
    person
        .call(
            "PATCH",
            &format!("/videos/{id}"),
            Some(&json!({ "visibility": "private" })),
        )
        .ok();
    until("the playlist to be refused", 3, || {
        (server.get(&format!("/vod/{id}/master.m3u8")).status == 404).then_some(())
    });
    let token = json_of(person.call("POST", &format!("/videos/{id}/playback-token"), None).ok());
    let token = token["token"].as_str().expect("a token");
    let list = server.text(&format!("/vod/{id}/master.m3u8?token={token}"));
    assert!(list.contains(&format!(".m3u8?token={token}")), "{list}");

    // Deleted: so are its objects.
    let objects = server.data().join("media/vod");
    assert_eq!(std::fs::read_dir(&objects).expect("objects").count(), 1);
    person.call("DELETE", &format!("/videos/{id}"), None).is(204);
    until("its objects to be removed", 10, || {
        (std::fs::read_dir(&objects).expect("objects").count() == 0).then_some(())
    });
    assert_eq!(
        std::fs::read_dir(server.data().join("uploads"))
            .expect("uploads")
            .count(),
        0
    );
}

/// The video has small pictures of all of it, in order, and each lies on its sheet.
fn has_storyboard(server: &Server, person: &Person<'_>, id: &str, seconds: u32) {
    let url = until("the storyboard", 20, || {
        video(person, id)["storyboard_url"].as_str().map(str::to_owned)
    });
    let path = url
        .split_once("/vod/")
        .map(|(_, rest)| format!("/vod/{rest}"))
        .expect("an address");
    let text = server.text(&path);
    let (mut ends, mut count) = (0, 0);
    for block in text.split("\n\n").skip(1) {
        let (times, address) = block.trim().split_once('\n').expect("times and an address");
        let at = |time: &str| -> u32 {
            let parts = time.split([':', '.']).map(|part| part.parse::<u32>().expect("a time"));
            parts
                .zip([3_600_000, 60_000, 1000, 1])
                .map(|(part, unit)| part * unit)
                .sum()
        };
        let (from, to) = times.split_once(" --> ").expect("times");
        assert_eq!(at(from), ends, "{text}");
        ends = at(to);
        let (sheet, place) = address.split_once("#xywh=").expect("a place");
        let place: Vec<u32> = place
            .split(',')
            .map(|number| number.parse().expect("a number"))
            .collect();
        let jpeg = server.get(&format!("/vod/{id}/{sheet}")).ok();
        assert_eq!(jpeg.header("content-type"), "image/jpeg");
        let file = server.data().join("sheet.jpg");
        std::fs::write(&file, jpeg.body).expect("a file");
        let mut probe = Command::new("ffprobe");
        probe
            .args("-v error -show_entries stream=width,height -of csv=p=0".split(' '))
            .arg(&file);
        let size = String::from_utf8(clip::run(&mut probe).stdout).expect("text");
        let (width, height) = size.trim().split_once(',').expect("a size");
        let (width, height): (u32, u32) = (width.parse().expect("a width"), height.parse().expect("a height"));
        assert!(
            place[0] + place[2] <= width && place[1] + place[3] <= height,
            "{address} on {size}"
        );
        count += 1;
    }
    assert!(
        ends.abs_diff(seconds * 1000) < 500 && count > seconds / 5,
        "{count} pictures: {text}"
    );
}

#[test]
fn a_file_whose_sound_outlasts_its_pictures_becomes_a_video_with_all_of_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("long-sound.mp4");
    let mut command = Command::new("ffmpeg");
    command.args("-v error -y -f lavfi -i testsrc2=size=320x180:rate=30:duration=2".split(' '));
    command.args("-f lavfi -i sine=frequency=440:sample_rate=48000:duration=8".split(' '));
    command.args("-c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p -c:a aac -b:a 64k".split(' '));
    clip::run(command.arg(&file));
    let server = Server::start(&[LADDER]);
    let person = Person::register(&server, "ada");
    assert!(upload(&server, &person, &file, &folder.path().join("address"), None));
    let list = json_of(person.call("GET", "/videos?owner=me", None).ok());
    let id = list["items"][0]["id"].as_str().expect("a video");
    let shown = until_status(&person, id, "ready", 30);
    assert!(shown["duration_s"].as_f64() > Some(7.8), "{shown}");
    let url = server.url(&format!("/vod/{id}/master.m3u8"));
    assert_eq!(clip::packets(&url, "v:0").len(), 60);
    let sound = clip::packets(&url, "a");
    assert!(
        sound.last().map(|packet| packet.pts - sound[0].pts) > Some(7.8),
        "{} packets of sound",
        sound.len()
    );
}

#[test]
fn a_file_that_is_no_video_fails_with_a_reason_and_harms_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[LADDER]);
    let person = Person::register(&server, "ada");
    let mut noise = b"\x00\x00\x00\x18ftypmp42".to_vec();
    noise.extend((0..50_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8));
    let file = folder.path().join("noise.mp4");
    std::fs::write(&file, noise).expect("a file");
    assert!(upload(&server, &person, &file, &folder.path().join("address"), None));
    let list = json_of(person.call("GET", "/videos?owner=me", None).ok());
    let id = list["items"][0]["id"].as_str().expect("a video");
    let shown = until_status(&person, id, "failed", 60);
    assert!(
        shown["error"].as_str().is_some_and(|error| !error.is_empty()),
        "{shown}"
    );
}

/// Bombs of our own (`bombs.py`), mux.js's malformed segments, and broken sound of mutagen's tests.
fn hostile_files(folder: &Path) -> Vec<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../transcode/worker/tests/bombs.py");
    clip::run(Command::new("python3").arg(script).arg(folder));
    let bombs = [
        "png.mov",
        "tracks.mp4",
        "edits.mp4",
        "empty.mkv",
        "days.mkv",
        "cut.mp4",
        "flipped.ts",
    ];
    let mut files: Vec<PathBuf> = bombs.iter().map(|name| folder.join(name)).collect();
    let segments = crate::browser::folder().join("node_modules/mux.js/test/segments");
    let read = |name: &str| std::fs::read(segments.join(name)).expect("a segment of mux.js");
    let sei = folder.join("malformed-sei.mp4");
    std::fs::write(
        &sei,
        [read("malformed-sei-init.mp4"), read("malformed-sei.m4s")].concat(),
    )
    .expect("a file");
    files.extend([sei, segments.join("test-middle-pat-pmt.ts")]);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache"));
    for name in [
        "ooming-header.flac",
        "truncated-64bit.mp4",
        "bad-xing.mp3",
        "52-overwritten-metadata.flac",
    ] {
        files.push(cache.join("nova/tools/samples/audio").join(name));
    }
    files
}

#[test]
fn broken_files_and_bombs_end_with_a_reason_or_a_video_and_leave_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[LADDER]);
    let person = Person::register(&server, "ada");
    let list = || -> Vec<Value> {
        let list = json_of(person.call("GET", "/videos?owner=me&limit=50", None).ok());
        list["items"].as_array().expect("a list").clone()
    };
    let mut names = HashMap::new();
    for (index, file) in hostile_files(folder.path()).iter().enumerate() {
        assert!(
            upload(
                &server,
                &person,
                file,
                &folder.path().join(format!("address-{index}")),
                None
            ),
            "{}",
            file.display()
        );
        let id = |video: &Value| video["id"].as_str().expect("an id").to_owned();
        let new = list()
            .iter()
            .map(id)
            .find(|id| !names.contains_key(id))
            .expect("a video");
        names.insert(new, file.file_name().expect("a name").to_string_lossy().into_owned());
    }
    let ends = until("every file to come to its end", 120, || {
        let list = list();
        let over = |video: &Value| video["status"] == "ready" || video["status"] == "failed";
        list.iter().all(over).then_some(list)
    });
    assert_eq!(ends.len(), names.len());
    let mut ready = 0;
    for video in &ends {
        let name = &names[video["id"].as_str().expect("an id")];
        let shown = json_of(
            person
                .call(
                    "GET",
                    &format!("/videos/{}", video["id"].as_str().expect("an id")),
                    None,
                )
                .ok(),
        );
        let why = shown["error"].as_str().unwrap_or_default();
        eprintln!("{name}: {} {why}", video["status"]);
        ready += usize::from(video["status"] == "ready");
        match name.as_str() {
            "png.mov" => assert!(why.contains("16384x16384 are too large"), "{why}"),
            "edits.mp4" => assert!(why.contains("does not end"), "{why}"),
            "days.mkv" => assert!(why.contains("longer than a day"), "{why}"),
            "flipped.ts" | "bad-xing.mp3" => assert_eq!(video["status"], "ready", "{name}: {why}"),
            "ooming-header.flac" | "tracks.mp4" => assert_eq!(video["status"], "failed", "{name}"),
            _ => {}
        }
        assert!(video["status"] == "ready" || !why.is_empty(), "{name}");
        assert!(!why.contains("/uploads/"), "no path of the server is told: {why}");
    }
    let entries = |path: &str| std::fs::read_dir(server.data().join(path)).expect("a folder").count();
    until("what failed to leave nothing", 10, || {
        (entries("media/vod") == ready && entries("uploads") == 0).then_some(())
    });

    // The same server makes what is sound.
    let film = folder.path().join("film.ts");
    assert!(upload(&server, &person, &film, &folder.path().join("address"), None));
    let id = list()
        .iter()
        .find_map(|video| {
            let id = video["id"].as_str().expect("an id");
            (!names.contains_key(id)).then(|| id.to_owned())
        })
        .expect("a video");
    let shown = until_status(&person, &id, "ready", 30);
    assert_eq!(
        (shown["width"].as_i64(), shown["height"].as_i64()),
        (Some(320), Some(180))
    );
    assert_eq!(clip::complaints(&server.url(&format!("/vod/{id}/master.m3u8"))), "");
}

#[test]
fn the_recording_of_a_stream_is_a_video_of_its_owner() {
    let server = Server::start(ENDS_SOON);
    let person = Person::register(&server, "ada");
    let stream = json_of(
        person
            .call("POST", "/streams", Some(&json!({ "title": "Show", "record": true })))
            .is(201),
    );
    let key = stream["stream_key"].as_str().expect("a key");
    let name = stream["name"].as_str().expect("a name");
    let mut publisher = Publisher::run(encoder(
        &format!("{}/{key}", server.rtmp),
        &["size=320x180:rate=30", "440"],
        &[],
    ));
    server.until_live(name);
    let id = until("the video", 10, || {
        let list = json_of(person.call("GET", "/videos", None).ok());
        let video = &list["items"][0];
        (video["status"] == "live").then(|| video["id"].as_str().expect("an id").to_owned())
    });
    // From its beginning, while it is on air.
    until("the recording to be there", 10, || {
        (server.get(&format!("/vod/{id}/master.m3u8")).status == 200).then_some(())
    });
    publisher.signal("INT");
    publisher.until_gone(10);
    let shown = until_status(&person, &id, "ready", 30);
    assert!(
        shown["duration_s"].as_f64().unwrap_or_default() > 1.0 && shown["height"] == 180,
        "{shown}"
    );
    assert_eq!(clip::complaints(&server.url(&format!("/vod/{id}/master.m3u8"))), "");
    has_storyboard(
        &server,
        &person,
        &id,
        shown["duration_s"].as_f64().map_or(0, |seconds| seconds.round() as u32),
    );
    assert!(json_of(person.call("GET", "/storage", None).ok())["bytes"].as_i64() > Some(10_000));
}
