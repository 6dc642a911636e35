//! Entry points for fuzzing: any bytes, no panic, bounded memory. `fuzz/` drives them with libFuzzer, `tests/corpus.rs` with the inputs that
//! were worth keeping.
//!
//! Not an API: the names and what they check change with the parsers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use nova_core::clock::Timestamp;
use nova_core::delivery::{Presentation, Reply};
use nova_core::live::{Epoch, Item};
use nova_core::media::{Codec, Frame, Media, Track, TrackId};

use crate::captions;
use crate::packager::{Config, Packager};
use crate::recording::Recording;
use crate::stream::Stream;

/// Seconds of media in the stream that is asked.
const SECONDS: i64 = 9;

/// A path with a query behind a question mark, asked of a stream on air: whatever is asked, what is answered is what is there.
pub fn fuzz_request(data: &[u8]) {
    static STREAM: OnceLock<Arc<Stream>> = OnceLock::new();
    let stream = STREAM.get_or_init(on_air);
    let text = String::from_utf8_lossy(data);
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*text, None),
    };
    match stream.answer(path, query) {
        Reply::Text(list) => assert!(list.plain.starts_with(b"#EXTM3U\n") || list.plain.starts_with(b"<?xml")),
        Reply::Object(object) => assert!(!object.pieces.is_empty()),
        // Only what a query can get wrong, and only what the next seconds bring.
        Reply::Invalid(_) => assert!(query.is_some()),
        Reply::Wait(wait) => assert!(wait.limit.as_secs() <= 60),
        Reply::NotFound | Reply::Busy | Reply::Growing { .. } | Reply::Stored { .. } | Reply::Still(_) => {}
    }
    let _late = stream.answer_late(path, query);
}

/// An access unit, read for captions as each codec that has any.
pub fn fuzz_captions(data: &[u8]) {
    for codec in [Codec::Avc, Codec::Hevc] {
        let found = captions::of(codec, data);
        assert!(found.instream_ids().len() <= 3);
    }
    assert!(captions::of(Codec::Av1, data).is_empty());
}

/// The index of a recording: what is taken can be listed, and what was cut off is a recording still.
pub fn fuzz_index(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(recording) = Recording::read(&text) else { return };
    let (_, _, _) = (recording.duration_us(), recording.bytes(), recording.size());
    let stream = recording.stream();
    for list in ["master.m3u8", "manifest.mpd"] {
        let _answered = stream.answer(list, None);
    }
    for rendition in stream.renditions().iter() {
        let _answered = stream.answer(&format!("{}/{}.m3u8", stream.id(), rendition.name), None);
    }
    if let Some((whole, _cut)) = text.trim_end().rsplit_once('\n') {
        assert!(Recording::read(whole).is_ok());
    }
}

fn on_air() -> Arc<Stream> {
    let stream = Arc::new(Stream::new("show", "b1".to_owned(), 12, 4));
    let config = Config {
        segment_ms: 2000,
        part_ms: 333,
        window_s: 12,
        memory_s: 12,
    };
    let track = Arc::new(Track {
        id: TrackId(0),
        codec: Codec::Avc,
        timescale: 90_000,
        config: Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]),
        codec_string: "avc1.64001f".to_owned(),
        media: Media::Video {
            width: 1280,
            height: 720,
            sar: (1, 1),
            frame_rate: None,
            colour: None,
        },
    });
    let mut packager = Packager::new(Arc::clone(&stream), config);
    packager.push(Item::Epoch(Arc::new(Epoch {
        tracks: vec![Arc::clone(&track)],
        discontinuity: false,
        start_us: 0,
        wall: Timestamp(0),
    })));
    for number in 0..SECONDS * 30 {
        packager.push(Item::Frame(Frame {
            track: track.id,
            dts: number * 3000,
            composition_offset: 0,
            duration: None,
            keyframe: number % 60 == 0,
            payload: Bytes::from_static(&[1; 100]),
        }));
    }
    packager.publish();
    stream
}
