//! What goes wrong around a live stream, and the stream going on.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::playlist::{Media, Rendition};
use crate::publisher::Publisher;
use crate::rtmp;
use crate::server::{Server, until};

/// Fails unless this many new parts come, each within a second of the last.
fn goes_on(server: &Server, rendition: &Rendition, parts: usize) {
    let mut list = rendition.now(server);
    for _ in 0..parts {
        let start = Instant::now();
        let next = list.next_part();
        list = rendition.at(server, next);
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "part {next:?} took {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn a_publisher_that_stands_still_is_given_up_and_may_come_back() {
    let server = Server::start(&[
        ("NOVA_RTMP__IDLE_TIMEOUT_MS", "2000"),
        ("NOVA_LIVE__SEGMENT_MS", "1000"),
    ]);
    let url = format!("{}/show", server.rtmp);
    let mut frozen = Publisher::endless(&url);
    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    goes_on(&server, rendition, 3);
    // The connection stays open, and nothing comes: a network that is gone looks like this (25).
    frozen.signal("STOP");
    server.until_status("show", "reconnecting", 8);
    until("the time-out to be counted", 5, || {
        (server.metric("nova_ingest_timeouts_total", "idle") == 1.0).then_some(())
    });
    let _publisher = Publisher::endless(&url);
    server.until_status("show", "live", 20);
    goes_on(&server, rendition, 3);
    frozen.signal("CONT");
    frozen.until_gone(20);
    goes_on(&server, rendition, 3);
}

#[test]
fn garbage_and_a_thousand_unfinished_handshakes_disturb_nobody() {
    let server = Server::start(&[("NOVA_RTMP__HANDSHAKE_TIMEOUT_MS", "3000")]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    let rtmp = server.listener("RTMP");

    // Bytes that are no RTMP, at once and behind a handshake.
    let mut noise = vec![0_u8; 64 * 1024];
    let mut state = 1_u32;
    noise.fill_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    for start in [
        &b"GET / HTTP/1.1\r\nHost: nova\r\n\r\n"[..],
        &[6],
        &[0x16, 3, 1, 2, 0],
        &noise,
    ] {
        closes(
            TcpStream::connect(&rtmp).expect("a connection"),
            &[start, &noise].concat(),
        );
    }
    let mut behind = vec![3; 1];
    behind.resize(1 + 1536 + 1536, 0);
    behind.extend(&noise);
    closes(TcpStream::connect(&rtmp).expect("a connection"), &behind);
    goes_on(&server, rendition, 3);

    // From four addresses, within what one may have; some have said a little, most nothing.
    let crowd: Vec<TcpStream> = (0..1000)
        .map(|number| {
            let mut stream = rtmp::connect_from([127, 0, 0, 10 + (number % 4) as u8], &rtmp);
            if number % 3 == 0 {
                stream.write_all(&noise[..number]).expect("sent");
            }
            stream
        })
        .collect();
    let _late = Publisher::endless(&format!("{}/late", server.rtmp));
    goes_on(&server, rendition, 6);
    server.until_live("late");
    // All of them are shown out in time.
    for (number, mut stream) in crowd.into_iter().enumerate() {
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a socket");
        let mut rest = Vec::new();
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(
                error.kind(),
                ErrorKind::ConnectionReset,
                "connection {number} is still open"
            );
        }
    }
    until("the places to be free", 5, || {
        (server.metric("nova_ingest_connections", "") <= 2.0).then_some(())
    });
    goes_on(&server, rendition, 3);
    assert!(!server.log_has("panicked"), "nothing panicked");
}

/// Sends what nobody understands and waits until the server closes.
fn closes(mut stream: TcpStream, bytes: &[u8]) {
    let _it_may_close_early = stream.write_all(bytes);
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket");
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "the server does not close: {error}");
    }
}

#[test]
fn slow_viewers_hold_up_nobody() {
    let server = Server::start(&[("NOVA_LIVE__SEGMENT_MS", "1000")]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    let list = until("a segment", 20, || {
        let list = rendition.now(&server);
        (!list.segments.is_empty()).then_some(list)
    });
    let path = rendition.path(&list.segments[0].uri);
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..40 {
            let (server, path, done) = (&server, &path, &done);
            scope.spawn(move || {
                let socket =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
                socket.set_recv_buffer_size(2048).expect("a small buffer");
                let to: std::net::SocketAddr = server.http.parse().expect("an address");
                socket.connect(&to.into()).expect("a connection");
                let mut stream: TcpStream = socket.into();
                // More than the buffers on the way hold.
                let request = format!("GET {path} HTTP/1.1\r\nHost: nova\r\n\r\n").repeat(100);
                stream.write_all(request.as_bytes()).expect("sent");
                let mut byte = [0];
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    stream.read_exact(&mut byte).expect("the connection is kept");
                    thread::sleep(Duration::from_millis(100));
                }
            });
        }
        goes_on(&server, rendition, 10);
        let start = Instant::now();
        let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..50 {
                server.get(&path).ok();
            }
        }));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(
            answered.is_ok() && start.elapsed() < Duration::from_secs(5),
            "50 requests took {:?}",
            start.elapsed()
        );
    });
}

/// A place to write that runs out and comes back: a small file system where one may be mounted, else a folder that is taken away.
enum Disk {
    Mounted(tempfile::TempDir),
    Folder(PathBuf),
}

impl Disk {
    /// One, and a server whose data lies on it.
    fn with_server(variables: &[(&str, &str)]) -> (Self, Server) {
        let at = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "nova-test"])
            .arg(at.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            let data = tempfile::tempdir_in(at.path()).expect("a folder");
            return (Self::Mounted(at), Server::start_in(data, variables));
        }
        (Self::Folder(at.path().to_owned()), Server::start_in(at, variables))
    }

    fn fail(&self) {
        match self {
            Self::Mounted(at) => {
                let mut ballast = std::fs::File::create(at.path().join("ballast")).expect("a file");
                while ballast.write_all(&[0; 1024]).is_ok() {}
            }
            Self::Folder(at) => {
                std::fs::rename(at.join("media"), at.join("away")).expect("renamed");
                std::fs::write(at.join("media"), "").expect("written");
            }
        }
    }

    fn mend(&self) {
        match self {
            Self::Mounted(at) => std::fs::remove_file(at.path().join("ballast")).expect("removed"),
            Self::Folder(at) => {
                std::fs::remove_file(at.join("media")).expect("removed");
                std::fs::rename(at.join("away"), at.join("media")).expect("renamed");
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted(at) = self {
            let _unmounted = Command::new("umount").arg("-l").arg(at.path()).status();
        }
    }
}

#[test]
fn a_full_disk_shortens_the_window_until_there_is_space() {
    let (disk, server) = Disk::with_server(&[
        ("NOVA_LIVE__SEGMENT_MS", "1000"),
        ("NOVA_LIVE__WINDOW_S", "10"),
        ("NOVA_LIVE__MEMORY_S", "4"),
    ]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    let all_there = |list: &Media| {
        for segment in &list.segments {
            let answer = server.get(&rendition.path(&segment.uri));
            // It may leave the list while it is asked for.
            let listed = || {
                rendition
                    .now(&server)
                    .segments
                    .iter()
                    .any(|other| other.msn == segment.msn)
            };
            assert!(
                answer.status == 200 || !listed(),
                "segment {} is listed and is {}",
                segment.msn,
                answer.status
            );
        }
    };
    let full = until("a whole window", 30, || {
        let list = rendition.now(&server);
        (list.segments.len() >= 9).then_some(list)
    });
    all_there(&full);
    assert!(server.data().join("media/live").exists());

    disk.fail();
    until("the trouble to be counted", 20, || {
        (server.metric("nova_store_errors_total", "") > 0.0).then_some(())
    });
    goes_on(&server, rendition, 15);
    let short = rendition.now(&server);
    all_there(&short);
    let seconds: f64 = short.segments.iter().map(|segment| segment.duration).sum();
    assert!(seconds >= 3.0 * short.target as f64, "51: {seconds} s");
    assert!(server.log_has("live streams go on from memory"), "the operator is told");

    disk.mend();
    let errors = server.metric("nova_store_errors_total", "");
    let mended = rendition.now(&server).next_msn() + 1;
    let list = until("a whole window of new segments", 30, || {
        let list = rendition.now(&server);
        (list.sequence >= mended).then_some(list)
    });
    assert!(list.segments.len() >= 8, "{} segments", list.segments.len());
    all_there(&list);
    assert!(
        server.metric("nova_store_errors_total", "") <= errors + 2.0,
        "it works again"
    );
}

#[test]
fn a_full_disk_costs_a_recording_what_memory_could_not_hold_and_nothing_else() {
    let (disk, server) = Disk::with_server(&[
        ("NOVA_LIVE__SEGMENT_MS", "1000"),
        ("NOVA_LIVE__WINDOW_S", "6"),
        ("NOVA_LIVE__MEMORY_S", "4"),
        ("NOVA_LIVE__RECONNECT_S", "1"),
        ("NOVA_LIVE__RECORD", "true"),
    ]);
    let publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    let until_msn = |msn: u64| {
        until(&format!("segment {msn}"), 30, || {
            (rendition.now(&server).next_msn() > msn).then_some(())
        });
    };
    until_msn(3);
    disk.fail();
    until("the trouble to be counted", 20, || {
        (server.metric("nova_store_errors_total", "") > 0.0).then_some(())
    });
    // Longer than memory holds.
    let broken = rendition.now(&server).next_msn();
    until_msn(broken + 12);
    disk.mend();
    let mended = rendition.now(&server).next_msn();
    until_msn(mended + 3);
    publisher.signal("INT");
    server.until_status("show", "ended", 20);

    let live = rendition.path("");
    let folder = live.split('/').nth(3).expect("a folder");
    let list = format!("/vod/{folder}/{folder}/v0.m3u8");
    let whole = until("the recording to be whole", 20, || {
        let answer = server.get(&list);
        let ends = answer.status == 200 && String::from_utf8_lossy(&answer.body).ends_with("#EXT-X-ENDLIST\n");
        ends.then(|| Media::parse(&answer.text()))
    });
    let numbers: Vec<u64> = whole.segments.iter().map(|segment| segment.msn).collect();
    assert_eq!(
        numbers,
        (0..=*numbers.last().expect("segments")).collect::<Vec<_>>(),
        "68"
    );
    assert!(numbers.len() as u64 > mended + 2);
    for segment in &whole.segments {
        let status = server.get(&format!("/vod/{folder}/{folder}/{}", segment.uri)).status;
        assert_eq!(status == 200, !segment.gap, "segment {} is {status}", segment.msn);
    }
    let gaps: Vec<u64> = whole
        .segments
        .iter()
        .filter(|segment| segment.gap)
        .map(|segment| segment.msn)
        .collect();
    assert!(!gaps.is_empty(), "the disk was full for longer than memory holds");
    assert!(
        gaps.iter().all(|msn| (broken.saturating_sub(2)..mended).contains(msn)),
        "{gaps:?} are missing; the disk was full from {broken} to {mended}"
    );
    // What was in memory when there was space again is there, although its first try had failed.
    assert!(
        *gaps.last().expect("gaps") + 2 < mended,
        "{gaps:?} are missing of those before {mended}"
    );
}
