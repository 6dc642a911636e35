//! A keyframe becomes a JPEG.

use std::time::Duration;

use nova_transcode::{Error, inventory};

use crate::rig::{pictures, run, settings, transcoder, worker};

#[tokio::test]
async fn a_keyframe_becomes_a_jpeg_of_the_width_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 1, 30);
    let transcoder = transcoder(dir.path(), "off");
    let jpeg = transcoder.still(&source.track, &source.frames[0], 320).await.unwrap();
    let file = dir.path().join("still.jpg");
    std::fs::write(&file, &jpeg).unwrap();
    let entries = "stream=codec_name,width,height";
    let found = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_entries",
            entries,
            "-of",
            "csv=p=0",
            file.to_str().unwrap(),
        ],
    );
    assert_eq!(found.trim(), "mjpeg,320,180");
}

#[tokio::test]
async fn what_is_no_keyframe_makes_no_picture_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 1, 30);
    let transcoder = transcoder(dir.path(), "off");
    let error = transcoder.still(&source.track, &source.frames[1], 320).await;
    assert!(matches!(error, Err(Error::NotAKeyframe)));
    let mut garbage = source.frames[0].clone();
    garbage.payload = vec![0x5a; 3000].into();
    assert!(transcoder.still(&source.track, &garbage, 320).await.is_err());
    let again = tokio::time::timeout(
        Duration::from_secs(10),
        transcoder.still(&source.track, &source.frames[0], 320),
    );
    assert!(again.await.unwrap().is_ok());
}

#[tokio::test]
async fn the_inventory_names_an_encoder_that_works() {
    let dir = tempfile::tempdir().unwrap();
    let found = inventory(&settings(&worker(dir.path(), ""))).await.unwrap();
    assert!(found.encoder().is_some_and(|encoder| encoder.works));
    assert!(
        found
            .found
            .iter()
            .any(|found| found.kind == "decoder" && found.codec == "h264" && found.works)
    );
}
