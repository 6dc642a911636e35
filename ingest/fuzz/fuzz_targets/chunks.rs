#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nova_ingest::fuzz::fuzz_chunks(data));
