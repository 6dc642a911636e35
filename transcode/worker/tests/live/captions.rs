//! Captions (CEA-608/708 in SEI, ATSC A/53 part 4 6.2.3) of the source are in every rung, each with its own picture.

use std::collections::BTreeMap;

use nova_core::media::Frame;

use crate::rig::{Driver, epoch, pictures, transcoder};

/// A SEI message with one CEA-608 pair, as a length-prefixed NAL unit.
fn sei(pair: [u8; 2]) -> Vec<u8> {
    let message = [
        &[0xb5, 0x00, 0x31][..],
        b"GA94",
        &[0x03, 0x41, 0xff, 0xfc, pair[0], pair[1], 0xff],
    ]
    .concat();
    let mut nal = vec![6, 4, message.len() as u8];
    nal.extend_from_slice(&message);
    nal.push(0x80);
    let mut unit = (nal.len() as u32).to_be_bytes().to_vec();
    unit.extend(nal);
    unit
}

/// The pairs that a frame carries.
fn pairs(frame: &Frame) -> Vec<[u8; 2]> {
    let payload = &frame.payload;
    let found = payload.windows(4).enumerate().filter(|(_, bytes)| bytes == b"GA94");
    found.map(|(at, _)| [payload[at + 8], payload[at + 9]]).collect()
}

#[tokio::test]
async fn captions_stay_with_their_pictures_in_every_rung() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = pictures(dir.path(), 2, 30);
    let mut expected = BTreeMap::new();
    for (index, frame) in source.frames.iter_mut().enumerate() {
        let pair = [0x20 + (index / 64) as u8, 0x20 + (index % 64) as u8];
        expected.insert(frame.pts(), vec![pair]);
        frame.payload = [sei(pair), frame.payload.to_vec()].concat().into();
    }
    let transcoder = transcoder(dir.path(), "240p:400k,180p:200k");
    let mut driver = Driver::new(&transcoder);
    driver.live.push(&epoch(&[&source.track]));
    driver.play(&source.frames).await;
    driver.end().await;
    for index in [0, 1] {
        let found: BTreeMap<i64, Vec<[u8; 2]>> = driver.rung(index).iter().map(|f| (f.pts(), pairs(f))).collect();
        assert_eq!(found, expected, "{index}");
    }
}
