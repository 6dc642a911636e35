//! The whole program on a bucket: s3s-fs, a server that verifies signatures, in this process.

use std::path::Path;
use std::time::Duration;

use nova_cdn::testing::{ACCESS_KEY, BUCKET, Mode, S3Server, SECRET_KEY};

use crate::clip;
use crate::playlist::Rendition;
use crate::publisher::Publisher;
use crate::reading_back::compare;
use crate::recording::id_of;
use crate::server::{Server, until};

/// Variables that lead to this bucket, for a server that records everything.
pub(crate) fn variables(endpoint: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("NOVA_STORAGE__BACKEND", "s3"),
        ("NOVA_STORAGE__BUCKET", BUCKET),
        ("NOVA_STORAGE__ENDPOINT", endpoint),
        ("NOVA_STORAGE__PATH_STYLE", "true"),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("NOVA_LIVE__RECORD", "true"),
        ("NOVA_LIVE__RECONNECT_S", "1"),
        ("NOVA_LIVE__SEGMENT_MS", "1000"),
        ("NOVA_LIVE__MEMORY_S", "4"),
    ]
}

/// Objects that lie on the local disk, the spool aside.
fn local_objects(data: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![data.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|end| end == "m4s" || end == "mp4" || end == "jpg" || end == "jsonl")
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn spooled(data: &Path) -> usize {
    let files = std::fs::read_dir(data.join("spool")).expect("a spool");
    files.flatten().filter(|file| file.path().is_file()).count()
}

#[test]
fn a_recording_lies_in_the_bucket_alone_and_plays_from_there_bit_for_bit() {
    let (bucket, folder) = (
        S3Server::start().expect("an S3 server"),
        tempfile::tempdir().expect("a folder"),
    );
    let endpoint = bucket.endpoint();
    let file = clip::make("ffmpeg", folder.path(), "clip.mp4", 8, clip::H264_B_FRAMES);
    let server = Server::start(&variables(&endpoint));
    let publisher = Publisher::file(&file, &format!("{}/show", server.rtmp));
    let id = id_of(&server.until_live("show"));
    publisher.finish(Duration::from_secs(8));
    server.until_status("show", "ended", 20);
    let index = format!("vod/{id}/index.jsonl");
    // An object is there a moment before the bucket has said so.
    let (written, place) = until("the index to be in the bucket", 10, || {
        let done = bucket.done();
        let is_index = |request: &String| request.starts_with("PUT") && request.ends_with(&index);
        let place = done.iter().position(is_index)?;
        Some((done, place))
    });
    // What an index lists was there before it.
    assert!(
        written[place..]
            .iter()
            .all(|request| !request.starts_with("PUT") || !request.ends_with(".m4s"))
    );
    assert!(
        bucket
            .keys(&format!("vod/{id}/"))
            .iter()
            .filter(|key| key.ends_with(".m4s"))
            .count()
            >= 14
    );
    assert_eq!(local_objects(server.data()), [""; 0]);
    assert_eq!(spooled(server.data()), 0);
    // Another process, with nothing in memory.
    let data = server.leave("TERM");
    let server = Server::start_in(data, &variables(&endpoint));
    compare(&server, &file, &format!("/vod/{id}"));
    assert!(
        bucket
            .done()
            .iter()
            .any(|request| request.starts_with("GET") && request.ends_with(".m4s"))
    );
}

#[test]
fn an_outage_of_the_bucket_costs_no_segment_and_what_is_made_meanwhile_can_be_watched() {
    let (bucket, folder) = (
        S3Server::start().expect("an S3 server"),
        tempfile::tempdir().expect("a folder"),
    );
    let endpoint = bucket.endpoint();
    let file = clip::make("ffmpeg", folder.path(), "clip.mp4", 14, clip::H264_B_FRAMES);
    let server = Server::start(&variables(&endpoint));
    let publisher = Publisher::file(&file, &format!("{}/show", server.rtmp));
    let multivariant = server.until_live("show");
    let (id, video) = (id_of(&multivariant), &Rendition::all("show", &multivariant)[0]);
    until("a segment to be in the bucket", 10, || bucket.keys("vod/").pop());
    bucket.behave(Mode::Away);
    until("eight more segments", 20, || {
        (video.now(&server).segments.len() >= 9).then_some(())
    });
    let list = video.now(&server);
    assert_eq!(list.sequence, 0, "the window is as long as ever");
    for segment in &list.segments {
        server.get(&video.path(&segment.uri)).ok();
    }
    // Of the recording, the first ones lie in the bucket alone; the others are read from the spool.
    for segment in &list.segments[3..] {
        let live = video.path(&segment.uri);
        server.get(&live.replace("/live/show/", &format!("/vod/{id}/"))).ok();
    }
    assert!(spooled(server.data()) > 0);
    assert!(server.metric("nova_spool_bytes", "") > 0.0);
    bucket.behave(Mode::Healthy);
    publisher.finish(Duration::from_secs(14));
    server.until_status("show", "ended", 20);
    until("the spool to be empty", 20, || {
        (spooled(server.data()) == 0).then_some(())
    });
    until("the index to be in the bucket", 10, || {
        bucket.keys(&format!("vod/{id}/index.jsonl")).pop()
    });
    let data = server.leave("TERM");
    let server = Server::start_in(data, &variables(&endpoint));
    compare(&server, &file, &format!("/vod/{id}"));
}

#[test]
fn kill_9_while_the_bucket_is_away_leaves_everything_up_to_the_last_segment() {
    let bucket = S3Server::start().expect("an S3 server");
    let endpoint = bucket.endpoint();
    bucket.behave(Mode::Away);
    let server = Server::start(
        &[
            &variables(&endpoint)[..],
            &[("NOVA_CDN__BASE_URL", "https://cdn.example/")],
        ]
        .concat(),
    );
    let publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let id = id_of(&server.until_live("show"));
    let list = format!("/vod/{id}/{id}/v0.m3u8");
    let before = until("three segments", 25, || {
        let answer = server.get(&list);
        (answer.status == 200)
            .then(|| answer.text())
            .filter(|text| text.matches("#EXTINF").count() >= 3)
    });
    let shown: serde_json::Value = serde_json::from_str(&server.text("/api/v1/streams/show")).expect("JSON");
    assert_eq!(
        shown["playback"]["hls_url"],
        "https://cdn.example/live/show/master.m3u8"
    );
    assert_eq!(
        shown["playback"]["watch_url"],
        server.url("/watch/show").replace("127.0.0.1", "localhost")
    );
    let data = server.leave("KILL");
    publisher.kill();
    let server = Server::start_in(data, &variables(&endpoint));
    bucket.behave(Mode::Healthy);
    until("the spool to be empty", 20, || {
        (spooled(server.data()) == 0).then_some(())
    });
    let after = server.text(&list);
    assert!(after.ends_with("#EXT-X-ENDLIST\n"), "{after}");
    for line in before.lines().filter(|line| line.ends_with(".m4s")) {
        assert!(after.contains(line), "{line} is lost: {after}");
        let name = line.rsplit('/').next().expect("a name");
        assert_eq!(
            bucket
                .keys("vod/")
                .iter()
                .filter(|key| key.ends_with(&format!("/v0/{name}")))
                .count(),
            1,
            "{line}"
        );
    }
    assert_eq!(clip::complaints(&server.url(&format!("/vod/{id}/master.m3u8"))), "");
}
