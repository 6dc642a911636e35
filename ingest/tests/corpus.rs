//! Every fuzz input worth keeping, and every one that once failed, on the stable compiler: see `fuzz/README.md`.

use std::path::Path;

use nova_ingest::fuzz;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz-corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        run(&data);
        // Cut and damaged in a few places, too.
        for at in (0..data.len()).step_by(data.len() / 16 + 1) {
            run(&data[..at]);
            let mut damaged = data.clone();
            damaged[at] ^= 0x81;
            run(&damaged);
        }
        count += 1;
    }
    assert!(count > 0, "{folder:?} is empty");
}

#[test]
fn handshake_inputs_pass() {
    replay("handshake", fuzz::fuzz_handshake);
}

#[test]
fn chunk_inputs_pass() {
    replay("chunks", fuzz::fuzz_chunks);
}

#[test]
fn amf_inputs_pass() {
    replay("amf", fuzz::fuzz_amf);
}

#[test]
fn flv_inputs_pass() {
    replay("flv", fuzz::fuzz_flv);
}

#[test]
fn codec_inputs_pass() {
    replay("codec", fuzz::fuzz_codec);
}

#[test]
fn session_inputs_pass() {
    replay("session", fuzz::fuzz_session);
}
