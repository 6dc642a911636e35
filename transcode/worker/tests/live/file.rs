//! Files: what they are, and spans of them that join without a seam.

use std::path::Path;

use nova_core::media::{Frame, Track, TrackId};
use nova_transcode::{Event, FileJob, FileLadder, Ladder, Probe, pictures_at, plan, probe};
use tokio::runtime::Handle;

use crate::rig::{pictures, run, settings, ssim, times, worker};

async fn make(dir: &Path, job: &FileJob) -> (Vec<Track>, Vec<Frame>) {
    let mut ladder = FileLadder::start(&settings(&worker(dir, "")), &Handle::current(), job).unwrap();
    let (mut tracks, mut frames, mut flushed) = (Vec::new(), Vec::new(), 0);
    while let Some(event) = ladder.receive().await.unwrap() {
        match event {
            Event::Frame(frame) => frames.push(frame),
            Event::Flushed => flushed += 1,
            Event::Track { track, .. } => tracks.push(track),
            Event::Paused(track) => panic!("{track}"),
        }
    }
    assert_eq!(flushed, 1);
    tracks.sort_by_key(|track| track.id);
    (tracks, frames)
}

fn of(frames: &[Frame], track: u8) -> Vec<Frame> {
    frames
        .iter()
        .filter(|frame| frame.track == TrackId(track))
        .cloned()
        .collect()
}

fn rungs(probe: &Probe) -> Vec<nova_transcode::Rung> {
    let ladder: Ladder = "240p:400k,180p:200k".parse().unwrap();
    plan(&ladder, &probe.video().unwrap(), None)
}

#[tokio::test]
async fn spans_of_a_file_join_without_a_seam() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 7, 50);
    let probe = probe(&settings(&worker(dir.path(), "")), &source.file).await.unwrap();
    assert_eq!((probe.container.as_str(), probe.rotation), ("video/quicktime", 0));
    assert_eq!(probe.duration_us.map(|us| us / 100_000), Some(70));
    assert_eq!(
        (probe.pictures[0].width, probe.pictures[0].frame_rate),
        (640, Some((30, 1)))
    );
    let mut job = FileJob {
        path: source.file.clone(),
        rungs: rungs(&probe),
        probe,
        sound: false,
        span: (0, None),
        grid_ms: 2000,
        encoder: None,
    };
    let (tracks, whole) = make(dir.path(), &job).await;
    let mut joined = Vec::new();
    for span in [(0, Some(2_000_000)), (2_000_000, Some(6_000_000)), (6_000_000, None)] {
        job.span = span;
        let (same, frames) = make(dir.path(), &job).await;
        assert_eq!(same, tracks, "one configuration serves all spans");
        joined.extend(frames);
    }
    for track in [0x80, 0x81] {
        let (whole, joined) = (of(&whole, track), of(&joined, track));
        assert_eq!(times(&whole), (0..210).map(|index| index * 3000).collect::<Vec<_>>());
        assert_eq!(times(&joined), times(&whole));
        for frames in [&whole, &joined] {
            let keys: Vec<i64> = frames
                .iter()
                .filter(|frame| frame.keyframe)
                .map(|frame| frame.dts)
                .collect();
            assert_eq!(keys, [0, 180_000, 360_000, 540_000]);
        }
    }
}

#[tokio::test]
async fn a_turned_file_with_sound_is_made_as_viewers_see_it() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, turned) = (dir.path().join("plain.mp4"), dir.path().join("turned.mp4"));
    let (from, to) = (plain.to_str().unwrap(), turned.to_str().unwrap());
    let test = "-v error -y -f lavfi -i testsrc2=size=640x360:rate=30:duration=3 -f lavfi -i sine=duration=3 -pix_fmt yuv420p -c:v libx264 \
                -preset ultrafast -c:a aac";
    run("ffmpeg", &test.split_whitespace().chain([from]).collect::<Vec<_>>());
    run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            from,
            "-c",
            "copy",
            "-metadata:s:v",
            "rotate=90",
            to,
        ],
    );
    let probe = probe(&settings(&worker(dir.path(), "")), &turned).await.unwrap();
    assert_eq!((probe.rotation % 180, probe.sound.len()), (90, 1));
    let rungs = rungs(&probe);
    assert_eq!((rungs[0].width, rungs[0].height), (240, 426));
    let job = FileJob {
        path: turned.clone(),
        rungs,
        probe,
        sound: true,
        span: (0, None),
        grid_ms: 2000,
        encoder: None,
    };
    let (tracks, frames) = make(dir.path(), &job).await;
    assert_eq!(of(&frames, 0x80).len(), 90);
    // ffmpeg turns it as well.
    let ssim = ssim(dir.path(), &tracks[0], &of(&frames, 0x80), &turned);
    assert!(ssim > 0.9, "{ssim}");
    let sound = of(&frames, 0xC0);
    assert!((125..=134).contains(&sound.len()), "{}", sound.len());
    assert!(sound.windows(2).all(|pair| pair[1].dts - pair[0].dts == 1024));
}

#[tokio::test]
async fn what_is_no_film_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("noise.mp4");
    std::fs::write(
        &file,
        (0..100_000_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect::<Vec<_>>(),
    )
    .unwrap();
    assert!(probe(&settings(&worker(dir.path(), "")), &file).await.is_err());
    assert!(
        probe(&settings(&worker(dir.path(), "")), &dir.path().join("nothing"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn pictures_of_a_file_are_those_of_their_times() {
    let dir = tempfile::tempdir().unwrap();
    let source = pictures(dir.path(), 3, 30);
    let settings = settings(&worker(dir.path(), ""));
    let probe = probe(&settings, &source.file).await.unwrap();
    for exact in [true, false] {
        let found = pictures_at(&settings, &source.file, &probe, 320, &[0, 1_000_000, 2_500_000], exact)
            .await
            .unwrap();
        assert_eq!(found.len(), 3);
        for (index, picture) in found.iter().enumerate() {
            let file = dir.path().join(format!("{exact}-{index}.jpg"));
            std::fs::write(&file, picture.as_ref().unwrap()).unwrap();
            let size = run(
                "ffprobe",
                &[
                    "-v",
                    "error",
                    "-show_entries",
                    "stream=width,height",
                    "-of",
                    "csv=p=0",
                    file.to_str().unwrap(),
                ],
            );
            assert_eq!(size.trim(), "320,180");
        }
        assert_ne!(found[0], found[1]);
    }
}
