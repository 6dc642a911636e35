//! Entry points for fuzzing: any bytes, no panic, bounded memory. `fuzz/` drives them with libFuzzer, `tests/corpus.rs` with the inputs that
//! were worth keeping.
//!
//! Not an API: the names and what they check change with the parsers.

use bytes::Bytes;
use nova_core::media::Codec;

use crate::codec::{aac, ac3, av1, avc, flac, hevc, mp3, nal, opus, vp9};
use crate::flv::{Demuxer, Event};
use crate::rtmp::chunk::{ChunkReader, Limits};
use crate::rtmp::handshake::Handshake;
use crate::rtmp::{Config, Output, Session, amf0};

/// Handshake, in pieces whose size the first byte tells: the answer is as long as it has to be, and the pieces make no difference.
pub fn fuzz_handshake(data: &[u8]) {
    let Some((&step, data)) = data.split_first() else {
        return;
    };
    let run = |step: usize| {
        let mut handshake = Handshake::new(1);
        let (mut out, mut done, mut left) = (Vec::new(), false, 0);
        for mut piece in data.chunks(step) {
            if !done {
                match handshake.feed(&mut piece, &mut out) {
                    Ok(now) => done = now,
                    Err(error) => return (Err(error), 0),
                }
            }
            left += piece.len();
        }
        assert!(out.is_empty() || out.len() == 1 + 2 * 1536);
        (Ok((out, done)), left)
    };
    let whole = run(usize::MAX);
    assert_eq!(run(usize::from(step) + 1), whole);
}

/// Chunk reader, in pieces whose size the first byte tells: memory holds, and the pieces make no difference.
pub fn fuzz_chunks(data: &[u8]) {
    let Some((&step, data)) = data.split_first() else {
        return;
    };
    let limits = Limits {
        max_message_bytes: 1 << 16,
        max_partial_messages: 3,
        max_chunk_streams: 8,
    };
    let run = |step: usize| {
        let mut reader = ChunkReader::new(limits);
        let mut messages = Vec::new();
        for mut piece in data.chunks(step) {
            loop {
                match reader.next(&mut piece) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => return (messages, Some(error)),
                }
            }
            assert!(reader.buffered() <= limits.max_partial_messages * limits.max_message_bytes);
        }
        (messages, None)
    };
    assert_eq!(run(usize::from(step) + 1), run(usize::MAX));
}

/// AMF0 and AMF3: what is decoded can be encoded and decoded again.
pub fn fuzz_amf(data: &[u8]) {
    let limits = amf0::Limits::default();
    let Ok(values) = amf0::decode_all(data, limits) else {
        return;
    };
    let mut bytes = Vec::new();
    for value in &values {
        value.encode(&mut bytes);
    }
    // Nameless properties and AMF3's unfolded text may go or grow; what comes out must still be AMF0 within the limits.
    let again = amf0::decode_all(&bytes, limits);
    assert!(again.is_ok_and(|again| again.len() == values.len()));
}

/// FLV tags of one publisher: each is one byte of kind, two of length, and the body.
pub fn fuzz_flv(mut data: &[u8]) {
    let mut demuxer = Demuxer::new(4);
    let mut known = Vec::new();
    let mut time = 0;
    while let [kind, high, low, rest @ ..] = data {
        let size = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (body, later) = rest.split_at(size);
        data = later;
        time += 20;
        let mut sink = |event| match event {
            Event::Track(track) => {
                assert!(track.timescale > 0 && !track.codec_string.is_empty());
                known.push(track.id);
            }
            Event::Frame(frame) => assert!(known.contains(&frame.track) && !frame.payload.is_empty()),
        };
        if kind & 1 == 0 {
            demuxer.video(time, Bytes::copy_from_slice(body), &mut sink);
        } else {
            demuxer.audio(time, Bytes::copy_from_slice(body), &mut sink);
        }
    }
}

/// Every decoder configuration and frame parser on the same bytes, the first of which chooses.
pub fn fuzz_codec(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    match which % 12 {
        0 => {
            // What is written is a record itself, and says the same.
            if let Ok((description, _)) = avc::parse_config(data) {
                let (again, length_size) = avc::parse_config(&description.config).expect("a record");
                assert_eq!((again, length_size), (description, 4));
            }
        }
        1 => {
            if let Ok((description, _)) = hevc::parse_config(data) {
                let (again, length_size) = hevc::parse_config(&description.config).expect("a record");
                assert_eq!((again, length_size), (description, 4));
            }
        }
        2 => drop(av1::parse_config(data)),
        3 => drop(vp9::parse_config(data).and_then(|record| vp9::describe(&record, data))),
        4 => drop(aac::parse_config(data)),
        5 => {
            let _ = opus::duration(data);
            drop(opus::parse_config(data));
        }
        6 => drop(ac3::describe(Codec::Ac3, data)),
        7 => drop(ac3::describe(Codec::Eac3, data)),
        8 => {
            let _ = flac::duration(data);
            drop(flac::parse_config(data));
        }
        9 => drop(mp3::describe(data)),
        10 => {
            let length_size = usize::from(which / 12 % 4) + 1;
            if let Ok(Some(unit)) = nal::normalize(Bytes::copy_from_slice(data), length_size, avc::class) {
                // Normalised, it is its own normal form.
                let again = nal::normalize(unit.payload.clone(), 4, avc::class)
                    .expect("NAL units")
                    .expect("not empty");
                assert_eq!(again, unit);
            }
        }
        _ => {
            let stripped = av1::strip_delimiters(Bytes::copy_from_slice(data));
            let _ = vp9::key_frame_size(&stripped);
        }
    }
}

/// A whole session that is accepted whenever it asks.
pub fn fuzz_session(data: &[u8]) {
    let config = Config {
        chunks: Limits {
            max_message_bytes: 1 << 16,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut session = Session::new(config, 1);
    // The handshake is another target's.
    let mut hello = vec![0; 1 + 2 * 1536];
    hello[0] = 3;
    session.feed(&hello).expect("a simple handshake");
    for piece in data.chunks(997) {
        if session.feed(piece).is_err() {
            return;
        }
        while let Some(output) = session.poll() {
            match output {
                Output::Publish(_) if session.accept().is_err() => return,
                Output::Close => return,
                _ => {}
            }
        }
    }
}
