//! A store that does not fail because the one behind it is away: what that does not take lies on the local disk until it does.
//!
//! While nothing waits, every call goes straight through. The first write that fails, or takes longer than [`Settings::patience`], goes to the
//! spool, and from then on every write does, so that the order in which things were written is the order in which they leave: a list is
//! uploaded when everything written before it has been. Reads look here first, so what was put can be read at once. A process that starts again,
//! whatever ended the last one, goes on where that stopped; only what lay below `live/` is left out, since nothing lists it any more.
//!
//! | file in the folder | is |
//! | --- | --- |
//! | `{number}.put` | the key, a newline, the object |
//! | `{number}.delete`, `{number}.clear` | a key, or a prefix, that is to go |
//! | `refused/{number}.put` | an object that the store refuses for what it is, kept for a person to look at |

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Error as IoError, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future;
use metrics::{Counter, Gauge};
use nova_core::clock::Clock;
use nova_core::store::{BoxFuture, ObjectStore, StoreError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::s3::is_list;
use crate::store::{PASSING, blocking, check_key, sync_names, write};

/// What a waiting act counts beside its bytes: its file takes a block of the disk, and its name some memory.
const ENTRY_BYTES: u64 = 4096;
/// Objects that are uploaded at once when the store is back.
const AT_ONCE: usize = 16;
/// The longest waits between two tries double from the first to the last of these.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// After so many refusals an object is put aside, so that it does not hold up all behind it.
const REFUSALS: u32 = 5;

/// How a spool behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder; made if need be.
    pub folder: PathBuf,
    /// Bytes on the disk, with 4 KiB for each file. Beyond, writes fail with [`StoreError::Full`].
    pub limit: u64,
    /// How long the store behind may take for a write of no bytes before the spool takes it; a second more for each 2 MiB.
    pub patience: Duration,
}

/// See the module. Clones share it.
#[derive(Clone)]
pub struct Spool(Arc<Inner>);

struct Inner {
    behind: Arc<dyn ObjectStore>,
    settings: Settings,
    clock: Clock,
    state: Mutex<State>,
    /// Something waits.
    work: Notify,
    /// How much of it.
    left: watch::Sender<usize>,
    counters: Counters,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// The newest act on each key that something waits for.
    newest: HashMap<String, u64>,
    /// Prefixes that are to go.
    clears: BTreeMap<u64, String>,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Waiting {
    act: Act,
    bytes: u64,
    refusals: u32,
    since: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    Put(String),
    Delete(String),
    /// A prefix that ends with `/`.
    Clear(String),
}

impl Act {
    fn key(&self) -> &str {
        match self {
            Self::Put(key) | Self::Delete(key) | Self::Clear(key) => key,
        }
    }

    const fn extension(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Delete(_) => "delete",
            Self::Clear(_) => "clear",
        }
    }
}

/// | metric | meaning |
/// | --- | --- |
/// | `nova_spool_objects` | acts that wait for the store |
/// | `nova_spool_bytes` | what they take on the disk |
/// | `nova_spool_oldest_seconds` | how long the oldest has waited |
/// | `nova_spool_taken_total` | writes that the store did not take and the spool did |
/// | `nova_spool_full_total` | writes that failed since the spool was full |
/// | `nova_spool_refused_total` | objects that were put aside |
struct Counters {
    objects: Gauge,
    bytes: Gauge,
    oldest: Gauge,
    taken: Counter,
    full: Counter,
    refused: Counter,
}

/// Where the newest word on a key stands.
enum Found {
    /// In this file of the spool.
    Here(u64),
    /// It is to go.
    Gone,
    /// Nothing waits for it.
    Behind,
}

impl Spool {
    /// Opens the spool before `behind` and begins to drain on `runtime`, which must have a timer. Install the metrics recorder first.
    pub fn open(
        behind: Arc<dyn ObjectStore>,
        settings: Settings,
        clock: Clock,
        runtime: &Handle,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(&settings.folder)?;
        let state = recover(&settings.folder, clock.monotonic_micros())?;
        if !state.waiting.is_empty() {
            tracing::info!(
                objects = state.waiting.len(),
                bytes = state.bytes,
                "an earlier run left objects for the store"
            );
        }
        let spool = Self(Arc::new(Inner {
            behind,
            settings,
            clock,
            state: Mutex::new(state),
            work: Notify::new(),
            left: watch::Sender::new(0),
            counters: Counters {
                objects: metrics::gauge!("nova_spool_objects"),
                bytes: metrics::gauge!("nova_spool_bytes"),
                oldest: metrics::gauge!("nova_spool_oldest_seconds"),
                taken: metrics::counter!("nova_spool_taken_total"),
                full: metrics::counter!("nova_spool_full_total"),
                refused: metrics::counter!("nova_spool_refused_total"),
            },
        }));
        spool.0.tell(&spool.0.state());
        spool.0.work.notify_one();
        // It ends with the last clone.
        runtime.spawn(drain(Arc::downgrade(&spool.0)));
        Ok(spool)
    }

    /// Acts that wait, and what they take on the disk.
    pub fn waiting(&self) -> (usize, u64) {
        let state = self.0.state();
        (state.waiting.len(), state.bytes)
    }

    /// Waits until the store behind has everything.
    pub async fn drained(&self) {
        // The sender lives as long as this.
        let mut left = self.0.left.subscribe();
        let _gone = left.wait_for(|left| *left == 0).await;
    }
}

/// What the files of an earlier run say. One that was not finished has another name and goes.
fn recover(folder: &Path, now: i64) -> std::io::Result<State> {
    let mut state = State::default();
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.is_dir() {
            continue;
        }
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        match (number, path.extension().and_then(|extension| extension.to_str())) {
            (Some(number), Some("put" | "delete" | "clear")) => {
                found.insert(number, path);
            }
            _ => std::fs::remove_file(&path)?,
        }
    }
    for (number, path) in found {
        state.next = number + 1;
        let (key, rest) = match read_key(&path) {
            Ok((key, _, rest)) => (key, rest),
            Err(error) => {
                tracing::error!(%error, "a file of the spool is put aside in `refused`");
                put_aside(&path)?;
                continue;
            }
        };
        let act = match path.extension().and_then(|extension| extension.to_str()) {
            Some("put") if key.starts_with(PASSING) => {
                std::fs::remove_file(&path)?;
                continue;
            }
            Some("put") => Act::Put(key),
            Some("delete") => Act::Delete(key),
            _ => Act::Clear(key),
        };
        let bytes = ENTRY_BYTES + rest;
        state.bytes += bytes;
        let waiting = Waiting {
            act,
            bytes,
            refusals: 0,
            since: now,
        };
        state.insert(number, waiting);
    }
    Ok(state)
}

fn put_aside(path: &Path) -> std::io::Result<()> {
    let aside = path.parent().unwrap_or(Path::new(".")).join("refused");
    std::fs::create_dir_all(&aside)?;
    std::fs::rename(path, aside.join(path.file_name().unwrap_or_default()))
}

/// The key of a file of the spool, the file behind it, and the number of bytes that are left there.
fn read_key(path: &Path) -> std::io::Result<(String, BufReader<std::fs::File>, u64)> {
    let file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    file.by_ref().take(1024).read_until(b'\n', &mut line)?;
    let broken = || {
        IoError::new(
            ErrorKind::InvalidData,
            format!("{} is not a file of the spool", path.display()),
        )
    };
    let rest = length.checked_sub(line.len() as u64).ok_or_else(broken)?;
    if line.pop() != Some(b'\n') {
        return Err(broken());
    }
    let key = String::from_utf8(line).map_err(|_not_text| broken())?;
    check_key(key.trim_end_matches('/')).map_err(|_bad| broken())?;
    Ok((key, file, rest))
}

fn read(path: &Path) -> std::io::Result<Bytes> {
    let (_, mut file, rest) = read_key(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(rest).unwrap_or(0));
    file.read_to_end(&mut bytes)?;
    Ok(Bytes::from(bytes))
}

impl State {
    fn find(&self, key: &str) -> Found {
        let newest = self.newest.get(key).copied();
        let cleared = self
            .clears
            .iter()
            .rev()
            .find(|(_, prefix)| key.starts_with(prefix.as_str()));
        let cleared = cleared.map(|(number, _)| *number);
        // No act is less than one of any number.
        match newest.max(cleared) {
            None => Found::Behind,
            Some(number) => match self.waiting.get(&number).map(|waiting| &waiting.act) {
                Some(Act::Put(_)) => Found::Here(number),
                _ => Found::Gone,
            },
        }
    }

    fn insert(&mut self, number: u64, waiting: Waiting) {
        let key = waiting.act.key().to_owned();
        if matches!(waiting.act, Act::Clear(_)) {
            self.clears.insert(number, key);
        } else {
            self.newest.insert(key, number);
        }
        self.waiting.insert(number, waiting);
    }

    fn remove(&mut self, number: u64) {
        if let Some(gone) = self.waiting.remove(&number) {
            self.bytes -= gone.bytes;
            self.clears.remove(&number);
            let key = gone.act.key();
            if self.newest.get(key) == Some(&number) {
                self.newest.remove(key);
            }
        }
    }

    /// What may leave together: objects up to the next act that has to wait for all before it.
    fn batch(&self) -> Vec<(u64, Waiting)> {
        let mut batch: Vec<(u64, Waiting)> = Vec::new();
        for (number, waiting) in self.waiting.iter().take(AT_ONCE) {
            let alone = !matches!(&waiting.act, Act::Put(key) if !is_list(key));
            let twice = batch.iter().any(|(_, other)| other.act.key() == waiting.act.key());
            if (alone || twice) && !batch.is_empty() {
                break;
            }
            batch.push((*number, waiting.clone()));
            if alone {
                break;
            }
        }
        batch
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, state: &State) {
        self.left.send_replace(state.waiting.len());
        #[expect(clippy::cast_precision_loss, reason = "a disk has less than 2^52 bytes")]
        self.counters.bytes.set(state.bytes as f64);
        #[expect(clippy::cast_precision_loss, reason = "bounded by the bytes")]
        self.counters.objects.set(state.waiting.len() as f64);
        let since = state.waiting.values().next().map(|waiting| waiting.since);
        let waited = since.map_or(0, |since| (self.clock.monotonic_micros() - since) / 1_000_000);
        self.counters
            .oldest
            .set(i32::try_from(waited).map_or(f64::INFINITY, f64::from));
    }

    fn path(&self, number: u64, act: &Act) -> PathBuf {
        self.settings.folder.join(format!("{number:020}.{}", act.extension()))
    }

    fn is_idle(&self) -> bool {
        self.state().waiting.is_empty()
    }

    fn patience(&self, bytes: usize) -> Duration {
        self.settings.patience + Duration::from_secs((bytes >> 21) as u64)
    }

    /// Writes an act down. Its place in the order is that of the call.
    fn take(&self, act: Act, pieces: &[Bytes]) -> Result<(), StoreError> {
        let key = act.key().to_owned();
        let bytes = ENTRY_BYTES + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let number = {
            let mut state = self.state();
            // A deletion makes room, and is small: it is always taken, up to twice the bound.
            let limit = if matches!(act, Act::Put(_)) {
                self.settings.limit
            } else {
                self.settings.limit * 2
            };
            if state.bytes + bytes > limit {
                self.counters.full.increment(1);
                let why = format!("the spool holds {} bytes while the object store is away", state.bytes);
                return Err(StoreError::Full {
                    key,
                    source: IoError::new(ErrorKind::StorageFull, why),
                });
            }
            state.bytes += bytes;
            state.next += 1;
            state.next - 1
        };
        let path = self.path(number, &act);
        let temporary = path.with_extension("tmp");
        let mut whole = vec![Bytes::from(format!("{key}\n"))];
        whole.extend_from_slice(pieces);
        let written = write(&temporary, &whole).and_then(|file| {
            if key.starts_with(PASSING) {
                return std::fs::rename(&temporary, &path);
            }
            file.sync_data()?;
            std::fs::rename(&temporary, &path)?;
            sync_names(&self.settings.folder, &self.settings.folder)
        });
        let mut state = self.state();
        if let Err(source) = written {
            state.bytes -= bytes;
            let _may_not_exist = std::fs::remove_file(&temporary);
            return Err(match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { key, source },
                _ => StoreError::Io { key, source },
            });
        }
        if !matches!(act, Act::Put(_)) {
            self.forget(&mut state, &act);
        }
        let since = self.clock.monotonic_micros();
        state.insert(
            number,
            Waiting {
                act,
                bytes,
                refusals: 0,
                since,
            },
        );
        self.counters.taken.increment(1);
        self.tell(&state);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Lets go of objects that a deletion makes needless. One that is on its way arrives before the deletion, which waits for all before it.
    fn forget(&self, state: &mut State, deletion: &Act) {
        let needless: Vec<u64> = match deletion {
            Act::Delete(key) => state.newest.get(key).copied().into_iter().collect(),
            Act::Clear(prefix) => state
                .waiting
                .iter()
                .filter(|(_, waiting)| waiting.act.key().starts_with(prefix.as_str()))
                .map(|(number, _)| *number)
                .collect(),
            Act::Put(_) => Vec::new(),
        };
        for number in needless {
            let Some(waiting) = state.waiting.get(&number) else {
                continue;
            };
            if matches!(waiting.act, Act::Put(_)) {
                let _gone = std::fs::remove_file(self.path(number, &waiting.act));
                state.remove(number);
            }
        }
    }

    /// The act on the store behind.
    async fn carry_out(&self, number: u64, waiting: &Waiting) -> Result<(), StoreError> {
        match &waiting.act {
            Act::Put(key) => {
                let path = self.path(number, &waiting.act);
                let name = key.clone();
                let read = blocking(key, move || {
                    read(&path).map_err(|source| StoreError::Io { key: name, source })
                });
                let bytes = read.await?;
                self.behind.put(key, vec![bytes]).await
            }
            Act::Delete(key) => self.behind.delete(key).await,
            Act::Clear(prefix) => self.behind.delete_prefix(prefix).await,
        }
    }

    /// Uploads what may leave together; true when all of it has left.
    async fn let_leave(&self, batch: &[(u64, Waiting)]) -> bool {
        let done = batch.iter().map(|(number, waiting)| self.carry_out(*number, waiting));
        let done = future::join_all(done).await;
        let mut all = true;
        let mut state = self.state();
        for ((number, waiting), done) in batch.iter().zip(done) {
            let path = self.path(*number, &waiting.act);
            match done {
                Ok(()) => {
                    // Reads go to the store behind from here on, so that the file may go.
                    state.remove(*number);
                    let _gone = std::fs::remove_file(path);
                }
                Err(error) => {
                    let weight = refusal(&error);
                    let Some(waiting) = state.waiting.get_mut(number) else {
                        // Deleted in between.
                        continue;
                    };
                    waiting.refusals += weight;
                    let refusals = waiting.refusals;
                    if refusals < REFUSALS {
                        all = false;
                        tracing::debug!(%error, "the store does not take an object of the spool yet");
                        continue;
                    }
                    self.counters.refused.increment(1);
                    tracing::error!(%error, file = %path.display(), "the store refuses an object for what it is: it is put aside in `refused`");
                    state.remove(*number);
                    let _kept = put_aside(&path);
                }
            }
        }
        self.tell(&state);
        all
    }

    async fn read_here(&self, key: &str) -> Option<Result<Bytes, StoreError>> {
        let path = match self.state().find(key) {
            Found::Here(number) => self.path(number, &Act::Put(String::new())),
            Found::Gone => return Some(Err(StoreError::NotFound(key.to_owned()))),
            Found::Behind => return None,
        };
        let name = key.to_owned();
        let read = blocking(key, move || match read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            // It has left in between.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { key: name, source }),
        });
        read.await.transpose()
    }
}

/// How much an error speaks for the store not taking this object whenever it is asked; [`REFUSALS`] is enough.
fn refusal(error: &StoreError) -> u32 {
    match error {
        StoreError::BadKey(_) => REFUSALS,
        StoreError::Io { source, .. } => match source.kind() {
            ErrorKind::InvalidInput => 1,
            // The file here is broken, or was taken away.
            ErrorKind::InvalidData | ErrorKind::NotFound => REFUSALS,
            _ => 0,
        },
        StoreError::NotFound(_) | StoreError::Full { .. } => 0,
    }
}

async fn drain(spool: std::sync::Weak<Inner>) {
    let mut longest = FIRST_WAIT;
    let mut away = false;
    loop {
        let Some(inner) = spool.upgrade() else { return };
        let batch = inner.state().batch();
        if batch.is_empty() {
            if std::mem::take(&mut away) {
                tracing::info!("the object store has everything again");
            }
            // Wakes now and then to see whether anybody has a use for it.
            let _either = tokio::time::timeout(LAST_WAIT, inner.work.notified()).await;
            continue;
        }
        if inner.let_leave(&batch).await {
            longest = FIRST_WAIT;
        } else {
            if !std::mem::replace(&mut away, true) {
                tracing::warn!("the object store is away: what is written lies in the spool until it is back");
            }
            drop(inner);
            tokio::time::sleep(longest / 2 + (longest / 2).mul_f64(fastrand::f64())).await;
            longest = (longest * 2).min(LAST_WAIT);
        }
    }
}

impl Spool {
    /// Asks the store behind if nothing waits; `None` when the spool has to take it.
    async fn straight<T>(
        &self,
        bytes: usize,
        act: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<Result<T, StoreError>> {
        if !self.0.is_idle() {
            return None;
        }
        match tokio::time::timeout(self.0.patience(bytes), act).await {
            Ok(Err(error @ (StoreError::Io { .. } | StoreError::Full { .. }))) if refusal(&error) == 0 => {
                tracing::warn!(%error, "the object store does not take a write");
                None
            }
            Ok(done) => Some(done),
            Err(_elapsed) => None,
        }
    }

    async fn take(&self, act: Act, pieces: Vec<Bytes>) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.0);
        let key = act.key().to_owned();
        blocking(&key, move || inner.take(act, &pieces)).await
    }
}

impl ObjectStore for Spool {
    fn put<'a>(&'a self, key: &'a str, pieces: Vec<Bytes>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let bytes = pieces.iter().map(Bytes::len).sum();
            match self.straight(bytes, self.0.behind.put(key, pieces.clone())).await {
                Some(done) => done,
                None => self.take(Act::Put(key.to_owned()), pieces).await,
            }
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            match self.0.read_here(key).await {
                Some(read) => read,
                None => self.0.behind.get(key).await,
            }
        })
    }

    fn copy<'a>(&'a self, from: &'a str, to: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_key(to)?;
            let (source, target) = {
                let state = self.0.state();
                (state.find(from), state.find(to))
            };
            match (source, target) {
                (Found::Behind, Found::Behind) => self.0.behind.copy(from, to).await,
                // One of the two is not where the store behind could find it.
                _ => {
                    let bytes = self.get(from).await?;
                    self.take(Act::Put(to.to_owned()), vec![bytes]).await
                }
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            match self.straight(0, self.0.behind.delete(key)).await {
                Some(done) => done,
                None => self.take(Act::Delete(key.to_owned()), Vec::new()).await,
            }
        })
    }

    fn delete_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let folder = format!("{}/", prefix.trim_end_matches('/'));
            check_key(prefix.trim_end_matches('/'))?;
            match self.straight(0, self.0.behind.delete_prefix(&folder)).await {
                Some(done) => done,
                None => self.take(Act::Clear(folder), Vec::new()).await,
            }
        })
    }
}
