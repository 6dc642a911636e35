//! Pictures as people meet them: uploaded as a phone sends them, fetched as a page does, read by a program nobody here wrote.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::clip;
use crate::platform::{Person, json_of};
use crate::server::{Answer, Server, get, request, send, until};

/// A picture of ffmpeg's.
fn picture(folder: &Path, name: &str, size: &str) -> Vec<u8> {
    let path = folder.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-y", "-loglevel", "error", "-f", "lavfi", "-i"]);
    command
        .arg(format!("testsrc2=size={size}"))
        .args(["-frames:v", "1"])
        .arg(&path);
    clip::run(&mut command);
    std::fs::read(path).expect("a picture")
}

fn upload(server: &Server, person: &Person<'_>, query: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let bearer = format!("Bearer {}", person.token);
    let headers = [&[("authorization", bearer.as_str())], headers].concat();
    send("POST", &server.url(&format!("/api/v1/images{query}")), &headers, body)
}

/// Width, height and codec, as ffprobe reads them.
fn probed(folder: &Path, bytes: &[u8]) -> (u64, u64, String) {
    let path = folder.join("fetched");
    std::fs::write(&path, bytes).expect("a file");
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "json", "-show_streams"]).arg(&path);
    let told: Value = serde_json::from_slice(&clip::run(&mut command).stdout).expect("JSON");
    let stream = &told["streams"][0];
    let number = |name: &str| stream[name].as_u64().expect("a number");
    let codec = stream["codec_name"].as_str().unwrap_or_default().to_owned();
    (number("width"), number("height"), codec)
}

#[test]
fn a_picture_is_uploaded_shown_by_a_profile_and_gone_when_it_is_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[]);
    let person = Person::register(&server, "ada");
    let jpeg = picture(folder.path(), "photo.jpg", "1000x800");
    let form = [
        b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"photo.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n",
        &jpeg[..],
        b"\r\n--x--\r\n",
    ]
    .concat();
    let kind = ("content-type", "multipart/form-data; boundary=x");
    let image = json_of(upload(&server, &person, "?kind=avatar", &[kind], form).is(201));
    let variants = image["variants"].as_array().expect("variants");
    let widths: Vec<u64> = variants
        .iter()
        .filter_map(|variant| variant["width"].as_u64())
        .collect();
    assert_eq!(widths, [512, 256, 128, 64]);
    for variant in variants {
        let answer = get(variant["url"].as_str().expect("a URL")).ok();
        for (name, value) in [
            ("content-type", "image/jpeg"),
            ("cache-control", "public, max-age=31536000, immutable"),
            ("x-content-type-options", "nosniff"),
            ("access-control-allow-origin", "*"),
        ] {
            assert_eq!(answer.header(name), value);
        }
        let width = variant["width"].as_u64().expect("a width");
        assert_eq!(probed(folder.path(), &answer.body), (width, width, "mjpeg".into()));
    }
    let url = image["url"].as_str().expect("a URL").to_owned();
    let whole = get(&url).ok();
    let etag = whole.header("etag").to_owned();
    assert_eq!(request("GET", &url, &[("if-none-match", &etag)]).status, 304);
    let part = request("GET", &url, &[("range", "bytes=0-3")]);
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[..4]));
    assert_eq!(
        request("HEAD", &url, &[]).header("content-length"),
        whole.body.len().to_string()
    );
    for wrong in ["512.png", "../../nova.db", "%2e%2e/x.jpg", "..jpg", "1.jpg"] {
        let beside = url.replace("512.jpg", wrong);
        assert_eq!(get(&beside).status, 404, "{wrong}");
    }

    let id = image["id"].as_str().expect("an id");
    let body = json!({ "avatar_image_id": id });
    let me = json_of(person.call("PATCH", "/users/me", Some(&body)).ok());
    let shown = me["avatar_url"].as_str().expect("a URL");
    assert_eq!(shown, url.replace("512.jpg", "256.jpg"));
    assert_eq!(probed(folder.path(), &get(shown).ok().body).0, 256);

    // What was uploaded before a kill is there after it.
    let server = Server::start_in(server.leave("KILL"), &[]);
    let person = Person::login(&server, "ada");
    let path = &url[url.find("/media/").expect("a path")..];
    assert_eq!(server.get(path).status, 200);
    person.call("DELETE", &format!("/images/{id}"), None).is(204);
    until("the objects to be removed", 10, || {
        (server.get(path).status == 404).then_some(())
    });
    until("the profile to show nothing", 10, || {
        let me = json_of(person.call("GET", "/users/me", None).ok());
        me["avatar_url"].is_null().then_some(())
    });
}

#[test]
fn what_is_no_picture_harms_nothing_and_a_lost_answer_makes_no_second_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[]);
    let person = Person::register(&server, "ada");
    let png = ("content-type", "image/png");
    let bomb = {
        let mut header = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xc3\x50\0\0\xc3\x50\x08\x06\0\0\0".to_vec();
        header.extend([0x1c, 0x8a, 0x7e, 0x6e]);
        header
    };
    for (body, status) in [
        (
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec(),
            415,
        ),
        (b"GIF89a".to_vec(), 422),
        (bomb, 422),
        (vec![0; (10 << 20) + 1], 413),
        (Vec::new(), 422),
    ] {
        let answer = upload(&server, &person, "", &[png], body).is(status);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    // Noise, so that it is larger than what other requests may be.
    let large = picture(folder.path(), "large.png", "1920x1080");
    let large = if large.len() > 300 << 10 {
        large
    } else {
        let mut padded = large;
        padded.resize(300 << 10, 0);
        padded
    };
    let key = ("idempotency-key", "a-key-of-this-test");
    let first = json_of(upload(&server, &person, "", &[png, key], large.clone()).is(201));
    let second = json_of(upload(&server, &person, "", &[png, key], large).is(201));
    assert_eq!(first, second);
    let list = json_of(person.call("GET", "/images", None).ok());
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}
