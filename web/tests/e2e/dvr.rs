//! Going back further than the window: `dvr_s` of a broadcast are listed, and what memory does not hold comes from the store.

use std::time::Duration;

use crate::clip;
use crate::playlist::Rendition;
use crate::publisher::Publisher;
use crate::reading_back::compare;
use crate::server::{Server, until};

const SECONDS: u32 = 16;

#[test]
fn everything_within_dvr_s_can_be_had_although_memory_holds_the_newest_seconds_only() {
    let server = Server::start(&[
        ("NOVA_LIVE__WINDOW_S", "6"),
        ("NOVA_LIVE__DVR_S", "60"),
        ("NOVA_LIVE__MEMORY_S", "4"),
        ("NOVA_LIVE__SEGMENT_MS", "1000"),
        ("NOVA_LIVE__RECONNECT_S", "1"),
    ]);
    let folder = tempfile::tempdir().expect("a folder");
    let clip = clip::make("ffmpeg", folder.path(), "clip.flv", SECONDS, clip::H264);
    let publisher = Publisher::file(&clip, &format!("{}/show", server.rtmp));
    let video = &Rendition::all("show", &server.until_live("show"))[0];
    until("twelve segments", 20, || {
        (video.now(&server).segments.len() >= 12).then_some(())
    });

    // The first one lies in the store and nowhere else.
    let list = video.now(&server);
    assert_eq!(list.sequence, 0);
    let first = video.path(&list.segments[0].uri);
    let (file, away) = (
        server.data().join("media").join(&first[1..]),
        server.data().join("away"),
    );
    std::fs::rename(&file, &away).expect("the file of the first segment");
    server.get(&first).is(404);
    std::fs::rename(&away, &file).expect("back");
    server.get(&first).ok();

    publisher.finish(Duration::from_secs(SECONDS.into()));
    server.until_status("show", "ended", 20);
    compare(&server, &clip, "/live/show");
}
