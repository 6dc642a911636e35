//! The browser tests of web/ui/tests against the real server: Chromium with hls.js, Shaka and dash.js.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clip;
use crate::server::Server;

/// The folder of the browser tests, with what they need installed.
pub(crate) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/tests");
    let age = |path: &str| {
        std::fs::metadata(folder.join(path))
            .and_then(|meta| meta.modified())
            .ok()
    };
    if age("node_modules/.package-lock.json") < age("package-lock.json") {
        clip::run(
            Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund"])
                .current_dir(&folder),
        );
    }
    folder
}

/// Runs one file of tests. Node tells each test's result; a failure is shown whole.
fn passes(file: &str) {
    passes_with(file, &[]);
}

/// The same against a server with these variables.
fn passes_with(file: &str, variables: &[(&str, &str)]) {
    let folder = folder();
    let server = Server::start(variables);
    let output = Command::new("node")
        .args(["--test", "--test-reporter=spec", file])
        .current_dir(&folder)
        .env("NOVA_URL", server.url(""))
        .env("NOVA_RTMP_URL", &server.rtmp)
        .env("MAIL_DIR", server.data().join("mail"))
        .env("SERVER_PID", server.pid().to_string())
        .output()
        .expect("node; see scripts/setup");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn hls_js_shaka_and_dash_js_play() {
    passes("browser/players.test.mjs");
}

#[test]
fn hls_js_and_shaka_go_up_and_down_the_ladder() {
    passes_with(
        "browser/ladder.test.mjs",
        &[("NOVA_TRANSCODE__LADDER", "360p:600k,240p:300k")],
    );
}

#[test]
fn the_watch_page_plays() {
    passes("browser/playing.test.mjs");
}

#[test]
fn the_watch_page_follows_its_broadcaster() {
    passes("browser/broadcaster.test.mjs");
}

#[test]
fn an_account_has_passkeys_and_videos() {
    passes("browser/account.test.mjs");
}

#[test]
fn the_home_page_stands() {
    passes("browser/home.test.mjs");
}
