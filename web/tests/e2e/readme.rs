//! What the README says to type, typed.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::server::{Server, get, until};

const README: &str = include_str!("../../../README.md");

/// The block of the README's shell lines that has this text in it.
fn block(containing: &str) -> &'static str {
    let blocks = README
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let mut found = blocks.filter(|block| block.contains(containing));
    let block = found.next().unwrap_or_else(|| panic!("no block with {containing}"));
    assert!(found.next().is_none(), "one block with {containing}");
    block
}

/// A shell with all that it has started; gone with this value.
struct Typed(Child);

impl Drop for Typed {
    fn drop(&mut self) {
        let _sent = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.0.id())])
            .status();
        let _reaped = self.0.wait();
    }
}

#[test]
fn the_lines_of_the_readme_lead_from_nothing_to_a_live_stream_of_ones_own() {
    let server = Server::start(&[]);
    // The lines as they stand; only this server's ports are others, and `data` is where its data is.
    let rtmp = server.rtmp.trim_start_matches("rtmp://").trim_end_matches("/live");
    let lines = block("auth/register")
        .replace("localhost:8080", &server.http)
        .replace("localhost:1935", rtmp);
    assert!(
        lines.contains(&server.http) && lines.contains(rtmp),
        "the README names the ports of `make run`"
    );
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(server.data(), folder.path().join("data")).expect("a link");
    let log = std::fs::File::create(folder.path().join("log")).expect("a file");
    let mut typed = Typed(
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", &lines])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("bash"),
    );
    let said = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    let stream = until("the stream of the README", 30, || {
        assert!(
            matches!(typed.0.try_wait(), Ok(None)),
            "the shell has ended: {}",
            said()
        );
        let text = std::fs::read_to_string(folder.path().join("stream.json")).ok()?;
        serde_json::from_str::<serde_json::Value>(&text).ok()
    });
    let at = |place: &str| {
        stream
            .pointer(place)
            .and_then(serde_json::Value::as_str)
            .expect("an address")
            .to_owned()
    };
    assert_eq!(
        (at("/title"), at("/owner/username")),
        ("My first show".to_owned(), "ada".to_owned())
    );
    let playlist = until("the stream to be live", 30, || {
        assert!(matches!(typed.0.try_wait(), Ok(None)), "ffmpeg has ended: {}", said());
        let answer = get(&at("/playback/hls_url"));
        (answer.status == 200).then(|| answer.text())
    });
    assert!(playlist.contains("#EXT-X-STREAM-INF"), "{playlist}");
    get(&at("/playback/watch_url")).ok();
    server.until_status(&at("/name"), "live", 10);
}
