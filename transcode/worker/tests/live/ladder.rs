//! A ladder gives each picture of its source once, at the source's time, with keyframes where the source has them.

use nova_core::media::{Media, TrackId};

use crate::rig::{Driver, clip, epoch, keys, pictures, ssim, times, transcoder};

#[tokio::test]
async fn every_picture_comes_out_once_at_its_time_and_looks_like_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 6, 45);
    let transcoder = transcoder(dir.path(), "240p:500k,180p:300k");
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
        let ssim = ssim(dir.path(), track, driver.rung(index), &source.file);
        assert!(ssim > 0.95, "{index}: {ssim}");
    }
}

/// Each codec's pictures come out in full; what ffmpeg's encoders for it need is in `arguments`.
async fn plays(name: &str, arguments: &str) {
    let dir = tempfile::tempdir().unwrap();
    let test = "-f lavfi -i testsrc2=size=640x360:rate=30:duration=2 -pix_fmt yuv420p";
    let source = clip(dir.path(), &format!("{name}.mp4"), &format!("{test} {arguments}"));
    let transcoder = transcoder(dir.path(), "180p:300k");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    driver.play(&source.frames).await;
    driver.end().await;
    assert_eq!(times(driver.rung(0)), times(&source.frames), "{name}");
    assert_eq!(keys(driver.rung(0)), keys(&source.frames), "{name}");
    // frame_mbs_only_flag is not at a fixed place, but x264 says in its first frame what it was told.
    let told = &driver.rung(0)[0].payload;
    assert!(told.windows(12).any(|bytes| bytes == b"interlaced=0"), "{name}");
    let ssim = ssim(dir.path(), &driver.tracks[&TrackId(0x80)], driver.rung(0), &source.file);
    assert!(ssim > 0.9, "{name}: {ssim}");
}

#[tokio::test]
async fn hevc_is_a_source_as_well() {
    plays(
        "hevc",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=20:min-keyint=20:scenecut=0",
    )
    .await;
}

#[tokio::test]
async fn av1_is_a_source_as_well() {
    plays(
        "av1",
        "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 20 -keyint_min 20 -b:v 1M",
    )
    .await;
}

#[tokio::test]
async fn interlaced_pictures_come_out_progressive() {
    plays(
        "interlaced",
        "-vf interlace=scan=tff,fps=30 -c:v libx264 -preset ultrafast -flags +ildct+ilme -x264opts tff=1 -g 20 -sc_threshold 0",
    )
    .await;
}

#[tokio::test]
async fn vp9_is_a_source_as_well() {
    plays(
        "vp9",
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 20 -keyint_min 20 -b:v 1M",
    )
    .await;
}

#[tokio::test]
async fn a_small_rung_of_a_fast_source_has_every_second_picture_and_all_keyframes() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = "-f lavfi -i testsrc2=size=640x360:rate=60:duration=2 -pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 31 \
                     -keyint_min 31 -sc_threshold 0";
    let mut source = clip(dir.path(), "fast.mp4", arguments);
    if let Media::Video { frame_rate, .. } = &mut source.track.media {
        *frame_rate = Some((60, 1));
    }
    let transcoder = transcoder(dir.path(), "180p:300k");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    assert_eq!(driver.live.rungs()[0].frame_rate_divisor, 2);
    driver.play(&source.frames).await;
    driver.end().await;
    assert_eq!(keys(driver.rung(0)), keys(&source.frames));
    let expected: Vec<i64> = times(&source.frames)
        .chunks(31)
        .flat_map(|gop| gop.iter().step_by(2).copied())
        .collect();
    assert_eq!(times(driver.rung(0)), expected);
    let rate = Some((60, 2));
    assert!(matches!(driver.tracks[&TrackId(0x80)].media, Media::Video { frame_rate, .. } if frame_rate == rate));
}

#[tokio::test]
async fn a_frame_rate_that_the_source_states_wrongly_does_not_change_the_bit_rate() {
    let dir = tempfile::tempdir().unwrap();
    // 30 pictures a second that call themselves 15, and too much noise for the bit rate.
    let arguments = "-f lavfi -i testsrc2=size=640x360:rate=30:duration=4,noise=alls=30:allf=t -pix_fmt yuv420p -c:v libx264 \
                     -preset ultrafast -g 60 -bsf:v h264_metadata=tick_rate=30";
    let source = clip(dir.path(), "lie.mp4", arguments);
    let transcoder = transcoder(dir.path(), "180p:300k");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    driver.play(&source.frames).await;
    driver.end().await;
    let bytes: usize = driver.rung(0).iter().map(|frame| frame.payload.len()).sum();
    let rate = bytes * 8 / 4;
    assert!((200_000..400_000).contains(&rate), "{rate}");
}
