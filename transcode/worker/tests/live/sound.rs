//! Sound that not every player takes becomes AAC.

use nova_core::media::{Media, TrackId};

use crate::rig::{Driver, SOUND, clip, epoch, transcoder};

async fn becomes_aac(name: &str, arguments: &str) {
    let dir = tempfile::tempdir().unwrap();
    let test = "-f lavfi -i sine=frequency=440:duration=3:sample_rate=48000 -ac 2";
    let source = clip(dir.path(), &format!("{name}.mp4"), &format!("{test} {arguments}"));
    let transcoder = transcoder("auto");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    assert!(driver.live.has_sound());
    driver.play(&source.frames).await;
    driver.end().await;
    let track = &driver.tracks[&TrackId(0xC0)];
    assert_eq!((track.codec_string.as_str(), track.timescale), ("mp4a.40.2", 48_000));
    // AudioSpecificConfig: AAC-LC, 48 kHz, stereo.
    assert_eq!(&track.config[..2], [0x11, 0x90], "{name}");
    assert!(matches!(
        track.media,
        Media::Audio {
            sample_rate: 48_000,
            channels: 2,
            frame_samples: Some(1024)
        }
    ));
    let sound = driver.sound();
    assert!(sound.windows(2).all(|pair| pair[1].dts - pair[0].dts == 1024), "{name}");
    let seconds = sound.len() as f64 * 1024.0 / 48_000.0;
    assert!((2.8..3.3).contains(&seconds), "{name}: {seconds}");
    assert!(sound[0].dts.abs() < 4800, "{name}: {}", sound[0].dts);
    assert!(sound.iter().all(|frame| frame.keyframe && !frame.payload.is_empty()));
    assert_ne!(source.track.id, track.id);
    assert_eq!(source.track.id, SOUND);
}

#[tokio::test]
async fn opus_becomes_aac() {
    becomes_aac("opus", "-c:a libopus").await;
}

#[tokio::test]
async fn flac_becomes_aac() {
    becomes_aac("flac", "-c:a flac").await;
}

#[tokio::test]
async fn mp3_becomes_aac() {
    becomes_aac("mp3", "-c:a libmp3lame").await;
}

#[tokio::test]
async fn ac3_becomes_aac() {
    becomes_aac("ac3", "-c:a ac3").await;
}

#[tokio::test]
async fn eac3_becomes_aac() {
    becomes_aac("eac3", "-c:a eac3").await;
}
