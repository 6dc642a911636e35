//! A packager driven by hand: frames of a made-up encoder in, what viewers would get out.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use nova_core::clock::Timestamp;
use nova_core::delivery::{Presentation, Reply};
use nova_core::live::{Epoch, Item};
use nova_core::media::{Codec, Frame, Media, Track, TrackId};
use nova_packager::{Config, Output, Packager, Stream};

pub(crate) const VIDEO: TrackId = TrackId(0);
pub(crate) const AUDIO: TrackId = TrackId(1);
/// 2026-11-24T00:00:00Z
pub(crate) const WALL: Timestamp = Timestamp(1_795_478_400_000_000);
pub(crate) const CONFIG: Config = Config {
    segment_ms: 2000,
    part_ms: 333,
    window_s: 12,
    memory_s: 8,
};

pub(crate) fn video(level: u8) -> Arc<Track> {
    let media = Media::Video {
        width: 1280,
        height: 720,
        sar: (1, 1),
        frame_rate: None,
        colour: None,
    };
    let config = Bytes::copy_from_slice(&[1, 0x64, 0, level, 0xff, 0xe0, 0]);
    Arc::new(Track {
        id: VIDEO,
        codec: Codec::Avc,
        timescale: 90_000,
        config,
        codec_string: format!("avc1.6400{level:02x}"),
        media,
    })
}

pub(crate) fn audio() -> Arc<Track> {
    let media = Media::Audio {
        sample_rate: 48_000,
        channels: 2,
        frame_samples: Some(1024),
    };
    let config = Bytes::from_static(&[0x11, 0x90]);
    Arc::new(Track {
        id: AUDIO,
        codec: Codec::Aac,
        timescale: 48_000,
        config,
        codec_string: "mp4a.40.2".into(),
        media,
    })
}

pub(crate) struct Live {
    pub(crate) packager: Packager,
    pub(crate) stored: Vec<(u64, String)>,
    /// The bytes of what was stored, by key.
    pub(crate) objects: BTreeMap<String, Bytes>,
    pub(crate) deleted: Vec<String>,
    pub(crate) store_works: bool,
}

impl Live {
    pub(crate) fn new(config: Config) -> Self {
        let stream = Arc::new(Stream::new("show", "b1".into(), config.window_s, 4));
        Self {
            packager: Packager::new(stream, config),
            stored: Vec::new(),
            objects: BTreeMap::new(),
            deleted: Vec::new(),
            store_works: true,
        }
    }

    pub(crate) fn epoch(&mut self, tracks: &[Arc<Track>], start_us: i64, discontinuity: bool) {
        let epoch = Epoch {
            tracks: tracks.to_vec(),
            discontinuity,
            start_us,
            wall: WALL.plus_micros(start_us),
        };
        self.push(Item::Epoch(Arc::new(epoch)));
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.packager.push(item);
        self.packager.publish();
        while let Some(output) = self.packager.poll() {
            match output {
                Output::Store(segment) => {
                    if self.store_works {
                        segment.mark_stored();
                    }
                    self.stored.push((segment.msn, segment.key.clone()));
                    let bytes = segment.pieces().map(|pieces| pieces.concat().into());
                    self.objects.insert(segment.key.clone(), bytes.unwrap_or_default());
                }
                Output::Delete(key) => self.deleted.push(key),
            }
        }
    }

    /// 30 pictures a second from `from_ms` to `to_ms` with a keyframe each `gop` pictures (none when 0), and sound beside them.
    pub(crate) fn run(&mut self, from_ms: i64, to_ms: i64, gop: i64, kinds: &[TrackId]) {
        let mut frames = Vec::new();
        for n in 0..(to_ms - from_ms) * 30 / 1000 {
            let dts = from_ms * 90 + n * 3000;
            frames.push((
                dts * 8,
                Frame {
                    track: VIDEO,
                    dts,
                    composition_offset: 0,
                    duration: None,
                    keyframe: gop > 0 && n % gop == 0,
                    payload: Bytes::from_static(&[1; 4000]),
                },
            ));
        }
        let mut dts = from_ms * 48 / 1024 * 1024;
        while dts < from_ms * 48 {
            dts += 1024;
        }
        while dts < to_ms * 48 {
            frames.push((
                dts * 15,
                Frame {
                    track: AUDIO,
                    dts,
                    composition_offset: 0,
                    duration: Some(1024),
                    keyframe: true,
                    payload: Bytes::from_static(&[2; 340]),
                },
            ));
            dts += 1024;
        }
        frames.sort_by_key(|(at, _)| *at);
        for (_, frame) in frames.into_iter().filter(|(_, frame)| kinds.contains(&frame.track)) {
            self.push(Item::Frame(frame));
        }
    }

    pub(crate) fn get(&self, path: &str, query: Option<&str>) -> String {
        match self.packager.stream().answer(path, query) {
            Reply::Text(text) => String::from_utf8(text.plain.to_vec()).unwrap(),
            Reply::Wait(_) => "held".into(),
            Reply::NotFound => "404".into(),
            Reply::Invalid(why) => format!("400 {why}"),
            Reply::Busy => "503".into(),
            Reply::Object(object) => format!("{} bytes", object.pieces.len()),
            Reply::Stored { range, .. } => format!("stored {range:?}"),
            Reply::Still(_) => "still".into(),
            Reply::Growing { .. } => "growing".into(),
        }
    }
}

pub(crate) fn both() -> Live {
    let mut live = Live::new(CONFIG);
    live.epoch(&[video(0x1f), audio()], 0, false);
    live
}

/// What holds for the playlists of any stream at any time (conformance 48, 50, 52, 55, 58, 68).
pub(crate) fn assert_hls_rules(live: &Live) {
    let stream = live.packager.stream();
    let Some(timing) = stream.timing() else { return };
    let renditions = stream.renditions();
    let part_target_us = timing.part_target_us;
    for rendition in renditions.iter() {
        let view = rendition.view();
        for pair in view.segments.windows(2) {
            assert_eq!(pair[1].msn, pair[0].msn + 1, "{}: numbers have no hole", rendition.name);
            assert!(
                pair[0].end_us() <= pair[1].end_us() - pair[1].duration_us() + if pair[0].gap { 50_000 } else { 30 },
                "{}: segments do not overlap at {}",
                rendition.name,
                pair[1].msn
            );
            assert!(pair[1].wall.0 >= pair[0].wall.0, "{}: the date rises", rendition.name);
        }
        for segment in view.segments.iter() {
            let scale = i64::from(segment.timescale);
            let rounded = (i64::from(segment.duration) + scale / 2) / scale;
            assert!(
                rounded <= i64::from(timing.target_duration_s),
                "{}/{} lasts {rounded} s",
                rendition.name,
                segment.msn
            );
            for (number, part) in segment.parts.iter().enumerate() {
                let us = i64::from(part.duration) * 1_000_000 / scale;
                assert!(
                    us <= part_target_us,
                    "{}/{}.{number}: {us} us",
                    rendition.name,
                    segment.msn
                );
                let last = number + 1 == segment.parts.len();
                assert!(
                    last || us * 100 >= part_target_us * 85,
                    "{}/{}.{number}: {us} us is short",
                    rendition.name,
                    segment.msn
                );
            }
        }
        for other in renditions.iter() {
            for segment in other.view().segments.iter() {
                if let Some(own) = view.segment(segment.msn) {
                    assert_eq!(
                        own.discontinuity, segment.discontinuity,
                        "conformance 53 at {}",
                        segment.msn
                    );
                    let apart = own.start as f64 / f64::from(own.timescale)
                        - segment.start as f64 / f64::from(segment.timescale);
                    assert!(
                        segment.gap || own.gap || segment.discontinuity || apart.abs() < 0.05,
                        "conformance 48: {} starts {apart} s apart",
                        segment.msn
                    );
                }
            }
        }
    }
}
