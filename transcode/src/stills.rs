//! JPEGs of single keyframes, made by one worker for all streams. It starts with the first picture asked for, is replaced when it dies or
//! does not answer, and ends when nothing was asked for a minute.

use std::time::Duration;

use bytes::Bytes;
use nova_core::media::{Frame, Track};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::process::Worker;
use crate::transcoder::{Error, Settings};
use crate::wire::{MESSAGE_MAX, Reply, Request};

/// Pictures that may wait; one takes about 20 ms.
const QUEUE: usize = 32;
/// From the question to the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The worker's life without work.
const IDLE: Duration = Duration::from_secs(60);

struct Job {
    track: Track,
    frame: Frame,
    width: u16,
    deadline: Instant,
    answer: oneshot::Sender<Result<Bytes, Error>>,
}

pub(crate) struct Stills {
    jobs: mpsc::Sender<Job>,
}

impl Stills {
    pub(crate) fn start(settings: Settings, runtime: &Handle) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        runtime.spawn(run(settings, runtime.clone(), queue));
        Self { jobs }
    }

    pub(crate) async fn still(&self, track: &Track, frame: &Frame, width: u16) -> Result<Bytes, Error> {
        if !track.is_video() || !frame.keyframe || frame.payload.len() > MESSAGE_MAX / 2 {
            return Err(Error::NotAKeyframe);
        }
        let deadline = Instant::now() + PATIENCE;
        let (answer, answered) = oneshot::channel();
        let job = Job {
            track: track.clone(),
            frame: frame.clone(),
            width,
            deadline,
            answer,
        };
        self.jobs.try_send(job).map_err(|_full| Error::Busy(QUEUE))?;
        match timeout_at(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_dropped)) => Err(Error::Gone),
            Err(_elapsed) => Err(Error::Timeout(PATIENCE.as_millis() as u64)),
        }
    }
}

async fn run(settings: Settings, runtime: Handle, mut queue: mpsc::Receiver<Job>) {
    let mut worker = None;
    let mut next_id = 0_u32;
    loop {
        let job = match tokio::time::timeout(IDLE, queue.recv()).await {
            Ok(Some(job)) => job,
            Ok(None) => return,
            Err(_idle) => {
                worker = None;
                match queue.recv().await {
                    Some(job) => job,
                    None => return,
                }
            }
        };
        if job.answer.is_closed() {
            continue;
        }
        next_id = next_id.wrapping_add(1);
        let request = Request::Still {
            id: next_id,
            width: job.width,
            track: Box::new(job.track),
            frame: job.frame,
        };
        let answer = timeout_at(job.deadline, ask(&mut worker, &settings, &runtime, &request, next_id)).await;
        let answer = answer.unwrap_or(Err(Error::Timeout(PATIENCE.as_millis() as u64)));
        if !matches!(answer, Ok(_) | Err(Error::Worker(_))) {
            // It is dead, or busy with what nobody waits for.
            worker = None;
            metrics::counter!("nova_transcode_restarts_total", "task" => "stills").increment(1);
        }
        let _ = job.answer.send(answer);
    }
}

async fn ask(
    worker: &mut Option<Worker>,
    settings: &Settings,
    runtime: &Handle,
    request: &Request,
    id: u32,
) -> Result<Bytes, Error> {
    let worker = match worker {
        Some(worker) => worker,
        None => worker.insert(Worker::start(settings, runtime, "stills")?),
    };
    worker.send(request);
    loop {
        match worker.receive().await? {
            Reply::Still { id: of, picture } if of == id => return picture.map_err(Error::Worker),
            Reply::Fault(_) | Reply::EncoderFault(_) => return Err(Error::Gone),
            _ => {}
        }
    }
}
