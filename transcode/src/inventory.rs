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
    /// Why an encoder does not work, as far as GStreamer says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
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
        self.encoder_but(&[])
    }

    /// The same, but one of `avoided` only where there is no other.
    pub(crate) fn encoder_but(&self, avoided: &[String]) -> Option<&Found> {
        let encoders = self.h264_encoders().filter(|found| found.works);
        encoders.min_by_key(|found| avoided.contains(&found.name))
    }

    /// Encoders in hardware that are installed and do not work.
    pub fn unusable_hardware(&self) -> impl Iterator<Item = &Found> {
        self.h264_encoders().filter(|found| found.hardware && !found.works)
    }

    fn h264_encoders(&self) -> impl Iterator<Item = &Found> {
        let encoders = self.found.iter().filter(|found| found.kind == "encoder");
        encoders.filter(|found| found.codec == "h264")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(name: &str, hardware: bool, works: bool) -> Found {
        Found {
            kind: "encoder".into(),
            codec: "h264".into(),
            name: name.into(),
            hardware,
            works,
            why: None,
        }
    }

    #[test]
    fn the_first_that_works_is_taken_and_what_failed_at_work_is_the_last_resort() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let inventory = Inventory {
            found: vec![
                encoder("nvh264enc", true, false),
                encoder("vah264enc", true, true),
                encoder("x264enc", false, true),
            ],
        };
        let chosen = |avoided: &[&str]| inventory.encoder_but(&names(avoided)).map(|found| found.name.as_str());
        assert_eq!(chosen(&[]), Some("vah264enc"));
        assert_eq!(chosen(&["vah264enc"]), Some("x264enc"));
        assert_eq!(chosen(&["vah264enc", "x264enc"]), Some("vah264enc"));
        let unusable: Vec<_> = inventory.unusable_hardware().map(|found| found.name.as_str()).collect();
        assert_eq!(unusable, ["nvh264enc"]);
        assert_eq!(Inventory::default().encoder_but(&[]), None);
    }
}
