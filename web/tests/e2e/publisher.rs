//! Encoders that are not Nova's: ffmpeg of the distribution, a newer one with Enhanced RTMP, GStreamer's `rtmp2sink` and librtmp.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::server::{signal, until};

/// A process that publishes. Dropping it kills it; when the test fails, what it said is shown.
pub(crate) struct Publisher {
    child: Child,
    said: tempfile::NamedTempFile,
}

impl Publisher {
    pub(crate) fn run(mut command: Command) -> Self {
        let said = tempfile::NamedTempFile::new().expect("a temporary file");
        let out = |file: &File| Stdio::from(file.try_clone().expect("a handle"));
        let child = command
            .stdin(Stdio::null())
            .stdout(out(said.as_file()))
            .stderr(out(said.as_file()))
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}; see scripts/setup", command.get_program()));
        Self { child, said }
    }

    /// A file as it is, at the speed of its own clock.
    pub(crate) fn file(file: &Path, url: &str) -> Self {
        Self::file_with("ffmpeg", file, url)
    }

    /// The same with an ffmpeg that knows Enhanced RTMP.
    pub(crate) fn enhanced_file(file: &Path, url: &str) -> Self {
        Self::file_with(ffmpeg_enhanced(), file, url)
    }

    fn file_with(program: impl AsRef<std::ffi::OsStr>, file: &Path, url: &str) -> Self {
        let mut command = Command::new(program);
        command
            .args(["-hide_banner", "-loglevel", "error", "-re", "-i"])
            .arg(file);
        command.args(["-map", "0", "-c", "copy", "-f", "flv", url]);
        Self::run(command)
    }

    /// A small moving picture with a tone, until it is stopped; a keyframe a second.
    pub(crate) fn endless(url: &str) -> Self {
        Self::run(encoder(url, &["size=320x180:rate=30", "440"], &[]))
    }

    /// What it has printed.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.said.path()).unwrap_or_default()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// As a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }

    pub(crate) fn until_gone(&mut self, seconds: u64) -> ExitStatus {
        let child = &mut self.child;
        until("the publisher to end", seconds, || child.try_wait().expect("a child"))
    }

    /// Waits until it has sent everything.
    pub(crate) fn finish(mut self, length: Duration) {
        let status = self.until_gone(length.as_secs() + 30);
        assert!(status.success(), "the publisher ended with {status}: {}", self.said());
    }

    pub(crate) fn running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        let said = self.said();
        if std::thread::panicking() && !said.is_empty() {
            eprintln!("--- a publisher said:\n{said}");
        }
    }
}

/// ffmpeg that encodes while it publishes. `source` is what testsrc2 and sine take; `more` goes before the output.
pub(crate) fn encoder(url: &str, source: &[&str; 2], more: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-re", "-f", "lavfi", "-i"]);
    command.arg(format!("testsrc2={}", source[0]));
    command.args(["-f", "lavfi", "-i"]);
    command.arg(format!("sine=frequency={}:sample_rate=48000", source[1]));
    command.args("-c:v libx264 -preset ultrafast -tune zerolatency -g 30 -pix_fmt yuv420p -threads 1".split(' '));
    command.args("-c:a aac -b:a 64k -t 170".split(' '));
    command.args(more).args(["-f", "flv", url]);
    command
}

/// The ffmpeg that `scripts/setup tools` installs beside cargo-nextest.
pub(crate) fn ffmpeg_enhanced() -> PathBuf {
    let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = home("XDG_CACHE_HOME").or_else(|| Some(home("HOME")?.join(".cache")));
    let installed = cache.expect("HOME is set").join("nova/tools/bin/ffmpeg-enhanced");
    assert!(
        installed.exists(),
        "{} is missing: scripts/setup tools",
        installed.display()
    );
    installed
}
