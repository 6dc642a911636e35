//! Chunk reader against rml_rtmp's, same bytes, in turns: 64 KiB feeds from memory, video of 20 KiB messages with audio between.
//!
//! `cargo run --release -p nova-ingest --example chunk_throughput`

use std::hint::black_box;
use std::time::Duration;

use nova_core::clock::Clock;
use nova_ingest::rtmp::chunk::{ChunkReader, ChunkWriter, Limits, kind};

const FEED: usize = 64 << 10;
/// 240 KiB of input, so that it stays in the cache as a socket's read buffer does.
const MESSAGES: u32 = 12;
const ROUNDS: usize = 400;

fn main() {
    for chunk_size in [128, 4096, 60_000] {
        let mut input = Vec::new();
        let mut writer = ChunkWriter::default();
        writer.set_chunk_size(chunk_size, &mut input);
        for index in 0..MESSAGES {
            writer.write(6, kind::VIDEO, 1, index * 33, &[0x27; 20_000], &mut input);
            writer.write(4, kind::AUDIO, 1, index * 33, &[0xaf; 350], &mut input);
        }
        let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
        for _ in 0..5 {
            ours = ours.min(time(|| {
                let mut reader = ChunkReader::new(Limits::default());
                let mut count = 0;
                for _ in 0..ROUNDS {
                    for mut piece in input.chunks(FEED) {
                        while let Ok(Some(message)) = reader.next(&mut piece) {
                            count += black_box(message).payload.len();
                        }
                    }
                }
                count
            }));
            theirs = theirs.min(time(|| {
                let mut reader = rml_rtmp::chunk_io::ChunkDeserializer::new();
                let mut count = 0;
                for _ in 0..ROUNDS {
                    for piece in input.chunks(FEED) {
                        let mut piece = piece;
                        while let Ok(Some(message)) = reader.get_next_message(piece) {
                            piece = &[];
                            // Its session does this; the reader leaves it to the caller.
                            if message.type_id == 1 {
                                reader.set_max_chunk_size(chunk_size as usize).unwrap_or_default();
                            }
                            count += black_box(message).data.len();
                        }
                    }
                }
                count
            }));
        }
        let rate = |time: Duration| (ROUNDS * input.len()) as f64 / time.as_secs_f64() / 1e6;
        eprintln!(
            "chunks of {chunk_size}: {:.0} MB/s, rml_rtmp {:.0} MB/s, ratio {:.2}",
            rate(ours),
            rate(theirs),
            rate(ours) / rate(theirs)
        );
    }
}

fn time(run: impl Fn() -> usize) -> Duration {
    let clock = Clock::system();
    let start = clock.monotonic_micros();
    let bytes = run();
    let taken = clock.monotonic_micros() - start;
    assert_eq!(bytes, ROUNDS * (4 + MESSAGES as usize * 20_350));
    Duration::from_micros(taken as u64)
}
