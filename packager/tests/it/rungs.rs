//! Rungs: renditions made from what the encoder sends, later than it, cut where it was cut (conformance 48, 73).

use std::sync::Arc;

use bytes::Bytes;
use nova_core::live::Item;
use nova_core::media::{Frame, Media, Track, TrackId};

use crate::support::{AUDIO, CONFIG, Live, VIDEO, assert_hls_rules, audio, both, video};

const RUNG: TrackId = TrackId(0x80);
const LATE_MS: i64 = 300;

fn rung(level: u8) -> Arc<Track> {
    let media = Media::Video {
        width: 640,
        height: 360,
        sar: (1, 1),
        frame_rate: None,
        colour: None,
    };
    Arc::new(Track {
        id: RUNG,
        media,
        ..Track::clone(&video(level))
    })
}

/// A picture of the rung, with a keyframe where the source has one.
fn picture(n: i64) -> Item {
    Item::Frame(Frame {
        track: RUNG,
        dts: n * 3000,
        composition_offset: 0,
        duration: None,
        keyframe: n % 60 == 0,
        payload: Bytes::from_static(&[3; 900]),
    })
}

/// The source from `from_ms` to `to_ms` a tenth of a second at a time, and each of the rung's pictures that `has` so much later.
fn run(live: &mut Live, from_ms: i64, to_ms: i64, has: impl Fn(i64) -> bool) {
    for at in (from_ms..to_ms).step_by(100) {
        // Keyframes each two seconds.
        let gop = if at % 2000 == 0 { 60 } else { 0 };
        live.run(at, at + 100, gop, &[VIDEO, AUDIO]);
        for n in ((at - LATE_MS) * 30 / 1000..(at + 100 - LATE_MS) * 30 / 1000).filter(|n| *n >= 0 && has(*n)) {
            live.push(picture(n));
        }
    }
}

/// `(msn, start)` of a rendition's segments, and whether each is a gap.
fn segments(live: &Live, name: &str) -> Vec<(u64, i64, bool)> {
    let renditions = live.packager.stream().renditions();
    let view = renditions
        .iter()
        .find(|one| one.name == name)
        .expect("a rendition")
        .view();
    view.segments.iter().map(|one| (one.msn, one.start, one.gap)).collect()
}

#[test]
fn conformance_48_a_rung_is_cut_where_its_source_was() {
    let mut live = both();
    live.packager.expect(["360p"]);
    live.packager.rung("360p", &rung(0x1e));
    run(&mut live, 0, 9_000, |_| true);
    let (source, rung) = (segments(&live, "v0"), segments(&live, "360p"));
    assert!(rung.len() >= 4 && source.len() - rung.len() <= 1, "{source:?} {rung:?}");
    assert_eq!(source[..rung.len()], rung[..]);
    assert_hls_rules(&live);
    insta::assert_snapshot!("ladder_multivariant", live.get("master.m3u8", None));
    insta::assert_snapshot!("ladder_mpd", live.get("manifest.mpd", None));
}

#[test]
fn the_first_playlist_waits_for_the_rungs_and_not_for_ever() {
    let mut live = both();
    live.packager.expect(["360p"]);
    run(&mut live, 0, 2_200, |_| false);
    assert_eq!(live.get("master.m3u8", None), "404");
    live.packager.rung("360p", &rung(0x1e));
    for n in 0..62 {
        live.push(picture(n));
    }
    assert!(live.get("master.m3u8", None).contains("RESOLUTION=640x360"));

    let mut live = both();
    live.packager.expect(["360p"]);
    run(&mut live, 0, 4_500, |_| false);
    let list = live.get("master.m3u8", None);
    assert!(
        list.contains("RESOLUTION=1280x720") && !list.contains("RESOLUTION=640x360"),
        "{list}"
    );
    // It comes late: from the next segment on it is in the lists.
    live.packager.rung("360p", &rung(0x1e));
    run(&mut live, 4_500, 9_000, |_| true);
    assert!(live.get("master.m3u8", None).contains("RESOLUTION=640x360"));
    assert!(live.get("manifest.mpd", None).contains("<Representation id=\"360p\""));
    assert_eq!(segments(&live, "360p")[0], (3, 6 * 90_000, false));
    assert_hls_rules(&live);
}

#[test]
fn a_rung_that_pauses_has_gaps_is_not_offered_and_comes_back_with_a_whole_segment() {
    let mut live = both();
    live.packager.expect(["360p"]);
    live.packager.rung("360p", &rung(0x1e));
    // It stops in the middle of segment 2 and comes back in the middle of segment 5.
    let has = |n: i64| !(150..330).contains(&n);
    run(&mut live, 0, 5_300, has);
    live.packager.pause(RUNG);
    run(&mut live, 5_300, 9_000, has);
    assert!(!live.get("master.m3u8", None).contains("RESOLUTION=640x360"));
    assert!(live.get("b1/360p.m3u8", None).contains("#EXT-X-GAP\n"));
    run(&mut live, 9_000, 15_000, has);
    assert!(live.get("master.m3u8", None).contains("RESOLUTION=640x360"));
    let (source, rung) = (segments(&live, "v0"), segments(&live, "360p"));
    for (msn, start, gap) in rung {
        let theirs = source.iter().find(|one| one.0 == msn).expect("the same numbers");
        assert!(gap || start == theirs.1, "{msn} starts at {start}");
        assert_eq!(gap, (3..6).contains(&msn), "{msn}");
    }
    assert_hls_rules(&live);
}

#[test]
fn a_rung_goes_on_after_a_blip_with_one_discontinuity_where_the_source_has_it() {
    let mut live = both();
    live.packager.expect(["360p"]);
    live.packager.rung("360p", &rung(0x1e));
    run(&mut live, 0, 5_000, |_| true);
    for n in 141..150 {
        live.push(picture(n));
    }
    live.push(Item::Offline);
    live.epoch(&[video(0x1f), audio()], 8_000_000, true);
    live.packager.expect(["360p"]);
    // The same decoder configuration: known before the worker has said so.
    run(&mut live, 8_000, 8_500, |n| n >= 240);
    live.packager.rung("360p", &rung(0x1e));
    run(&mut live, 8_500, 12_500, |n| n >= 240);
    let list = live.get("b1/360p.m3u8", None);
    assert_eq!(list.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{list}");
    assert_eq!(list.matches("#EXT-X-MAP").count(), 1, "{list}");
    assert!(!list.contains("#EXT-X-GAP"), "{list}");
    assert_hls_rules(&live);
}

#[test]
fn without_rungs_nothing_waits() {
    let mut live = Live::new(CONFIG);
    live.epoch(&[video(0x1f), audio()], 0, false);
    live.packager.expect([]);
    live.run(0, 2_100, 60, &[VIDEO, AUDIO]);
    assert!(live.get("master.m3u8", None).contains("RESOLUTION=1280x720"));
}
