//! A broadcaster goes and comes back, inside the window and after it (conformance 52, 53, 68, 79, 84).

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use crate::clip;
use crate::playlist::Rendition;
use crate::publisher::Publisher;
use crate::server::{Server, until};

#[test]
fn a_killed_publisher_comes_back_to_the_same_urls() {
    let server = Server::start(&[("NOVA_LIVE__SEGMENT_MS", "1000"), ("NOVA_LIVE__WINDOW_S", "6")]);
    let url = format!("{}/show", server.rtmp);
    let publisher = Publisher::endless(&url);
    let multivariant = server.until_live("show");
    let renditions = Rendition::all("show", &multivariant);
    let before = until("four segments", 20, || {
        let list = renditions[0].now(&server);
        (list.segments.len() >= 4).then_some(list)
    });
    let anchor = |mpd: &str| mpd.split_once("availabilityStartTime=\"").expect("a live MPD").1[..24].to_owned();
    let zero = anchor(&server.text("/live/show/manifest.mpd"));
    publisher.kill();
    server.until_status("show", "reconnecting", 10);
    let away = renditions[0].now(&server);
    assert!(!away.ended, "the broadcast waits");
    let _publisher = Publisher::endless(&url);
    server.until_status("show", "live", 20);
    let uris = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with("#EXT-X-STREAM"))
            // Rates are measured and may change.
            .map(|line| match line.starts_with("#EXT-X-I-FRAME") {
                true => line.split_once("URI=").map_or("", |(_, uri)| uri).to_owned(),
                false => line.to_owned(),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        uris(&server.text("/live/show/master.m3u8")),
        uris(&multivariant),
        "the same URLs"
    );

    // Both renditions carry exactly one discontinuity, at the same number, and no name comes twice.
    let mut breaks = Vec::new();
    for rendition in &renditions {
        let list = until("the discontinuity and a segment after it", 20, || {
            let list = rendition.now(&server);
            let at = list.segments.iter().position(|segment| segment.discontinuity)?;
            (list.segments.len() > at + 1).then_some(list)
        });
        assert_eq!(list.segments.iter().filter(|segment| segment.discontinuity).count(), 1);
        let first = list.segments.iter().find(|segment| segment.discontinuity).expect("one");
        assert!(
            first.msn >= before.next_msn(),
            "numbers go on: {} after {}",
            first.msn,
            before.next_msn()
        );
        assert!(
            first.date > before.segments.last().expect("some").date,
            "time goes on (55)"
        );
        let names: HashSet<&str> = list.segments.iter().map(|segment| segment.uri.as_str()).collect();
        assert_eq!(names.len(), list.segments.len());
        assert_eq!((list.target, list.part_target), (before.target, before.part_target));
        breaks.push(first.msn);
    }
    assert!(
        breaks.iter().all(|msn| *msn == breaks[0]),
        "all renditions break at the same number (53): {breaks:?}"
    );
    let mpd = server.text("/live/show/manifest.mpd");
    assert_eq!(anchor(&mpd), zero, "79");
    assert_eq!(mpd.matches("<Period ").count(), 2, "a Period of its own: {mpd}");

    // Once the discontinuity has left the window it is counted, for good.
    for rendition in &renditions {
        let list = until("the discontinuity to leave", 30, || {
            let list = rendition.now(&server);
            (list.sequence > breaks[0]).then_some(list)
        });
        assert_eq!(list.discontinuity_sequence, 1);
        assert!(list.segments.iter().all(|segment| !segment.discontinuity));
    }
    assert_eq!(server.text("/live/show/manifest.mpd").matches("<Period ").count(), 1);
}

#[test]
fn after_the_window_the_broadcast_ends_and_the_next_has_names_of_its_own() {
    let server = Server::start(&[("NOVA_LIVE__RECONNECT_S", "1"), ("NOVA_LIVE__SEGMENT_MS", "1000")]);
    let folder = tempfile::tempdir().expect("a folder");
    let clip = clip::make("ffmpeg", folder.path(), "clip.flv", 4, clip::H264);
    let url = format!("{}/show", server.rtmp);
    let mut seen = HashSet::new();
    let mut folders = HashSet::new();
    for round in 0..2 {
        let publisher = Publisher::file(&clip, &url);
        let multivariant = until("the broadcast", 20, || {
            let answer = server.get("/live/show/master.m3u8");
            let text = (answer.status == 200).then(|| answer.text())?;
            (!folders.contains(&Rendition::all("show", &text)[0].folder)).then_some(text)
        });
        let renditions = Rendition::all("show", &multivariant);
        folders.insert(renditions[0].folder.clone());
        // A player that holds a request when the end comes is told so by the list itself.
        let told = thread::scope(|scope| {
            let follower = scope.spawn(|| {
                let mut list = renditions[0].now(&server);
                while !list.ended {
                    let (msn, part) = list.next_part();
                    let answer = server
                        .get(&renditions[0].path(&format!("{}?_HLS_msn={msn}&_HLS_part={part}", renditions[0].file)));
                    list = crate::playlist::Media::parse(&answer.ok().text());
                }
                list
            });
            publisher.finish(Duration::from_secs(4));
            follower.join().expect("followed to the end")
        });
        server.until_status("show", "ended", 20);
        assert!(
            told.open.is_empty() && told.hints.is_empty(),
            "nothing is promised any more (68)"
        );
        for rendition in &renditions {
            let list = rendition.now(&server);
            assert!(list.ended && list.sequence == 0);
            for segment in &list.segments {
                let path = rendition.path(&segment.uri);
                server.get(&path).ok();
                assert!(seen.insert(path.clone()), "round {round}: {path} was used before");
            }
        }
        assert!(server.text("/live/show/manifest.mpd").contains("type=\"static\""));
    }
    // What the first broadcast had can still be fetched under its own names.
    assert!(seen.len() >= 16);
    for path in &seen {
        server.get(path).ok();
    }
}
