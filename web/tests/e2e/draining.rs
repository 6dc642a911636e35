//! SIGTERM with encoders and viewers on: streams are ended properly, whoever waits is answered, and the process goes.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::playlist::{Media, Rendition};
use crate::publisher::Publisher;
use crate::rtmp::{self, Client};
use crate::server::{Server, get, until};

#[test]
fn sigterm_ends_streams_and_answers_who_waits() {
    let mut server = Server::start(&[("NOVA_LIVE__SEGMENT_MS", "2000")]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    until("a segment", 20, || {
        (!rendition.now(&server).segments.is_empty()).then_some(())
    });
    // An encoder that knows the reconnect request (32, 33).
    let mut modern = Client::connect(&server.listener("RTMP"));
    modern.publish("modern", &rtmp::field("capsEx", &rtmp::number(1.0)));
    assert!(modern.hears("NetStream.Publish.Start", 5));
    let http = server.http.clone();
    let started = Instant::now();
    thread::scope(|scope| {
        let viewers: Vec<_> = (0..20)
            .map(|_| {
                let http = &http;
                scope.spawn(move || {
                    let url = format!("http://{http}{}", rendition.path(&rendition.file));
                    let mut list = Media::parse(&get(&url).ok().text());
                    while !list.ended {
                        let (msn, part) = list.next_part();
                        let answer = get(&format!("{url}?_HLS_msn={msn}&_HLS_part={part}"));
                        list = Media::parse(&answer.ok().text());
                    }
                    list
                })
            })
            .collect();
        server.signal("TERM");
        assert!(
            modern.hears("NetConnection.Connect.ReconnectRequest", 5),
            "{}",
            String::from_utf8_lossy(&modern.heard)
        );
        until("readiness to be taken back", 5, || {
            (get(&format!("http://{http}/readyz")).status == 503).then_some(())
        });
        for viewer in viewers {
            let list = viewer.join().expect("every viewer sees the end");
            assert!(list.ended && list.hints.is_empty());
        }
    });
    let status = server.until_gone(20);
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    assert!(server.log_has("stopped") && !server.log_has("work undone"));
}

#[test]
fn while_streams_end_nobody_new_may_publish_and_viewers_read_on() {
    let mut server = Server::start(&[]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    let rtmp = server.listener("RTMP");
    let mut about_to_publish = Client::connect(&rtmp);
    server.signal("TERM");
    until("new publishers to be turned away", 10, || {
        TcpStream::connect(&rtmp).is_err().then_some(())
    });
    assert!(
        about_to_publish.is_hung_up_on(10),
        "who had connected and did not publish yet is let go of"
    );
    // The encoder that was there has time to leave, so its stream goes on until it has.
    let mut list = rendition.now(&server);
    let then = list.next_part();
    assert!(!list.ended);
    while !list.ended {
        list = rendition.at(&server, list.next_part());
    }
    assert!(list.next_part() > then, "{then:?} was not the end");
    let status = server.until_gone(20);
    assert_eq!(status.code(), Some(0), "{status}");
}
