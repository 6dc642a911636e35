//! The browser tests of web/ui/tests against the real server: Chromium with hls.js, Shaka and dash.js.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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

/// The OpenID provider of identity's tests.
struct Provider {
    issuer: String,
    child: Child,
}

impl Provider {
    fn start() -> Self {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache
            .or_else(|| Some(std::env::home_dir()?.join(".cache")))
            .expect("a home");
        let mut child = Command::new("node")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../domains/identity/tests/oidc/provider.mjs"
            ))
            .arg(cache.join("nova/tools/oidc"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node; see scripts/setup");
        let mut issuer = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut issuer)
            .expect("the provider's first line; scripts/setup tools");
        Self {
            issuer: issuer.trim().to_owned(),
            child,
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
fn conformance_81_shaka_and_dash_js_patch_the_manifest_of_an_hour() {
    passes_with("browser/patches.test.mjs", &[("NOVA_LIVE__DVR_S", "3600")]);
}

#[test]
fn the_watch_page_plays() {
    passes("browser/playing.test.mjs");
}

#[test]
fn the_watch_page_follows_its_broadcaster() {
    // Longer than its blip, and short enough to wait for the end.
    passes_with("browser/broadcaster.test.mjs", &[("NOVA_LIVE__RECONNECT_S", "20")]);
}

#[test]
fn an_account_has_passkeys_other_sign_ins_and_videos() {
    let provider = Provider::start();
    let section = |key: &str| format!("NOVA_DOMAINS__IDENTITY__PROVIDERS__OP__{key}");
    passes_with(
        "browser/account.test.mjs",
        &[
            (&section("ISSUER"), &provider.issuer),
            (&section("CLIENT_ID"), "nova"),
            (&section("CLIENT_SECRET"), "s3cret"),
        ],
    );
}

#[test]
fn captions_are_shown_and_the_watch_page_has_its_owners_tools() {
    passes("browser/videos.test.mjs");
}

#[test]
fn the_home_page_stands() {
    passes("browser/home.test.mjs");
}
