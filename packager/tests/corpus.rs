//! Every fuzz input worth keeping, and every one that once failed, on the stable compiler: see `fuzz/README.md`.

use std::path::Path;

use nova_packager::fuzz;

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
fn request_inputs_pass() {
    replay("request", fuzz::fuzz_request);
}

#[test]
fn caption_inputs_pass() {
    replay("captions", fuzz::fuzz_captions);
}

#[test]
fn index_inputs_pass() {
    replay("index", fuzz::fuzz_index);
}
