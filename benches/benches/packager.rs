//! What packaging a second of 1080p30 at 4.4 Mbit/s with sound costs, and what rendering and compressing a live playlist does.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nova_core::clock::Timestamp;
use nova_core::delivery::{Presentation, Reply};
use nova_core::live::{Epoch, Item};
use nova_core::media::{Codec, Frame, Media, Track, TrackId};
use nova_packager::{Config, Packager, Stream};

const CONFIG: Config = Config {
    segment_ms: 2000,
    part_ms: 333,
    window_s: 60,
    memory_s: 12,
};

fn packager() -> Packager {
    let video = Track {
        id: TrackId(0),
        codec: Codec::Avc,
        timescale: 90_000,
        config: Bytes::from_static(&[1, 0x64, 0, 0x28, 0xff, 0xe1, 0, 0]),
        codec_string: "avc1.640028".into(),
        media: Media::Video {
            width: 1920,
            height: 1080,
            sar: (1, 1),
            frame_rate: None,
            colour: None,
        },
    };
    let audio = Track {
        id: TrackId(1),
        codec: Codec::Aac,
        timescale: 48_000,
        config: Bytes::from_static(&[0x11, 0x90]),
        codec_string: "mp4a.40.2".into(),
        media: Media::Audio {
            sample_rate: 48_000,
            channels: 2,
            frame_samples: Some(1024),
        },
    };
    let stream = Arc::new(Stream::new("bench", "b0".into(), CONFIG.window_s, 100));
    let mut packager = Packager::new(stream, CONFIG);
    let tracks = vec![Arc::new(video), Arc::new(audio)];
    packager.push(Item::Epoch(Arc::new(Epoch {
        tracks,
        discontinuity: false,
        start_us: 0,
        wall: Timestamp(1_700_000_000_000_000),
    })));
    packager
}

/// One second of frames from second `from` on.
fn second(packager: &mut Packager, from: i64, picture: &Bytes, sound: &Bytes) {
    let mut audio = from * 48_000 / 1024;
    for n in 0..30 {
        let dts = from * 90_000 + n * 3000;
        let payload = picture.clone();
        packager.push(Item::Frame(Frame {
            track: TrackId(0),
            dts,
            composition_offset: 0,
            duration: None,
            keyframe: (from * 30 + n) % 60 == 0,
            payload,
        }));
        while audio * 1024 * 90_000 / 48_000 <= dts {
            let payload = sound.clone();
            packager.push(Item::Frame(Frame {
                track: TrackId(1),
                dts: audio * 1024,
                composition_offset: 0,
                duration: Some(1024),
                keyframe: true,
                payload,
            }));
            audio += 1;
        }
        packager.publish();
    }
    while let Some(output) = packager.poll() {
        if let nova_packager::Output::Store(segment) = output {
            segment.mark_stored();
        }
    }
}

fn packaging(criterion: &mut Criterion) {
    let (picture, sound) = (Bytes::from(vec![7; 18_000]), Bytes::from(vec![7; 340]));
    let mut group = criterion.benchmark_group("packager");
    group.throughput(Throughput::Elements(1));
    group.bench_function("second_of_1080p30", |bencher| {
        let (mut packager, mut at) = (packager(), 0);
        bencher.iter(|| {
            second(&mut packager, at, &picture, &sound);
            at += 1;
        });
    });
    let mut packager = packager();
    for at in 0..70 {
        second(&mut packager, at, &picture, &sound);
    }
    let stream = Arc::clone(packager.stream());
    group.bench_function("playlist_of_60_s_rendered", |bencher| {
        let mut at = 70;
        bencher.iter_batched(
            || {
                // A new state, so that nothing is rendered yet.
                second(&mut packager, at, &picture, &sound);
                at += 1;
            },
            |()| match stream.answer("b0/v0.m3u8", None) {
                Reply::Text(text) => black_box(text.plain.len()),
                _ => 0,
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, packaging);
criterion_main!(benches);
