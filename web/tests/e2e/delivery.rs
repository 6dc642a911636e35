//! HTTP as caches, browsers and odd clients use it (conformance 60, 66, 67, 85, 87).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::clip;
use crate::playlist::Rendition;
use crate::publisher::Publisher;
use crate::server::{Answer, Server, until};

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

fn any_page_may_read(answer: &Answer) {
    assert_eq!(answer.header("access-control-allow-origin"), "*", "{}", answer.url);
    // 87
    assert_eq!(answer.header("set-cookie"), "", "{}", answer.url);
}

#[test]
fn headers_say_how_long_what_may_be_kept_and_by_whom() {
    let server = Server::start(&[("NOVA_LIVE__SEGMENT_MS", "2000")]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));

    // A name that nobody publishes yet may come; a path that is none may not.
    let coming = server.get("/live/nobody/master.m3u8").is(404);
    assert_eq!(coming.header("retry-after"), "1");
    any_page_may_read(&coming);
    assert_eq!(
        server.get("/live/no%20name/master.m3u8").is(404).header("retry-after"),
        ""
    );

    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    let list = until("two segments", 20, || {
        let list = rendition.now(&server);
        (list.segments.len() >= 2).then_some(list)
    });
    let playlist = rendition.path(&rendition.file);

    // 66: half a target duration, six when the request named a position.
    let answer = server.get(&playlist).ok();
    assert_eq!(answer.header("content-type"), "application/vnd.apple.mpegurl");
    assert_eq!((list.target, answer.header("cache-control")), (2, "max-age=1"));
    any_page_may_read(&answer);
    let (msn, part) = list.next_part();
    let blocking = server.get(&format!("{playlist}?_HLS_msn={msn}&_HLS_part={part}")).ok();
    assert_eq!(blocking.header("cache-control"), "max-age=12");
    let mpd = server.get("/live/show/manifest.mpd").ok();
    assert_eq!(mpd.header("content-type"), "application/dash+xml");
    assert_eq!(mpd.header("cache-control"), "max-age=1");
    any_page_may_read(&mpd);
    for uri in [
        &list.segments[0].uri,
        &list.segments[0].map,
        &list.segments[1].parts[0].uri,
    ] {
        let answer = server.get(&rendition.path(uri)).ok();
        assert_eq!(answer.header("cache-control"), IMMUTABLE);
        assert_eq!(answer.header("content-type"), "video/mp4");
        any_page_may_read(&answer);
    }
    let (folder, _) = list.segments[0].uri.rsplit_once('/').expect("a folder");
    let gone = server.get(&rendition.path(&format!("{folder}/987654.m4s"))).is(404);
    assert_eq!(gone.header("cache-control"), "max-age=2", "one target duration");
    any_page_may_read(&gone);

    // 67: compressed on request, and told apart.
    let packed = server
        .request("GET", "/live/show/master.m3u8", &[("accept-encoding", "gzip")])
        .ok();
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.header("vary").eq_ignore_ascii_case("accept-encoding"));
    assert_eq!(packed.body[..2], [0x1f, 0x8b]);
    assert_eq!(server.get(&playlist).ok().header("content-encoding"), "");

    // An entity tag that is known saves the body.
    let segment = rendition.path(&list.segments[0].uri);
    let whole = server.get(&segment).ok();
    let tag = whole.header("etag");
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    assert_eq!(
        server.request("GET", &segment, &[("if-none-match", tag)]).is(304).body,
        b""
    );
    server.request("GET", &segment, &[("if-none-match", "\"other\"")]).ok();
    let master = server.get("/live/show/master.m3u8").ok();
    let again = server.request(
        "GET",
        "/live/show/master.m3u8",
        &[("if-none-match", master.header("etag"))],
    );
    assert!(
        again.status == 304 || again.header("etag") != master.header("etag"),
        "{}",
        again.status
    );

    // HEAD is GET without the body.
    for path in [&segment, &playlist] {
        let head = server.request("HEAD", path, &[]).ok();
        let length: usize = head.header("content-length").parse().expect("a length");
        assert!(length > 100 && head.body.is_empty());
    }
    assert_eq!(
        server.request("HEAD", &segment, &[]).header("content-length"),
        whole.body.len().to_string()
    );

    // Ranges.
    let all = whole.body.len();
    assert_eq!(whole.header("accept-ranges"), "bytes");
    for (range, expected) in [
        ("bytes=0-99".to_owned(), 0..100),
        (format!("bytes={}-{}", all / 2, all / 2), all / 2..all / 2 + 1),
        (format!("bytes={}-", all - 7), all - 7..all),
        ("bytes=-7".to_owned(), all - 7..all),
        (format!("bytes=10-{}", all * 2), 10..all),
    ] {
        let part = server.request("GET", &segment, &[("range", &range)]).is(206);
        assert_eq!(
            part.header("content-range"),
            format!("bytes {}-{}/{all}", expected.start, expected.end - 1)
        );
        assert_eq!(part.body, whole.body[expected], "{range}");
    }
    let outside = server
        .request("GET", &segment, &[("range", &format!("bytes={all}-"))])
        .is(416);
    assert_eq!(outside.header("content-range"), format!("bytes */{all}"));

    // What a browser asks before it fetches across origins, and what nobody should ask.
    let preflight = server.request(
        "OPTIONS",
        &segment,
        &[
            ("origin", "https://elsewhere.example"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "range"),
        ],
    );
    assert_eq!(preflight.status, 204);
    any_page_may_read(&preflight);
    assert!(preflight.header("access-control-allow-methods").contains("GET"));
    assert!(!preflight.header("access-control-allow-headers").is_empty());
    assert!(
        server
            .request("DELETE", &segment, &[])
            .is(405)
            .header("allow")
            .contains("GET")
    );

    // The clock that DASH players set theirs by.
    let time = server.get("/time").ok();
    assert!(time.body.starts_with(b"20") && time.body.ends_with(b"Z"), "{time:?}");
    any_page_may_read(&time);
}

#[test]
fn http2_without_tls_is_spoken() {
    let server = Server::start(&[]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    server.until_live("show");
    let url = server.url("/live/show/master.m3u8");
    let output = clip::run(Command::new("curl").args([
        "-s",
        "--http2-prior-knowledge",
        "-w",
        "\n%{http_version} %{http_code}",
        &url,
    ]));
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.starts_with("#EXTM3U") && said.ends_with("\n2 200"), "{said}");
}

#[test]
fn small_requests_on_one_connection_are_answered_at_once() {
    let server = Server::start(&[]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    server.until_live("show");
    let mut stream = TcpStream::connect(&server.http).expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket");
    // 85: without TCP_NODELAY each of these takes 40 ms.
    let mut buffer = [0; 65536];
    let start = Instant::now();
    for _ in 0..100 {
        write!(stream, "GET /live/show/master.m3u8 HTTP/1.1\r\nHost: nova\r\n\r\n").expect("sent");
        let mut read = Vec::new();
        loop {
            let length = stream.read(&mut buffer).expect("an answer");
            assert_ne!(length, 0, "the connection is kept");
            read.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&read);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len()
                == length
                    .and_then(|length| length.parse::<usize>().ok())
                    .expect("a length")
            {
                break;
            }
        }
    }
    assert!(
        start.elapsed() < Duration::from_millis(2000),
        "100 requests took {:?}",
        start.elapsed()
    );
}
