//! Sound that not every player takes becomes AAC.

use nova_core::media::{Media, TrackId};

use crate::rig::{Driver, SOUND, clip, epoch, run, transcoder};

async fn becomes_aac(name: &str, arguments: &str) {
    let dir = tempfile::tempdir().unwrap();
    let test = "-f lavfi -i sine=frequency=440:duration=3:sample_rate=48000 -ac 2";
    let source = clip(dir.path(), &format!("{name}.mp4"), &format!("{test} {arguments}"));
    let transcoder = transcoder(dir.path(), "auto");
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

#[tokio::test]
async fn a_tone_begins_when_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let arguments =
        "-f lavfi -i sine=frequency=1000:duration=2:sample_rate=48000 -af adelay=1000:all=1 -ac 2 -c:a flac";
    let source = clip(dir.path(), "tone.mp4", arguments);
    let transcoder = transcoder(dir.path(), "auto");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    driver.play(&source.frames).await;
    driver.end().await;
    // As ADTS, whose first sample is the first frame's.
    let mut stream = Vec::new();
    for frame in driver.sound() {
        let len = frame.payload.len() + 7;
        let len = [0x80 | (len >> 11) as u8, (len >> 3) as u8, (len << 5) as u8 | 0x1f];
        stream.extend_from_slice(&[0xff, 0xf1, 0x4c]);
        stream.extend_from_slice(&len);
        stream.push(0xfc);
        stream.extend_from_slice(&frame.payload);
    }
    let (file, raw) = (dir.path().join("tone.aac"), dir.path().join("tone.raw"));
    std::fs::write(&file, stream).unwrap();
    let (from, to) = (file.to_str().unwrap(), raw.to_str().unwrap());
    run("ffmpeg", &["-v", "error", "-i", from, "-f", "s16le", "-ac", "1", to]);
    let samples = std::fs::read(&raw).unwrap();
    let loud = |sample: &[u8]| i16::from_le_bytes([sample[0], sample[1]]).abs() > 400;
    let begins = samples.chunks_exact(2).position(loud).unwrap() as i64 + driver.sound()[0].dts;
    assert!((begins - 48_000).abs() < 96, "{begins}");
}
