//! What is broadcast stays: the recording is the broadcast's own segments, there as it grows, at its end, and after the process was killed.

use std::time::Duration;

use crate::clip;
use crate::publisher::Publisher;
use crate::reading_back::{ENDS_SOON, compare};
use crate::server::{Server, until};

/// The broadcast's id: the folder of its playlists.
pub(crate) fn id_of(multivariant: &str) -> String {
    let line = multivariant
        .lines()
        .find(|line| line.ends_with(".m3u8"))
        .expect("a variant");
    line.split('/').next().expect("a folder").to_owned()
}

#[test]
fn a_recording_can_be_watched_while_it_grows_and_is_whole_when_the_broadcast_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = clip::make("ffmpeg", folder.path(), "clip.mp4", 6, clip::H264_B_FRAMES);
    let server = Server::start(
        &[
            &[("NOVA_LIVE__RECORD", "true"), ("NOVA_LIVE__WINDOW_S", "6")],
            ENDS_SOON,
        ]
        .concat(),
    );
    let publisher = Publisher::file(&file, &format!("{}/show", server.rtmp));
    let id = id_of(&server.until_live("show"));
    let list = format!("/vod/{id}/{id}/v0.m3u8");
    until("the recording to grow", 10, || {
        let answer = server.get(&list);
        (answer.status == 200 && answer.text().matches("#EXTINF").count() >= 2).then_some(())
    });
    assert!(server.text(&list).contains("#EXT-X-PLAYLIST-TYPE:EVENT\n"));
    publisher.finish(Duration::from_secs(6));
    server.until_status("show", "ended", 20);
    until("the recording to be whole", 1, || {
        server.text(&list).ends_with("#EXT-X-ENDLIST\n").then_some(())
    });
    assert!(server.text(&list).contains("#EXT-X-PLAYLIST-TYPE:VOD\n"));
    compare(&server, &file, &format!("/vod/{id}"));
    assert_eq!(server.get("/vod/nothing/master.m3u8").status, 404);
    assert_eq!(server.get(&format!("/vod/{id}/{id}/v0/999.m4s")).status, 404);
    // It outlives the broadcast's own lists, and the server.
    let data = server.leave("TERM");
    let server = Server::start_in(data, ENDS_SOON);
    compare(&server, &file, &format!("/vod/{id}"));
}

#[test]
fn kill_9_in_the_middle_of_a_broadcast_leaves_everything_up_to_its_last_segment() {
    let variables: &[(&str, &str)] = &[("NOVA_LIVE__RECORD", "true"), ("NOVA_LIVE__SEGMENT_MS", "1000")];
    let server = Server::start(variables);
    let publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let id = id_of(&server.until_live("show"));
    let list = format!("/vod/{id}/{id}/v0.m3u8");
    let before = until("three segments", 10, || {
        let answer = server.get(&list);
        (answer.status == 200)
            .then(|| answer.text())
            .filter(|text| text.matches("#EXTINF").count() >= 3)
    });
    let data = server.leave("KILL");
    publisher.kill();
    let server = Server::start_in(data, variables);
    let after = server.text(&list);
    assert!(after.ends_with("#EXT-X-ENDLIST\n"), "{after}");
    for line in before.lines().filter(|line| line.ends_with(".m4s")) {
        assert!(after.contains(line), "{line} is lost: {after}");
    }
    let url = server.url(&format!("/vod/{id}/master.m3u8"));
    assert_eq!(clip::complaints(&url), "");
    assert!(clip::packets(&url, "v").len() >= 90);
}
