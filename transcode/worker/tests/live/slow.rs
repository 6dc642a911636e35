//! A ladder that is too slow leaves off what costs most; the others go on in time.

use nova_core::media::TrackId;
use nova_transcode::Transcoder;
use tokio::runtime::Handle;

use crate::rig::{Driver, VIDEO, epoch, pictures, settings, times, worker};
use nova_core::live::Item;

#[tokio::test]
async fn the_rung_that_costs_most_is_left_off_and_the_other_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 12, 30);
    // A worker whose first rung takes 120 ms for a picture of 33.
    let worker = worker(dir.path(), "NOVA_TRANSCODE_TEST_SLOW=128:120");
    let transcoder = Transcoder::new(
        settings(&worker),
        "240p:400k,180p:200k".parse().unwrap(),
        Handle::current(),
    );
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    // At the source's own pace, as long as it takes.
    let mut clock = tokio::time::interval(std::time::Duration::from_micros(33_333));
    let mut pushed = 0;
    while !driver.paused.contains(&TrackId(0x80)) {
        tokio::select! {
            _ = clock.tick() => {
                driver.live.push(&Item::Frame(source.frames[pushed].clone()));
                pushed += 1;
            }
            () = driver.turn() => {}
        }
    }
    assert!(pushed > 60, "not at once: {pushed}");
    let slow = driver.rung(0).len();
    // Now the other one catches up with everything that was not dropped.
    let last = source.frames[..pushed]
        .iter()
        .rfind(|frame| frame.track == VIDEO)
        .map(|frame| frame.pts() - 30_000)
        .unwrap();
    while driver.rung(1).last().is_none_or(|frame| frame.pts() < last) {
        driver.turn().await;
    }
    driver.end().await;
    assert!(driver.rung(0).len() <= slow + 2, "nothing comes of what is left off");
    assert!(times(driver.rung(1)).is_sorted_by(|a, b| a < b));
    assert!(driver.rung(1).len() > driver.rung(0).len());
}
