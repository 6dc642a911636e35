//! Parts of a recording: what is shared, what is cut, and that the parts of a clip lie one behind the other as those of its source did.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use nova_core::delivery::{Presentation, Reply};
use nova_core::live::Item;
use nova_core::media::{Frame, Track, TrackId, rescale};
use nova_packager::avc::Record;
use nova_packager::clip::{Clip, Cut, Error, Moment};
use nova_packager::fmp4::read;
use nova_packager::{Recorder, Recording};
use proptest::prelude::*;

use crate::support::{AUDIO, Live, VIDEO, audio, both, video};

/// Parameter sets of number 0, and of number 1: `ue(1)` is `010`.
const CONFIGS: [&[u8]; 2] = [
    &[
        1, 100, 0, 31, 0xff, 0xe1, 0, 5, 0x67, 100, 0, 31, 0x80, 1, 0, 2, 0x68, 0x80, 0xfd, 0xf8, 0xf8, 0,
    ],
    &[
        1, 100, 0, 40, 0xff, 0xe1, 0, 5, 0x67, 100, 0, 40, 0x40, 1, 0, 2, 0x68, 0x40, 0xfd, 0xf8, 0xf8, 0,
    ],
];

fn plain_video() -> Arc<Track> {
    Arc::new(Track {
        config: Bytes::from_static(CONFIGS[0]),
        ..Track::clone(&video(0x1f))
    })
}

/// Nine seconds, a break of three, and eleven more: a keyframe every two.
fn broadcast(track: &Arc<Track>) -> (Live, Recording) {
    let mut live = Live::new(crate::support::CONFIG);
    let mut recorder = Recorder::new(live.packager.stream().clone());
    let mut journal = String::new();
    live.epoch(&[Arc::clone(track), audio()], 0, false);
    for (from, to) in [(0, 9_000), (12_000, 23_000)] {
        if from > 0 {
            live.push(Item::Offline);
            live.epoch(&[Arc::clone(track), audio()], from * 1000, true);
        }
        for at in (from..to).step_by(500) {
            live.run(at, at + 500, if at % 2000 == 0 { 15 } else { 0 }, &[VIDEO, AUDIO]);
            journal += &recorder.observe();
        }
    }
    live.push(Item::End);
    journal += &recorder.finish();
    (live, Recording::read(&journal).unwrap())
}

/// A clip and everything it has in the store.
struct Made {
    recording: Recording,
    objects: BTreeMap<String, Bytes>,
    recoded: usize,
    shared: usize,
}

/// Makes a clip as the server does, with an encoder that only says that it was there.
fn make(live: &Live, source: &Recording, start_us: i64, end_us: i64) -> Result<Made, Error> {
    let (mut clip, ends) = Clip::plan(source.stream(), start_us, end_us)?;
    assert!(clip.is_complete());
    let (mut objects, mut recoded) = (BTreeMap::new(), 0);
    for end in &ends {
        let segment = &live.objects[&end.key];
        let (name, bytes) = match clip.cut(end, segment)? {
            Cut::Whole | Cut::Nothing => continue,
            Cut::Frames(frames) => clip.put(end, &frames, None)?,
            Cut::Recode(recode) => {
                recoded += 1;
                let made = recode
                    .frames
                    .iter()
                    .filter(|frame| (recode.from..recode.until).contains(&frame.pts()));
                let made = made.map(|frame| Frame {
                    payload: Bytes::from_static(b"anew"),
                    keyframe: frame.pts() == recode.from,
                    ..frame.clone()
                });
                let frames = recode.fit(made.collect());
                assert_eq!(recode.parameter_set, 1);
                clip.put(end, &frames, Some(&Bytes::from_static(CONFIGS[1])))?
            }
        };
        objects.insert(format!("vod/c/{name}"), bytes);
    }
    for (from, name) in clip.shared() {
        objects.insert(format!("vod/c/{name}"), live.objects[from].clone());
    }
    let recording = Recording::read(&clip.index("c", "vod/c")).unwrap();
    Ok(Made {
        recording,
        objects,
        recoded,
        shared: clip.shared().len(),
    })
}

/// Everything of a rendition, in decoding order.
fn frames(made: &Made, rendition: usize) -> Vec<Frame> {
    let view = made.recording.stream().renditions()[rendition].view();
    let segments = view.segments.iter().filter(|segment| !segment.gap);
    segments
        .flat_map(|segment| {
            let frames = read::frames(&made.objects[&segment.key], view.track.id).unwrap();
            let length: u32 = frames.iter().map(|frame| frame.duration.unwrap()).sum();
            assert_eq!(
                (frames[0].pts(), length),
                (segment.start, segment.duration),
                "{}",
                segment.key
            );
            frames
        })
        .collect()
}

#[test]
fn a_clip_across_a_break_keeps_the_break_and_makes_only_its_beginning_anew() {
    let (live, source) = broadcast(&plain_video());
    let made = make(&live, &source, 7_500_000, 11_200_000).unwrap();
    assert_eq!((made.recoded, made.shared), (1, 4));
    let pictures = frames(&made, 0);
    assert_eq!(pictures.len(), 111);
    let anew = pictures.iter().filter(|frame| frame.payload == "anew").count();
    assert_eq!(anew, 15, "half a second until the next keyframe");
    // The media clock is the source's: from 7.5 to 9 s, and from 12 to 14.2 s.
    assert_eq!(
        (pictures[0].dts, pictures[44].dts, pictures[45].dts),
        (675_000, 807_000, 1_080_000)
    );
    let stream = made.recording.stream();
    let text = |path: &str| match stream.answer(path, None) {
        Reply::Text(text) => String::from_utf8(text.plain.to_vec()).unwrap(),
        _ => panic!("{path}"),
    };
    insta::assert_snapshot!("clip_video", text("c/v0.m3u8"));
    insta::assert_snapshot!("clip_mpd", text("manifest.mpd"));
    // One decoder configuration for the pictures of both encoders.
    let track = Arc::clone(&stream.renditions()[0].view().track);
    let record = Record::read(&track.config).unwrap();
    assert_eq!(
        (record.codec_string().as_str(), record.free_number(&[])),
        ("avc1.640028", Some(2))
    );
}

#[test]
fn what_cannot_be_made_anew_is_cut_at_borders_of_segments() {
    let (live, source) = broadcast(&video(0x1f));
    let made = make(&live, &source, 2_500_000, 5_200_000).unwrap();
    assert_eq!((made.recoded, made.objects.len()), (0, made.shared));
    assert_eq!(made.recording.duration_us() / 1000, 4000);
}

/// What was pushed of these spans (milliseconds): whether there is a keyframe each two seconds, and what kinds of frames.
fn recorded(spans: &[(i64, i64, bool, &[TrackId])]) -> (Live, Recording) {
    let mut live = Live::new(crate::support::CONFIG);
    let mut recorder = Recorder::new(live.packager.stream().clone());
    let mut journal = String::new();
    live.epoch(&[plain_video(), audio()], 0, false);
    for (from, to, keyframes, kinds) in spans {
        for at in (*from..*to).step_by(500) {
            live.run(at, at + 500, if *keyframes && at % 2000 == 0 { 15 } else { 0 }, kinds);
            journal += &recorder.observe();
        }
    }
    live.push(Item::End);
    journal += &recorder.finish();
    (live, Recording::read(&journal).unwrap())
}

#[test]
fn a_clip_begins_where_somebody_can_begin() {
    // From 6 s on there is no keyframe, and segments are cut at the limit.
    let both: &[TrackId] = &[VIDEO, AUDIO];
    let (live, source) = recorded(&[(0, 6_000, true, both), (6_000, 14_000, false, both)]);
    let view = source.stream().renditions()[0].view();
    assert!(view.segments.iter().any(|segment| !segment.independent));
    let made = make(&live, &source, 11_000_000, 12_500_000).unwrap();
    let pictures = frames(&made, 0);
    assert!(
        pictures[0].keyframe && pictures[0].dts <= 11 * 90_000,
        "{}",
        pictures[0].dts
    );
    assert_eq!(made.recoded, 0);
}

#[test]
fn where_the_sound_was_silent_a_clip_has_a_gap() {
    let (live, source) = recorded(&[
        (0, 4_000, true, &[VIDEO, AUDIO]),
        (4_000, 4_500, true, &[VIDEO, AUDIO]),
        (4_500, 9_000, true, &[VIDEO]),
    ]);
    let made = make(&live, &source, 5_200_000, 8_500_000).unwrap();
    assert_eq!(frames(&made, 0).len(), 99);
    assert!(frames(&made, 1).is_empty());
    let view = made.recording.stream().renditions()[1].view();
    assert!(view.segments.iter().all(|segment| segment.gap));
}

#[test]
fn there_is_no_clip_of_what_is_not_there() {
    let (live, source) = broadcast(&plain_video());
    let of = |start: i64, end: i64| make(&live, &source, start, end).err();
    assert!(matches!(
        of(1_000_000, 21_000_000),
        Some(Error::Beyond { length_us: 20_000_000 })
    ));
    for (start, end) in [(3, 3), (5, 4), (-1, 4)] {
        assert_eq!(of(start * 1_000_000, end * 1_000_000), Some(Error::Nothing));
    }
    let empty = both();
    assert!(Clip::plan(empty.packager.stream(), 0, 1_000_000).is_err());
}

#[test]
fn a_moment_is_the_picture_that_is_on_the_screen() {
    let (live, source) = broadcast(&plain_video());
    for (at_ms, shown_ms) in [
        (0, 0),
        (2_533, 2_533),
        (2_550, 2_533),
        (8_999, 8_967),
        (9_000, 12_000),
        (60_000, 22_967),
    ] {
        let moment = Moment::at(source.stream(), at_ms * 1000).unwrap();
        let (_, shown) = moment.frames(&live.objects[&moment.key]).unwrap();
        assert_eq!(rescale(shown, 90_000, 1000), shown_ms, "{at_ms}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_clip_has_everything_between_its_cuts_and_no_hole(start in 0..19_500_000_i64, length in 100_000..8_000_000_i64) {
        let (live, source) = broadcast(&plain_video());
        let end = (start + length).min(20_000_000);
        let made = make(&live, &source, start, end).unwrap();
        for (rendition, step_us) in [(0, 33_334), (1, 21_334)] {
            let frames = frames(&made, rendition);
            let breaks = frames.windows(2).filter(|pair| pair[1].dts != pair[0].dts + i64::from(pair[0].duration.unwrap()));
            prop_assert!(breaks.count() <= 1, "only the source's own");
            let scale = made.recording.stream().renditions()[rendition].view().track.timescale;
            let ticks: i64 = frames.iter().map(|frame| i64::from(frame.duration.unwrap())).sum();
            let off = rescale(ticks, scale, 1_000_000) - (end - start);
            // A cut near a border of segments is at it, at either end.
            prop_assert!(off.abs() <= 2 * step_us + 50_000, "{rendition}: {off} us");
        }
    }
}
