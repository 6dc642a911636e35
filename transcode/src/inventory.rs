//! What the worker's machine can decode and encode, as `nova doctor` shows it.

use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use crate::process::{self, Nice};
use crate::transcoder::{Error, Settings};

/// A machine with several graphics cards has a few dozen lines.
const OUTPUT_MAX: u64 = 256 << 10;
/// The first start on a machine looks at every plug-in.
const PATIENCE: Duration = Duration::from_secs(60);

/// One encoder or decoder: a line of `nova-transcode probe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// `encoder` or `decoder`.
    pub kind: String,
    /// `h264`, `hevc`, `av1`, `vp9`, `aac`, `opus`, `ac3`, `eac3`, `flac`, `mp3`.
    pub codec: String,
    /// GStreamer's name of it.
    pub name: String,
    /// Not the processor does it.
    pub hardware: bool,
    /// Encoders: a few frames went through. Decoders: it can be made.
    pub works: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// In the order of preference, for each codec.
    pub found: Vec<Found>,
}

impl Inventory {
    /// The encoder that ladders use.
    pub fn encoder(&self) -> Option<&Found> {
        let mut encoders = self.found.iter().filter(|found| found.kind == "encoder");
        encoders.find(|found| found.codec == "h264" && found.works)
    }
}

/// Something that a worker has tried after it had closed itself off: a line of `nova-transcode confined`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// `read:PATH`, `write:PATH`, `tcp:ADDRESS`, `udp:ADDRESS`, `unix:NAME` (abstract), `run:PROGRAM`.
    pub target: String,
    /// It failed, as it should.
    pub refused: bool,
}

/// Asks the worker program what it finds on this machine.
pub async fn inventory(settings: &Settings) -> Result<Inventory, Error> {
    let found = lines(settings, "probe", &[]).await?;
    Ok(Inventory { found })
}

/// Lets a worker that has closed itself off try these.
pub async fn confined(settings: &Settings, targets: &[String]) -> Result<Vec<Attempt>, Error> {
    lines(settings, "confined", targets).await
}

/// Runs a task of the worker program; what it prints.
async fn lines<T: DeserializeOwned>(settings: &Settings, task: &str, arguments: &[String]) -> Result<Vec<T>, Error> {
    let mut child = process::command(settings, task, Nice::Live)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut output = Vec::new();
    let read = async {
        if let Some(stdout) = child.stdout.take() {
            stdout.take(OUTPUT_MAX).read_to_end(&mut output).await?;
        }
        child.wait().await
    };
    let status = tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_elapsed| Error::Timeout(PATIENCE.as_millis() as u64))??;
    if !status.success() {
        return Err(Error::Worker(format!("{task} ended with {status}")));
    }
    let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).map_err(|error| Error::Worker(error.to_string())))
        .collect()
}
