//! A worker that dies or hangs leaves no hole, and no picture comes twice.

use bytes::Bytes;
use nova_core::media::{Codec, Frame};
use rustix::process::Signal;

use crate::rig::{Driver, SOUND, clip, epoch, keys, pictures, times, transcoder};

/// Keyframes may only be where the source has them, and where an encoder began.
fn assert_keys(rung: &[Frame], source: &[Frame], restarts: usize) {
    let (rung, source) = (keys(rung), keys(source));
    assert!(source.iter().all(|key| rung.contains(key)), "{rung:?} {source:?}");
    assert!(rung.len() <= source.len() + restarts, "{rung:?} {source:?}");
}

async fn survives(signal: Signal) {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 5, 60);
    let transcoder = transcoder(dir.path(), "240p:400k,180p:200k");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    driver.play(&source.frames[..80]).await;
    let first = driver.kill(signal);
    driver.play(&source.frames[80..]).await;
    assert_ne!(driver.live.worker(), Some(first));
    driver.end().await;
    for index in [0, 1] {
        assert_eq!(times(driver.rung(index)), times(&source.frames));
        assert_keys(driver.rung(index), &source.frames, 1);
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_leaves_no_hole() {
    survives(Signal::KILL).await;
}

#[tokio::test]
async fn a_worker_that_stands_still_is_replaced() {
    survives(Signal::STOP).await;
}

#[tokio::test]
async fn workers_that_are_killed_again_and_again_leave_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 4, 30);
    let transcoder = transcoder(dir.path(), "180p:200k");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    for part in source.frames.chunks(40) {
        driver.play(part).await;
        if driver.live.worker().is_some() {
            driver.kill(Signal::KILL);
        }
    }
    // The decoder holds back the last ones until it is told that nothing follows.
    while driver.rung(0).len() < source.frames.len() - 6 {
        driver.turn().await;
    }
    driver.end().await;
    assert_eq!(times(driver.rung(0)), times(&source.frames));
    assert_keys(driver.rung(0), &source.frames, 3);
}

#[tokio::test]
async fn sound_goes_on_with_the_very_next_sample() {
    let dir = tempfile::tempdir().unwrap();
    let source = clip(
        dir.path(),
        "sound.mp4",
        "-f lavfi -i sine=frequency=440:duration=6 -c:a libopus -ar 48000 -ac 2",
    );
    assert_eq!((source.track.codec, source.track.id), (Codec::Opus, SOUND));
    let transcoder = transcoder(dir.path(), "auto");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    assert!(driver.live.has_sound());
    let (before, after) = source.frames.split_at(80);
    driver.play(before).await;
    while driver.sound().len() < 60 {
        driver.turn().await;
    }
    driver.kill(Signal::KILL);
    driver.play(after).await;
    while driver.sound().len() < 270 {
        driver.turn().await;
    }
    driver.end().await;
    assert!(driver.sound().windows(2).all(|pair| pair[1].dts - pair[0].dts == 1024));
}

#[tokio::test]
async fn garbage_costs_its_gop_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 4, 30);
    let transcoder = transcoder(dir.path(), "180p:200k");
    let mut frames = source.frames.clone();
    // Anything in place of pictures: noise, lengths that lie, nothing.
    for (index, frame) in frames[30..60].iter_mut().enumerate() {
        let noise = |len: usize| {
            (0..len)
                .map(|at| ((at * 7919 + index * 104_729) >> 3) as u8)
                .collect::<Vec<u8>>()
        };
        frame.payload = match index % 3 {
            0 => Bytes::from(noise(5000)),
            1 => Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x65, 1, 2, 3]),
            _ => Bytes::new(),
        };
    }
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    driver.play(&frames[..30]).await;
    for frame in &frames[30..60] {
        driver.live.push(&nova_core::live::Item::Frame(frame.clone()));
    }
    driver.play(&frames[60..]).await;
    driver.end().await;
    let rung = times(driver.rung(0));
    let whole = times(&source.frames[..27])
        .into_iter()
        .chain(times(&source.frames[60..]));
    let missing: Vec<i64> = whole.filter(|pts| !rung.contains(pts)).collect();
    // The decoder may lose the first picture after noise; the one that follows begins the segment then.
    assert!(missing.is_empty() || missing == [frames[60].pts()], "{missing:?}");
    let next = driver.rung(0).iter().find(|frame| frame.pts() >= frames[60].pts());
    assert!(next.is_some_and(|frame| frame.keyframe));
    assert!(rung.is_sorted_by(|a, b| a < b));
}
