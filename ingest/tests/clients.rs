//! Real encoders over loopback. A client that is not installed is passed over with a line that says so: the recordings in `testdata/`, replayed
//! by `replay.rs`, hold the same ground on any machine.

mod support;

use std::process::Stdio;
use std::time::Duration;

use nova_core::media::{Codec, Media};
use support::{Received, receive, start_open};
use tokio::process::Command;
use tokio::time::timeout;

/// Runs `program` against a server; `URL` in its arguments is the address to publish to.
async fn publish(program: &str, args: &str) -> Option<Received> {
    let mut running = start_open().await;
    let url = format!("rtmp://{}/live/show", running.addr);
    let args: Vec<String> = args.split_whitespace().map(|arg| arg.replace("URL", &url)).collect();
    let child = Command::new(program)
        .args(&args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let Ok(child) = child else {
        eprintln!("{program} is not installed, not tried");
        return None;
    };
    let both = async { tokio::join!(receive(&mut running.started), child.wait_with_output()) };
    let (received, output) = timeout(Duration::from_secs(40), both)
        .await
        .expect("publisher and reader end");
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
    assert_eq!(received.stream, "show");
    assert!(running.hub.get("show").is_some());
    assert!(
        running.shutdown.finish(Duration::from_secs(10)).await,
        "the connection has ended"
    );
    Some(received)
}

fn check(received: &Received, video: Codec, audio: Codec, size: (u16, u16), frames: usize) {
    let [picture, sound] = &received.tracks[..] else {
        panic!("two tracks: {:?}", received.tracks)
    };
    assert_eq!((picture.codec, sound.codec), (video, audio));
    let Media::Video { width, height, .. } = picture.media else {
        panic!("video first")
    };
    assert_eq!((width, height), size);
    let pictures: Vec<_> = received.frames.iter().filter(|f| f.track == picture.id).collect();
    assert_eq!(pictures.len(), frames);
    assert!(pictures[0].keyframe && !pictures[1].keyframe);
    assert!(pictures.is_sorted_by(|a, b| a.dts < b.dts));
    let sounds = received.frames.iter().filter(|f| f.track == sound.id).count();
    assert!(sounds > 10, "{sounds}");
}

const TEST_CARD: &str = "-v error -re -f lavfi -i testsrc2=s=320x180:r=30:d=2 -f lavfi -i sine=d=2";

#[tokio::test]
async fn ffmpeg_publishes_h264_with_b_frames_and_aac() {
    let args = format!("{TEST_CARD} -c:v libx264 -bf 2 -g 30 -c:a aac -f flv URL");
    let Some(received) = publish("ffmpeg", &args).await else {
        return;
    };
    check(&received, Codec::Avc, Codec::Aac, (320, 180), 60);
    assert!(received.frames.iter().any(|f| f.composition_offset > 0));
    assert_eq!(received.epochs, 1);
}

#[tokio::test]
async fn gstreamer_publishes_by_rtmp2sink_and_by_librtmp() {
    for sink in ["rtmp2sink location=URL", "rtmpsink location=URL"] {
        let args = format!(
            "-q videotestsrc num-buffers=45 is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 ! x264enc key-int-max=30 tune=zerolatency \
             ! h264parse ! flvmux name=m streamable=true ! {sink} \
             audiotestsrc num-buffers=65 is-live=true ! audio/x-raw,rate=44100 ! avenc_aac ! aacparse ! m."
        );
        let Some(received) = publish("gst-launch-1.0", &args).await else {
            return;
        };
        check(&received, Codec::Avc, Codec::Aac, (320, 180), 45);
    }
}

/// Enhanced RTMP is new in ffmpeg; `FFMPEG_NEW` names a binary that has it (PyPI's imageio-ffmpeg brings one).
#[tokio::test]
async fn a_new_ffmpeg_publishes_hevc_and_opus_by_enhanced_rtmp() {
    let Ok(ffmpeg) = std::env::var("FFMPEG_NEW") else {
        eprintln!("FFMPEG_NEW is not set, not tried");
        return;
    };
    let args = format!(
        "{TEST_CARD} -c:v libx265 -x265-params log-level=error:keyint=30 -preset ultrafast -c:a libopus -f flv URL"
    );
    let Some(received) = publish(&ffmpeg, &args).await else {
        return;
    };
    check(&received, Codec::Hevc, Codec::Opus, (320, 180), 60);
}
