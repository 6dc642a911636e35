#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nova_packager::fuzz::fuzz_captions(data));
