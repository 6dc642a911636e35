//! The rules of live playlists (conformance 50-65), watched as a player with blocking reloads sees them.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::playlist::{Media, Rendition};
use crate::publisher::Publisher;
use crate::server::{Server, until};

/// Every playlist of `seconds`, one a part, each asked for before it existed.
fn follow(server: &Server, rendition: &Rendition, seconds: u64) -> Vec<Media> {
    let start = Instant::now();
    let mut lists = vec![rendition.now(server)];
    while start.elapsed() < Duration::from_secs(seconds) {
        let next = lists.last().expect("one").next_part();
        let list = rendition.at(server, next);
        assert!(
            list.next_part() > next,
            "answered before the part was there: {next:?}, {:?}",
            list.next_part()
        );
        lists.push(list);
    }
    lists
}

#[test]
fn a_live_playlist_keeps_its_rules_while_it_slides() {
    let server = Server::start(&[
        ("NOVA_LIVE__SEGMENT_MS", "1000"),
        ("NOVA_LIVE__PART_MS", "200"),
        ("NOVA_LIVE__WINDOW_S", "10"),
    ]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let renditions = Rendition::all("show", &server.until_live("show"));
    assert_eq!(renditions.len(), 2, "pictures, and sound in a group of its own (57)");
    let seen: Vec<Vec<Media>> = thread::scope(|scope| {
        let threads: Vec<_> = renditions
            .iter()
            .map(|rendition| scope.spawn(|| follow(&server, rendition, 14)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("followed"))
            .collect()
    });
    for lists in &seen {
        check(lists);
    }
    let [video, audio] = &seen[..] else { unreachable!() };
    same_boundaries(video.last().expect("a list"), audio.last().expect("a list"));
    delta_updates(&server, &renditions[0]);
    an_independent_parser_agrees(&server, &renditions[0]);
}

fn check(lists: &[Media]) {
    let first = &lists[0];
    assert!(first.version >= 9, "EXT-X-SKIP wants version 9 (54)");
    let seconds = |name: &str| first.control[name].parse::<f64>().expect("seconds");
    assert_eq!(first.control["CAN-BLOCK-RELOAD"], "YES");
    assert!(seconds("PART-HOLD-BACK") >= 3.0 * first.part_target, "59");
    assert!(seconds("HOLD-BACK") >= 3.0 * first.target as f64, "59");
    assert!(seconds("CAN-SKIP-UNTIL") >= 6.0 * first.target as f64, "62");
    assert!(lists.len() > 40, "{} playlists", lists.len());
    assert!(
        lists.last().expect("one").sequence > first.sequence,
        "the window slides"
    );

    let mut segments: HashMap<u64, crate::playlist::Segment> = HashMap::new();
    let mut parts: HashMap<String, f64> = HashMap::new();
    for pair in lists.windows(2) {
        let (before, list) = (&pair[0], &pair[1]);
        assert_eq!(
            (list.target, list.part_target),
            (first.target, first.part_target),
            "fixed for life (50, 58)"
        );
        assert_eq!(list.control, first.control);
        assert!(
            list.sequence >= before.sequence && list.next_part() > before.next_part(),
            "52"
        );
        assert_eq!((list.skipped, list.discontinuity_sequence, list.ended), (0, 0, false));
        let listed: f64 = list.segments.iter().map(|segment| segment.duration).sum();
        assert!(
            list.sequence == 0 || listed >= 3.0 * list.target as f64,
            "51: {listed} s"
        );
        assert!(listed <= 10.0 + 2.0 * list.target as f64, "the window: {listed} s");
        // 63, 64
        let hint = list
            .hints
            .iter()
            .find(|hint| hint["TYPE"] == "PART")
            .expect("a hinted part");
        let (msn, part) = list.next_part();
        assert!(
            hint["URI"].ends_with(&format!("/{msn}.{part}.m4s")),
            "{hint:?} is not {msn}.{part}"
        );
        assert_eq!(list.reports.len(), 1);
        let told: u64 = list.reports[0]["LAST-MSN"].parse().expect("a number");
        assert!(told.abs_diff(list.next_msn()) <= 1, "{told} beside {}", list.next_msn());

        let (mut clock, mut edge): (Option<i64>, f64) = (None, list.open.iter().map(|part| part.duration).sum());
        for (index, segment) in list.segments.iter().enumerate() {
            assert!(
                !segment.gap && !segment.discontinuity && !segment.map.is_empty(),
                "{segment:?}"
            );
            assert!(segment.duration.round() as u64 <= list.target, "50: {segment:?}");
            // 55: the clock goes on by the duration of each segment.
            let date = segment.date.expect("every segment has its time");
            if let Some(expected) = clock {
                assert!((date - expected).abs() <= 2, "{date} is not {expected}");
            }
            clock = Some(date + (segment.duration * 1000.0).round() as i64);
            // A segment never changes, but its parts leave the list.
            let known = segments.entry(segment.msn).or_insert_with(|| segment.clone());
            assert_eq!(
                (&known.uri, known.duration, known.date),
                (&segment.uri, segment.duration, segment.date)
            );
            if index == 0 {
                continue;
            }
            let sum: f64 = segment.parts.iter().map(|part| part.duration).sum();
            assert!(
                segment.parts.is_empty() || (sum - segment.duration).abs() < 0.001,
                "{segment:?}"
            );
        }
        // 65: parts near the edge are listed, old ones are not.
        for segment in list.segments.iter().rev() {
            if edge <= 2.0 * list.target as f64 {
                assert!(!segment.parts.is_empty(), "{segment:?} is {edge} s from the edge");
            }
            if edge > 4.0 * list.target as f64 {
                assert!(segment.parts.is_empty(), "{segment:?} is {edge} s from the edge");
            }
            edge += segment.duration;
        }
        // 58
        for (parts_of, open) in list
            .segments
            .iter()
            .map(|s| (&s.parts, false))
            .chain([(&list.open, true)])
        {
            for (number, part) in parts_of.iter().enumerate() {
                assert!(part.duration <= list.part_target + 0.0005, "{part:?}");
                let last = number + 1 == parts_of.len() && !open;
                let before_independent = parts_of.get(number + 1).is_some_and(|next| next.independent);
                let excused = part.independent || before_independent || last || open;
                assert!(
                    excused || part.duration >= 0.85 * list.part_target,
                    "{part:?} of {}",
                    list.part_target
                );
                let known = *parts.entry(part.uri.clone()).or_insert(part.duration);
                assert_eq!(known, part.duration, "a part never changes");
            }
        }
    }
    let mut numbers: Vec<u64> = segments.into_keys().collect();
    numbers.sort_unstable();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "no number is left out (52, 68): {numbers:?}"
    );
}

/// Picture and sound are cut at the same places with the same numbers (48).
fn same_boundaries(video: &Media, audio: &Media) {
    for segment in &video.segments {
        let Some(other) = audio.segments.iter().find(|other| other.msn == segment.msn) else {
            continue;
        };
        let apart = (segment.date.expect("a time") - other.date.expect("a time")).abs();
        assert!(apart <= 30, "segment {}: {apart} ms apart", segment.msn);
    }
}

/// 62: what a delta update leaves out is what the list before it had.
fn delta_updates(server: &Server, rendition: &Rendition) {
    let full = rendition.now(server);
    let (msn, part) = full.next_part();
    let path = rendition.path(&format!("{}?_HLS_msn={msn}&_HLS_part={part}", rendition.file));
    let (delta, after) = thread::scope(|scope| {
        let delta = scope.spawn(|| Media::parse(&server.text(&format!("{path}&_HLS_skip=YES"))));
        let after = scope.spawn(|| Media::parse(&server.text(&path)));
        (delta.join().expect("a delta"), after.join().expect("a list"))
    });
    assert!(
        delta.skipped > 0,
        "a window of 10 s holds segments older than 6 target durations"
    );
    if (delta.next_part(), delta.sequence) == (after.next_part(), after.sequence) {
        assert_eq!(delta.segments, {
            let mut kept = after.segments[usize::try_from(delta.skipped).expect("a count")..].to_vec();
            // The header of the skipped segments still holds, so it is not said again.
            if !kept.is_empty() && delta.segments.first().is_some_and(|first| first.map.is_empty()) {
                kept.iter_mut().for_each(|segment| segment.map.clear());
            }
            kept
        });
    }
    let old: f64 = after.segments[usize::try_from(delta.skipped).expect("a count") - 1..]
        .iter()
        .skip(1)
        .map(|segment| segment.duration)
        .sum::<f64>()
        + after.open.iter().map(|part| part.duration).sum::<f64>();
    let skip_until: f64 = after.control["CAN-SKIP-UNTIL"].parse().expect("seconds");
    assert!(
        old >= skip_until - 0.3,
        "skipped segments end {old} s from the edge, the boundary is {skip_until} s"
    );
}

fn an_independent_parser_agrees(server: &Server, rendition: &Rendition) {
    let text = server.text(&rendition.path(&rendition.file));
    let ours = Media::parse(&text);
    let theirs = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("m3u8-rs reads it");
    assert_eq!(theirs.media_sequence, ours.sequence);
    assert_eq!(theirs.target_duration, ours.target);
    let uris: Vec<&str> = theirs.segments.iter().map(|segment| segment.uri.as_str()).collect();
    let known: Vec<&str> = ours.segments.iter().map(|segment| segment.uri.as_str()).collect();
    assert!(uris.starts_with(&known) && uris.len() <= known.len() + 1, "{uris:?}");
    let multivariant = server.text("/live/show/master.m3u8");
    let theirs = m3u8_rs::parse_master_playlist_res(multivariant.as_bytes()).expect("m3u8-rs reads it");
    let (iframes, variants): (Vec<_>, Vec<_>) = theirs.variants.iter().partition(|variant| variant.is_i_frame);
    assert_eq!((variants.len(), iframes.len(), theirs.alternatives.len()), (1, 1, 1));
    let variant = variants[0];
    let size = variant.resolution.expect("a size");
    assert_eq!((size.width, size.height, variant.frame_rate), (320, 180, Some(30.0)));
    assert!(variant.average_bandwidth.expect("an average") <= variant.bandwidth);
    let codecs = variant.codecs.as_deref().expect("codecs");
    assert!(codecs.starts_with("avc1.") && codecs.ends_with("mp4a.40.2"), "{codecs}");
}

#[test]
fn requests_for_what_is_to_come_are_held_or_refused() {
    let server = Server::start(&[
        ("NOVA_LIVE__SEGMENT_MS", "2000"),
        ("NOVA_LIVE__PART_MS", "500"),
        // A publisher that stands still is not yet given up when a held request is.
        ("NOVA_RTMP__IDLE_TIMEOUT_MS", "120000"),
    ]);
    let mut publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    let path = |query: &str| rendition.path(&format!("{}{query}", rendition.file));
    until("three segments", 20, || {
        (rendition.now(&server).segments.len() >= 3).then_some(())
    });
    let list = rendition.now(&server);
    let (msn, _) = list.next_part();
    // 60, 61
    for query in [
        format!("?_HLS_msn={}", msn + 5),
        "?_HLS_part=1".to_owned(),
        "?_HLS_msn=x".to_owned(),
        format!("?_HLS_msn={msn}&_HLS_part=-1"),
        format!("?_HLS_msn={msn}&_HLS_part=400"),
        "?_HLS_msn=99999999999999999999999999".to_owned(),
    ] {
        server.get(&path(&query)).is(400);
    }
    // Without a part: held until the segment is whole.
    let (msn, _) = rendition.now(&server).next_part();
    let whole = Media::parse(&server.text(&path(&format!("?_HLS_msn={msn}"))));
    assert!(whole.next_msn() > msn, "segment {msn} is listed");
    let (msn, _) = whole.next_part();
    let next = Media::parse(&server.text(&path(&format!("?_HLS_msn={msn}&_HLS_part=5"))));
    assert!(
        next.next_part() > (msn + 1, 0),
        "a part behind the end means the first of the next (61): {:?}",
        next.next_part()
    );

    // 63: the hinted part is held, and then whole.
    let list = rendition.now(&server);
    let hint = list.hints.iter().find(|hint| hint["TYPE"] == "PART").expect("a hint")["URI"].clone();
    let held = server.get(&rendition.path(&hint)).ok();
    let length: usize = held.header("content-length").parse().expect("sent whole");
    assert_eq!(length, held.body.len());
    let again = server.get(&rendition.path(&hint)).ok();
    assert_eq!(held.body, again.body);

    // The publisher stands still: a held request is given up after three target durations, with a word about it.
    publisher.signal("STOP");
    let (msn, part) = until("the last part", 5, || {
        let list = rendition.now(&server);
        std::thread::sleep(Duration::from_millis(700));
        (rendition.now(&server).next_part() == list.next_part()).then(|| list.next_part())
    });
    // A position that has passed is answered all the same; so is a part behind the end of a finished segment.
    for query in [
        format!("?_HLS_msn={}", msn - 2),
        format!("?_HLS_msn={}&_HLS_part=1", msn - 1),
    ] {
        server.get(&path(&query)).ok();
    }
    let start = Instant::now();
    let late = server.get(&path(&format!("?_HLS_msn={msn}&_HLS_part={part}"))).is(503);
    // Only the lower bound: a busy machine makes waits longer, never shorter.
    let least = Duration::from_secs(3 * rendition.now(&server).target);
    assert!(start.elapsed() >= least, "held for {:?} of {least:?}", start.elapsed());
    assert!(!late.header("retry-after").is_empty());
    publisher.signal("CONT");
    assert!(publisher.running());
    let list = rendition.at(&server, (msn, part));
    assert!(list.next_part() > (msn, part));
}
