//! What real encoders sent, replayed: see `testdata/README.md` for who and how.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use nova_ingest::rtmp::{Config, Output, Session};

/// Feeds a recording in pieces of `step` bytes and tells what came of it.
fn replay(bytes: &[u8], step: usize) -> String {
    let mut session = Session::new(Config::default(), 1);
    let mut text = String::new();
    let mut frames: BTreeMap<u8, (u32, u32, i64, i64, usize)> = BTreeMap::new();
    for piece in bytes.chunks(step) {
        session.feed(piece).unwrap();
        while let Some(output) = session.poll() {
            match output {
                Output::Bytes(_) => {}
                Output::Publish(publish) => {
                    writeln!(
                        text,
                        "publish {}/{}?{} with {:?}",
                        publish.app, publish.key, publish.query, publish.encoder
                    )
                    .unwrap();
                    session.accept().unwrap();
                }
                Output::Track(track) => {
                    writeln!(text, "track {} {} {:?}", track.id, track.codec_string, track.media).unwrap();
                }
                Output::Frame(frame) => {
                    let entry = frames.entry(frame.track.0).or_insert((0, 0, frame.dts, 0, 0));
                    entry.0 += 1;
                    entry.1 += u32::from(frame.keyframe);
                    entry.3 = frame.dts;
                    entry.4 += frame.payload.len();
                }
                Output::Unpublish => writeln!(text, "unpublish").unwrap(),
                Output::Close => writeln!(text, "close").unwrap(),
            }
        }
    }
    for (track, (count, keyframes, first, last, bytes)) in frames {
        writeln!(
            text,
            "track {track}: {count} frames, {keyframes} keyframes, dts {first} to {last}, {bytes} bytes"
        )
        .unwrap();
    }
    writeln!(text, "{} tags dropped", session.dropped_tags()).unwrap();
    text
}

/// The whole story of each recording, in any pieces the network may make of it (conformance 3, 5, 27).
macro_rules! recordings {
    ($($test:ident: $name:literal => $expected:literal,)*) => {$(
        #[test]
        fn $test() {
            let bytes = include_bytes!(concat!("../testdata/", $name, ".rtmp"));
            let whole = replay(bytes, usize::MAX);
            assert_eq!(whole, $expected, "\n{whole}");
            for step in [1, 5, 127, 1536, 4096] {
                assert_eq!(replay(bytes, step), whole, "in pieces of {step}");
            }
        }
    )*};
}

recordings! {
    ffmpeg_5_is_understood: "ffmpeg-5" => "\
publish live/show? with \"FMLE/3.0 (compatible; Lavf59.27.100)\"
track 0 avc1.64000c Video { width: 160, height: 90, sar: (1, 1), frame_rate: Some((15, 1)), colour: None }
track 1 mp4a.40.2 Audio { sample_rate: 44100, channels: 1, frame_samples: Some(1024) }
unpublish
track 0: 18 frames, 2 keyframes, dts 0 to 101970, 18948 bytes
track 1: 53 frames, 53 keyframes, dts 4851 to 58080, 7472 bytes
0 tags dropped
",
    ffmpeg_9_av1_aac_is_understood: "ffmpeg-9-av1-aac" => "\
publish live/show? with \"FMLE/3.0 (compatible; Lavf63.1.102)\"
track 0 av01.0.00M.08 Video { width: 160, height: 90, sar: (1, 1), frame_rate: None, colour: None }
track 1 mp4a.40.2 Audio { sample_rate: 44100, channels: 1, frame_samples: Some(1024) }
unpublish
track 0: 18 frames, 2 keyframes, dts 2070 to 104040, 18477 bytes
track 1: 53 frames, 53 keyframes, dts 0 to 53229, 7539 bytes
0 tags dropped
",
    ffmpeg_9_h264_ac3_is_understood: "ffmpeg-9-h264-ac3" => "\
publish live/show? with \"FMLE/3.0 (compatible; Lavf63.1.102)\"
track 0 avc1.64000b Video { width: 160, height: 90, sar: (1, 1), frame_rate: Some((15, 1)), colour: None }
track 1 ac-3 Audio { sample_rate: 48000, channels: 2, frame_samples: Some(1536) }
unpublish
track 0: 18 frames, 2 keyframes, dts 0 to 101970, 13800 bytes
track 1: 38 frames, 38 keyframes, dts 6144 to 62976, 14592 bytes
0 tags dropped
",
    ffmpeg_9_h264_eac3_is_understood: "ffmpeg-9-h264-eac3" => "\
publish live/show? with \"FMLE/3.0 (compatible; Lavf63.1.102)\"
track 0 avc1.64000b Video { width: 160, height: 90, sar: (1, 1), frame_rate: Some((15, 1)), colour: None }
track 1 ec-3 Audio { sample_rate: 48000, channels: 2, frame_samples: Some(1536) }
unpublish
track 0: 18 frames, 2 keyframes, dts 0 to 101970, 13800 bytes
track 1: 38 frames, 38 keyframes, dts 6144 to 62976, 14592 bytes
0 tags dropped
",
    ffmpeg_9_h264_mp3_is_understood: "ffmpeg-9-h264-mp3" => "\
publish live/show? with \"FMLE/3.0 (compatible; Lavf63.1.102)\"
track 0 avc1.64000b Video { width: 160, height: 90, sar: (1, 1), frame_rate: Some((15, 1)), colour: None }
track 1 mp4a.6B Audio { sample_rate: 44100, channels: 1, frame_samples: Some(1152) }
unpublish
track 0: 18 frames, 2 keyframes, dts 0 to 101970, 13800 bytes
track 1: 47 frames, 47 keyframes, dts 4763 to 57771, 7366 bytes
0 tags dropped
",
    ffmpeg_9_hevc_opus_is_understood: "ffmpeg-9-hevc-opus" => "\
publish live/show? with \"FMLE/3.0 (compatible; Lavf63.1.102)\"
track 0 hvc1.1.6.L30.90 Video { width: 160, height: 90, sar: (1, 1), frame_rate: Some((15, 1)), colour: None }
track 1 opus Audio { sample_rate: 48000, channels: 1, frame_samples: None }
unpublish
track 0: 18 frames, 2 keyframes, dts 0 to 101970, 16296 bytes
track 1: 61 frames, 61 keyframes, dts 6048 to 63696, 8717 bytes
0 tags dropped
",
    ffmpeg_9_multitrack_is_understood: "ffmpeg-9-multitrack" => "\
publish live/show? with \"FMLE/3.0 (compatible; Lavf63.1.102)\"
track 0 avc1.640009 Video { width: 160, height: 90, sar: (1, 1), frame_rate: Some((15, 1)), colour: None }
track 2 avc1.640009 Video { width: 80, height: 46, sar: (46, 45), frame_rate: Some((15, 1)), colour: None }
track 1 mp4a.40.2 Audio { sample_rate: 44100, channels: 1, frame_samples: Some(1024) }
track 3 mp4a.40.2 Audio { sample_rate: 44100, channels: 1, frame_samples: Some(1024) }
unpublish
track 0: 18 frames, 2 keyframes, dts 0 to 101970, 11676 bytes
track 1: 53 frames, 53 keyframes, dts 4851 to 58080, 4906 bytes
track 2: 18 frames, 2 keyframes, dts 0 to 101970, 11115 bytes
track 3: 53 frames, 53 keyframes, dts 4851 to 58080, 4906 bytes
0 tags dropped
",
    ffmpeg_9_vp9_flac_is_understood: "ffmpeg-9-vp9-flac" => "\
publish live/show? with \"FMLE/3.0 (compatible; Lavf63.1.102)\"
track 1 flac Audio { sample_rate: 44100, channels: 1, frame_samples: Some(1024) }
track 0 vp09.00.10.08 Video { width: 160, height: 90, sar: (1, 1), frame_rate: None, colour: None }
unpublish
track 0: 18 frames, 2 keyframes, dts 0 to 101970, 18580 bytes
track 1: 52 frames, 52 keyframes, dts 0 to 52214, 18437 bytes
0 tags dropped
",
    gst_rtmp2sink_is_understood: "gst-rtmp2sink" => "\
publish live/show? with \"LNX 10,0,32,18\"
track 0 avc1.f4000a Video { width: 160, height: 90, sar: (1, 1), frame_rate: Some((15, 1)), colour: Some(Colour { primaries: 6, transfer: 6, matrix: 6, full_range: false }) }
track 1 mp4a.40.2 Audio { sample_rate: 44100, channels: 1, frame_samples: Some(1024) }
unpublish
track 0: 20 frames, 2 keyframes, dts 0 to 113940, 18916 bytes
track 1: 51 frames, 51 keyframes, dts 0 to 51156, 7349 bytes
0 tags dropped
",
    gst_rtmpsink_librtmp_is_understood: "gst-rtmpsink-librtmp" => "\
publish live/show? with \"\"
track 0 avc1.f4000a Video { width: 160, height: 90, sar: (1, 1), frame_rate: Some((15, 1)), colour: Some(Colour { primaries: 6, transfer: 6, matrix: 6, full_range: false }) }
track 1 mp4a.40.2 Audio { sample_rate: 44100, channels: 1, frame_samples: Some(1024) }
unpublish
track 0: 20 frames, 2 keyframes, dts 0 to 113940, 18916 bytes
track 1: 51 frames, 51 keyframes, dts 0 to 51156, 7349 bytes
0 tags dropped
",
    obs_29_is_understood: "obs-29" => "\
publish live/show? with \"FMLE/3.0 (compatible; FMSc/1.0)\"
track 1 mp4a.40.2 Audio { sample_rate: 48000, channels: 2, frame_samples: Some(1024) }
track 0 avc1.42d00b Video { width: 160, height: 90, sar: (1, 1), frame_rate: Some((10, 1)), colour: Some(Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false }) }
track 0: 106 frames, 1 keyframes, dts 0 to 945000, 2519 bytes
track 1: 494 frames, 494 keyframes, dts 0 to 504816, 2981 bytes
0 tags dropped
",
}
