//! A clip that ffmpeg makes, and a driver that plays it through a ladder: it pushes as fast as frames come out.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nova_core::clock::{Clock, Timestamp};
use nova_core::live::{Epoch, Item};
use nova_core::media::{Codec, Frame, Media, Track, TrackId};
use nova_transcode::{Event, Ladder, Live, RUNG_TRACK, SOUND_TRACK, Settings, Transcoder};

/// The worker program.
pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_nova-transcode");
pub(crate) const VIDEO: TrackId = TrackId(0);
pub(crate) const SOUND: TrackId = TrackId(1);
/// Pictures that may be inside: more than a decoder holds back, less than what takes a second to come out.
const WINDOW: usize = 24;

/// One track of a clip and its frames.
pub(crate) struct Clip {
    pub(crate) file: PathBuf,
    pub(crate) track: Track,
    pub(crate) frames: Vec<Frame>,
}

/// Runs a program and returns what it has printed on both outputs.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("the program is there");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

/// Makes an MP4 file with one track; its packets lie there as samples of ISO-BMFF, so that no parser is needed.
pub(crate) fn clip(dir: &Path, name: &str, arguments: &str) -> Clip {
    let file = dir.join(name);
    let path = file.to_str().unwrap();
    let mut all = vec!["-v", "error", "-y"];
    all.extend(arguments.split_whitespace());
    all.extend(["-video_track_timescale", "90000", "-strict", "-2", path]);
    run("ffmpeg", &all);
    let bytes = std::fs::read(&file).unwrap();
    let fields = "stream=codec_name,width,height,sample_rate,channels,time_base";
    let stream = run(
        "ffprobe",
        &["-v", "error", "-show_entries", fields, "-of", "default=nk=0:nw=1", path],
    );
    let field = |name: &str| {
        let line = stream
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    };
    let timescale: u32 = field("time_base").trim_start_matches("1/").parse().unwrap();
    let (codec, config) = match field("codec_name").as_str() {
        "h264" => (Codec::Avc, body(&bytes, b"avcC")),
        "hevc" => (Codec::Hevc, body(&bytes, b"hvcC")),
        "av1" => (Codec::Av1, body(&bytes, b"av1C")),
        "vp9" => (Codec::Vp9, body(&bytes, b"vpcC").slice(4..)),
        "opus" => (Codec::Opus, body(&bytes, b"dOps")),
        "ac3" => (Codec::Ac3, body(&bytes, b"dac3")),
        "eac3" => (Codec::Eac3, body(&bytes, b"dec3")),
        "flac" => (Codec::Flac, body(&bytes, b"dfLa").slice(4..)),
        "mp3" => (Codec::Mp3, Bytes::new()),
        other => panic!("{other}"),
    };
    let media = if codec.is_video() {
        Media::Video {
            width: field("width").parse().unwrap(),
            height: field("height").parse().unwrap(),
            sar: (1, 1),
            frame_rate: None,
            colour: None,
        }
    } else {
        Media::Audio {
            sample_rate: field("sample_rate").parse().unwrap(),
            channels: field("channels").parse().unwrap(),
            frame_samples: None,
        }
    };
    let track = Track {
        id: if codec.is_video() { VIDEO } else { SOUND },
        codec,
        timescale,
        config,
        codec_string: String::new(),
        media,
    };
    let entries = "packet=pts,dts,pos,size,flags";
    let packets = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_packets",
            "-show_entries",
            entries,
            "-of",
            "compact=p=0",
            path,
        ],
    );
    let frames = packets.lines().filter(|line| line.contains("pos=")).map(|line| {
        let fields: BTreeMap<&str, &str> = line.split('|').filter_map(|field| field.split_once('=')).collect();
        let number = |name: &str| fields[name].parse::<i64>().unwrap();
        let (pts, dts) = (number("pts"), number("dts"));
        let at = number("pos") as usize;
        Frame {
            track: track.id,
            dts,
            composition_offset: (pts - dts) as i32,
            duration: None,
            keyframe: fields["flags"].starts_with('K'),
            payload: Bytes::copy_from_slice(&bytes[at..at + number("size") as usize]),
        }
    });
    let frames = frames.collect();
    Clip { file, track, frames }
}

/// The body of the first box of that kind.
fn body(file: &[u8], kind: &[u8; 4]) -> Bytes {
    let at = file
        .windows(4)
        .position(|bytes| bytes == kind)
        .expect("the box is there");
    let len = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    Bytes::copy_from_slice(&file[at + 4..at - 4 + len])
}

/// Moving pictures with B frames and a keyframe each `gop` pictures.
pub(crate) fn pictures(dir: &Path, seconds: u32, gop: u32) -> Clip {
    let arguments = format!(
        "-f lavfi -i testsrc2=size=640x360:rate=30:duration={seconds} -pix_fmt yuv420p -c:v libx264 -preset veryfast -threads 1 \
         -g {gop} -keyint_min {gop} -sc_threshold 0 -bf 2"
    );
    clip(dir, "pictures.mp4", &arguments)
}

/// A program that runs the worker as important as the tests: on a busy machine, who is niced may not come to its turn for seconds.
pub(crate) fn worker(dir: &Path, environment: &str) -> PathBuf {
    let file = dir.join("worker");
    let script = format!("#!/bin/sh\ntask=$1\nshift 2\n{environment} exec {WORKER} \"$task\" 0 \"$@\"\n");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    file
}

pub(crate) fn settings(worker: &Path) -> Settings {
    Settings {
        worker: worker.to_owned(),
        memory_mb: 1024,
        cores: 4.0,
        clock: Clock::system(),
    }
}

pub(crate) fn transcoder(dir: &Path, ladder: &str) -> Arc<Transcoder> {
    let _ = tracing_subscriber::fmt()
        .with_test_writer()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .try_init();
    let ladder: Ladder = ladder.parse().unwrap();
    Transcoder::new(settings(&worker(dir, "")), ladder, tokio::runtime::Handle::current())
}

pub(crate) fn epoch(tracks: &[&Track]) -> Item {
    Item::Epoch(Arc::new(Epoch {
        tracks: tracks.iter().map(|track| Arc::new((*track).clone())).collect(),
        discontinuity: false,
        start_us: 0,
        wall: Timestamp(0),
    }))
}

/// A ladder, what was pushed into it and what has come out.
pub(crate) struct Driver {
    pub(crate) live: Live,
    pub(crate) tracks: BTreeMap<TrackId, Track>,
    pub(crate) frames: BTreeMap<TrackId, Vec<Frame>>,
    pub(crate) paused: HashSet<TrackId>,
    pub(crate) flushed: usize,
    /// PTS of the newest pictures pushed, or of sound where there are none.
    inside: Vec<i64>,
}

impl Driver {
    pub(crate) fn new(transcoder: &Arc<Transcoder>) -> Self {
        Self {
            live: transcoder.live("test"),
            tracks: BTreeMap::new(),
            frames: BTreeMap::new(),
            paused: HashSet::new(),
            flushed: 0,
            inside: Vec::new(),
        }
    }

    /// Pushes the frames, waiting whenever too many pictures are inside.
    pub(crate) async fn play(&mut self, frames: &[Frame]) {
        for frame in frames {
            self.live.push(&Item::Frame(frame.clone()));
            if frame.track == VIDEO || self.live.rungs().is_empty() {
                self.inside.push(frame.pts());
            }
            while self.waiting() >= WINDOW {
                self.turn().await;
            }
        }
    }

    /// Pictures that some rung owes.
    fn waiting(&mut self) -> usize {
        let rungs = self.live.rungs().len();
        let mut out = i64::MAX;
        if rungs == 0 {
            // Both count samples of 48 kHz in these tests.
            out = self.sound().last().map_or(i64::MIN, Frame::pts);
        }
        for id in (0..rungs).map(|index| TrackId(RUNG_TRACK.0 + index as u8)) {
            if !self.paused.contains(&id) {
                let last = self.frames.get(&id).and_then(|frames| frames.last());
                out = out.min(last.map_or(i64::MIN, Frame::pts));
            }
        }
        self.inside.retain(|pts| *pts > out);
        self.inside.len()
    }

    /// Takes what comes next.
    pub(crate) async fn turn(&mut self) {
        let mut batch = Vec::new();
        tokio::time::timeout(Duration::from_secs(15), self.live.receive(&mut batch))
            .await
            .expect("the ladder gives something");
        for event in batch {
            match event {
                Event::Track { track, .. } => {
                    assert!(self.tracks.insert(track.id, track).is_none(), "a track is told once");
                }
                Event::Frame(frame) => {
                    assert!(
                        self.tracks.contains_key(&frame.track),
                        "a track comes before its frames"
                    );
                    self.paused.remove(&frame.track);
                    self.frames.entry(frame.track).or_default().push(frame);
                }
                Event::Flushed => {
                    self.flushed += 1;
                    self.inside.clear();
                }
                Event::Paused(track) => {
                    self.paused.insert(track);
                }
            }
        }
    }

    /// Ends the broadcast and takes everything that is inside.
    pub(crate) async fn end(&mut self) {
        let flushed = self.flushed;
        self.live.push(&Item::End);
        while self.flushed == flushed {
            self.turn().await;
        }
    }

    pub(crate) fn rung(&self, index: u8) -> &[Frame] {
        let frames = self.frames.get(&TrackId(RUNG_TRACK.0 + index));
        frames.map_or(&[], Vec::as_slice)
    }

    pub(crate) fn sound(&self) -> &[Frame] {
        self.frames.get(&SOUND_TRACK).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn kill(&self, signal: rustix::process::Signal) -> u32 {
        let id = self.live.worker().expect("a worker runs");
        let pid = rustix::process::Pid::from_raw(id as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        id
    }
}

/// PTS in order of presentation.
pub(crate) fn times(frames: &[Frame]) -> Vec<i64> {
    let mut times: Vec<i64> = frames.iter().map(Frame::pts).collect();
    times.sort_unstable();
    times
}

pub(crate) fn keys(frames: &[Frame]) -> Vec<i64> {
    times(
        &frames
            .iter()
            .filter(|frame| frame.keyframe)
            .cloned()
            .collect::<Vec<_>>(),
    )
}

/// Mean SSIM of a rung against the source's pictures, frame by frame.
pub(crate) fn ssim(dir: &Path, track: &Track, frames: &[Frame], source: &Path) -> f64 {
    let mut stream = Vec::new();
    let mut nal = |nal: &[u8]| {
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(nal);
    };
    let (mut at, config) = (5, &track.config);
    for mask in [0x1f, 0xff] {
        let count = config[at] & mask;
        at += 1;
        for _ in 0..count {
            let len = usize::from(u16::from_be_bytes([config[at], config[at + 1]]));
            nal(&config[at + 2..at + 2 + len]);
            at += 2 + len;
        }
    }
    for frame in frames {
        let mut rest = &frame.payload[..];
        while let Some((head, tail)) = rest.split_first_chunk::<4>() {
            let (unit, after) = tail.split_at(u32::from_be_bytes(*head) as usize);
            nal(unit);
            rest = after;
        }
    }
    let file = dir.join("rung.h264");
    std::fs::write(&file, stream).unwrap();
    let Media::Video { width, height, .. } = track.media else {
        panic!("a rung has pictures")
    };
    let filter =
        format!("[0:v]setpts=N/30/TB[a];[1:v]scale={width}:{height}:flags=bilinear,setpts=N/30/TB[b];[a][b]ssim");
    let (rung, source) = (file.to_str().unwrap(), source.to_str().unwrap());
    let text = run(
        "ffmpeg",
        &["-i", rung, "-i", source, "-lavfi", &filter, "-f", "null", "-"],
    );
    let all = text.rsplit_once("All:").expect("a result").1;
    all.split_whitespace().next().unwrap().parse().unwrap()
}
