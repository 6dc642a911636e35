//! The library: recordings while they grow and once they are whole. Each is an index over segments that lie in the object store
//! (`nova_packager::Recording`); nothing is muxed again.
//!
//! While a broadcast is recorded, its index is a journal in `{data_dir}/recordings/{id}.jsonl`, to which a line is appended for each segment that has
//! been stored. At the end the journal becomes the object `vod/{id}/index.jsonl`. A journal that is found at the start belongs to a process that
//! was killed: it is closed there, and everything up to its last segment can be watched.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU8;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use nova_core::clock::Clock;
use nova_core::delivery::{Admission, Library, Opening, Presentation};
use nova_core::store::{BoxFuture, ObjectStore, StoreError};
use nova_domain::db::Error as DbError;
use nova_media::{Caption, Cut, Decision, Facts, MakeError, Videos};
use nova_packager::captioned::{Captioned, Captions};
use nova_packager::{Recorder, Recording, Stream};
use nova_picture::Studio;
use nova_transcode::Transcoder;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{clips, storyboard, vod};

/// Segments that the indexes of videos that were watched lately hold in all: about 50 hours with a ladder.
const OPEN_SEGMENTS: u64 = 500_000;
/// How long a video that nobody asks for stays open.
const IDLE: Duration = Duration::from_secs(600);
/// How long the last segments of a broadcast are waited for: a disk that does not take them by then has lost them.
const SETTLE: Duration = Duration::from_secs(10);
/// Covers that may wait for a turn: each holds a picture.
const COVERS: usize = 16;
/// Largest index that is read: a week of one-second segments in five renditions.
const INDEX_LIMIT: usize = 1 << 30;

pub(crate) fn facts(recording: &Recording) -> Facts {
    let (width, height) = recording.size().unwrap_or_default();
    Facts {
        duration_us: recording.duration_us(),
        bytes: recording.bytes(),
        width,
        height,
    }
}

/// See the module.
pub(crate) struct VideoLibrary {
    store: Arc<dyn ObjectStore>,
    journals: PathBuf,
    clock: Clock,
    /// Recordings of what is on air, by the broadcast's id.
    growing: DashMap<String, Arc<Stream>>,
    /// Those that are whole and were asked for lately.
    open: moka::future::Cache<String, Arc<Kept>>,
    /// What the platform says of videos; set once it is built.
    videos: OnceLock<Videos>,
    /// What makes videos of files, where there is a worker program.
    transcoder: OnceLock<Arc<Transcoder>>,
    /// For covers.
    studio: Studio,
}

/// A recording that is whole.
struct Kept {
    stream: Arc<Stream>,
    segments: u32,
    facts: Facts,
}

impl VideoLibrary {
    /// One over this store, with its journals in the data folder.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, data_dir: &Path, clock: Clock) -> std::io::Result<Arc<Self>> {
        let journals = data_dir.join("recordings");
        std::fs::create_dir_all(&journals)?;
        let open = moka::future::Cache::builder()
            .weigher(|_folder: &String, kept: &Arc<Kept>| kept.segments.max(100))
            .max_capacity(OPEN_SEGMENTS)
            .time_to_idle(IDLE)
            .build();
        Ok(Arc::new(Self {
            store,
            journals,
            clock,
            growing: DashMap::new(),
            open,
            videos: OnceLock::new(),
            transcoder: OnceLock::new(),
            studio: Studio::new(1, COVERS),
        }))
    }

    /// Where the objects of a recorded broadcast lie.
    pub(crate) fn prefix(id: &str) -> String {
        format!("vod/{id}")
    }

    fn index(id: &str) -> String {
        format!("{}/index.jsonl", Self::prefix(id))
    }

    /// Closes the journals of a process that was killed.
    pub(crate) async fn recover(&self) {
        let Ok(mut files) = tokio::fs::read_dir(&self.journals).await else {
            return;
        };
        while let Ok(Some(file)) = files.next_entry().await {
            let path = file.path();
            if path.extension().is_none_or(|extension| extension != "jsonl") {
                continue;
            }
            match self.close_journal(&path).await {
                Ok(Some(facts)) => tracing::info!(
                    journal = %path.display(),
                    seconds = facts.duration_us / 1_000_000,
                    "a recording whose process was killed is whole again"
                ),
                Ok(None) => {}
                // It stays where it is: the next start tries again.
                Err(error) => tracing::error!(journal = %path.display(), %error, "a recording cannot be closed"),
            }
        }
    }

    /// Makes the index of a journal; `None` when there was nothing in it.
    async fn close_journal(&self, path: &Path) -> anyhow::Result<Option<Facts>> {
        let mut text = String::from_utf8(tokio::fs::read(path).await?)?;
        let mut whole = None;
        if let Ok(mut recording) = Recording::read(&text)
            && !recording.is_empty()
        {
            if !recording.has_ended() {
                // The last line may have been cut off.
                text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
                text.push_str(&recording.end());
            }
            let key = Self::index(recording.stream().id());
            self.store.put(&key, vec![text.into()]).await?;
            whole = Some(facts(&recording));
        }
        tokio::fs::remove_file(path).await?;
        Ok(whole)
    }

    /// Records `stream` until `over`; `stored` is told of each segment that has come to rest.
    pub(crate) async fn record(self: Arc<Self>, stream: Arc<Stream>, stored: Arc<Notify>, over: CancellationToken) {
        let id = stream.id().to_owned();
        let mut recorder = Recorder::new(Arc::clone(&stream));
        let mut journal = Journal::new(self.journals.join(format!("{id}.jsonl")));
        while !over.is_cancelled() {
            tokio::select! {
                () = stored.notified() => {}
                () = over.cancelled() => {}
            }
            journal.append(recorder.observe()).await;
            if let Some(recording) = recorder.recording()
                && !self.growing.contains_key(&id)
            {
                self.growing.insert(id.clone(), Arc::clone(recording.stream()));
            }
        }
        let until = self.clock.monotonic_micros() + i64::try_from(SETTLE.as_micros()).unwrap_or(0);
        while has_unstored(&stream) && self.clock.monotonic_micros() < until {
            let _again = tokio::time::timeout(Duration::from_millis(200), stored.notified()).await;
            journal.append(recorder.observe()).await;
        }
        journal.append(recorder.finish()).await;
        if let Some(recording) = recorder.recording()
            && !recording.is_empty()
        {
            let kept = Arc::new(Kept {
                stream: Arc::clone(recording.stream()),
                segments: segments_of(recording.stream()),
                facts: facts(recording),
            });
            self.open.insert(id.clone(), kept).await;
        }
        if let Err(error) = self.close(&id, journal).await {
            tracing::error!(broadcast = id, %error, "the index of a recording cannot be stored; its journal is closed at the next start");
        }
        self.growing.remove(&id);
    }

    async fn close(&self, id: &str, journal: Journal) -> anyhow::Result<()> {
        anyhow::ensure!(journal.pending.is_empty(), "the disk does not take the journal");
        if tokio::fs::try_exists(&journal.path).await? {
            self.close_journal(&journal.path).await?;
            tracing::info!(broadcast = id, "recording is whole");
        }
        Ok(())
    }

    /// The finished recording in this folder; `None` when there is none.
    async fn kept(&self, folder: &str) -> Result<Option<Arc<Kept>>, Arc<StoreError>> {
        let read = async {
            let key = Self::index(folder);
            let bytes = self.store.get(&key).await?;
            let broken = |why: String| StoreError::Io {
                key: key.clone(),
                source: std::io::Error::new(ErrorKind::InvalidData, why),
            };
            if bytes.len() > INDEX_LIMIT {
                return Err(broken("the index is too large".into()));
            }
            // Long indexes take some milliseconds to read.
            let read = tokio::task::spawn_blocking(move || {
                let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
                Recording::read(text).map_err(|error| error.to_string())
            });
            let recording = read.await.map_err(|error| broken(error.to_string()))?.map_err(broken)?;
            Ok(Arc::new(Kept {
                stream: Arc::clone(recording.stream()),
                segments: segments_of(recording.stream()),
                facts: facts(&recording),
            }))
        };
        match self.open.try_get_with_by_ref(folder, read).await {
            Ok(kept) => Ok(Some(kept)),
            Err(error) if matches!(*error, StoreError::NotFound(_) | StoreError::BadKey(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts an object of a video.
    pub(crate) async fn put(&self, key: &str, pieces: Vec<Bytes>) -> Result<(), StoreError> {
        self.store.put(key, pieces).await
    }

    /// Reads an object of a video.
    pub(crate) async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.store.get(key).await
    }

    /// Gives an object of one video to another.
    pub(crate) async fn copy(&self, from: &str, to: &str) -> Result<(), StoreError> {
        self.store.copy(from, to).await
    }

    /// What is in a folder, and whether more comes.
    pub(crate) async fn source(&self, folder: &str) -> Result<(Option<Arc<Stream>>, bool), Arc<StoreError>> {
        if let Some(growing) = self.growing.get(folder) {
            return Ok((Some(Arc::clone(growing.value())), true));
        }
        let kept = self.kept(folder).await?;
        Ok((kept.map(|kept| Arc::clone(&kept.stream)), false))
    }

    /// Where covers are made.
    pub(crate) const fn studio(&self) -> &Studio {
        &self.studio
    }

    /// Puts the index of a video that is whole.
    pub(crate) async fn put_index(&self, folder: &str, index: String) -> Result<(), StoreError> {
        self.store.put(&Self::index(folder), vec![index.into()]).await
    }

    /// Removes everything in a folder.
    pub(crate) async fn clear(&self, folder: &str) -> Result<(), StoreError> {
        self.store.delete_prefix(&format!("{}/", Self::prefix(folder))).await?;
        self.open.invalidate(folder).await;
        Ok(())
    }

    /// Lets `transcoder` make videos of files from now on.
    pub(crate) fn transcode_with(&self, transcoder: Arc<Transcoder>) {
        let _first = self.transcoder.set(transcoder);
    }

    /// Keeps the picture that stands for a video.
    pub(crate) async fn keep_thumbnail(&self, folder: &str, jpeg: Bytes) {
        let key = format!("{}/thumbnail.jpg", Self::prefix(folder));
        if let Err(error) = self.store.put(&key, vec![jpeg]).await {
            tracing::warn!(%error, "a thumbnail cannot be stored");
        }
    }

    /// Asks `videos` about names and private videos from now on.
    pub(crate) fn guard(&self, videos: Videos) {
        let _first = self.videos.set(videos);
    }

    async fn find(&self, name: &str, path: &str, query: Option<&str>) -> Opening {
        // Objects have names that nobody can guess, and say themselves where they lie. Captions may change and go, so that the platform is asked.
        let object = path.split_once('/').filter(|_| !path.ends_with(".m3u8"));
        if let Some((folder, _)) = object
            && !path.ends_with(".vtt")
        {
            return self.opened(folder, Admission::Open).await;
        }
        let known = match self.videos.get() {
            Some(videos) => videos.open(name, query).await,
            None => Ok(None),
        };
        match known {
            Ok(Some(video)) => {
                let admission = match video.decision {
                    Decision::Open => Admission::Open,
                    Decision::Token(token) => Admission::Token(token),
                    Decision::Denied => Admission::Denied,
                };
                if video.captions.is_empty() {
                    return self.opened(&video.folder, admission).await;
                }
                match self.captions(name, path, &video.captions).await {
                    Ok(captions) => self.opened_with(&video.folder, admission, captions).await,
                    Err(error) => {
                        tracing::warn!(video = name, %error, "captions cannot be read");
                        Opening::Away
                    }
                }
            }
            // The recording of a stream that nobody owns is known by its folder.
            Ok(None) => self.opened(name, Admission::Open).await,
            Err(error) => {
                tracing::warn!(video = name, %error, "a video cannot be looked up");
                Opening::Away
            }
        }
    }

    /// The captions that were added to a video, with their text when that is what is asked for.
    async fn captions(&self, name: &str, path: &str, known: &[Caption]) -> Result<Vec<Captions>, Arc<DbError>> {
        let wanted = path.strip_suffix(".vtt").and_then(|path| path.split('/').nth(1));
        let mut captions = Vec::with_capacity(known.len());
        for caption in known {
            let asked = wanted.and_then(|name| name.strip_prefix("t-")) == Some(&caption.language);
            let cues = match self.videos.get().filter(|_| asked) {
                Some(videos) => videos.cues(name, caption).await?,
                None => None,
            };
            captions.push(Captions {
                language: caption.language.clone(),
                label: caption.label.clone(),
                revision: caption.created_at,
                cues,
            });
        }
        Ok(captions)
    }

    async fn opened(&self, folder: &str, admission: Admission) -> Opening {
        self.opened_with(folder, admission, Vec::new()).await
    }

    async fn opened_with(&self, folder: &str, admission: Admission, captions: Vec<Captions>) -> Opening {
        let growing = self.growing.get(folder).map(|growing| Arc::clone(growing.value()));
        let stream = match growing {
            Some(growing) => growing,
            None => match self.kept(folder).await {
                Ok(Some(kept)) => Arc::clone(&kept.stream),
                Ok(None) => return Opening::Unknown,
                Err(error) => {
                    tracing::warn!(folder, %error, "the index of a recording cannot be read");
                    return Opening::Away;
                }
            },
        };
        let presentation: Arc<dyn Presentation> = if captions.is_empty() {
            stream
        } else {
            Arc::new(Captioned::new(stream, captions))
        };
        Opening::Found {
            presentation,
            admission,
        }
    }
}

fn segments_of(stream: &Stream) -> u32 {
    let renditions = stream.renditions();
    let sum: usize = renditions.iter().map(|rendition| rendition.peek().segments.len()).sum();
    u32::try_from(sum).unwrap_or(u32::MAX)
}

fn has_unstored(stream: &Stream) -> bool {
    let renditions = stream.renditions();
    renditions.iter().any(|rendition| {
        let segments = Arc::clone(&rendition.peek().segments);
        segments.iter().any(|segment| !segment.gap && !segment.is_stored())
    })
}

impl Library for VideoLibrary {
    fn open<'a>(&'a self, video: &'a str, path: &'a str, query: Option<&'a str>) -> BoxFuture<'a, Opening> {
        Box::pin(self.find(video, path, query))
    }
}

impl nova_media::Library for VideoLibrary {
    fn kept<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, anyhow::Result<nova_media::Kept>> {
        Box::pin(async move {
            if self.growing.contains_key(folder) {
                return Ok(nova_media::Kept::Growing);
            }
            Ok(match self.kept(folder).await? {
                Some(kept) => nova_media::Kept::Whole(kept.facts.clone()),
                None => nova_media::Kept::Nothing,
            })
        })
    }

    fn remove<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move { Ok(self.clear(folder).await?) })
    }

    fn make<'a>(
        &'a self,
        folder: &'a str,
        source: &'a Path,
        progress: Arc<AtomicU8>,
    ) -> BoxFuture<'a, Result<Facts, MakeError>> {
        Box::pin(async move {
            let Some(transcoder) = self.transcoder.get() else {
                let none = anyhow::anyhow!("this server has no worker program to make videos with");
                return Err(MakeError::Machine(none));
            };
            vod::make(self, transcoder, folder, source, self.clock.now(), &progress).await
        })
    }

    fn storyboard<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, anyhow::Result<bool>> {
        Box::pin(async move {
            let (Some(transcoder), Some(kept)) = (self.transcoder.get(), self.kept(folder).await?) else {
                return Ok(false);
            };
            storyboard::make(self, transcoder, folder, &kept.stream, kept.facts.duration_us).await
        })
    }

    fn clip<'a>(&'a self, folder: &'a str, cut: &'a Cut) -> BoxFuture<'a, Result<Facts, MakeError>> {
        Box::pin(clips::make(self, self.transcoder.get(), folder, cut))
    }
}

/// The file of a recording that grows. What the disk does not take waits in memory, and the file never holds half of it.
struct Journal {
    path: PathBuf,
    pending: String,
    /// Length of what is whole.
    length: u64,
    warned: bool,
}

impl Journal {
    const fn new(path: PathBuf) -> Self {
        Self {
            path,
            pending: String::new(),
            length: 0,
            warned: false,
        }
    }

    async fn append(&mut self, lines: String) {
        self.pending.push_str(&lines);
        if self.pending.is_empty() {
            return;
        }
        let (path, length) = (self.path.clone(), self.length);
        let bytes = Bytes::from(std::mem::take(&mut self.pending));
        let text = bytes.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::options().create(true).append(true).open(path)?;
            file.write_all(&text).inspect_err(|_full| {
                let _best_effort = file.set_len(length);
            })
        });
        match written.await.map_err(std::io::Error::other).and_then(|written| written) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                self.warned = false;
            }
            Err(error) => {
                self.pending = String::from_utf8_lossy(&bytes).into_owned();
                if !std::mem::replace(&mut self.warned, true) {
                    tracing::error!(journal = %self.path.display(), %error, "the journal of a recording cannot be written");
                }
            }
        }
    }
}
