//! Who may publish, and what a second publisher of the same name does.

use crate::clip;
use crate::playlist::Rendition;
use crate::publisher::Publisher;
use crate::rtmp::Client;
use crate::server::{Server, nova, until};

#[test]
fn a_second_publisher_takes_over() {
    let server = Server::start(&[("NOVA_LIVE__SEGMENT_MS", "1000")]);
    let url = format!("{}/show", server.rtmp);
    let mut first = Publisher::endless(&url);
    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    let before = until("two segments", 20, || {
        let list = rendition.now(&server);
        (list.segments.len() >= 2).then_some(list)
    });
    let mut second = Publisher::endless(&url);
    first.until_gone(20);
    let list = until("the picture of the second", 20, || {
        let list = rendition.now(&server);
        let at = list.segments.iter().position(|segment| segment.discontinuity)?;
        (list.segments.len() > at + 1).then_some(list)
    });
    assert_eq!(list.segments.iter().filter(|segment| segment.discontinuity).count(), 1);
    assert_eq!(list.sequence, before.sequence, "the same list");
    assert!(second.running());
    assert_eq!(server.status("show").as_deref(), Some("live"));
    assert_eq!(server.metric("nova_ingest_superseded_total", ""), 1.0);
}

#[test]
fn a_second_publisher_can_be_refused() {
    let server = Server::start(&[("NOVA_PUBLISH__SECOND_PUBLISHER", "refuse")]);
    let url = format!("{}/show", server.rtmp);
    let mut first = Publisher::endless(&url);
    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    let mut second = Publisher::endless(&url);
    assert!(!second.until_gone(20).success());
    assert!(
        second.said().contains("Server error"),
        "ffmpeg shows the reason: {}",
        second.said()
    );
    let mut third = Client::connect(&server.listener("RTMP"));
    third.publish("show", &[]);
    assert!(
        third.hears("NetStream.Publish.BadName", 5),
        "{}",
        String::from_utf8_lossy(&third.heard)
    );
    let (msn, part) = rendition.now(&server).next_part();
    let list = rendition.at(&server, (msn + 1, part));
    assert!(
        first.running() && list.segments.iter().all(|segment| !segment.discontinuity),
        "the first goes on"
    );
}

#[test]
fn only_a_stream_key_opens_its_stream_and_no_log_tells_it() {
    const KEY: &str = "s3cret-of-the-show";
    let server = Server::start(&[("NOVA_PUBLISH__AUTH", "key"), ("NOVA_PUBLISH__KEYS__SHOW", KEY)]);
    for wrong in ["show", "other-secret", "s3cret-of-the-shoW", ""] {
        let mut client = Client::connect(&server.listener("RTMP"));
        client.publish(wrong, &[]);
        assert!(client.hears("NetStream.Publish.", 5), "{wrong:?}: a reason");
        let heard = String::from_utf8_lossy(&client.heard).into_owned();
        assert!(
            heard.contains("Denied") || heard.contains("BadName"),
            "{wrong:?}: {heard}"
        );
        assert!(!heard.contains("Publish.Start"), "{wrong:?}: {heard}");
    }
    let mut refused = Publisher::endless(&format!("{}/wrong-key", server.rtmp));
    assert!(!refused.until_gone(20).success());
    let _publisher = Publisher::endless(&format!("{}/{KEY}", server.rtmp));
    server.until_live("show");
    server.until_status("show", "live", 20);
    // The key is not a name, and only known names may come.
    server.get(&format!("/live/{KEY}/master.m3u8")).is(404);
    assert_eq!(
        server.get("/live/elsewhere/master.m3u8").is(404).header("retry-after"),
        ""
    );
    let told = [
        server.log().join("\n"),
        server.text("/api/v1/streams"),
        server.text("/live/show/manifest.mpd"),
    ]
    .concat();
    assert!(!told.contains(KEY), "the key was told: {told}");
    assert!(
        !told.contains("other-secret") && !told.contains("wrong-key"),
        "a key that was tried is told: {told}"
    );
}

#[test]
fn nova_publishes_its_own_clip_again_and_again() {
    let server = Server::start(&[("NOVA_LIVE__RECONNECT_S", "1")]);
    let mut command = nova();
    command.args(["publish", &format!("{}/demo", server.rtmp)]);
    let mut publisher = Publisher::run(command);
    let renditions = Rendition::all("demo", &server.until_live("demo"));
    assert_eq!(renditions.len(), 2, "pictures and sound");
    // Longer than the clip: its loop is no break.
    let list = until("more segments than the clip has", 40, || {
        let list = renditions[0].now(&server);
        (list.next_msn() >= 7).then_some(list)
    });
    assert!(
        list.segments
            .iter()
            .all(|segment| !segment.discontinuity && !segment.gap)
    );
    assert!(publisher.running(), "{}", publisher.said());
    publisher.kill();
    server.until_status("demo", "ended", 20);
    assert_eq!(clip::complaints(&server.url("/live/demo/master.m3u8")), "");
}
