//! Epochs, blips and the end: everything comes out, is told once, and the worker stays.

use nova_core::live::Item;

use crate::rig::{Driver, epoch, pictures, times, transcoder};

#[tokio::test]
async fn an_epoch_goes_on_in_the_same_worker_and_tells_its_tracks_again() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 2, 30);
    let transcoder = transcoder(dir.path(), "180p:200k");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    driver.play(&source.frames[..30]).await;
    let worker = driver.live.worker();
    driver.live.push(&epoch(&[&source.track]));
    while driver.flushed < 2 {
        driver.turn().await;
    }
    assert_eq!(driver.rung(0).len(), 30);
    assert!(driver.tracks.remove(&nova_transcode::RUNG_TRACK).is_some());
    driver.play(&source.frames[30..]).await;
    assert_eq!(driver.live.worker(), worker);
    driver.end().await;
    assert_eq!(driver.flushed, 3);
    assert_eq!(times(driver.rung(0)), times(&source.frames));
    assert_eq!(driver.tracks.len(), 1);
    assert_eq!(driver.live.worker(), None);
}

#[tokio::test]
async fn an_encoder_that_goes_and_comes_back_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 2, 30);
    let transcoder = transcoder(dir.path(), "180p:200k");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    driver.play(&source.frames[..20]).await;
    driver.live.push(&Item::Offline);
    while driver.flushed < 2 {
        driver.turn().await;
    }
    driver.tracks.clear();
    driver.live.push(&epoch(&[&source.track]));
    driver.play(&source.frames[30..]).await;
    driver.end().await;
    assert_eq!(driver.flushed, 4);
    let mut expected = times(&source.frames[..20]);
    expected.extend(times(&source.frames[30..]));
    assert_eq!(times(driver.rung(0)), expected);
}

#[tokio::test]
async fn without_a_ladder_only_the_marks_pass() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 1, 30);
    let transcoder = transcoder(dir.path(), "off");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    assert!(driver.live.rungs().is_empty());
    for frame in &source.frames {
        driver.live.push(&Item::Frame(frame.clone()));
    }
    driver.end().await;
    while driver.flushed < 2 {
        driver.turn().await;
    }
    assert!(driver.frames.is_empty() && driver.live.worker().is_none());
}
