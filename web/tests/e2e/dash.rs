//! The MPD (conformance 76-82), read with xmllint's XPath.

use std::io::Write;
use std::process::Command;

use crate::clip;
use crate::playlist::{Rendition, millis};
use crate::publisher::Publisher;
use crate::server::{Server, until};

/// What an XPath finds in the MPD; `*` stands for any namespace.
struct Mpd(tempfile::NamedTempFile);

impl Mpd {
    fn now(server: &Server, stream: &str) -> Self {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(server.text(&format!("/live/{stream}/manifest.mpd")).as_bytes())
            .expect("written");
        Self(file)
    }

    fn find(&self, path: &str) -> String {
        let output = clip::run(
            Command::new("xmllint")
                .args(["--nonet", "--xpath", path])
                .arg(self.0.path()),
        );
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    fn number(&self, path: &str) -> f64 {
        let text = self.find(path);
        text.parse().unwrap_or_else(|_| panic!("{path} is {text:?}"))
    }

    /// Seconds of a duration such as `PT1M2.5S`.
    fn seconds(&self, path: &str) -> f64 {
        let text = self.find(path);
        let mut rest = text.strip_prefix("PT").unwrap_or_else(|| panic!("{path} is {text:?}"));
        let mut seconds = 0.0;
        for (unit, length) in [('H', 3600.0), ('M', 60.0), ('S', 1.0)] {
            if let Some((number, tail)) = rest.split_once(unit) {
                seconds += length * number.parse::<f64>().expect("a number");
                rest = tail;
            }
        }
        seconds
    }

    /// Number and media time of the first segment listed, how many there are, and where the last ends, of a track.
    fn timeline(&self, kind: &str) -> (u64, u64, u64, u64) {
        let set = format!("//*[local-name()='Period'][last()]/*[local-name()='AdaptationSet'][@contentType='{kind}']");
        let template = format!("{set}//*[local-name()='SegmentTemplate']");
        let first = self.number(&format!("number({template}/@startNumber)")) as u64;
        let entries = self.number(&format!("count({template}//*[local-name()='S'])")) as u64;
        let start = self.number(&format!("number({template}//*[local-name()='S'][1]/@t)")) as u64;
        let (mut at, mut count) = (start, 0);
        for entry in 1..=entries {
            let s = format!("{template}//*[local-name()='S'][{entry}]");
            let t = self.find(&format!("string({s}/@t)"));
            let repeat = self.find(&format!("string({s}/@r)")).parse().unwrap_or(0) + 1;
            if let Ok(t) = t.parse::<u64>() {
                assert_eq!(t, at, "no gap and no overlap");
            }
            at += repeat * self.number(&format!("number({s}/@d)")) as u64;
            count += repeat;
        }
        (first, start, count, at)
    }
}

#[test]
fn the_mpd_of_a_live_stream_keeps_its_anchor_and_its_numbers() {
    let server = Server::start(&[("NOVA_LIVE__SEGMENT_MS", "1000"), ("NOVA_LIVE__WINDOW_S", "6")]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let renditions = Rendition::all("show", &server.until_live("show"));
    until("the first segments to leave the window", 30, || {
        (renditions[0].now(&server).sequence >= 2).then_some(())
    });
    let first = Mpd::now(&server, "show");
    // 76
    assert_eq!(first.find("string(/*/@type)"), "dynamic");
    assert!(
        first
            .find("string(/*/@profiles)")
            .contains("urn:mpeg:dash:profile:isoff-live:2011")
    );
    assert_eq!(first.seconds("string(/*/@timeShiftBufferDepth)"), 6.0);
    assert!(first.seconds("string(/*/@minBufferTime)") > 0.0);
    assert!(first.seconds("string(/*/@minimumUpdatePeriod)") > 0.0);
    assert_eq!(first.number("count(//*[local-name()='Period'])"), 1.0);
    let clock = first.find("string(/*/*[local-name()='UTCTiming']/@value)");
    assert_eq!(clock, "../../time", "relative to the MPD, so /time");
    // 80
    let template = "//*[local-name()='AdaptationSet'][@contentType='video']//*[local-name()='SegmentTemplate']";
    assert_eq!(
        first.find(&format!("string({template}/@availabilityTimeComplete)")),
        "false"
    );
    let offset = first.number(&format!("number({template}/@availabilityTimeOffset)"));
    assert!((0.6..1.0).contains(&offset), "segment less chunk: {offset} s");
    assert!(first.number("number(//*[local-name()='Latency']/@target)") < 3000.0);

    let zero = millis(&first.find("string(/*/@availabilityStartTime)"));
    let before = first.timeline("video");
    let list = renditions[0].now(&server);
    // 82: the same numbers and the same codecs as HLS.
    assert!(
        list.sequence.abs_diff(before.0) <= 1,
        "{} beside {}",
        list.sequence,
        before.0
    );
    let codecs = first.find(
        "string(//*[local-name()='AdaptationSet'][@contentType='video']/*[local-name()='Representation']/@codecs)",
    );
    assert!(server.text("/live/show/master.m3u8").contains(&codecs), "{codecs}");
    // 77: the media clock is the wall clock.
    let now = millis(server.text("/time").trim());
    let scale = first.number(&format!("number({template}/@timescale)"));
    let origin = first.number(&format!("number({template}/@presentationTimeOffset)"));
    let period = first.seconds("string(//*[local-name()='Period']/@start)");
    let edge = zero as f64 / 1000.0 + period + (before.3 as f64 - origin) / scale;
    let behind = now as f64 / 1000.0 - edge;
    assert!((-1.2..2.0).contains(&behind), "the newest segment ends {behind} s ago");

    // It goes on: same anchor, numbers and times go with each other.
    let target = before.0 + before.2 + 2;
    let later = until("two segments more", 15, || {
        let mpd = Mpd::now(&server, "show");
        let (first, _, count, _) = mpd.timeline("video");
        (first + count >= target).then_some(mpd)
    });
    assert_eq!(millis(&later.find("string(/*/@availabilityStartTime)")), zero, "79");
    assert_eq!(
        later.number(&format!("number({template}/@presentationTimeOffset)")),
        origin
    );
    assert!(millis(&later.find("string(/*/@publishTime)")) > millis(&first.find("string(/*/@publishTime)")));
    let after = later.timeline("video");
    assert!(
        after.0 > before.0 && after.1 > before.1 && after.3 > before.3,
        "{before:?} {after:?}"
    );
    let (numbers, seconds) = ((after.0 - before.0) as f64, (after.1 - before.1) as f64 / scale);
    assert!(
        (numbers - seconds).abs() < 0.1,
        "segments of a second: {numbers} numbers in {seconds} s"
    );
    // Sound has the same numbers over the same times.
    let audio = later.timeline("audio");
    assert!(audio.0.abs_diff(after.0) <= 1 && (audio.3 as f64 / 48_000.0 - after.3 as f64 / scale).abs() < 1.1);
    // Everything listed can be had.
    let media = later.find(&format!("string({template}/@media)"));
    for number in after.0..after.0 + after.2 {
        server
            .get(&format!(
                "/live/show/{}",
                media.replace("$Number$", &number.to_string())
            ))
            .ok();
    }
}
