//! Files that are broken, or made to break something: each ends with a film or a reason, in bounded memory and time.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nova_transcode::{Error, Event, FileJob, FileLadder, Probe, Settings, plan_file, probe};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::rig::{WORKER, run, settings};

/// What one worker may take, and what its code and plug-ins are beside it.
const MEMORY_MB: u32 = 512;
const CODE_MB: u32 = 200;
/// Workers at once.
const AT_ONCE: usize = 4;
/// Pictures and sounds taken from one file: an edit list may make them without end.
const FRAMES: usize = 20_000;

/// What people upload: of the other samples GStreamer knows nothing, and takes its time to say so.
const KINDS: [&str; 11] = [
    "3g2", "aac", "ac3", "eac3", "flac", "m4a", "m4b", "mp3", "mp4", "ogg", "wma",
];

/// Runs the worker and writes down its peak of resident memory, in KiB. The worker dies with it.
const MEASURED: &str = r#"#!/usr/bin/env python3
import ctypes, os, signal, sys
child = os.fork()
if child == 0:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    os.execv('WORKER', ['WORKER', sys.argv[1], '0', *sys.argv[3:]])
_, status, usage = os.wait4(child, 0)
with open('PEAKS', 'a') as peaks:
    peaks.write(f'{usage.ru_maxrss}\n')
if os.WIFSIGNALED(status):
    os.kill(os.getpid(), os.WTERMSIG(status))
sys.exit(os.waitstatus_to_exitcode(status))
"#;

fn measured(dir: &Path) -> (Settings, PathBuf) {
    let (file, peaks) = (dir.join("measured"), dir.join("peaks"));
    let script = MEASURED
        .replace("WORKER", WORKER)
        .replace("PEAKS", peaks.to_str().unwrap());
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    let settings = Settings {
        memory_mb: MEMORY_MB,
        ..settings(&file)
    };
    (settings, peaks)
}

/// Frames that come of a file, or why there are none.
async fn make(settings: &Settings, path: &Path, probe: Probe) -> Result<usize, Error> {
    let rungs = probe
        .video()
        .map(|track| plan_file(&"240p:300k".parse().unwrap(), &track, None))
        .unwrap_or_default();
    let job = FileJob {
        path: path.to_owned(),
        sound: !probe.sound.is_empty(),
        probe,
        rungs,
        span: (0, None),
        grid_ms: 4000,
        encoder: None,
    };
    let mut ladder = FileLadder::start(settings, &Handle::current(), &job)?;
    let mut frames = 0;
    while let Some(event) = ladder.receive().await? {
        frames += usize::from(matches!(event, Event::Frame(_)));
        if frames == FRAMES {
            break;
        }
    }
    Ok(frames)
}

/// Looks at each file and makes what can be made of it. Each one's end, and the highest peak of a worker's memory.
async fn all(dir: &Path, files: Vec<PathBuf>) -> Vec<(String, Result<usize, String>)> {
    let (settings, peaks) = measured(dir);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let tasks: Vec<_> = files
        .into_iter()
        .map(|file| {
            let (settings, turns) = (settings.clone(), Arc::clone(&turns));
            tokio::spawn(async move {
                let _turn = turns.acquire().await.unwrap();
                let made = match probe(&settings, &file).await {
                    Ok(found) => make(&settings, &file, found).await,
                    Err(error) => Err(error),
                };
                let name = file.file_name().unwrap().to_string_lossy().into_owned();
                (name, made.map_err(|error| error.to_string()))
            })
        })
        .collect();
    let mut ends = Vec::new();
    for task in tasks {
        ends.push(task.await.unwrap());
    }
    let peaks = std::fs::read_to_string(peaks).unwrap();
    let most: u32 = peaks.lines().map(|line| line.parse().unwrap()).max().unwrap();
    assert!(most / 1024 < MEMORY_MB + CODE_MB, "a worker took {} MiB", most / 1024);
    eprintln!("{} MiB at most: {ends:#?}", most / 1024);
    ends
}

#[tokio::test]
async fn bombs_end_with_a_reason_or_with_what_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bombs.py");
    run("python3", &[script, dir.path().to_str().unwrap()]);
    let names = [
        "png.mov",
        "tracks.mp4",
        "edits.mp4",
        "empty.mkv",
        "days.mkv",
        "cut.mp4",
        "flipped.ts",
        "film.ts",
    ];
    let ends = all(dir.path(), names.iter().map(|name| dir.path().join(name)).collect()).await;
    for (name, end) in &ends {
        match (name.as_str(), end) {
            ("empty.mkv" | "days.mkv", Ok(2)) => {}
            // 180 pictures in one or two rungs, and the sound.
            ("film.ts" | "flipped.ts", Ok(frames)) => assert!(*frames > 300, "{name}: {frames}"),
            ("cut.mp4" | "edits.mp4" | "png.mov", Ok(_)) => {}
            ("png.mov" | "tracks.mp4" | "cut.mp4", Err(why)) => assert!(!why.is_empty(), "{name}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Files of the tests of mutagen, a third of them broken; see scripts/setup.
#[tokio::test]
async fn no_broken_sound_file_does_more_than_fail() {
    let dir = tempfile::tempdir().unwrap();
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache"),
        PathBuf::from,
    );
    let folder = cache.join("nova/tools/samples/audio");
    let files = std::fs::read_dir(&folder).expect("the samples; see scripts/setup tools");
    let known = |file: &PathBuf| {
        let kind = file.extension().unwrap_or_default();
        KINDS.iter().any(|known| kind == *known)
    };
    let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).filter(known).collect();
    assert!(files.len() > 50, "{}", files.len());
    let ends = all(dir.path(), files).await;
    let made = ends
        .iter()
        .filter(|(_, end)| end.as_ref().is_ok_and(|frames| *frames > 0));
    assert!(made.count() > 30, "{ends:?}");
    for (name, end) in &ends {
        if let Err(why) = end {
            assert!(!why.is_empty(), "{name}");
        }
        if ["silence-44-s.mp3", "silence-44-s.flac"].contains(&name.as_str()) {
            assert!(matches!(end, Ok(1..)), "{name}: {end:?}");
        }
    }
}
