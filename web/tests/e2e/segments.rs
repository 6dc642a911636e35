//! Media objects: what is in them by an independent reader, and that part, segment and growing segment are the same bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mp4_atom::Codec;

use crate::clip;
use crate::isobmff::{Header, continuous, fragments};
use crate::playlist::Rendition;
use crate::publisher::Publisher;
use crate::server::{Server, until};

#[test]
fn headers_and_segments_are_cmaf() {
    let server = Server::start(&[("NOVA_LIVE__RECONNECT_S", "1"), ("NOVA_LIVE__SEGMENT_MS", "1000")]);
    let folder = tempfile::tempdir().expect("a folder");
    let clip = clip::make("ffmpeg", folder.path(), "clip.flv", 5, clip::H264_B_FRAMES);
    Publisher::file(&clip, &format!("{}/show", server.rtmp)).finish(Duration::from_secs(5));
    server.until_status("show", "ended", 20);
    let renditions = Rendition::all("show", &server.text("/live/show/master.m3u8"));
    assert_eq!(renditions.len(), 2);
    let mut ends = Vec::new();
    for rendition in &renditions {
        let list = rendition.now(&server);
        assert!(list.segments.len() >= 5);
        let header = Header::parse(&server.get(&rendition.path(&list.segments[0].map)).ok().body);
        let (mut at, mut presented) = (None, Vec::new());
        for segment in &list.segments {
            let fragments = fragments(&header, &server.get(&rendition.path(&segment.uri)).ok().body);
            assert!(fragments[0].sync, "a segment begins with a picture of its own (72)");
            assert!(
                fragments.iter().all(|fragment| fragment.stamped),
                "every chunk has a prft (74)"
            );
            let start = at.unwrap_or(fragments[0].starts);
            let end = continuous(start, &fragments);
            let seconds = (end - start) as f64 / header.timescale as f64;
            assert!(
                (seconds - segment.duration).abs() < 0.001,
                "EXTINF {} of {seconds} s",
                segment.duration
            );
            at = Some(end);
            presented.extend(fragments.iter().flat_map(|fragment| fragment.presented.iter().copied()));
        }
        // Whatever the order of decoding: one frame is shown after the other, without a hole.
        presented.sort_unstable();
        let usual = presented[1] - presented[0];
        let even = |pair: &[i64]| ((pair[1] - pair[0]) - usual).abs() * 1000 <= 2 * header.timescale as i64;
        assert!(usual > 0 && presented.windows(2).all(even), "{presented:?}");
        ends.push(at.expect("segments") as f64 / header.timescale as f64);
        match header.codec() {
            Codec::Avc1(avc1) => {
                // 83: libx264 writes High, and an encoder's record may lack the bytes behind the parameter sets.
                assert_eq!(avc1.avcc.avc_profile_indication, 100);
                let more = avc1.avcc.ext.as_ref().expect("chroma format and bit depths");
                assert_eq!(
                    (more.chroma_format, more.bit_depth_luma, more.bit_depth_chroma),
                    (1, 8, 8)
                );
                assert_eq!((avc1.visual.width, avc1.visual.height), (320, 180));
            }
            Codec::Mp4a(mp4a) => assert_eq!(mp4a.audio.sample_rate.integer(), 48_000),
            other => panic!("{other:?}"),
        }
    }
    assert!(
        (ends[0] - ends[1]).abs() < 0.1,
        "picture and sound end together: {ends:?}"
    );
}

#[test]
fn parts_segments_and_growing_segments_are_the_same_bytes() {
    let server = Server::start(&[("NOVA_LIVE__SEGMENT_MS", "2000"), ("NOVA_LIVE__PART_MS", "200")]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let multivariant = server.until_live("show");
    for rendition in Rendition::all("show", &multivariant) {
        // The segment that grows, from its first part on.
        let (msn, _) = rendition.now(&server).next_part();
        let list = rendition.at(&server, (msn + 1, 0));
        let (msn, _) = list.next_part();
        let name = list.open[0]
            .uri
            .strip_suffix(".0.m4s")
            .expect("a part's name")
            .to_owned();
        let path = rendition.path(&format!("{name}.m4s"));
        let (head, growing, pieces) = chunked(&server, &path);
        assert!(head.to_lowercase().contains("transfer-encoding: chunked"), "{head}");
        assert!(pieces >= 5, "it came as {pieces} pieces, as its parts did (80)");
        let list = until("the segment to be listed", 10, || {
            let list = rendition.now(&server);
            (list.next_msn() > msn).then_some(list)
        });
        let segment = list.segments.iter().find(|segment| segment.msn == msn).expect("listed");
        let whole = server.get(&rendition.path(&segment.uri)).ok().body;
        assert_eq!(whole, growing, "the growing segment is the finished one");
        let parts: Vec<Vec<u8>> = segment
            .parts
            .iter()
            .map(|part| server.get(&rendition.path(&part.uri)).ok().body)
            .collect();
        assert!(parts.len() >= 8);
        assert_eq!(whole, parts.concat(), "a segment is its parts (82)");
        let header = Header::parse(&server.get(&rendition.path(&segment.map)).ok().body);
        let mut at = fragments(&header, &whole)[0].starts;
        for (part, listed) in parts.iter().zip(&segment.parts) {
            let fragments = fragments(&header, part);
            let end = continuous(at, &fragments);
            let seconds = (end - at) as f64 / header.timescale as f64;
            assert!(
                (seconds - listed.duration).abs() < 0.001,
                "{listed:?} lasts {seconds} s"
            );
            assert_eq!(fragments[0].sync, listed.independent, "{listed:?}");
            at = end;
        }
    }
}

/// A response with chunked transfer: its head, its body, and in how many pieces it came.
fn chunked(server: &Server, path: &str) -> (String, Vec<u8>, usize) {
    let mut stream = TcpStream::connect(&server.http).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time-out");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: nova\r\nConnection: close\r\n\r\n").expect("sent");
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).expect("a head"), 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (mut body, mut pieces) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a size");
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("{line:?} in {head}"));
        let mut piece = vec![0; size + 2];
        reader.read_exact(&mut piece).expect("a piece");
        if size == 0 {
            return (head, body, pieces);
        }
        body.extend_from_slice(&piece[..size]);
        pieces += 1;
    }
}
