//! The command line and the operator's side.

use std::net::TcpListener;
use std::process::Output;

use nova_cdn::testing::S3Server;

use crate::bucket;
use crate::playlist::Rendition;
use crate::publisher::Publisher;
use crate::server::{Server, nova};

pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = nova();
    command.args(arguments).current_dir(folder.path());
    for listener in ["HTTP", "RTMP", "ADMIN"] {
        command.env(format!("NOVA_{listener}__ADDR"), "127.0.0.1:0");
    }
    let output = command.envs(variables.iter().copied()).output().expect("nova runs");
    let said = [&output.stdout[..], &output.stderr].concat();
    (output, String::from_utf8(said).expect("text"))
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let variables = [("NOVA_PUBLISH__KEYS__SHOW", "s3cret"), ("NOVA_LIVE__WINDOW_S", "33")];
    let (output, said) = run(&["serve", "--print-config"], &variables);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("window_s = 33") && said.contains("show = \"***"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_domain_that_does_not_exist_cannot_be_switched_off() {
    let (output, said) = run(&["serve", "--dev"], &[("NOVA_DOMAINS__PEOPLE__ENABLED", "false")]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("domains.people"), "{said}");
}

#[test]
fn a_key_that_is_not_known_is_refused_by_name() {
    for (name, value) in [
        ("NOVA_LIVE__WINDOWS_S", "33"),
        ("NOVA_LIFE", "33"),
        ("NOVA_LIVE__WINDOW_S", "many-s3cret"),
        ("NOVA_LIVE", "s3cret"),
        ("NOVA_HTTPS__ADDR", "s3cret"),
    ] {
        let (output, said) = run(&["serve", "--dev"], &[(name, value)]);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(name), "{said}");
        assert!(!said.contains("s3cret"), "a value may be a secret: {said}");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "[live]\nwindow = 3\n").expect("written");
    let (output, said) = run(&["serve", "--config", file.path().to_str().expect("a path")], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("window") && said.contains("unknown field"), "{said}");
}

#[test]
fn the_doctor_finds_what_is_in_the_way() {
    let (output, said) = run(&["doctor", "--dev"], &[]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("bound").to_string();
    let (output, said) = run(&["doctor", "--dev"], &[("NOVA_RTMP__ADDR", &addr)]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = said.lines().find(|line| line.starts_with("FAIL")).expect("a finding");
    assert!(
        line.contains("RTMP") && line.contains("NOVA_RTMP__ADDR"),
        "with its fix: {line}"
    );
    let (output, said) = run(&["serve", "--dev"], &[("NOVA_RTMP__ADDR", &addr)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(&addr) && said.contains("nova doctor"), "{said}");
    let variables = [
        ("NOVA_DATABASE_URL", "postgres://nova:s3cret@127.0.0.1:1/nova"),
        ("NOVA_MAIL__URL", "smtp://nova:s3cret@127.0.0.1:1"),
    ];
    let (output, said) = run(&["doctor", "--dev"], &variables);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("FAIL  database") && said.contains("FAIL  the mail server"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn the_doctor_tells_why_an_encoder_in_hardware_is_not_used_and_that_workers_are_closed_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let (script, worker) = (
        folder.path().join("worker"),
        env!("CARGO_BIN_EXE_nova").to_owned() + "-transcode",
    );
    let broken = "NOVA_TRANSCODE_TEST_ENCODER='identity name=NAME-in error-after=1 ! x264enc name=NAME'";
    std::fs::write(&script, format!("#!/bin/sh\n{broken} exec {worker} \"$@\"\n")).expect("a script");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a program");
    let (_, said) = run(
        &["doctor", "--dev"],
        &[("NOVA_TRANSCODE__WORKER", script.to_str().expect("a path"))],
    );
    assert!(
        said.contains("note  the hardware encoder test is installed and does not work here ("),
        "{said}"
    );
    assert!(said.contains("ok    ladders are encoded by "), "{said}");
    assert!(said.contains("ok    workers are closed off"), "{said}");
}

#[test]
fn the_doctor_tries_the_bucket() {
    let bucket = S3Server::start().expect("an S3 server");
    let endpoint = bucket.endpoint();
    let variables = bucket::variables(&endpoint);
    let (output, said) = run(&["doctor", "--dev"], &variables);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("ok    bucket nova takes, gives back and deletes an object"),
        "{said}"
    );
    assert_eq!(bucket.keys(""), [""; 0], "it leaves nothing behind");
    let wrong = [&variables[..], &[("AWS_SECRET_ACCESS_KEY", "another-s3cret")]].concat();
    let (output, said) = run(&["doctor", "--dev"], &wrong);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = said.lines().find(|line| line.starts_with("FAIL")).expect("a finding");
    assert!(
        line.contains("bucket nova") && line.contains("the secret key does not belong to the access key"),
        "{line}"
    );
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn metrics_health_and_the_list_of_streams_tell_what_goes_on() {
    let server = Server::start(&[]);
    let admin = |path: &str| crate::server::get(&format!("http://{}{path}", server.listener("admin")));
    for path in ["/healthz", "/readyz"] {
        server.get(path).ok();
        admin(path).ok();
    }
    server.get("/metrics").is(404);
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    let rendition = &Rendition::all("show", &server.until_live("show"))[0];
    server.until_status("show", "live", 20);
    let list = rendition.now(&server);
    rendition.at(&server, list.next_part());
    for (name, label, least) in [
        ("nova_ingest_connections_total", "", 1.0),
        ("nova_ingest_publishers", "", 1.0),
        ("nova_ingest_frames_total", "video", 10.0),
        ("nova_ingest_frames_total", "audio", 10.0),
        ("nova_ingest_bytes_total", "", 1000.0),
        ("nova_origin_requests_total", "playlist", 2.0),
        ("nova_origin_requests_total", "held", 1.0),
        ("nova_origin_bytes_total", "", 500.0),
        ("nova_streams", "\"live\"", 1.0),
        ("nova_viewers", "", 1.0),
    ] {
        let value = server.metric(name, label);
        assert!(value >= least, "{name} {label} is {value}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&server.get("/api/v1/streams?status=live").ok().body).expect("JSON");
    let stream = &json["items"][0];
    assert_eq!((&stream["name"], &stream["status"]), (&"show".into(), &"live".into()));
    assert_eq!(
        (&stream["video"]["width"], &stream["video"]["height"]),
        (&320.into(), &180.into())
    );
    assert_eq!(json["next_cursor"], serde_json::Value::Null);
    let unknown = server.get("/api/v1/streams/nobody").is(404);
    assert_eq!(unknown.header("content-type"), "application/problem+json");
    // A killed process leaves segments; the next run clears them away.
    let page = server.get("/watch/show").ok();
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("script-src 'self'"));
}

#[test]
fn an_idle_server_ends_at_once_when_told() {
    for name in ["TERM", "INT"] {
        let mut server = Server::start(&[]);
        server.signal(name);
        let status = server.until_gone(5);
        assert_eq!(status.code(), Some(0), "{name}: {status}");
    }
}

#[test]
fn a_watch_page_names_what_its_player_will_want() {
    let server = Server::start(&[]);
    for path in ["/watch/show", "/embed/show"] {
        let page = server.get(path).ok();
        let links: Vec<&str> = page.header("link").split(", ").collect();
        assert!(
            links.contains(&"</live/show/master.m3u8>; rel=preload; as=fetch; crossorigin=anonymous"),
            "{links:?}"
        );
        for link in links.iter().filter(|link| link.ends_with("rel=modulepreload")) {
            let (script, _) = link[1..].split_once('>').expect("an address");
            server.get(script).ok();
        }
    }
    assert_eq!(server.get("/").ok().header("link"), "", "the list plays nothing");
    // What is no stream's name does not get into a header.
    let odd = server.get("/watch/a%3E%2C%20b").ok();
    assert!(!odd.header("link").contains("/live/"), "{}", odd.header("link"));
}

#[test]
fn every_page_of_the_web_app_has_an_address_of_its_own() {
    let server = Server::start(&[]);
    let start = server.get("/").ok().text();
    for path in [
        "/register",
        "/login",
        "/verify-email",
        "/reset-password",
        "/account",
        "/account/sessions",
        "/account/tokens",
        "/account/export",
        "/account/streams",
        "/u/ada",
        "/api/docs",
    ] {
        let page = server.get(path).ok();
        let policy = page.header("content-security-policy");
        assert!(policy.contains("script-src 'self';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'self'"), "{path}: {policy}");
        assert_eq!(page.text(), start, "{path} is the same shell");
    }
    assert_eq!(
        server.get("/api/doc").is(404).header("content-type"),
        "application/problem+json",
        "what is no page below /api is the API's to refuse"
    );
}
