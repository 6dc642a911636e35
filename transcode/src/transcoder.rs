//! What all ladders of a process share: the settings, the budget, the encoder that a probe chose, the worker for stills.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nova_core::clock::Clock;
use nova_core::media::{Frame, Track};
use tokio::runtime::Handle;

use crate::inventory::inventory;
use crate::ladder::{self, Ladder, Rung, plan};
use crate::live::Live;
use crate::stills::Stills;
use crate::wire;

/// How workers are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The worker program. Installed, it lies beside the server's own.
    pub worker: PathBuf,
    /// Memory one worker may take (`RLIMIT_DATA`: heap, and the stacks of its threads in full), in MiB.
    pub memory_mb: u32,
    /// Cores that all live ladders together may take, by the cost model of [`ladder`].
    pub cores: f32,
    /// Where time comes from.
    pub clock: Clock,
}

impl Settings {
    /// Where an installed worker lies: beside the program that runs now.
    pub fn installed_worker() -> io::Result<PathBuf> {
        Ok(std::env::current_exe()?.with_file_name("nova-transcode"))
    }
}

/// Why something did not come out of a worker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The worker does not start, or its socket fails.
    #[error("worker: {0}")]
    Io(#[from] io::Error),
    /// The worker says what no worker says.
    #[error("worker: {0}")]
    Wire(#[from] wire::Error),
    /// The worker has ended.
    #[error("the worker has ended")]
    Gone,
    /// No answer in time.
    #[error("no answer from the worker within {0} ms")]
    Timeout(u64),
    /// Too much waits already.
    #[error("{0} pictures wait already")]
    Busy(usize),
    /// The worker cannot do what was asked.
    #[error("worker: {0}")]
    Worker(String),
    /// An encoder in hardware has failed at work.
    #[error("encoder: {0}")]
    Encoder(String),
    /// It is asked for what needs pictures, or a keyframe.
    #[error("not a keyframe of a video track")]
    NotAKeyframe,
}

/// One per process.
pub struct Transcoder {
    pub(crate) settings: Settings,
    ladder: Ladder,
    pub(crate) runtime: Handle,
    /// Cores that live ladders have been given.
    reserved: Mutex<f32>,
    /// The encoder that works here, once a worker has found out.
    encoder: Mutex<Option<String>>,
    /// Encoders that failed at work, until the process ends.
    avoided: Mutex<Vec<String>>,
    stills: Stills,
}

impl Transcoder {
    /// Starts nothing yet. Tasks run on `runtime`, which needs IO and time.
    pub fn new(settings: Settings, ladder: Ladder, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            stills: Stills::start(settings.clone(), &runtime),
            settings,
            ladder,
            runtime,
            reserved: Mutex::new(0.0),
            encoder: Mutex::new(None),
            avoided: Mutex::default(),
        })
    }

    /// How its workers are run.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The ladder it was told to make.
    pub const fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// The ladder of one broadcast.
    pub fn live(self: &Arc<Self>, stream: &str) -> Live {
        Live::new(Arc::clone(self), stream)
    }

    /// A JPEG of `keyframe`, `width` wide, in the shape that viewers see. Gives up after 2 s, and at once when too many wait.
    pub async fn still(&self, track: &Track, keyframe: &Frame, width: u16) -> Result<Bytes, Error> {
        self.stills.still(track, keyframe, width).await
    }

    /// Plans the rungs of a source and reserves what they take; to be given back with [`Transcoder::release`].
    pub(crate) fn reserve(&self, source: &Track, frame_rate: Option<(u32, u32)>) -> (Vec<Rung>, f32) {
        let rungs = plan(&self.ladder, source, frame_rate);
        let mut reserved = lock(&self.reserved);
        let (rungs, cost) = match self.ladder {
            Ladder::Auto => ladder::admit(rungs, source, frame_rate, self.settings.cores - *reserved),
            Ladder::Off | Ladder::List(_) => ladder::admit(rungs, source, frame_rate, f32::INFINITY),
        };
        *reserved += cost;
        metrics::gauge!("nova_transcode_cores").set(f64::from(*reserved));
        (rungs, cost)
    }

    pub(crate) fn release(&self, cost: f32) {
        let mut reserved = lock(&self.reserved);
        *reserved = (*reserved - cost).max(0.0);
        metrics::gauge!("nova_transcode_cores").set(f64::from(*reserved));
    }

    pub(crate) const fn is_off(&self) -> bool {
        matches!(self.ladder, Ladder::Off)
    }

    pub(crate) fn encoder(&self) -> Option<String> {
        lock(&self.encoder).clone()
    }

    /// The encoder that files are made with: the one that ladders use, or else what a worker finds now. `None` where none works.
    pub async fn choose_encoder(&self) -> Result<Option<String>, Error> {
        if let Some(known) = self.encoder() {
            return Ok(Some(known));
        }
        let inventory = inventory(&self.settings).await?;
        let chosen = inventory
            .encoder_but(&lock(&self.avoided))
            .map(|found| found.name.clone());
        self.set_encoder(chosen.clone());
        Ok(chosen)
    }

    /// The encoder in use has failed at work: another one is taken, and this one only where there is no other.
    pub fn avoid_encoder(&self, why: &str) {
        let Some(name) = lock(&self.encoder).take() else { return };
        tracing::warn!(
            encoder = name,
            why,
            "an encoder in hardware has failed, another one takes its place"
        );
        metrics::counter!("nova_transcode_encoder_faults_total").increment(1);
        let mut avoided = lock(&self.avoided);
        if !avoided.contains(&name) {
            avoided.push(name);
        }
    }

    pub(crate) fn avoided(&self) -> String {
        lock(&self.avoided).join(",")
    }

    pub(crate) fn set_encoder(&self, name: Option<String>) {
        *lock(&self.encoder) = name;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
