//! Streams that somebody owns: published with their key, watched by who may, ended when they must.

use serde_json::{Value, json};

use crate::platform::{Person, call, json_of};
use crate::publisher::Publisher;
use crate::server::{Server, nova, until};

fn create(person: &Person<'_>, title: &str, visibility: &str) -> Value {
    let body = json!({ "title": title, "visibility": visibility });
    let stream = json_of(person.call("POST", "/streams", Some(&body)).is(201));
    assert_eq!(stream["status"], "idle");
    stream
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

fn publish(server: &Server, stream: &Value) -> Publisher {
    Publisher::endless(&format!("{}/{}", server.rtmp, text(stream, "stream_key")))
}

fn until_status(person: &Person<'_>, id: &str, status: &str) -> Value {
    until(&format!("the stream to be {status}"), 25, || {
        let stream = json_of(person.call("GET", &format!("/streams/{id}"), None).ok());
        (stream["status"] == status).then_some(stream)
    })
}

#[test]
fn only_the_right_key_publishes_and_its_owner_sees_how_it_does() {
    // Without `--dev`'s open publishing.
    let server = Server::start(&[("NOVA_PUBLISH__AUTH", "key")]);
    let (ada, eve) = (Person::register(&server, "ada"), Person::register(&server, "eve"));
    let stream = create(&ada, "My first show", "public");
    let (id, name) = (text(&stream, "id"), text(&stream, "name"));
    assert!(name.starts_with("my-first-show-") && text(&stream, "stream_key").starts_with("nova_sk_"));
    assert!(text(&stream["ingest"], "rtmp_url").starts_with("rtmp://localhost:"));

    for wrong in [name, id, "nova_sk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let mut refused = Publisher::endless(&format!("{}/{wrong}", server.rtmp));
        refused.until_gone(20);
        assert_eq!(server.get(&format!("/live/{name}/master.m3u8")).status, 404, "{wrong}");
    }
    let publisher = publish(&server, &stream);
    let live = until_status(&ada, id, "live");
    assert_eq!(live["video"]["width"], 320);
    assert!(live["started_at"].is_string() && live["owner"]["username"] == "ada");
    until("two keyframes", 20, || {
        let stream = json_of(ada.call("GET", &format!("/streams/{id}"), None).ok());
        stream["health"]["keyframe_interval_ms"].as_u64()
    });
    // By name and by id, in any case, for everybody.
    let playlist = server.text(&format!("/live/{name}/master.m3u8"));
    for other in [id.to_owned(), name.to_uppercase()] {
        assert_eq!(server.text(&format!("/live/{other}/master.m3u8")), playlist);
    }
    let shown = json_of(call(&server, "GET", "/streams?status=live", None, None).ok());
    assert_eq!(shown["items"][0]["id"], id);
    let other = json_of(eve.call("GET", &format!("/streams/{name}"), None).ok());
    assert_eq!(other["viewer_count"], 1);
    for secret in ["stream_key", "ingest", "health"] {
        assert!(other.get(secret).is_none(), "{secret}");
        assert!(shown["items"][0].get(secret).is_none(), "{secret}");
    }
    assert!(
        json_of(ada.call("GET", &format!("/streams/{id}"), None).ok())
            .get("stream_key")
            .is_none(),
        "shown once"
    );
    for (method, path) in [("PATCH", ""), ("DELETE", ""), ("POST", "/key"), ("POST", "/stop")] {
        let body = (method == "PATCH").then(|| json!({ "title": "mine" }));
        eve.call(method, &format!("/streams/{id}{path}"), body.as_ref()).is(403);
        call(&server, method, &format!("/streams/{id}{path}"), None, body.as_ref()).is(401);
    }
    assert!(
        !server
            .log()
            .iter()
            .any(|line| line.contains(text(&stream, "stream_key"))),
        "a key in the log"
    );
    publisher.kill();
    until_status(&ada, id, "reconnecting");
}

#[test]
fn a_new_key_a_stop_and_a_deletion_end_what_is_on_air_at_once() {
    let server = Server::start(&[("NOVA_DOMAINS__MEDIA__STOP_SECONDS", "1")]);
    let ada = Person::register(&server, "ada");
    let stream = create(&ada, "show", "public");
    let id = text(&stream, "id").to_owned();
    let mut publisher = publish(&server, &stream);
    until_status(&ada, &id, "live");
    let renewed = json_of(ada.call("POST", &format!("/streams/{id}/key"), None).is(200));
    publisher.until_gone(10);
    let mut old = publish(&server, &stream);
    old.until_gone(10);

    let again = publish(&server, &renewed);
    until_status(&ada, &id, "live");
    ada.call("POST", &format!("/streams/{id}/stop"), None).is(204);
    let mut again = again;
    again.until_gone(10);

    let last = until("the stop to be over", 20, || {
        let mut publisher = publish(&server, &renewed);
        let live = until("an answer", 20, || {
            let status = server.status(&id)?;
            (status == "live" || !publisher.running()).then_some(status == "live")
        });
        live.then_some(publisher)
    });
    let mut last = last;
    ada.call("DELETE", &format!("/streams/{id}"), None).is(204);
    last.until_gone(10);
    ada.call("GET", &format!("/streams/{id}"), None).is(404);
}

#[test]
fn a_private_stream_is_watched_with_a_token_that_no_segment_carries() {
    let server = Server::start(&[]);
    let (ada, eve) = (Person::register(&server, "ada"), Person::register(&server, "eve"));
    let stream = create(&ada, "secret", "private");
    let (id, name) = (text(&stream, "id").to_owned(), text(&stream, "name").to_owned());
    let _publisher = publish(&server, &stream);
    until_status(&ada, &id, "live");
    for path in [
        format!("/live/{name}/master.m3u8"),
        format!("/live/{id}/manifest.mpd"),
        format!("/live/{name}/master.m3u8?token=x"),
    ] {
        server.get(&path).is(404);
    }
    eve.call("GET", &format!("/streams/{id}"), None).is(404);
    eve.call("POST", &format!("/streams/{id}/playback-token"), None).is(404);
    assert_eq!(json_of(eve.call("GET", "/streams", None).ok())["items"], json!([]));
    let granted = json_of(ada.call("POST", &format!("/streams/{id}/playback-token"), None).ok());
    let token = text(&granted, "token");
    let master = server.get(&format!("/live/{name}/master.m3u8?token={token}")).ok();
    assert_eq!(master.header("cache-control"), "private, no-store");
    let master = master.text();
    let media = master
        .lines()
        .find(|line| line.contains(".m3u8") && !line.starts_with('#'))
        .expect("a variant")
        .to_owned();
    assert!(media.ends_with(&format!("?token={token}")), "{master}");
    let folder = format!("/live/{name}");
    server
        .get(&format!("{folder}/{}", media.split('?').next().expect("a path")))
        .is(404);
    let list = server.get(&format!("{folder}/{media}")).ok().text();
    let segment = list
        .lines()
        .find(|line| line.ends_with(".m4s"))
        .unwrap_or_else(|| panic!("a segment in {list}"));
    assert!(
        !list.lines().any(|line| line.contains(".m4s") && line.contains("token")),
        "{list}"
    );
    let base = media.rsplit_once('/').map_or("", |(base, _)| base);
    server.get(&format!("{folder}/{base}/{segment}")).ok();
    let mpd = server.get(&format!("{folder}/manifest.mpd?token={token}")).ok();
    assert_eq!(mpd.header("cache-control"), "private, no-store");
    // Made public, it needs none; and the other way round at once.
    ada.call(
        "PATCH",
        &format!("/streams/{id}"),
        Some(&json!({ "visibility": "public" })),
    )
    .ok();
    server.get(&format!("/live/{name}/master.m3u8")).ok();
    ada.call(
        "PATCH",
        &format!("/streams/{id}"),
        Some(&json!({ "visibility": "private" })),
    )
    .ok();
    server.get(&format!("/live/{name}/master.m3u8")).is(404);
}

#[test]
fn a_suspended_broadcaster_is_cut_off_and_refused() {
    let data = tempfile::tempdir().expect("a folder");
    let output = nova()
        .args([
            "admin",
            "create-user",
            "--email",
            "root@example.org",
            "--username",
            "rooty",
            "--admin",
        ])
        .env("NOVA_DATA_DIR", data.path())
        .output()
        .expect("nova runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let link = said
        .split_once('#')
        .and_then(|(_, rest)| rest.lines().next())
        .expect("a link")
        .to_owned();
    let server = Server::start_in(data, &[]);
    let body = json!({ "token": link, "password": "a rather long phrase of mine" });
    call(&server, "POST", "/auth/password-reset/confirm", None, Some(&body)).is(200);
    let (root, ada) = (Person::login(&server, "rooty"), Person::register(&server, "ada"));
    let me = json_of(ada.call("GET", "/users/me", None).ok());
    let stream = create(&ada, "show", "public");
    let mut publisher = publish(&server, &stream);
    until_status(&ada, text(&stream, "id"), "live");
    let body = json!({ "days": 1, "reason": "spam", "statement": "a test of the rules" });
    let path = format!("/moderation/users/{}/suspend", text(&me, "id"));
    let answer = root.call("POST", &path, Some(&body));
    assert!(answer.status < 300, "{}", String::from_utf8_lossy(&answer.body));
    publisher.until_gone(5);
    let mut again = publish(&server, &stream);
    again.until_gone(10);
    assert!(ada.call("POST", "/streams", Some(&json!({ "title": "other" }))).status >= 400);
}

#[test]
fn an_owned_name_is_not_open_to_others() {
    let server = Server::start(&[]);
    let ada = Person::register(&server, "ada");
    let stream = create(&ada, "show", "public");
    let id = text(&stream, "id");
    ada.call("PATCH", &format!("/streams/{id}"), Some(&json!({ "name": "the-show" })))
        .ok();
    let mut thief = Publisher::endless(&format!("{}/the-show", server.rtmp));
    thief.until_gone(15);
    assert_eq!(server.status("the-show").as_deref(), Some("idle"));
    let other = create(&ada, "other", "public");
    let taken = ada.call(
        "PATCH",
        &format!("/streams/{}", text(&other, "id")),
        Some(&json!({ "name": "The-Show" })),
    );
    assert_eq!(taken.status, 409);
}

#[test]
fn viewers_behind_a_proxy_that_is_trusted_are_counted_one_by_one() {
    let server = Server::start(&[("NOVA_HTTP__TRUSTED_PROXIES", "127.0.0.1")]);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let playlist = server.until_live("show");
    let media = playlist
        .lines()
        .find(|line| !line.starts_with('#'))
        .expect("a playlist");
    for viewer in ["192.0.2.1", "192.0.2.2", "192.0.2.2", "198.51.100.7"] {
        server
            .request("GET", &format!("/live/show/{media}"), &[("x-forwarded-for", viewer)])
            .ok();
    }
    // With whoever waited for the stream, from this machine itself.
    until("four viewers", 20, || {
        (server.metric("nova_viewers", "") == 4.0).then_some(())
    });
}
