//! What a broadcast leaves: an index over the segments that were stored while it was live.

use nova_core::delivery::{Object, ObjectKind, Pieces, Presentation, Reply};
use nova_core::live::Item;
use nova_packager::captioned::{Captioned, Captions};
use nova_packager::{Recorder, Recording, Stream};
use proptest::prelude::*;

use crate::support::{AUDIO, Live, VIDEO, audio, both, video};

fn text(stream: &Stream, path: &str) -> String {
    text_of(stream, path)
}

fn text_of(presentation: &dyn Presentation, path: &str) -> String {
    match presentation.answer(path, None) {
        Reply::Text(text) => String::from_utf8(text.plain.to_vec()).unwrap(),
        Reply::NotFound => "404".into(),
        _ => panic!("{path} is not a text"),
    }
}

/// A broadcast with a blip and another resolution after it, watched by a recorder; the journal it wrote.
fn broadcast() -> (Live, String) {
    let mut live = both();
    let mut recorder = Recorder::new(live.packager.stream().clone());
    let mut journal = String::new();
    for at in (0..9_000).step_by(500) {
        live.run(at, at + 500, if at % 2000 == 0 { 15 } else { 0 }, &[VIDEO, AUDIO]);
        journal += &recorder.observe();
    }
    live.push(Item::Offline);
    live.epoch(&[video(0x28), audio()], 12_000_000, true);
    // Longer than the window: what has left the playlists is still in the recording.
    for at in (12_000..40_000).step_by(500) {
        live.run(at, at + 500, if at % 2000 == 0 { 15 } else { 0 }, &[VIDEO, AUDIO]);
        journal += &recorder.observe();
    }
    live.push(Item::End);
    journal += &recorder.finish();
    (live, journal)
}

#[test]
fn a_recording_is_the_whole_broadcast_as_vod_over_the_same_objects() {
    let (live, journal) = broadcast();
    let recording = Recording::read(&journal).unwrap();
    assert!(recording.has_ended());
    let list = text(recording.stream(), "b1/v0.m3u8");
    insta::assert_snapshot!("recording_video", list);
    insta::assert_snapshot!("recording_multivariant", text(recording.stream(), "master.m3u8"));
    insta::assert_snapshot!("recording_mpd", text(recording.stream(), "manifest.mpd"));
    insta::assert_snapshot!("recording_iframes", text(recording.stream(), "b1/v0-iframes.m3u8"));
    // Every segment that was stored is listed, under the key it was stored with.
    let listed = list.lines().filter(|line| line.ends_with(".m4s")).count();
    let stored = live.stored.iter().filter(|(_, key)| key.contains("/v0/")).count();
    assert_eq!(listed, stored);
    for (msn, key) in live.stored.iter().filter(|(_, key)| key.contains("/v0/")) {
        let Reply::Stored { key: found, .. } = recording.stream().answer(&format!("b1/v0/{msn}.m4s"), None) else {
            panic!("segment {msn} is in the store");
        };
        assert_eq!(found, *key);
    }
    assert_eq!(recording.duration_us() / 1_000_000, 37);
    assert_eq!(recording.size(), Some((1280, 720)));
}

#[test]
fn while_the_broadcast_runs_its_recording_can_be_watched_from_the_beginning() {
    let mut live = both();
    let mut recorder = Recorder::new(live.packager.stream().clone());
    assert!(recorder.observe().is_empty(), "nothing has been stored yet");
    live.run(0, 7_000, 60, &[VIDEO, AUDIO]);
    assert!(!recorder.observe().is_empty());
    let stream = recorder.recording().unwrap().stream().clone();
    let list = text(&stream, "b1/v0.m3u8");
    assert!(
        list.contains("#EXT-X-PLAYLIST-TYPE:EVENT\n") && !list.contains("#EXT-X-ENDLIST"),
        "{list}"
    );
    assert_eq!(list.matches("#EXTINF").count(), 3);
    assert!(text(&stream, "manifest.mpd").contains("type=\"dynamic\""));
    live.push(Item::End);
    recorder.finish();
    let list = text(&stream, "b1/v0.m3u8");
    assert!(
        list.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && list.ends_with("#EXT-X-ENDLIST\n"),
        "{list}"
    );
    assert!(text(&stream, "manifest.mpd").contains("type=\"static\""));
}

#[test]
fn what_could_not_be_stored_is_a_gap_and_never_a_hole() {
    let mut live = both();
    let mut recorder = Recorder::new(live.packager.stream().clone());
    live.run(0, 4_100, 60, &[VIDEO, AUDIO]);
    let mut journal = recorder.observe();
    live.store_works = false;
    live.run(4_100, 8_100, 0, &[VIDEO, AUDIO]);
    journal += &recorder.observe();
    live.store_works = true;
    live.run(8_100, 12_100, 60, &[VIDEO, AUDIO]);
    live.push(Item::End);
    journal += &recorder.finish();
    let list = text(Recording::read(&journal).unwrap().stream(), "b1/v0.m3u8");
    assert!(list.contains("#EXT-X-GAP\n"), "{list}");
    let numbers: Vec<u64> = list
        .lines()
        .filter_map(|line| line.strip_prefix("v0/")?.strip_suffix(".m4s")?.parse().ok())
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
}

#[test]
fn a_journal_that_was_cut_off_is_everything_up_to_its_last_whole_line() {
    let (_, journal) = broadcast();
    let whole = text(Recording::read(&journal).unwrap().stream(), "b1/v0.m3u8");
    let cut = &journal[..journal.len() * 2 / 3];
    let mut recording = Recording::read(cut).unwrap();
    assert!(!recording.has_ended());
    let end = recording.end();
    let there = cut.rfind('\n').unwrap() + 1;
    let recovered = format!("{}{end}", &cut[..there]);
    let list = text(Recording::read(&recovered).unwrap().stream(), "b1/v0.m3u8");
    assert_eq!(list, text(recording.stream(), "b1/v0.m3u8"));
    assert!(whole.starts_with(list.trim_end_matches("#EXT-X-ENDLIST\n")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_recording_or_an_error(text in "\\PC{0,200}", cut in 0usize..4000, flip in any::<u8>()) {
        let _either = Recording::read(&text);
        let (_, journal) = broadcast();
        let mut bytes = journal.into_bytes();
        let at = cut % bytes.len();
        bytes[at] = flip & 0x7f;
        let _either = Recording::read(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn captions_that_were_added_follow_the_periods_as_players_count_time() {
    let (_live, journal) = broadcast();
    let recording = Recording::read(&journal).unwrap();
    let cue = |start_ms: u64, text: &str| nova_core::webvtt::Cue {
        start_ms,
        end_ms: start_ms + 2000,
        id: String::new(),
        settings: String::new(),
        text: text.into(),
    };
    let captions = Captions {
        language: "pt-br".into(),
        label: "Português & mais".into(),
        revision: 7,
        cues: Some(vec![cue(1000, "first"), cue(8500, "over the break"), cue(30_000, "late")].into()),
    };
    let shown = Captioned::new(recording.stream().clone(), vec![captions]);
    insta::assert_snapshot!("captioned_multivariant", text_of(&shown, "master.m3u8"));
    insta::assert_snapshot!("captioned_mpd", text_of(&shown, "manifest.mpd"));
    insta::assert_snapshot!("captioned_playlist", text_of(&shown, "b1/t-pt-br.m3u8"));
    let file = |name: &str| match shown.answer(&format!("b1/t-pt-br/{name}"), None) {
        Reply::Object(Object {
            kind: ObjectKind::Captions,
            pieces: Pieces::One(bytes),
            ..
        }) => String::from_utf8(bytes.to_vec()).unwrap(),
        Reply::NotFound => "404".into(),
        _ => panic!("{name}"),
    };
    insta::assert_snapshot!("captioned_second_period", file("7.1.vtt"));
    assert!(file("7.1.plain.vtt").starts_with("WEBVTT\n\n00:00:00.000 --> "));
    for other in ["6.0.vtt", "7.2.vtt", "7.vtt", "7.0.srt", "7.x.vtt"] {
        assert_eq!(file(other), "404", "{other}");
    }
    // What is not about captions is the recording's own.
    assert_eq!(text_of(&shown, "b1/v0.m3u8"), text(recording.stream(), "b1/v0.m3u8"));
    assert_eq!(text_of(&shown, "b1/t-de.m3u8"), "404");
}
