//! Password hashes: argon2id in threads of its own.
//!
//! A hash costs 19 MiB and some 15 ms of a core. So it never runs on a runtime's worker: [`Hasher`] owns a few threads, each with its
//! memory allocated once, and a bounded queue in front of them; a full queue is [`Error::Busy`], at once. The threads yield to media
//! (Linux: a lower priority). Stored hashes carry their [`Scheme`] and parameters, and a login tells when one should be made anew.
//! ASVS 5.0 11.4.2 and appendix C; RFC 9106; the PHC string format.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, AssociatedData, Block, KeyId, Params, ParamsBuilder, Version};
use nova_core::error::Kind;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;

use crate::password::Normalized;
use crate::random::Random;

/// Bytes of a hash.
const OUTPUT: usize = 32;
/// Bytes of a salt (RFC 9106 section 3.1).
const SALT: usize = 16;
/// No stored hash may ask for more memory than this, in KiB, or for more passes: a row is data, not an order.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
/// How far the hashing threads stand behind the media threads, in steps of `nice`.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// How a stored hash was made. The number is stored beside the hash and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Scheme {
    /// argon2id of the NFKC form ([`Normalized`]), as a PHC string; `keyid` names the pepper.
    Argon2id = 2,
}

impl Scheme {
    /// The scheme of a stored number. 1 is kept free for bcrypt hashes of users who come from elsewhere.
    pub const fn from_number(number: i16) -> Option<Self> {
        match number {
            2 => Some(Self::Argon2id),
            _ => None,
        }
    }

    /// The number to store.
    pub const fn number(self) -> i16 {
        self as i16
    }
}

/// A password's hash as it is kept. `Debug` shows the scheme only.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// How it was made.
    pub scheme: Scheme,
    /// The hash, its parameters and its salt: a PHC string.
    pub phc: String,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

/// What argon2id is asked to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
}

impl Default for Cost {
    /// m=19 MiB, t=2, p=1: ASVS appendix C.
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            passes: 2,
        }
    }
}

/// A key that hashes cannot be checked without, kept apart from the database (SP 800-63B-4 3.1.1.2; RFC 9106 section 3.1, `K`).
#[derive(Clone)]
pub struct Pepper {
    /// Its name in stored hashes, 1 to 8 bytes.
    pub id: String,
    /// 32 random bytes.
    pub key: [u8; 32],
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pepper").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How the hasher is built.
#[derive(Clone, Debug)]
pub struct Config {
    /// What new hashes cost.
    pub cost: Cost,
    /// Threads; one a core is all that helps.
    pub threads: usize,
    /// Hashes that may wait for a thread. Each waits some 15 ms divided by `threads` for everyone before it.
    pub queue: usize,
    /// The first one is for new hashes, the others are for hashes made with them.
    pub peppers: Vec<Pepper>,
}

impl Default for Config {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cost: Cost::default(),
            threads,
            // About a second of work.
            queue: threads * 64,
            peppers: Vec::new(),
        }
    }
}

/// Why there is no hash and no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// As many hashes wait already as may.
    #[error("{queue} password hashes are waiting already")]
    Busy {
        /// The bound.
        queue: usize,
    },
    /// A stored hash that cannot be read.
    #[error("a stored hash of scheme {scheme:?} cannot be read: {what}")]
    Unreadable {
        /// Its scheme.
        scheme: Scheme,
        /// What is wrong with it.
        what: String,
    },
    /// A stored hash was made with a pepper that is not configured.
    #[error("a stored hash needs a pepper that is not configured")]
    NoPepper,
    /// The configured cost or pepper is not one that argon2 takes.
    #[error("argon2: {0}")]
    Parameters(String),
    /// The threads cannot be started.
    #[error("start a hashing thread: {0}")]
    Threads(std::io::ErrorKind),
    /// The hasher is being dropped.
    #[error("the password hasher has stopped")]
    Stopped,
}

impl Error {
    /// What kind of failure it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Busy { .. } => Kind::Exhausted,
            Self::Stopped => Kind::Unavailable,
            _ => Kind::Internal,
        }
    }
}

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another password, or no such user.
    Wrong,
    /// The password.
    Right {
        /// Its hash is of an older scheme, cost or pepper; now, with the password at hand, is the time to store a new one.
        rehash: bool,
    },
}

/// Hashes and checks passwords in a bounded pool of threads. Clones share the pool; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Hasher {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    queue: usize,
    recipe: Arc<Recipe>,
    /// Checked when there is no such user, so that the answer takes as long.
    dummy: PasswordHash,
}

/// What every thread has to know.
#[derive(Debug)]
struct Recipe {
    cost: Cost,
    peppers: Vec<Pepper>,
}

enum Job {
    Hash {
        password: Normalized,
        salt: [u8; SALT],
        answer: oneshot::Sender<Result<Stored, Error>>,
    },
    Verify {
        password: Normalized,
        hash: Box<PasswordHash>,
        answer: oneshot::Sender<Result<bool, Error>>,
    },
}

impl Hasher {
    /// Starts the threads.
    pub fn new(config: Config, random: &Random) -> Result<Self, Error> {
        let recipe = Arc::new(Recipe {
            cost: config.cost,
            peppers: config.peppers,
        });
        let dummy = recipe.phc(&recipe.params()?, &random.bytes(), &random.bytes())?;
        let (jobs, queue) = sync_channel(config.queue.max(1));
        let queue = Arc::new(Mutex::new(queue));
        let threads = (0..config.threads.max(1))
            .map(|n| {
                let (queue, recipe) = (Arc::clone(&queue), Arc::clone(&recipe));
                std::thread::Builder::new()
                    .name(format!("nova-hash-{n}"))
                    .spawn(move || work(&queue, &recipe))
                    .map_err(|error| Error::Threads(error.kind()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            pool: Arc::new(Pool {
                jobs: Some(jobs),
                threads,
                queue: config.queue.max(1),
                recipe,
                dummy,
            }),
        })
    }

    /// A password's hash, to be stored.
    pub async fn hash(&self, password: Normalized, random: &Random) -> Result<Stored, Error> {
        let (answer, hash) = oneshot::channel();
        self.pool.send(Job::Hash {
            password,
            salt: random.bytes(),
            answer,
        })?;
        hash.await.map_err(|_| Error::Stopped)?
    }

    /// Whether it is the password of the stored hash. `None`, for a user that does not exist, costs the same and is wrong (ASVS 6.3.8).
    pub async fn verify(&self, password: Normalized, stored: Option<&Stored>) -> Result<Verdict, Error> {
        let hash = stored.map_or_else(|| Ok(self.pool.dummy.clone()), parse)?;
        let rehash = self.pool.recipe.is_outdated(&hash);
        let (answer, right) = oneshot::channel();
        self.pool.send(Job::Verify {
            password,
            hash: Box::new(hash),
            answer,
        })?;
        let right = right.await.map_err(|_| Error::Stopped)??;
        Ok(if right && stored.is_some() {
            Verdict::Right { rehash }
        } else {
            Verdict::Wrong
        })
    }
}

impl Pool {
    fn send(&self, job: Job) -> Result<(), Error> {
        let jobs = self.jobs.as_ref().ok_or(Error::Stopped)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::Busy { queue: self.queue },
            TrySendError::Disconnected(_) => Error::Stopped,
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

fn parse(stored: &Stored) -> Result<PasswordHash, Error> {
    let unreadable = |what: String| Error::Unreadable {
        scheme: stored.scheme,
        what,
    };
    let Scheme::Argon2id = stored.scheme;
    let hash = PasswordHash::new(&stored.phc).map_err(|error| unreadable(error.to_string()))?;
    if hash.algorithm != argon2::ARGON2ID_IDENT || hash.version != Some(Version::V0x13.into()) {
        return Err(unreadable(format!(
            "it is {}, version {:?}",
            hash.algorithm, hash.version
        )));
    }
    let params = Params::try_from(&hash).map_err(|error| unreadable(error.to_string()))?;
    if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES || params.p_cost() != 1 {
        return Err(unreadable(format!("it asks for {}", hash.params)));
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(unreadable("it has no salt or no hash".to_owned()));
    }
    Ok(hash)
}

impl Recipe {
    /// Parameters of new hashes.
    fn params(&self) -> Result<Params, Error> {
        let refused = |error: argon2::Error| Error::Parameters(error.to_string());
        let mut builder = ParamsBuilder::new();
        builder.m_cost(self.cost.memory_kib).t_cost(self.cost.passes).p_cost(1);
        builder.output_len(OUTPUT).data(AssociatedData::EMPTY);
        if let Some(pepper) = self.peppers.first() {
            builder.keyid(KeyId::new(pepper.id.as_bytes()).map_err(refused)?);
        }
        builder.build().map_err(refused)
    }

    fn phc(&self, params: &Params, salt: &[u8; SALT], output: &[u8; OUTPUT]) -> Result<PasswordHash, Error> {
        let refused = |error: argon2::password_hash::Error| Error::Parameters(error.to_string());
        Ok(PasswordHash {
            algorithm: argon2::ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(params).map_err(refused)?,
            salt: Some(Salt::new(salt).map_err(|error| Error::Parameters(error.to_string()))?),
            hash: Some(Output::new(output).map_err(|error| Error::Parameters(error.to_string()))?),
        })
    }

    fn is_outdated(&self, hash: &PasswordHash) -> bool {
        let (Ok(now), Ok(then)) = (self.params(), Params::try_from(hash)) else {
            return true;
        };
        // Compared one by one: a hash that costs more than asked for today is good as it is.
        then.m_cost() < now.m_cost() || then.t_cost() < now.t_cost() || then.keyid() != now.keyid()
    }

    fn run(&self, password: &[u8], salt: &[u8], params: Params, memory: &mut Memory) -> Result<[u8; OUTPUT], Error> {
        let refused = |error: argon2::Error| Error::Parameters(error.to_string());
        let pepper = match params.keyid() {
            [] => None,
            id => Some(
                self.peppers
                    .iter()
                    .find(|pepper| pepper.id.as_bytes() == id)
                    .ok_or(Error::NoPepper)?,
            ),
        };
        let blocks = memory.blocks(params.block_count());
        let argon2 = match pepper {
            Some(pepper) => {
                Argon2::new_with_secret(&pepper.key, Algorithm::Argon2id, Version::V0x13, params).map_err(refused)?
            }
            None => Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
        };
        let mut output = [0; OUTPUT];
        argon2
            .hash_password_into_with_memory(password, salt, &mut output, blocks)
            .map_err(refused)?;
        Ok(output)
    }

    fn hash(&self, password: &Normalized, salt: &[u8; SALT], memory: &mut Memory) -> Result<Stored, Error> {
        let params = self.params()?;
        let output = self.run(password.as_bytes(), salt, params.clone(), memory)?;
        Ok(Stored {
            scheme: Scheme::Argon2id,
            phc: self.phc(&params, salt, &output)?.to_string(),
        })
    }

    fn verify(&self, password: &Normalized, hash: &PasswordHash, memory: &mut Memory) -> Result<bool, Error> {
        let params = Params::try_from(hash).map_err(|error| Error::Parameters(error.to_string()))?;
        let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
            return Ok(false);
        };
        let output = self.run(password.as_bytes(), salt.as_ref(), params, memory)?;
        Ok(output.ct_eq(expected.as_bytes()).into())
    }
}

/// A thread's memory: fetched from the system and touched once, not for each hash.
#[derive(Default)]
struct Memory(Vec<Block>);

impl Memory {
    fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0.resize(count, Block::default());
        }
        &mut self.0[..count]
    }
}

/// A thread of the pool: one hash after the other until the hasher is gone.
fn work(queue: &Mutex<Receiver<Job>>, recipe: &Recipe) {
    yield_to_media();
    let mut memory = Memory::default();
    loop {
        // Idle threads wait for the lock, one of them inside `recv`.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            // A client that has gone away costs nothing more.
            Ok(Job::Hash { answer, .. }) if answer.is_closed() => {}
            Ok(Job::Verify { answer, .. }) if answer.is_closed() => {}
            Ok(Job::Hash { password, salt, answer }) => {
                let _ = answer.send(recipe.hash(&password, &salt, &mut memory));
            }
            Ok(Job::Verify { password, hash, answer }) => {
                let _ = answer.send(recipe.verify(&password, &hash, &mut memory));
            }
            Err(_) => return,
        }
    }
}

#[cfg(target_os = "linux")]
fn yield_to_media() {
    // setpriority(2), "C library/kernel differences": on Linux the nice value belongs to the thread, and 0 is the calling one.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "hashing threads keep the priority of the process");
    }
}

#[cfg(not(target_os = "linux"))]
fn yield_to_media() {}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Normalized {
        Normalized::for_check(text).unwrap()
    }

    /// As small as argon2 goes.
    fn small() -> Config {
        Config {
            cost: Cost {
                memory_kib: 64,
                passes: 1,
            },
            threads: 1,
            queue: 4,
            peppers: Vec::new(),
        }
    }

    fn pepper(id: &str) -> Pepper {
        Pepper {
            id: id.to_owned(),
            key: [id.as_bytes()[0]; 32],
        }
    }

    #[tokio::test]
    async fn a_password_matches_its_hash_and_no_other() {
        let random = Random::seeded(1);
        let hasher = Hasher::new(small(), &random).unwrap();
        let stored = hasher.hash(password("correct horse"), &random).await.unwrap();
        let again = hasher.hash(password("correct horse"), &random).await.unwrap();
        assert_ne!(stored, again, "each has its own salt");
        let right = Verdict::Right { rehash: false };
        assert_eq!(hasher.verify(password("correct horse"), Some(&stored)).await, Ok(right));
        assert_eq!(
            hasher.verify(password("correct hors"), Some(&stored)).await,
            Ok(Verdict::Wrong)
        );
        assert_eq!(hasher.verify(password(""), Some(&stored)).await, Ok(Verdict::Wrong));
        assert_eq!(hasher.verify(password("correct horse"), None).await, Ok(Verdict::Wrong));
    }

    #[tokio::test]
    async fn hashes_are_those_of_the_reference_implementation() {
        // Made by the reference C library, through argon2-cffi: `hash_secret(b"correct horse", b"saltsaltsaltsalt", 2, 19456, 1, 32, Type.ID)`.
        let random = Random::seeded(1);
        let hasher = Hasher::new(
            Config {
                threads: 1,
                ..Config::default()
            },
            &random,
        )
        .unwrap();
        let stored = Stored {
            scheme: Scheme::Argon2id,
            phc: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AdweBLwcflnNX2HVW8i1Mtu7frrn4Ki7h/rYSGuU7Is"
                .to_owned(),
        };
        let verdict = hasher.verify(password("correct horse"), Some(&stored)).await;
        assert_eq!(verdict, Ok(Verdict::Right { rehash: false }));
        let made = hasher.hash(password("x"), &random).await.unwrap();
        assert!(made.phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", made.phc);
    }

    #[tokio::test]
    async fn a_cheaper_hash_and_another_pepper_are_to_be_made_anew() {
        let random = Random::seeded(2);
        let plain = Hasher::new(small(), &random).unwrap();
        let old = plain.hash(password("secret"), &random).await.unwrap();

        let mut config = small();
        config.cost.passes = 2;
        let dearer = Hasher::new(config, &random).unwrap();
        let check = |hasher: &Hasher, stored: &Stored| {
            let (hasher, stored) = (hasher.clone(), stored.clone());
            async move { hasher.verify(password("secret"), Some(&stored)).await }
        };
        assert_eq!(check(&dearer, &old).await, Ok(Verdict::Right { rehash: true }));
        let new = dearer.hash(password("secret"), &random).await.unwrap();
        assert_eq!(check(&plain, &new).await, Ok(Verdict::Right { rehash: false }));

        let mut config = small();
        config.peppers = vec![pepper("a")];
        let peppered = Hasher::new(config.clone(), &random).unwrap();
        assert_eq!(check(&peppered, &old).await, Ok(Verdict::Right { rehash: true }));
        let first = peppered.hash(password("secret"), &random).await.unwrap();
        assert_eq!(check(&peppered, &first).await, Ok(Verdict::Right { rehash: false }));
        assert_eq!(check(&plain, &first).await, Err(Error::NoPepper));

        config.peppers.insert(0, pepper("b"));
        let rotated = Hasher::new(config, &random).unwrap();
        assert_eq!(check(&rotated, &first).await, Ok(Verdict::Right { rehash: true }));
    }

    #[tokio::test]
    async fn a_full_queue_is_busy_at_once() {
        let random = Random::seeded(3);
        let mut config = small();
        config.cost.memory_kib = 19 * 1024;
        config.queue = 2;
        let hasher = Hasher::new(config, &random).unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (hasher, random) = (hasher.clone(), random.clone());
            waiting.spawn(async move { hasher.hash(password("secret"), &random).await });
        }
        let results = waiting.join_all().await;
        let done = results.iter().filter(|result| result.is_ok()).count();
        assert!((2..=18).contains(&done), "{done}");
        for result in results.into_iter().filter_map(Result::err) {
            assert_eq!((result.kind(), result), (Kind::Exhausted, Error::Busy { queue: 2 }));
        }
    }

    #[tokio::test]
    async fn a_stored_hash_cannot_ask_for_the_machine() {
        let random = Random::seeded(4);
        let hasher = Hasher::new(small(), &random).unwrap();
        let stored = hasher.hash(password("secret"), &random).await.unwrap();
        for (from, to) in [
            ("m=64", "m=4000000"),
            ("t=1", "t=400"),
            ("p=1", "p=4"),
            ("argon2id", "argon2i"),
            ("v=19", "v=16"),
            ("$argon2id", "argon2id"),
        ] {
            let phc = stored.phc.replace(from, to);
            assert_ne!(phc, stored.phc);
            let stored = Stored { phc, ..stored.clone() };
            let error = hasher.verify(password("secret"), Some(&stored)).await.unwrap_err();
            assert!(matches!(error, Error::Unreadable { .. }), "{to}: {error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn hashing_threads_stand_behind_the_others() {
        let random = Random::seeded(5);
        let hasher = Hasher::new(small(), &random).unwrap();
        hasher.hash(password("secret"), &random).await.unwrap();
        let mut found = 0;
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let task = task.unwrap().path();
            // Threads of other tests come and go.
            let (Ok(name), Ok(stat)) = (
                std::fs::read_to_string(task.join("comm")),
                std::fs::read_to_string(task.join("stat")),
            ) else {
                continue;
            };
            if name.starts_with("nova-hash-") {
                // proc(5): `nice` is field 19, the 17th after the name.
                let nice = stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap();
                found += i32::from(nice.parse::<i32>().unwrap() >= NICE);
            }
        }
        assert!(found >= 1);
    }

    #[test]
    fn stored_hashes_and_peppers_are_never_printed() {
        let stored = Stored {
            scheme: Scheme::Argon2id,
            phc: "$argon2id$secret".to_owned(),
        };
        assert_eq!(format!("{stored:?}"), "Stored { scheme: Argon2id, .. }");
        assert_eq!(format!("{:?}", pepper("a")), "Pepper { id: \"a\", .. }");
        assert_eq!(Scheme::from_number(Scheme::Argon2id.number()), Some(Scheme::Argon2id));
        assert_eq!(Scheme::from_number(1), None);
    }
}
