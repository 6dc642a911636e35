//! The task that packages one broadcast: what its encoder sends and the rungs that are made of it go into one packager, and what comes out
//! goes to the store, the library and the viewers.
//!
//! Rungs are later than their source. Where an epoch ends, what follows waits until the rungs of before have come out, so that every rendition
//! ends at the same place; the packager itself never waits for a rung.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use nova_core::clock::Clock;
use nova_core::live::{Broadcast, Item};
use nova_core::media::{Track, TrackId};
use nova_core::shutdown::Shutdown;
use nova_packager::{Config, Output, Packager, Stream};
use nova_transcode::{Event, Live, Transcoder};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::archive::{Archive, Job};
use crate::library::VideoLibrary;
use crate::still::Still;

/// Longest wait for what is still inside the ladder when an epoch ends. The ladder itself gives up after a second.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);
/// Width of stills.
const STILL_WIDTH: u16 = 640;

/// What packaging needs of the process.
pub(crate) struct Means {
    pub(crate) config: Config,
    pub(crate) archive: Archive,
    pub(crate) library: Arc<VideoLibrary>,
    /// `None` where there is no worker program.
    pub(crate) transcoder: Option<Arc<Transcoder>>,
    pub(crate) clock: Clock,
    pub(crate) media: Handle,
    pub(crate) shutdown: Shutdown,
}

/// An item that waits, and the rungs of its epoch if it begins one.
struct Waiting {
    item: Item,
    rungs: Vec<String>,
}

impl Waiting {
    fn is_mark(&self) -> bool {
        is_mark(&self.item)
    }
}

/// True for what ends an epoch, for which the ladder says when it has come through.
const fn is_mark(item: &Item) -> bool {
    matches!(item, Item::Epoch(_) | Item::Offline | Item::End)
}

struct Packaging<'a> {
    means: &'a Means,
    packager: Packager,
    ladder: Option<Live>,
    /// From the first mark that the ladder has not come through.
    waiting: VecDeque<Waiting>,
    ended: bool,
    /// The track that leads, for stills.
    pictures: Option<Arc<Track>>,
    last_still_us: i64,
    stills: u32,
    recorded: bool,
    still: Arc<Still>,
}

/// Packages `broadcast` into `stream` until it has ended; `recorded` keeps what is stored.
pub(crate) async fn run(
    means: &Means,
    broadcast: &Arc<Broadcast>,
    stream: &Arc<Stream>,
    recorded: bool,
    still: Arc<Still>,
) {
    let mut packaging = Packaging {
        means,
        packager: Packager::new(Arc::clone(stream), means.config),
        ladder: means
            .transcoder
            .as_ref()
            .map(|transcoder| transcoder.live(broadcast.stream())),
        waiting: VecDeque::new(),
        ended: false,
        pictures: None,
        last_still_us: i64::MIN / 2,
        stills: 0,
        recorded,
        still,
    };
    let (stored, over) = (Arc::new(Notify::new()), CancellationToken::new());
    if recorded {
        let recording = Arc::clone(&means.library).record(Arc::clone(stream), Arc::clone(&stored), over.clone());
        means.shutdown.spawn(&means.media, recording);
    }
    let mut reader = broadcast.subscribe();
    let (mut items, mut events, mut needs) = (Vec::new(), Vec::new(), Vec::new());
    while !packaging.ended {
        tokio::select! {
            () = reader.receive(&mut items, &needs) => {
                for item in items.drain(..) {
                    packaging.item(item);
                }
            }
            () = made(packaging.ladder.as_mut(), &mut events) => {
                for event in events.drain(..) {
                    packaging.event(event);
                }
            }
            () = tokio::time::sleep(FLUSH_LIMIT), if !packaging.waiting.is_empty() => {
                tracing::error!(stream = broadcast.stream(), "the ladder does not answer: the broadcast goes on without it");
                packaging.without_ladder();
            }
        }
        packaging.packager.publish();
        while let Some(output) = packaging.packager.poll() {
            match output {
                Output::Store(segment) => {
                    let waits = recorded.then(|| Arc::clone(&stored));
                    means.archive.offer(Job::Store(segment, waits));
                }
                // What is recorded stays.
                Output::Delete(_) if recorded => {}
                Output::Delete(key) => means.archive.offer(Job::Delete(key)),
            }
        }
        packaging.packager.needs(&mut needs);
    }
    over.cancel();
}

/// What the ladder has made; never, where there is none.
async fn made(ladder: Option<&mut Live>, events: &mut Vec<Event>) {
    match ladder {
        Some(ladder) => ladder.receive(events).await,
        None => std::future::pending().await,
    }
}

impl Packaging<'_> {
    fn item(&mut self, item: Item) {
        self.look(&item);
        let Some(ladder) = &mut self.ladder else {
            return self.push(item, &[]);
        };
        ladder.push(&item);
        if self.waiting.is_empty() && !is_mark(&item) {
            return self.push(item, &[]);
        }
        let mut rungs: Vec<String> = ladder.rungs().iter().map(|rung| rung.name.clone()).collect();
        if ladder.has_sound() {
            rungs.push("aac".to_owned());
        }
        self.waiting.push_back(Waiting { item, rungs });
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Track { name, track } => self.packager.rung(&name, &Arc::new(track)),
            Event::Frame(frame) => self.packager.push(Item::Frame(frame)),
            Event::Paused(track) => self.packager.pause(track),
            Event::Flushed => self.release(),
        }
    }

    /// The ladder has come through a mark: it takes effect, and so does all that came between it and the next.
    fn release(&mut self) {
        if let Some(Waiting { item, rungs }) = self.waiting.pop_front() {
            self.push(item, &rungs);
        }
        while self.waiting.front().is_some_and(|next| !next.is_mark()) {
            if let Some(Waiting { item, .. }) = self.waiting.pop_front() {
                self.push(item, &[]);
            }
        }
    }

    fn without_ladder(&mut self) {
        self.ladder = None;
        while let Some(Waiting { item, .. }) = self.waiting.pop_front() {
            self.push(item, &[]);
        }
    }

    fn push(&mut self, item: Item, rungs: &[String]) {
        self.ended |= matches!(item, Item::End);
        let begins = matches!(item, Item::Epoch(_));
        self.packager.push(item);
        if begins {
            self.packager.expect(rungs.iter().map(String::as_str));
        }
    }

    /// Takes a still now and then, beside everything else.
    fn look(&mut self, item: &Item) {
        match item {
            Item::Epoch(epoch) => self.pictures = epoch.tracks.first().filter(|track| track.is_video()).cloned(),
            Item::Frame(frame) if frame.keyframe && self.leads(frame.track) => {
                let (Some(transcoder), Some(track)) = (&self.means.transcoder, &self.pictures) else {
                    return;
                };
                let now = self.means.clock.monotonic_micros();
                if !self.still.is_due(now, self.last_still_us, self.stills) {
                    return;
                }
                self.last_still_us = now;
                let (transcoder, track, frame) = (Arc::clone(transcoder), Arc::clone(track), frame.clone());
                let still = Arc::clone(&self.still);
                // A recording keeps the second one: the first is often the black before the beginning.
                self.stills += 1;
                let kept = (self.recorded && self.stills == 2)
                    .then(|| (Arc::clone(&self.means.library), self.packager.stream().id().to_owned()));
                self.means.media.spawn(async move {
                    match transcoder.still(&track, &frame, STILL_WIDTH).await {
                        Ok(jpeg) => {
                            if let Some((library, folder)) = kept {
                                library.keep_thumbnail(&folder, jpeg.clone()).await;
                            }
                            still.show(jpeg);
                        }
                        Err(error) => tracing::debug!(%error, "no still"),
                    }
                });
            }
            _ => {}
        }
    }

    fn leads(&self, track: TrackId) -> bool {
        self.pictures.as_ref().is_some_and(|pictures| pictures.id == track)
    }
}
