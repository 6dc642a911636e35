//! A private stream behind a CDN that checks tokens in paths: every address of a player carries it, and the origin takes it as well.

use serde_json::{Value, json};

use crate::platform::{Person, json_of};
use crate::publisher::Publisher;
use crate::server::{Server, get, until};

const KEY: &str = "a-key-of-many-characters-0123456789-s3cret";

/// The addresses on the lines of a playlist, those of its tags included.
fn links(list: &str) -> Vec<String> {
    let tags = list.split("URI=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    tags.chain(lines).map(str::to_owned).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

#[test]
fn a_private_stream_plays_by_its_signed_address_alone_down_to_its_segments() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    std::fs::write(&file, format!("{KEY}\n")).expect("written");
    let file = file.to_str().expect("a path");
    let server = Server::start(&[
        ("NOVA_CDN__TOKENS__KEY_ID", "2026a"),
        ("NOVA_CDN__TOKENS__KEY_FILE", file),
        ("NOVA_LIVE__DVR_S", "3600"),
    ]);
    let ada = Person::register(&server, "ada");
    let body = json!({ "title": "secret", "visibility": "private" });
    let stream = json_of(ada.call("POST", "/streams", Some(&body)).is(201));
    let _publisher = Publisher::endless(&format!("{}/{}", server.rtmp, text(&stream, "stream_key")));
    let body = json!({ "stream_id": text(&stream, "id"), "minutes": 5 });
    let signed = json_of(ada.call("POST", "/cdn/signed-urls", Some(&body)).ok());
    assert_eq!((text(&signed, "query"), &signed["cookies"]), ("", &json!([])));
    let name = text(&stream, "name");
    // The query opens the playlists where an edge cuts the token off; here the path alone does.
    let (hls, query) = text(&signed, "hls_url").split_once('?').expect("a playback token");
    assert!(query.starts_with("token="), "{query}");
    let path = &hls[hls.find("/t/").expect("a token")..];
    assert_eq!(
        format!("{}master.m3u8", text(&signed, "resource").trim_end_matches('*')),
        hls
    );
    let (base, _) = path.rsplit_once('/').expect("a folder");
    let master = until("the stream to be live", 25, || {
        let answer = server.get(path);
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(master.header("cache-control"), "private, no-store");
    let master = master.text();
    let list = links(&master)
        .into_iter()
        .find(|link| link.ends_with(".m3u8"))
        .expect("a playlist");
    let (folder, _) = list.rsplit_once('/').unwrap_or(("", ""));
    let segment = until("a segment", 20, || {
        let media = server.get(&format!("{base}/{list}")).ok().text();
        assert!(!media.contains("token="), "{media}");
        links(&media).into_iter().find(|link| link.ends_with(".m4s"))
    });
    let object = server.get(&format!("{base}/{folder}/{segment}")).ok();
    assert!(object.header("cache-control").contains("immutable"));
    // The same without the token: what an edge has in its cache, once for everybody.
    let (_, place) = base.split_once("/live/").expect("a place");
    assert_eq!(
        server.get(&format!("/live/{place}/{folder}/{segment}")).ok().body,
        object.body
    );
    for list in ["master.m3u8", list.as_str(), "manifest.mpd"] {
        assert_eq!(server.get(&format!("/live/{name}/{list}")).status, 404, "{list}");
    }
    let manifest = server.get(&format!("{base}/manifest.mpd")).ok().text();
    assert!(manifest.contains("value=\"../../time\""), "{manifest}");
    let (token, _) = base.split_once("/live/").expect("a token");
    server.get(&format!("{token}/time")).ok();
    for changed in [
        path.replace("2026a", "2026b"),
        path.replace(name, "another"),
        path.replace("/live/", "/vod/"),
    ] {
        let answer = server.get(&changed).is(403);
        assert_eq!(
            (
                answer.header("access-control-allow-origin"),
                answer.header("cache-control")
            ),
            ("*", "no-store")
        );
    }
    // With what an edge that cuts the token off would ask for.
    get(&server.url(&format!("/live/{name}/master.m3u8?{query}"))).ok();
    // What changes in a manifest is as private as the manifest, and found by the same proof (conformance 81).
    for (path, proof) in [
        (format!("{base}/"), String::new()),
        (format!("/live/{name}/"), format!("?{query}")),
    ] {
        let manifest = server.get(&format!("{path}manifest.mpd{proof}")).ok().text();
        let (_, rest) = manifest
            .split_once("<PatchLocation ttl=\"30\">")
            .expect("a place of patches");
        let (place, _) = rest.split_once('<').expect("its end");
        let patch = server.get(&format!("{path}{}", place.replace("&amp;", "&"))).ok();
        assert_eq!(patch.header("content-type"), "application/dash-patch+xml");
        let patch = patch.text();
        let (_, time) = place.split_once("publishTime=").expect("a time");
        assert!(
            patch.contains(&format!("originalPublishTime=\"{time}\"")),
            "{place}: {patch}"
        );
    }
    assert_eq!(server.get(&format!("/live/{name}/patch.mpd?publishTime=x")).status, 404);
    assert!(!server.log_has("s3cret") && !server.log_has(query));
}
