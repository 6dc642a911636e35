//! Playlists and manifests of a broadcast, whole, as they are served (conformance 50-65, 76-82), and the rules that hold for any stream.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use nova_core::delivery::{Pieces, Presentation, Reply};
use nova_core::live::Item;
use nova_packager::Config;
use nova_packager::presentation::Directives;
use proptest::prelude::*;

use crate::support::{AUDIO, CONFIG, Live, VIDEO, WALL, assert_hls_rules, audio, both, video};

#[test]
fn a_live_stream_as_hls() {
    let mut live = both();
    live.run(0, 5_500, 60, &[VIDEO, AUDIO]);
    insta::assert_snapshot!("multivariant", live.get("master.m3u8", None));
    insta::assert_snapshot!("video", live.get("b1/v0.m3u8", None));
    insta::assert_snapshot!("audio", live.get("b1/a1.m3u8", None));
}

#[test]
fn a_live_stream_as_dash() {
    let mut live = both();
    live.run(0, 5_500, 60, &[VIDEO, AUDIO]);
    insta::assert_snapshot!("mpd", live.get("manifest.mpd", None));
}

#[test]
fn conformance_62_a_delta_update_skips_what_is_old_and_nothing_else() {
    let mut live = Live::new(Config { window_s: 40, ..CONFIG });
    live.epoch(&[video(0x1f)], 0, false);
    live.run(0, 30_000, 60, &[VIDEO]);
    let whole = live.get("b1/v0.m3u8", None);
    let delta = live.get("b1/v0.m3u8", Some("_HLS_skip=YES"));
    let skipped: usize = delta
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS="))
        .unwrap()
        .parse()
        .unwrap();
    let uris = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(uris(&whole)[skipped..], uris(&delta));
    // 30 s less the six target durations that must stay, whole segments: from the edge at 29.97 s.
    assert_eq!(skipped, 8);
    // Not every player carries the header on from what it skipped.
    let behind = delta.split_once("#EXT-X-SKIP:SKIPPED-SEGMENTS=8\n").unwrap().1;
    assert!(behind.starts_with("#EXT-X-MAP:URI=\"v0/init-0.mp4\"\n"), "{delta}");
}

#[test]
fn conformance_57_the_first_picture_of_each_segment_is_a_range_of_it() {
    let mut live = both();
    live.run(0, 5_500, 60, &[VIDEO, AUDIO]);
    let list = live.get("b1/v0-iframes.m3u8", None);
    insta::assert_snapshot!("iframes", list);
    assert_eq!(live.get("b1/a1-iframes.m3u8", None), "404");
    // As many as there are segments, under the same numbers.
    let starts = |text: &str| {
        text.lines()
            .filter(|line| line.ends_with(".m4s"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut segments = starts(&live.get("b1/v0.m3u8", None));
    segments.retain(|uri| !uri.starts_with('#'));
    assert_eq!(starts(&list), segments);
    // Each range is a chunk that holds one picture, whole.
    let lines: Vec<&str> = list.lines().collect();
    let ranges: Vec<(usize, &str)> = lines
        .windows(2)
        .filter_map(|pair| {
            let (length, start) = pair[0].strip_prefix("#EXT-X-BYTERANGE:")?.split_once('@')?;
            assert_eq!(start, "0");
            Some((length.parse().unwrap(), pair[1]))
        })
        .collect();
    assert_eq!(ranges.len(), 2);
    for (length, uri) in ranges {
        let Reply::Object(object) = live.packager.stream().answer(&format!("b1/{uri}"), None) else {
            panic!("{uri} is in memory");
        };
        let Pieces::Many(pieces) = object.pieces else {
            panic!("{uri} has parts")
        };
        let segment = pieces.concat();
        assert_eq!(
            segment[length - 4008..length - 4000],
            [0, 0, 0x0f, 0xa8, b'm', b'd', b'a', b't']
        );
        assert!(segment[length - 4000..length].iter().all(|byte| *byte == 1));
        // The second chunk follows it.
        assert_eq!(&segment[length + 4..length + 8], b"prft");
    }
    // It is held for like any other list.
    assert_eq!(live.get("b1/v0-iframes.m3u8", Some("_HLS_msn=2")), "held");
    assert!(live.get("b1/v0-iframes.m3u8", Some("_HLS_msn=1")).contains("v0/1.m4s"));
}

#[test]
fn a_segment_without_a_keyframe_is_a_gap_in_the_list_of_iframes() {
    let mut live = both();
    live.run(0, 2_000, 60, &[VIDEO, AUDIO]);
    // Nothing but predicted pictures for so long that segments are cut at them.
    live.run(2_000, 32_000, 0, &[VIDEO, AUDIO]);
    let list = live.get("b1/v0-iframes.m3u8", None);
    let ranges = list.matches("#EXT-X-BYTERANGE").count();
    let gaps = list.matches("#EXT-X-GAP").count();
    assert!(gaps > 0, "{list}");
    assert_eq!(ranges + gaps, list.matches("#EXTINF").count());
}

#[test]
fn conformance_60_61_a_request_is_held_refused_or_answered_by_its_position() {
    let mut live = both();
    live.run(0, 5_500, 60, &[VIDEO, AUDIO]);
    let media = |query: &str| live.get("b1/v0.m3u8", Some(query));
    let edge = live.packager.stream().renditions()[0].view().edge();
    assert_eq!((edge.msn, edge.parts), (2, 4));
    assert!(media("_HLS_msn=1").starts_with("#EXTM3U"));
    assert!(media("_HLS_msn=2&_HLS_part=3").starts_with("#EXTM3U"));
    assert!(
        media("_HLS_msn=1&_HLS_part=99").starts_with("#EXTM3U"),
        "behind a finished segment means the next one's first part"
    );
    assert_eq!(media("_HLS_msn=2"), "held");
    assert_eq!(media("_HLS_msn=2&_HLS_part=4"), "held");
    assert_eq!(media("_HLS_msn=3&_HLS_part=0"), "held");
    assert_eq!(media("_HLS_msn=5"), "400 _HLS_msn is too far ahead");
    assert_eq!(media("_HLS_msn=2&_HLS_part=40"), "400 _HLS_part is too far ahead");
    assert_eq!(media("_HLS_part=1"), "400 _HLS_part needs _HLS_msn");
    assert_eq!(media("_HLS_msn=x"), "400 _HLS_msn is not a number");
    assert!(
        media("token=abc&x").starts_with("#EXTM3U"),
        "what is not a directive is somebody else's"
    );
}

#[test]
fn a_waiting_request_wakes_for_its_part_and_for_no_other() {
    let mut live = both();
    live.run(0, 5_500, 60, &[VIDEO, AUDIO]);
    let waits = ["_HLS_msn=2&_HLS_part=4", "_HLS_msn=2&_HLS_part=5"].map(|query| {
        match live.packager.stream().answer("b1/v0.m3u8", Some(query)) {
            Reply::Wait(wait) => wait,
            _ => panic!("{query} waits"),
        }
    });
    let [mut near, mut far] = waits.map(|wait| wait.until);
    let mut context = Context::from_waker(Waker::noop());
    assert!(near.as_mut().poll(&mut context).is_pending());
    live.run(5_500, 5_700, 0, &[VIDEO, AUDIO]);
    assert!(near.as_mut().poll(&mut context).is_ready());
    assert!(far.as_mut().poll(&mut context).is_pending());
}

#[test]
fn requests_that_wait_are_bounded_per_stream() {
    let mut live = both();
    live.run(0, 5_500, 60, &[VIDEO, AUDIO]);
    let held: Vec<Reply> = ["b1/v0.m3u8", "b1/a1.m3u8"]
        .into_iter()
        .cycle()
        .take(4)
        .map(|list| live.packager.stream().answer(list, Some("_HLS_msn=2")))
        .collect();
    assert!(held.iter().all(|reply| matches!(reply, Reply::Wait(_))));
    for list in ["b1/v0.m3u8", "b1/a1.m3u8"] {
        assert_eq!(live.get(list, Some("_HLS_msn=2")), "503");
    }
    drop(held);
    assert_eq!(
        live.get("b1/v0.m3u8", Some("_HLS_msn=2")),
        "held",
        "those who hung up make room"
    );
}

#[test]
fn conformance_46_a_dash_segment_of_a_long_gop_is_there_from_its_first_part_on() {
    // OBS's default: 250 pictures from keyframe to keyframe, 8.33 s.
    let mut live = both();
    live.run(0, 20_000, 250, &[VIDEO, AUDIO]);
    let mpd = live.get("manifest.mpd", None);
    let video = &mpd[..mpd.find("contentType=\"audio\"").unwrap()];
    assert!(video.contains("<S t=\"0\" d=\"750000\" r=\"2\"/>"), "{mpd}");
    assert!(video.contains("startWithSAP=\"1\""), "{mpd}");
    // The third, of which 3.3 s are there, ends 8.333 s after its start; a player may ask for it a part after that.
    assert!(video.contains("availabilityTimeOffset=\"7.991\""), "{mpd}");
    assert_eq!(live.get("b1/v0/2.m4s", None), "growing");
}

#[test]
fn conformance_46_what_is_cut_where_no_keyframe_is_does_not_say_it_starts_with_one() {
    let mut live = both();
    live.run(0, 2000, 60, &[VIDEO, AUDIO]);
    live.run(2000, 26_000, 0, &[VIDEO, AUDIO]);
    let mpd = live.get("manifest.mpd", None);
    let (video, audio) = mpd.split_at(mpd.find("<AdaptationSet id=\"1\"").unwrap());
    assert!(!video.contains("startWithSAP"), "{mpd}");
    assert!(audio.contains("startWithSAP=\"1\""), "{mpd}");
}

#[test]
fn conformance_77_dash_follows_an_encoder_whose_clock_drifts_with_a_new_period() {
    for drift_us in [600_000, -600_000] {
        let mut live = both();
        live.run(0, 6000, 60, &[VIDEO, AUDIO]);
        // Steps of the size in which drift is noticed (conformance 49).
        for step in 1..=4 {
            live.push(Item::Anchor {
                media_us: 6_000_000,
                wall: WALL.plus_micros(6_000_000 + drift_us * step / 4),
            });
        }
        live.run(6000, 11_000, 60, &[VIDEO, AUDIO]);
        let mpd = live.get("manifest.mpd", None);
        let periods: Vec<&str> = mpd.lines().filter(|line| line.contains("<Period ")).collect();
        let expected = if drift_us > 0 {
            [
                "  <Period id=\"0\" start=\"PT0.000S\" duration=\"PT6.000S\">",
                "  <Period id=\"3\" start=\"PT6.600S\">",
            ]
        } else {
            [
                "  <Period id=\"0\" start=\"PT0.000S\" duration=\"PT5.400S\">",
                "  <Period id=\"3\" start=\"PT5.400S\">",
            ]
        };
        assert_eq!(periods, expected, "{mpd}");
        assert!(mpd.contains("presentationTimeOffset=\"540000\""), "{mpd}");
        assert!(!live.get("b1/v0.m3u8", None).contains("EXT-X-DISCONTINUITY\n"));
    }
}

#[test]
fn conformance_63_the_hinted_part_is_held_and_what_is_further_is_not_there() {
    let mut live = both();
    live.run(0, 5_500, 60, &[VIDEO, AUDIO]);
    let playlist = live.get("b1/v0.m3u8", None);
    assert!(
        playlist.contains("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v0/2.4.m4s\""),
        "{playlist}"
    );
    assert_eq!(live.get("b1/v0/2.4.m4s", None), "held");
    assert_eq!(live.get("b1/v0/2.9.m4s", None), "404");
    assert_eq!(live.get("b1/v0/9.m4s", None), "404");
    assert_eq!(live.get("b1/v0/2.m4s", None), "growing");
    for nonsense in [
        "b1",
        "b1/",
        "b1/v9.m3u8",
        "b1/v0/init-7.mp4",
        "b1/v0/-1.m4s",
        "b1/v0/1.1.1.m4s",
        "b0/v0.m3u8",
        "b1/v0/99999999999999999999.m4s",
        "",
    ] {
        assert_eq!(live.get(nonsense, None), "404", "{nonsense}");
    }
}

#[test]
fn a_segment_is_its_parts_in_memory_and_from_the_store() {
    let mut live = both();
    live.run(0, 20_000, 60, &[VIDEO, AUDIO]);
    let stream = Arc::clone(live.packager.stream());
    let length = |path: &str| match stream.answer(path, None) {
        Reply::Object(object) => (object.pieces.len(), matches!(object.pieces, Pieces::Many(_))),
        _ => panic!("{path} is in memory"),
    };
    let parts: usize = (0..6).map(|part| length(&format!("b1/v0/8.{part}.m4s")).0).sum();
    assert_eq!(length("b1/v0/8.m4s"), (parts, true));
    // 8 s in memory with the one that grows: older ones rest in the store, their parts as ranges of it.
    let Reply::Stored { range: None, key, .. } = stream.answer("b1/v0/5.m4s", None) else {
        panic!("5 rests in the store")
    };
    assert_eq!(key, "live/show/b1/v0/5.m4s");
    let mut end = 0;
    for part in 0..6 {
        let Reply::Stored { range: Some(range), .. } = stream.answer(&format!("b1/v0/5.{part}.m4s"), None) else {
            panic!("so do its parts")
        };
        assert_eq!(range.start, end);
        end = range.end;
    }
    assert_eq!(end as usize, parts);
}

#[test]
fn conformance_51_what_left_the_playlist_stays_for_a_while_and_then_goes() {
    let mut live = both();
    live.run(0, 60_000, 60, &[VIDEO, AUDIO]);
    let playlist = live.get("b1/v0.m3u8", None);
    let first: u64 = playlist
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"))
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        live.get(&format!("b1/v0/{}.m4s", first - 2), None)
            .starts_with("stored")
    );
    assert!(!live.deleted.is_empty());
    let newest_deleted = live.deleted.iter().filter(|key| key.contains("/v0/")).count() as u64 - 1;
    assert!(
        first - newest_deleted >= 8,
        "12 s of playlist and 6 s of reserve lie between {newest_deleted} and {first}"
    );
    assert_eq!(live.get(&format!("b1/v0/{newest_deleted}.m4s"), None), "404");
}

#[test]
fn when_nothing_can_be_stored_the_stream_goes_on_with_a_shorter_window() {
    let mut live = Live::new(Config { window_s: 60, ..CONFIG });
    live.store_works = false;
    live.epoch(&[video(0x1f), audio()], 0, false);
    live.run(0, 60_000, 60, &[VIDEO, AUDIO]);
    let in_memory: i64 = live.packager.stream().renditions()[0]
        .view()
        .segments
        .iter()
        .filter(|segment| segment.in_memory())
        .count() as i64;
    assert!(in_memory <= 12, "memory is bounded: {in_memory} segments");
    let playlist = live.get("b1/v0.m3u8", None);
    for uri in playlist.lines().filter(|line| !line.starts_with('#')) {
        assert!(
            live.get(&format!("b1/{uri}"), None).ends_with("bytes"),
            "{uri} is listed, so it can be fetched"
        );
    }
    // The disk has space again.
    live.store_works = true;
    live.run(60_000, 120_000, 60, &[VIDEO, AUDIO]);
    assert!(
        live.get("b1/v0.m3u8", None)
            .lines()
            .filter(|line| line.starts_with("#EXTINF"))
            .count()
            >= 28
    );
}

#[test]
fn conformance_84_a_publisher_that_comes_back_continues_with_one_discontinuity() {
    let mut live = both();
    live.run(0, 6_000, 60, &[VIDEO, AUDIO]);
    live.push(Item::Offline);
    let away = live.get("b1/v0.m3u8", None);
    assert!(!away.contains("PRELOAD-HINT") && !away.contains("ENDLIST"), "{away}");
    assert!(matches!(
        live.packager.stream().answer_late("b1/v0.m3u8", Some("_HLS_msn=3")),
        Reply::Text(_)
    ));
    live.epoch(&[video(0x28), audio()], 16_000_000, true);
    live.run(16_000, 22_100, 60, &[VIDEO, AUDIO]);
    insta::assert_snapshot!("reconnected_video", live.get("b1/v0.m3u8", None));
    insta::assert_snapshot!("reconnected_audio", live.get("b1/a1.m3u8", None));
    insta::assert_snapshot!("reconnected_mpd", live.get("manifest.mpd", None));
    live.run(22_100, 44_000, 60, &[VIDEO, AUDIO]);
    let later = live.get("b1/v0.m3u8", None);
    assert!(
        later.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n") && !later.contains("#EXT-X-DISCONTINUITY\n"),
        "{later}"
    );
    assert_eq!(live.get("manifest.mpd", None).matches("<Period").count(), 1);
}

#[test]
fn conformance_68_a_stream_that_is_over_says_so_once_after_its_last_segment() {
    let mut live = both();
    live.run(0, 5_500, 60, &[VIDEO, AUDIO]);
    live.push(Item::End);
    insta::assert_snapshot!("ended_video", live.get("b1/v0.m3u8", None));
    insta::assert_snapshot!("ended_mpd", live.get("manifest.mpd", None));
    assert!(
        live.get("b1/v0.m3u8", Some("_HLS_msn=99")).contains("ENDLIST"),
        "nobody waits for what will not come"
    );
}

#[test]
fn conformance_57_sound_without_pictures_and_pictures_without_sound() {
    let mut live = Live::new(CONFIG);
    live.epoch(&[audio()], 0, false);
    live.run(0, 5_000, 60, &[AUDIO]);
    insta::assert_snapshot!("audio_only", live.get("master.m3u8", None));
    assert!(live.get("b1/a1.m3u8", None).contains("#EXTINF:2.0"));
    let mut live = Live::new(CONFIG);
    live.epoch(&[video(0x1f)], 0, false);
    live.run(0, 5_000, 60, &[VIDEO]);
    insta::assert_snapshot!("video_only", live.get("master.m3u8", None));
}

#[test]
fn conformance_46_without_keyframes_segments_end_at_the_limit_and_do_not_claim_independence() {
    let mut live = both();
    live.run(0, 4_100, 60, &[VIDEO, AUDIO]);
    live.run(4_100, 12_000, 0, &[VIDEO, AUDIO]);
    let playlist = live.get("b1/v0.m3u8", None);
    assert!(!playlist.contains("EXT-X-INDEPENDENT-SEGMENTS"), "{playlist}");
    assert_hls_rules(&live);
}

#[test]
fn pictures_that_stop_leave_gaps_and_the_sound_goes_on() {
    let mut live = both();
    live.run(0, 6_000, 60, &[VIDEO, AUDIO]);
    live.run(6_000, 14_000, 60, &[AUDIO]);
    live.run(14_000, 20_000, 60, &[VIDEO, AUDIO]);
    assert!(live.get("b1/v0.m3u8", None).contains("#EXT-X-GAP\n"));
    assert!(!live.get("b1/a1.m3u8", None).contains("#EXT-X-GAP\n"));
    assert_hls_rules(&live);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_hold_for_any_gop_and_any_breaks(spans in prop::collection::vec((1i64..9, 1i64..300, 0u8..4), 1..12)) {
        let mut live = both();
        let mut at = 0;
        for (seconds, gop, then) in spans {
            live.run(at, at + seconds * 1000, gop, &[VIDEO, AUDIO]);
            at += seconds * 1000;
            match then {
                0 => {
                    live.push(Item::Offline);
                    at += 3000;
                    live.epoch(&[video(0x1f), audio()], at * 1000, true);
                }
                1 => live.epoch(&[video(0x28), audio()], at * 1000, true),
                2 => {
                    live.run(at, at + 3000, gop, &[AUDIO]);
                    at += 3000;
                }
                _ => {}
            }
            assert_hls_rules(&live);
        }
        live.push(Item::End);
        assert_hls_rules(&live);
    }

    #[test]
    fn any_query_is_answered_without_a_panic(query in "[_HLSmsnpartkiYE=&0-9v%.-]{0,80}") {
        let mut live = both();
        live.run(0, 4_500, 60, &[VIDEO, AUDIO]);
        live.get("b1/v0.m3u8", Some(&query));
        let _any_answer = Directives::parse(&query);
    }

    #[test]
    fn any_path_is_answered_without_a_panic(path in "[b1v0a./init9ms4upd8-]{0,40}") {
        let mut live = both();
        live.run(0, 4_500, 60, &[VIDEO, AUDIO]);
        live.get(&path, None);
        live.get(&format!("b1/{path}"), None);
    }
}

#[test]
fn a_growing_segment_comes_in_its_parts_and_ends_with_the_segment() {
    let mut live = both();
    live.run(0, 5_500, 60, &[VIDEO, AUDIO]);
    let Reply::Growing { mut pieces, .. } = live.packager.stream().answer("b1/v0/2.m4s", None) else {
        panic!("2 grows")
    };
    let mut context = Context::from_waker(Waker::noop());
    let mut received = Vec::new();
    while let Poll::Ready(Some(piece)) = pieces.as_mut().poll_next(&mut context) {
        received.push(piece.unwrap());
    }
    assert_eq!(received.len(), 4);
    live.run(5_500, 6_100, 15, &[VIDEO, AUDIO]);
    while let Poll::Ready(piece) = pieces.as_mut().poll_next(&mut context) {
        match piece {
            Some(piece) => received.push(piece.unwrap()),
            None => break,
        }
    }
    let Reply::Object(whole) = live.packager.stream().answer("b1/v0/2.m4s", None) else {
        panic!("2 is whole")
    };
    assert_eq!(received.iter().map(Bytes::len).sum::<usize>(), whole.pieces.len());
}

#[test]
fn a_track_that_is_not_sent_any_more_keeps_step_with_gaps_and_is_not_offered_to_newcomers() {
    let mut live = both();
    live.run(0, 6_000, 60, &[VIDEO, AUDIO]);
    assert!(live.get("master.m3u8", None).contains("AUDIO="));
    live.push(Item::Offline);
    live.epoch(&[video(0x1f)], 8_000_000, true);
    live.run(8_000, 20_000, 60, &[VIDEO]);
    assert!(!live.get("master.m3u8", None).contains("AUDIO="));
    let sound = live.get("b1/a1.m3u8", None);
    assert!(sound.contains("#EXT-X-GAP\n"), "{sound}");
    let next = |text: &str| -> usize {
        let first: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"))
            .unwrap()
            .parse()
            .unwrap();
        first + text.matches("#EXTINF").count()
    };
    assert!(next(&live.get("b1/v0.m3u8", None)).abs_diff(next(&sound)) <= 1);
    assert_hls_rules(&live);
}

#[test]
fn a_growing_segment_is_broken_off_when_it_cannot_be_told_to_its_end() {
    let mut live = both();
    live.run(0, 5_500, 60, &[VIDEO, AUDIO]);
    let Reply::Growing { mut pieces, .. } = live.packager.stream().answer("b1/v0/2.m4s", None) else {
        panic!("2 grows")
    };
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(
        pieces.as_mut().poll_next(&mut context),
        Poll::Ready(Some(Ok(_)))
    ));
    // The reader sleeps until the segment has left memory.
    live.run(5_500, 40_000, 60, &[VIDEO, AUDIO]);
    assert!(matches!(
        pieces.as_mut().poll_next(&mut context),
        Poll::Ready(Some(Err(_)))
    ));
}

#[test]
fn conformance_38_captions_inside_the_pictures_are_told_in_hls_and_dash() {
    let mut live = both();
    live.run(0, 3_000, 60, &[VIDEO, AUDIO]);
    assert!(live.get("master.m3u8", None).contains("CLOSED-CAPTIONS=NONE"));
    let mut payload = vec![0, 0, 0, 18, 6, 4, 14];
    payload.extend(b"\xb5\x00\x31GA94\x03\x41\xff\xfc\x94\x2c\xff\x80");
    payload.extend([0, 0, 0, 2, 0x65, 1]);
    live.push(Item::Frame(nova_core::media::Frame {
        track: VIDEO,
        dts: 270_000,
        composition_offset: 0,
        duration: None,
        keyframe: false,
        payload: payload.into(),
    }));
    live.run(3_100, 6_100, 60, &[VIDEO, AUDIO]);
    let list = live.get("master.m3u8", None);
    assert!(list.contains("#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"Captions 1\",DEFAULT=YES,AUTOSELECT=YES,INSTREAM-ID=\"CC1\"\n"), "{list}");
    assert!(
        list.contains(",CLOSED-CAPTIONS=\"cc\"") && !list.contains("NONE"),
        "{list}"
    );
    let mpd = live.get("manifest.mpd", None);
    assert!(
        mpd.contains("<Accessibility schemeIdUri=\"urn:scte:dash:cc:cea-608:2015\" value=\"CC1\"/>"),
        "{mpd}"
    );
}
