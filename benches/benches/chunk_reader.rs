//! The chunk reader against rml_rtmp's on the same bytes, and how often it allocates: 64 KiB feeds from memory, 20 kB pictures with sound between.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nova_ingest::rtmp::chunk::{ChunkReader, ChunkWriter, Limits, kind};

const FEED: usize = 64 << 10;
const MESSAGES: u32 = 12;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY-free by delegation: the trait is unsafe to implement, and this only counts before handing over.
#[expect(
    unsafe_code,
    reason = "counting allocations needs a global allocator; it delegates to the system's"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn input(chunk_size: u32) -> Vec<u8> {
    let mut input = Vec::new();
    let mut writer = ChunkWriter::default();
    writer.set_chunk_size(chunk_size, &mut input);
    for index in 0..MESSAGES {
        writer.write(6, kind::VIDEO, 1, index * 33, &[0x27; 20_000], &mut input);
        writer.write(4, kind::AUDIO, 1, index * 33, &[0xaf; 350], &mut input);
    }
    input
}

fn read(reader: &mut ChunkReader, input: &[u8]) -> usize {
    let mut bytes = 0;
    for mut piece in input.chunks(FEED) {
        while let Ok(Some(message)) = reader.next(&mut piece) {
            bytes += black_box(message).payload.len();
        }
    }
    bytes
}

fn chunk_reader(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunk_reader");
    for chunk_size in [128, 4096, 60_000] {
        let input = input(chunk_size);
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_with_input(BenchmarkId::new("nova", chunk_size), &input, |bencher, input| {
            let mut reader = ChunkReader::new(Limits::default());
            bencher.iter(|| read(&mut reader, input));
        });
        group.bench_with_input(BenchmarkId::new("rml_rtmp", chunk_size), &input, |bencher, input| {
            let mut reader = rml_rtmp::chunk_io::ChunkDeserializer::new();
            bencher.iter(|| {
                let mut bytes = 0;
                for piece in input.chunks(FEED) {
                    let mut next = reader.get_next_message(piece);
                    while let Ok(Some(message)) = next {
                        if message.type_id == 1 {
                            let size = u32::from_be_bytes([
                                message.data[0],
                                message.data[1],
                                message.data[2],
                                message.data[3],
                            ]);
                            // The same size again, as the input repeats.
                            let _same = reader.set_max_chunk_size(size as usize);
                        }
                        bytes += black_box(message).data.len();
                        next = reader.get_next_message(&[]);
                    }
                }
                bytes
            });
        });
        let mut reader = ChunkReader::new(Limits::default());
        read(&mut reader, &input);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..100 {
            read(&mut reader, &input);
        }
        let each = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / (100.0 * f64::from(2 * MESSAGES));
        eprintln!("chunk_reader/nova/{chunk_size}: {each:.2} allocations a media message");
    }
    group.finish();
}

criterion_group!(benches, chunk_reader);
criterion_main!(benches);
