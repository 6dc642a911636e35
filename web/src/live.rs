//! The live service: takes each new broadcast up, packages it, and finds it for viewers. Where ingest, packager and delivery meet.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use nova_core::clock::Clock;
use nova_core::config::PublishAuth;
use nova_core::delivery::{Admission, Audience, Catalog, Presentation, Reply};
use nova_core::live::Broadcast;
use nova_core::publish::is_stream_name;
use nova_media::{Decision, Gate};
use nova_packager::Stream;
use tokio::sync::mpsc;

use crate::archive::Job;
use crate::library::VideoLibrary;
use crate::packaging::{self, Means};
use crate::still::Still;

/// The streams that can be watched: on air, or ended less than a window ago.
pub(crate) struct LiveService {
    means: Means,
    record: bool,
    auth: PublishAuth,
    /// With stream keys from the configuration: the names that may come on air.
    known: Vec<String>,
    most_waiting: usize,
    streams: RwLock<HashMap<String, Arc<LiveStream>>>,
    /// What the platform says of streams that somebody owns; set once it is built.
    gate: OnceLock<Arc<Gate>>,
}

/// A broadcast and what is made of it.
pub(crate) struct LiveStream {
    pub(crate) broadcast: Arc<Broadcast>,
    pub(crate) stream: Arc<Stream>,
    still: Arc<Still>,
    clock: Clock,
    /// The broadcast of this name that ended less than a window ago: who still watches it may finish.
    before: ArcSwapOption<LiveStream>,
}

impl LiveStream {
    /// Asks the broadcast that `path` belongs to. Until this one has something to show, the lists are still the one's before.
    fn ask(&self, path: &str, question: impl FnOnce(&Stream) -> Reply) -> Reply {
        match &*self.before.load() {
            Some(before)
                if path.starts_with(before.stream.id()) || !path.contains('/') && self.stream.timing().is_none() =>
            {
                question(&before.stream)
            }
            _ => question(&self.stream),
        }
    }
}

impl Presentation for LiveStream {
    fn answer(&self, path: &str, query: Option<&str>) -> Reply {
        if path == "thumbnail.jpg" {
            let still = self.still.look(self.clock.monotonic_micros());
            return still.map_or(Reply::NotFound, Reply::Still);
        }
        self.ask(path, |stream| stream.answer(path, query))
    }

    fn answer_late(&self, path: &str, query: Option<&str>) -> Reply {
        self.ask(path, |stream| stream.answer_late(path, query))
    }

    fn audience(&self) -> &Audience {
        self.stream.audience()
    }
}

impl LiveService {
    /// `means` packages what starts; of the configuration, who may publish and how many requests may wait.
    pub(crate) fn new(config: &nova_core::config::Config, means: Means) -> Arc<Self> {
        Arc::new(Self {
            means,
            record: config.live.record,
            auth: config.publish.auth,
            known: config.publish.keys.keys().cloned().collect(),
            most_waiting: config.http.max_held_per_stream,
            streams: RwLock::default(),
            gate: OnceLock::new(),
        })
    }

    /// Asks `gate` about names and private streams from now on.
    pub(crate) fn guard(&self, gate: Arc<Gate>) {
        let _first = self.gate.set(gate);
    }

    /// The name under which the hub knows what a URL calls `name`.
    fn known_as<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let alias = self.gate.get().and_then(|gate| gate.resolve(name));
        alias.map_or(Cow::Borrowed(name), Cow::Owned)
    }

    /// Takes up every broadcast that starts, until the hub is gone.
    pub(crate) async fn run(self: Arc<Self>, mut started: mpsc::Receiver<Arc<Broadcast>>) {
        loop {
            let broadcast = tokio::select! {
                broadcast = started.recv() => broadcast,
                () = self.means.shutdown.end().cancelled() => None,
            };
            let Some(broadcast) = broadcast else { return };
            let window_s = self.means.config.window_s;
            let id = broadcast.id().to_owned();
            let recorded = self.records(broadcast.stream());
            let stream = Arc::new(if recorded {
                // Its segments lie where the recording's do, from the first one on.
                Stream::at(VideoLibrary::prefix(&id), id, window_s, self.most_waiting)
            } else {
                Stream::new(broadcast.stream(), id, window_s, self.most_waiting)
            });
            let live = Arc::new(LiveStream {
                broadcast,
                stream,
                still: Arc::default(),
                clock: self.means.clock.clone(),
                before: ArcSwapOption::empty(),
            });
            {
                let mut streams = self.write();
                if let Some(before) = streams.insert(live.broadcast.stream().to_owned(), Arc::clone(&live)) {
                    // One before is enough: its own is let go.
                    before.before.store(None);
                    live.before.store(Some(before));
                }
            }
            let service = Arc::clone(&self);
            self.means
                .shutdown
                .spawn(&self.means.media, async move { service.package(live, recorded).await });
        }
    }

    fn records(&self, stream: &str) -> bool {
        let owned = self.gate.get().and_then(|gate| gate.records(stream));
        owned.unwrap_or(self.record)
    }

    /// Every stream that can be watched.
    pub(crate) fn list(&self) -> Vec<Arc<LiveStream>> {
        self.streams
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<LiveStream>> {
        self.streams
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Arc<LiveStream>>> {
        self.streams.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn package(&self, live: Arc<LiveStream>, recorded: bool) {
        tracing::info!(
            stream = live.broadcast.stream(),
            broadcast = live.broadcast.id(),
            recorded,
            "broadcast started"
        );
        let still = Arc::clone(&live.still);
        packaging::run(&self.means, &live.broadcast, &live.stream, recorded, still).await;
        tracing::info!(
            stream = live.broadcast.stream(),
            broadcast = live.broadcast.id(),
            "broadcast ended"
        );
        // Viewers finish what they have begun; then nothing of it is kept.
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(u64::from(self.means.config.window_s))) => {}
            () = self.means.shutdown.close().cancelled() => {}
        }
        {
            let mut streams = self.write();
            match streams.get(live.broadcast.stream()) {
                Some(known) if Arc::ptr_eq(known, &live) => {
                    streams.remove(live.broadcast.stream());
                }
                Some(newer)
                    if newer
                        .before
                        .load()
                        .as_ref()
                        .is_some_and(|before| Arc::ptr_eq(before, &live)) =>
                {
                    newer.before.store(None);
                }
                _ => {}
            }
        }
        if !recorded {
            self.means
                .archive
                .offer(Job::DeletePrefix(format!("{}/", live.stream.prefix())));
        }
    }
}

impl Catalog for LiveService {
    fn find(&self, stream: &str) -> Option<Arc<dyn Presentation>> {
        let streams = self.streams.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        streams
            .get(stream)
            .or_else(|| streams.get(&*self.known_as(stream)))
            .map(|live| Arc::clone(live) as Arc<dyn Presentation>)
    }

    fn admits(&self, stream: &str, query: Option<&str>) -> Admission {
        match self.gate.get().map(|gate| gate.admits(&self.known_as(stream), query)) {
            None | Some(Decision::Open) => Admission::Open,
            Some(Decision::Token(token)) => Admission::Token(token),
            Some(Decision::Denied) => Admission::Denied,
        }
    }

    fn may_come(&self, stream: &str) -> bool {
        match self.auth {
            PublishAuth::Open => is_stream_name(stream),
            PublishAuth::Key => self.known.iter().any(|known| known == stream),
        }
    }
}
