//! The timeline normaliser against a table of what encoders do, and against random encoders (media-conformance 40-45, 49).

use std::sync::Arc;

use bytes::Bytes;
use nova_core::media::{Codec, Frame, Media, Track, TrackId};
use nova_core::timeline::{Output, Timeline};
use proptest::prelude::*;

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);

fn video_track(profile: &str) -> Track {
    let media = Media::Video {
        width: 640,
        height: 360,
        sar: (1, 1),
        frame_rate: None,
        colour: None,
    };
    Track {
        id: VIDEO,
        codec: Codec::Avc,
        timescale: 90_000,
        config: Bytes::copy_from_slice(profile.as_bytes()),
        codec_string: profile.into(),
        media,
    }
}

fn audio_track() -> Track {
    let media = Media::Audio {
        sample_rate: 48_000,
        channels: 2,
        frame_samples: Some(1024),
    };
    Track {
        id: AUDIO,
        codec: Codec::Aac,
        timescale: 48_000,
        config: Bytes::from_static(&[0x11, 0x90]),
        codec_string: "mp4a.40.2".into(),
        media,
    }
}

fn picture(ms: i64, keyframe: bool) -> Frame {
    Frame {
        track: VIDEO,
        dts: ms * 90,
        composition_offset: 0,
        duration: None,
        keyframe,
        payload: Bytes::from_static(b"picture"),
    }
}

fn sound(ms: i64) -> Frame {
    Frame {
        track: AUDIO,
        dts: ms * 48,
        composition_offset: 0,
        duration: None,
        keyframe: true,
        payload: Bytes::from_static(b"sound"),
    }
}

/// An encoder's stream: pictures every 1/30 s with a keyframe each `gop`, sound every 1024 samples, in milliseconds as RTMP has them,
/// `from..to`, both shifted by `offset`; each frame arrives `arrival - offset` after its time.
fn stream(from: i64, to: i64, gop: i64, offset: i64, arrival: i64) -> Vec<(Frame, i64)> {
    let mut frames: Vec<(i64, Frame)> = Vec::new();
    frames.extend(
        (0..)
            .map(|n| (n, n * 1000 / 30))
            .skip_while(|(_, ms)| *ms < from)
            .take_while(|(_, ms)| *ms < to)
            .map(|(n, ms)| (ms, picture(ms + offset, n % gop == 0))),
    );
    frames.extend(
        (0..)
            .map(|n: i64| n * 1024 * 1000 / 48_000)
            .skip_while(|ms| *ms < from)
            .take_while(|ms| *ms < to)
            .map(|ms| (ms, sound(ms + offset))),
    );
    frames.sort_by_key(|(ms, frame)| (*ms, frame.track));
    frames
        .into_iter()
        .map(|(ms, frame)| (frame, (ms + arrival) * 1000))
        .collect()
}

fn both(timeline: &mut Timeline) {
    timeline.track(video_track("avc1.64001f"));
    timeline.track(audio_track());
}

#[derive(Debug, Default)]
struct Seen {
    /// (start of epoch in microseconds, discontinuity, tracks)
    epochs: Vec<(i64, bool, Vec<TrackId>)>,
    /// (epoch, frame)
    frames: Vec<(usize, Frame)>,
}

impl Seen {
    fn of(&self, track: TrackId) -> impl Iterator<Item = &(usize, Frame)> {
        self.frames.iter().filter(move |(_, frame)| frame.track == track)
    }

    /// Media times of a track in an epoch, in milliseconds.
    fn span_ms(&self, track: TrackId, epoch: usize) -> (i64, i64) {
        let scale = if track == VIDEO { 90 } else { 48 };
        let times: Vec<i64> = self
            .of(track)
            .filter(|(e, _)| *e == epoch)
            .map(|(_, frame)| frame.dts / scale)
            .collect();
        (times[0], times[times.len() - 1])
    }
}

fn drain(timeline: &mut Timeline, seen: &mut Seen) {
    while let Some(output) = timeline.poll() {
        match output {
            Output::Epoch(epoch) => {
                let ids = epoch.tracks.iter().map(|track: &Arc<Track>| track.id).collect();
                seen.epochs.push((epoch.start_us, epoch.discontinuity, ids));
            }
            Output::Frame(frame) => seen.frames.push((seen.epochs.len() - 1, frame)),
            Output::Anchor { .. } => {}
        }
    }
}

fn run(timeline: &mut Timeline, frames: impl IntoIterator<Item = (Frame, i64)>) -> Seen {
    let mut seen = Seen::default();
    for (frame, arrival_us) in frames {
        timeline.push(frame, arrival_us);
        drain(timeline, &mut seen);
    }
    assert_rises(&seen);
    seen
}

/// What holds whatever comes in: times rise per track, sound never overlaps itself, video epochs begin with a keyframe.
fn assert_rises(seen: &Seen) {
    for track in [VIDEO, AUDIO] {
        let frames: Vec<&Frame> = seen.of(track).map(|(_, frame)| frame).collect();
        for pair in frames.windows(2) {
            let end = pair[0].dts + i64::from(pair[0].duration.unwrap_or(0));
            assert!(
                pair[1].dts > pair[0].dts && pair[1].dts >= end,
                "{track:?}: {} then {}",
                pair[0].dts,
                pair[1].dts
            );
        }
        assert!(frames.first().is_none_or(|frame| frame.dts >= 0));
    }
    for (epoch, (_, _, tracks)) in seen.epochs.iter().enumerate() {
        if tracks.contains(&VIDEO)
            && let Some((_, first)) = seen.of(VIDEO).find(|(e, _)| *e == epoch)
        {
            assert!(first.keyframe, "epoch {epoch} begins with a keyframe");
        }
    }
}

#[test]
fn a_clean_stream_passes_with_its_sound_on_the_sample_clock() {
    let mut timeline = Timeline::new(0, false);
    both(&mut timeline);
    let seen = run(&mut timeline, stream(0, 10_000, 60, 0, 0));
    assert_eq!(seen.epochs, [(0, false, vec![VIDEO, AUDIO])]);
    assert_eq!(seen.of(VIDEO).count(), 300);
    assert!(
        seen.of(AUDIO)
            .map(|(_, frame)| frame.dts)
            .eq((0..seen.of(AUDIO).count() as i64).map(|n| n * 1024)),
        "conformance 43"
    );
    assert_eq!(timeline.repairs(), Default::default());
}

#[test]
fn conformance_12_times_that_start_anywhere_are_anchored_at_zero() {
    let mut timeline = Timeline::new(0, false);
    both(&mut timeline);
    let seen = run(&mut timeline, stream(0, 5000, 60, 4_294_960_000, 0));
    assert_eq!(seen.span_ms(VIDEO, 0).0, 0);
    assert_eq!(seen.span_ms(AUDIO, 0).0, 0);
}

#[test]
fn conformance_40_sound_only_and_pictures_only_start_after_the_wait() {
    for track in [VIDEO, AUDIO] {
        let mut timeline = Timeline::new(0, false);
        timeline.track(if track == VIDEO {
            video_track("a")
        } else {
            audio_track()
        });
        let seen = run(
            &mut timeline,
            stream(0, 5000, 60, 0, 0)
                .into_iter()
                .filter(|(frame, _)| frame.track == track),
        );
        assert_eq!(seen.epochs, [(0, false, vec![track])]);
        assert_eq!(seen.span_ms(track, 0).0, 0, "nothing is lost to the wait");
    }
}

#[test]
fn conformance_40_a_track_that_comes_late_joins_with_a_discontinuity_at_a_keyframe() {
    let mut timeline = Timeline::new(0, false);
    timeline.track(video_track("a"));
    let mut announced = false;
    let mut seen = Seen::default();
    for (frame, arrival) in stream(0, 12_000, 60, 0, 0) {
        if frame.track == AUDIO && arrival < 5_000_000 {
            continue;
        }
        if frame.track == AUDIO && !announced {
            timeline.track(audio_track());
            announced = true;
        }
        timeline.push(frame, arrival);
        drain(&mut timeline, &mut seen);
    }
    assert_rises(&seen);
    assert_eq!(
        seen.epochs,
        [(0, false, vec![VIDEO]), (6_000_000, true, vec![VIDEO, AUDIO])]
    );
    assert!((seen.span_ms(AUDIO, 1).0 - 6000).abs() <= 22);
}

#[test]
fn conformance_41_what_comes_before_the_first_keyframe_is_dropped_with_its_sound() {
    let mut timeline = Timeline::new(0, false);
    both(&mut timeline);
    let seen = run(&mut timeline, stream(700, 8000, 60, 0, -700));
    let (first_picture, _) = seen.span_ms(VIDEO, 0);
    let (first_sound, _) = seen.span_ms(AUDIO, 0);
    assert_eq!(first_picture, 0);
    assert!(
        (first_sound - first_picture).abs() <= 22,
        "sound starts with the picture: {first_sound}"
    );
    assert!(timeline.repairs().dropped > 0);
}

#[test]
fn conformance_42_times_that_do_not_rise_are_nudged_and_their_presentation_stays() {
    let mut timeline = Timeline::new(0, false);
    timeline.track(video_track("a"));
    let mut frames: Vec<(Frame, i64)> = stream(0, 4000, 60, 0, 0)
        .into_iter()
        .filter(|(frame, _)| frame.track == VIDEO)
        .collect();
    frames[70].0.dts = frames[69].0.dts;
    frames[80].0.dts = frames[79].0.dts - 900;
    let expected: Vec<i64> = frames.iter().map(|(frame, _)| frame.pts()).collect();
    let seen = run(&mut timeline, frames);
    assert!(seen.of(VIDEO).map(|(_, frame)| frame.pts()).eq(expected));
    assert_eq!(timeline.repairs().nudged, 2);
}

#[test]
fn conformance_44_both_tracks_are_anchored_together_when_the_clock_jumps() {
    // Forward an hour, back to zero, back by the 32-bit wrap, and a pause of 20 s in which no time passes for the encoder.
    for (offset, arrival) in [
        (3_600_000, 6000),
        (-3000, 6000),
        (-4_294_967_296 + 6000, 6000),
        (3_600_000, 26_000),
    ] {
        let mut timeline = Timeline::new(0, false);
        both(&mut timeline);
        let mut frames = stream(0, 6000, 60, 0, 0);
        frames.extend(stream(0, 6000, 60, offset, arrival));
        let seen = run(&mut timeline, frames);
        assert_eq!(seen.epochs.len(), 2, "offset {offset}");
        assert!(seen.epochs[1].1);
        let (picture, _) = seen.span_ms(VIDEO, 1);
        let (sound, _) = seen.span_ms(AUDIO, 1);
        assert!(
            (picture - arrival).abs() <= 40,
            "offset {offset}: the break lasts as long as it did: {picture}"
        );
        assert!((picture - sound).abs() <= 34, "offset {offset}: {picture} and {sound}");
        assert_eq!(timeline.repairs().jumps, 1);
        assert_eq!(seen.of(VIDEO).count(), 360, "offset {offset}: no picture is lost");
    }
}

#[test]
fn conformance_44_a_jump_under_a_second_is_absorbed() {
    let mut timeline = Timeline::new(0, false);
    both(&mut timeline);
    let mut frames = stream(0, 6000, 60, 0, 0);
    frames.extend(stream(6000, 12_000, 60, 700, 700));
    let seen = run(&mut timeline, frames);
    assert_eq!(seen.epochs.len(), 1);
    assert!((seen.span_ms(VIDEO, 0).1 - seen.span_ms(AUDIO, 0).1).abs() <= 34);
}

#[test]
fn conformance_44_one_track_that_resets_alone_keeps_its_place_beside_the_other() {
    let mut timeline = Timeline::new(0, false);
    both(&mut timeline);
    let mut frames = stream(0, 6000, 60, 0, 0);
    // From 6 s on the sound counts from zero again, the picture goes on.
    frames.extend(stream(6000, 14_000, 60, 0, 0).into_iter().map(|(mut frame, arrival)| {
        if frame.track == AUDIO {
            frame.dts -= 6000 * 48;
        }
        (frame, arrival)
    }));
    let seen = run(&mut timeline, frames);
    assert_eq!(seen.epochs.len(), 2);
    assert_eq!(seen.epochs[1].2, [VIDEO, AUDIO]);
    let (picture, sound) = (seen.span_ms(VIDEO, 1), seen.span_ms(AUDIO, 1));
    assert!((picture.1 - sound.1).abs() <= 60, "{picture:?} and {sound:?}");
}

#[test]
fn conformance_45_sound_that_stops_goes_on_as_silence_and_comes_back() {
    let mut timeline = Timeline::new(0, false);
    both(&mut timeline);
    let frames = stream(0, 20_000, 60, 0, 0)
        .into_iter()
        .filter(|(frame, arrival)| frame.track == VIDEO || !(5_000_000..12_000_000).contains(arrival));
    let seen = run(&mut timeline, frames);
    let silent = timeline.repairs().silence;
    assert!(
        (290..=330).contains(&silent),
        "{silent} frames of 21 ms for 7 s, less the margin"
    );
    assert!(
        (seen.span_ms(VIDEO, 0).1 - seen.span_ms(AUDIO, 0).1).abs() <= 34,
        "in step again"
    );
    assert_eq!(seen.epochs.len(), 1);
}

#[test]
fn conformance_37_a_changed_configuration_begins_an_epoch_at_its_keyframe_and_a_repeated_one_does_not() {
    let mut timeline = Timeline::new(0, false);
    both(&mut timeline);
    let mut seen = Seen::default();
    for (frame, arrival) in stream(0, 8000, 60, 0, 0) {
        if frame.keyframe && frame.track == VIDEO {
            timeline.track(video_track(if arrival >= 3_999_000 {
                "avc1.4d401f"
            } else {
                "avc1.64001f"
            }));
        }
        timeline.push(frame, arrival);
        drain(&mut timeline, &mut seen);
    }
    assert_rises(&seen);
    assert_eq!(seen.epochs.len(), 2);
    assert_eq!(seen.epochs[1].0, 4_000_000);
    assert_eq!(seen.of(VIDEO).count(), 240);
}

#[test]
fn conformance_49_drift_of_the_encoders_clock_moves_the_anchor() {
    let mut timeline = Timeline::new(0, false);
    both(&mut timeline);
    let mut anchors = Vec::new();
    for (frame, arrival) in stream(0, 120_000, 60, 0, 0) {
        // The encoder's clock is half a percent slow: its seconds arrive late and later.
        timeline.push(frame, arrival + arrival / 200);
        while let Some(output) = timeline.poll() {
            if let Output::Anchor { media_us, arrival_us } = output {
                anchors.push(arrival_us - media_us);
            }
        }
    }
    assert!(anchors.len() >= 2, "{anchors:?}");
    assert!(anchors.windows(2).all(|pair| pair[1] - pair[0] >= 150_000));
}

#[test]
fn a_resumed_broadcast_goes_on_behind_what_it_had() {
    let mut timeline = Timeline::new(30_000_000, true);
    both(&mut timeline);
    let seen = run(&mut timeline, stream(0, 4000, 60, 0, 34_000));
    assert_eq!(seen.epochs, [(34_000_000, true, vec![VIDEO, AUDIO])]);
}

#[test]
fn variable_frame_rate_keeps_its_times() {
    let mut timeline = Timeline::new(0, false);
    timeline.track(video_track("a"));
    let times = [0, 16, 33, 133, 150, 650, 683, 700, 1500, 1516, 2300, 2400];
    let seen = run(
        &mut timeline,
        times.iter().map(|ms| (picture(*ms, *ms == 0), *ms * 1000)),
    );
    assert!(seen.of(VIDEO).map(|(_, frame)| frame.dts / 90).eq(times));
}

#[test]
fn one_frame_with_a_wrong_time_is_dropped_and_the_clock_goes_on() {
    for wrong in [0, 86_400_000, -5_000_000] {
        let mut timeline = Timeline::new(0, false);
        both(&mut timeline);
        let mut frames = stream(60_000, 72_000, 60, 0, -60_000);
        let slip = frames
            .iter()
            .position(|(frame, _)| frame.track == VIDEO && frame.dts >= 66_000 * 90)
            .unwrap();
        frames[slip].0.dts = wrong * 90;
        let seen = run(&mut timeline, frames);
        assert_eq!(seen.epochs.len(), 1, "slip to {wrong} ms");
        assert_eq!(seen.of(VIDEO).count(), 359);
        assert!(seen.span_ms(VIDEO, 0).1 < 12_000 && timeline.repairs().silence == 0);
    }
}

#[test]
fn a_changed_sample_rate_begins_an_epoch_and_the_sound_goes_on() {
    let mut timeline = Timeline::new(0, false);
    both(&mut timeline);
    let mut seen = Seen::default();
    for (mut frame, arrival) in stream(0, 60_000, 60, 0, 0) {
        if frame.track == AUDIO && arrival >= 30_000_000 {
            let mut track = audio_track();
            track.timescale = 44_100;
            track.codec_string = "mp4a.40.2 at 44100".into();
            timeline.track(track);
            frame.dts = arrival * 44_100 / 1_000_000;
        }
        timeline.push(frame, arrival);
        drain(&mut timeline, &mut seen);
    }
    assert_eq!(seen.epochs.len(), 2);
    let last = seen.of(AUDIO).last().unwrap();
    assert!((last.1.dts * 1000 / 44_100 - 60_000).abs() < 100, "{}", last.1.dts);
    assert!((59_900_000..60_100_000).contains(&timeline.end_us()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever an encoder sends: no panic, times rise per track, and sound stays within a frame of the picture where both run steadily.
    #[test]
    fn any_encoder_gives_rising_times(steps in prop::collection::vec((0u8..10, -5000i64..5000, 0i64..200, prop::bool::ANY), 1..400)) {
        let mut timeline = Timeline::new(0, false);
        both(&mut timeline);
        let (mut ms, mut arrival, mut seen) = (0i64, 0i64, Seen::default());
        for (kind, jump, step, keyframe) in steps {
            ms += if kind == 0 { jump } else { step };
            arrival += step * 1000;
            let frame = if kind % 2 == 0 { picture(ms, keyframe) } else { sound(ms) };
            timeline.push(frame, arrival);
            drain(&mut timeline, &mut seen);
        }
        assert_rises(&seen);
    }

    /// Steady streams with a jump of any size at any keyframe: in each epoch both tracks start and end together.
    #[test]
    fn sound_and_picture_stay_together_across_any_jump(at in 1i64..8, offset in -10_000_000i64..10_000_000, gop in prop::sample::select(vec![15i64, 60, 250])) {
        let mut timeline = Timeline::new(0, false);
        both(&mut timeline);
        let cut = at * 2000;
        let mut frames = stream(0, cut, gop, 0, 0);
        frames.extend(stream(0, 12_000, gop, offset, cut));
        let seen = run(&mut timeline, frames);
        for epoch in 0..seen.epochs.len() {
            let (picture, sound) = (seen.span_ms(VIDEO, epoch), seen.span_ms(AUDIO, epoch));
            prop_assert!((picture.0 - sound.0).abs() <= 34, "epoch {epoch} starts {picture:?} {sound:?}");
            prop_assert!((picture.1 - sound.1).abs() <= 55, "epoch {epoch} ends {picture:?} {sound:?}");
        }
    }
}
