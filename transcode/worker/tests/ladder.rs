//! A ladder gives each picture of its source once, at the source's time, with keyframes where the source has them.

mod bench;

use bench::{Driver, clip, epoch, keys, pictures, ssim, times, transcoder};
use nova_core::media::{Media, TrackId};

#[tokio::test]
async fn every_picture_comes_out_once_at_its_time_and_looks_like_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 6, 45);
    let transcoder = transcoder("240p:500k,180p:300k");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    assert_eq!(driver.live.rungs().len(), 2);
    driver.play(&source.frames).await;
    driver.end().await;
    assert_eq!(driver.flushed, 2, "one for the epoch, one for the end");
    for (index, size) in [(0, (426, 240)), (1, (320, 180))] {
        assert_eq!(times(driver.rung(index)), times(&source.frames));
        assert_eq!(keys(driver.rung(index)), keys(&source.frames));
        assert!(driver.rung(index).is_sorted_by(|a, b| a.dts < b.dts));
        let track = &driver.tracks[&TrackId(0x80 + index)];
        assert!(matches!(track.media, Media::Video { width, height, .. } if (width, height) == size));
        assert!(track.codec_string.starts_with("avc1.64"), "{}", track.codec_string);
        let ssim = ssim(dir.path(), track, driver.rung(index), &source);
        assert!(ssim > 0.9, "{index}: {ssim}");
    }
}
