//! Encoders in hardware that fail: at the probe, and at work.

use nova_core::media::Frame;
use nova_transcode::{Error, FileJob, FileLadder, Transcoder, inventory, plan, probe};
use tokio::runtime::Handle;

use crate::rig::{Driver, epoch, pictures, settings, times, worker};

/// Fails with the first picture.
const NEVER: &str = "identity name=NAME-in error-after=1 ! x264enc name=NAME";
/// Gives nothing for 40 pictures and fails at the twentieth: longer than a probe looks.
const SOON: &str =
    "identity name=NAME-in error-after=20 ! x264enc name=NAME rc-lookahead=40 sync-lookahead=40 key-int-max=1000";

fn with(encoder: &str) -> String {
    format!("NOVA_TRANSCODE_TEST_ENCODER='{encoder}'")
}

#[tokio::test]
async fn one_that_does_not_work_is_told_with_its_reason_and_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&worker(dir.path(), &with(NEVER)));
    let inventory = inventory(&settings).await.unwrap();
    let unusable: Vec<_> = inventory.unusable_hardware().collect();
    assert_eq!(unusable[0].name, "test");
    assert!(
        unusable[0].why.as_ref().is_some_and(|why| !why.is_empty()),
        "{unusable:?}"
    );
    assert!(
        inventory.encoder().is_some_and(|found| !found.hardware),
        "{inventory:?}"
    );
}

#[tokio::test]
async fn a_ladder_goes_on_in_software_and_has_every_picture() {
    let dir = tempfile::tempdir().unwrap();
    let clip = pictures(dir.path(), 4, 30);
    let settings = settings(&worker(dir.path(), &with(SOON)));
    let transcoder = Transcoder::new(settings, "180p:200k".parse().unwrap(), Handle::current());
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&clip.track]));
    driver.play(&clip.frames).await;
    driver.end().await;
    assert_eq!(times(driver.rung(0)), times(&clip.frames));
    // The next one does not try it again.
    let chosen = transcoder.choose_encoder().await.unwrap();
    assert!(chosen.as_ref().is_some_and(|name| name != "test"), "{chosen:?}");
}

#[tokio::test]
async fn a_file_is_made_anew_with_another() {
    let dir = tempfile::tempdir().unwrap();
    let clip = pictures(dir.path(), 3, 30);
    let settings = settings(&worker(dir.path(), &with(SOON)));
    let transcoder = Transcoder::new(settings.clone(), "180p:200k".parse().unwrap(), Handle::current());
    let looked = probe(&settings, &clip.file).await.unwrap();
    let mut job = FileJob {
        path: clip.file.clone(),
        rungs: plan(transcoder.ladder(), &looked.video().unwrap(), None),
        probe: looked,
        sound: false,
        span: (0, None),
        grid_ms: 2000,
        encoder: transcoder.choose_encoder().await.unwrap(),
    };
    assert_eq!(job.encoder.as_deref(), Some("test"));
    let failed = make(&transcoder, &job).await.unwrap_err();
    assert!(matches!(failed, Error::Encoder(_)), "{failed}");
    transcoder.avoid_encoder(&failed.to_string());
    job.encoder = transcoder.choose_encoder().await.unwrap();
    assert_eq!(make(&transcoder, &job).await.unwrap().len(), 90);
}

async fn make(transcoder: &Transcoder, job: &FileJob) -> Result<Vec<Frame>, Error> {
    let mut ladder = FileLadder::start(transcoder.settings(), &Handle::current(), job)?;
    let mut frames = Vec::new();
    while let Some(event) = ladder.receive().await? {
        if let nova_transcode::Event::Frame(frame) = event {
            frames.push(frame);
        }
    }
    Ok(frames)
}
