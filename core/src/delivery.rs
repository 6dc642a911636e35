//! What a stream offers to whoever serves it, in terms of bytes and waiting, without HTTP.
//!
//! The packager implements [`Presentation`]; the origin router in `nova-cdn` asks it and turns a [`Reply`] into a response.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use crate::store::BoxFuture;

/// A reply that is known at once, or a reason to wait or refuse.
pub enum Reply {
    /// A manifest or playlist.
    Text(Arc<Text>),
    /// An immutable media object, in memory.
    Object(Object),
    /// An immutable media object that rests in the object store under this key.
    Stored {
        /// Key in the store.
        key: String,
        /// What it is.
        kind: ObjectKind,
        /// The bytes of it that are meant, if not all.
        range: Option<std::ops::Range<u64>>,
        /// Names its content.
        tag: u64,
    },
    /// An object that still grows: its pieces as they come, the stream ending with the object.
    Growing {
        /// What it is.
        kind: ObjectKind,
        /// The pieces. An error breaks the response off, so that nobody takes what there is for the whole.
        pieces: Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>,
    },
    /// A JPEG of what is on air; the next one has the same name.
    Still(Bytes),
    /// Not there yet, but coming: wait, then ask again.
    Wait(Wait),
    /// Not there.
    NotFound,
    /// The request cannot be right, and why.
    Invalid(&'static str),
    /// Too many requests are waiting already, or this one has waited as long as it may.
    Busy,
}

/// A wait for a part.
pub struct Wait {
    /// Done when the part is there, the stream has ended, or the wait was given up for another reason.
    pub until: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// How long a request may be held (three target durations, conformance 60).
    pub limit: Duration,
}

/// What a text is, for its content type and cache life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// An HLS multivariant playlist.
    Multivariant,
    /// An HLS media playlist.
    Media {
        /// The request named a position and was (or could have been) held.
        blocking: bool,
    },
    /// A DASH MPD.
    Mpd,
    /// What changed since an earlier MPD.
    MpdPatch,
}

/// A rendered playlist or manifest, shared by all who ask for the same state.
#[derive(Debug)]
pub struct Text {
    /// What it is.
    pub kind: TextKind,
    /// UTF-8.
    pub plain: Bytes,
    /// Names its content.
    pub tag: u64,
    /// The stream's target duration, the unit of cache lives (conformance 66).
    pub target: Duration,
    /// The stream will not change any more.
    pub ended: bool,
    /// The same compressed, by whoever first sends it so.
    pub compressed: OnceLock<Bytes>,
}

impl Text {
    /// A text that nobody has compressed yet.
    pub fn new(kind: TextKind, plain: Bytes, target: Duration, ended: bool) -> Self {
        let mut hasher = DefaultHasher::new();
        plain.hash(&mut hasher);
        Self {
            kind,
            tag: hasher.finish(),
            plain,
            target,
            ended,
            compressed: OnceLock::new(),
        }
    }
}

/// What an object is, for its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A CMAF header (`ftyp` and `moov`), or fragments of pictures.
    Video,
    /// The same for sound.
    Audio,
    /// A JPEG.
    Picture,
    /// WebVTT.
    Captions,
}

/// An immutable object as the pieces it was made of: a segment is the list of its parts.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// The bytes, in order.
    pub pieces: Pieces,
    /// Names its content.
    pub tag: u64,
}

/// One piece, or several.
#[derive(Clone, Debug)]
pub enum Pieces {
    /// One.
    One(Bytes),
    /// Several, in order.
    Many(Arc<[Bytes]>),
}

impl Pieces {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::One(bytes) => bytes.len(),
            Self::Many(pieces) => pieces.iter().map(Bytes::len).sum(),
        }
    }

    /// True when there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One live stream as its viewers see it.
pub trait Presentation: Send + Sync {
    /// Answers for `path`, the part of the URL behind `/live/{stream}/`, with the raw `query`.
    fn answer(&self, path: &str, query: Option<&str>) -> Reply;
    /// Answers a request whose wait has passed its limit.
    fn answer_late(&self, path: &str, query: Option<&str>) -> Reply;
    /// Who watches it.
    fn audience(&self) -> &Audience;
}

/// Whether a request may have the playlists of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As may everybody.
    Open,
    /// It showed this token, and what the playlists lead to must carry it on: for this viewer alone.
    Token(String),
    /// Its address proves it, and what the playlists lead to lies behind the same: for whoever has that address alone.
    Address,
    /// No, and it need not know whether there is a stream.
    Denied,
}

/// What a library says of a video.
pub enum Opening {
    /// It can be watched.
    Found {
        /// Answers for it.
        presentation: Arc<dyn Presentation>,
        /// Whether this request may have its playlists.
        admission: Admission,
    },
    /// There is none of this name.
    Unknown,
    /// It cannot be said now: the database or the store is away.
    Away,
}

/// Finds recordings and uploads.
pub trait Library: Send + Sync {
    /// Opens the video with this id or name for a request for `path`, the part of the URL behind `/vod/{video}/`, with this query.
    fn open<'a>(&'a self, video: &'a str, path: &'a str, query: Option<&'a str>) -> BoxFuture<'a, Opening>;
}

/// Finds streams by name.
pub trait Catalog: Send + Sync {
    /// The presentation of a stream that is on air or has just ended.
    fn find(&self, stream: &str) -> Option<Arc<dyn Presentation>>;
    /// Whether a request with this query may have playlists of the stream. Asked for playlists only: what they list has names nobody can guess.
    fn admits(&self, stream: &str, query: Option<&str>) -> Admission {
        let _open_to_all = (stream, query);
        Admission::Open
    }
    /// True when a stream of this name may come on air, so that asking again later makes sense.
    fn may_come(&self, stream: &str) -> bool;
}

/// Seconds after its last playlist request for which a viewer still counts: three reloads of a usual target duration, with room.
const PRESENT_S: i64 = 15;
/// Viewers counted per shard; more than any one process can serve.
const SHARD_LIMIT: usize = 1 << 16;

/// The viewers of a stream. A viewer is whoever asked for a playlist lately, told apart by a hash of address and user agent; no cookie and
/// no name in a URL is needed (conformance 87), and viewers behind one address with one kind of player count once.
#[derive(Debug, Default)]
pub struct Audience {
    shards: [Mutex<HashMap<u64, i64>>; 16],
}

impl Audience {
    /// `viewer` asked for a playlist at `now_s` (monotonic seconds).
    pub fn seen(&self, viewer: u64, now_s: i64) {
        let mut shard = self.shards[(viewer % 16) as usize]
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if shard.len() >= SHARD_LIMIT && !shard.contains_key(&viewer) {
            shard.retain(|_, last| now_s - *last <= PRESENT_S);
            if shard.len() >= SHARD_LIMIT {
                return;
            }
        }
        shard.insert(viewer, now_s);
    }

    /// How many were seen lately; forgets the others.
    pub fn count(&self, now_s: i64) -> usize {
        let present = |shard: &Mutex<HashMap<u64, i64>>| {
            let mut shard = shard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            shard.retain(|_, last| now_s - *last <= PRESENT_S);
            shard.len()
        };
        self.shards.iter().map(present).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_counts_once_and_until_it_stops_asking() {
        let audience = Audience::default();
        for viewer in [1, 1, 17, 2] {
            audience.seen(viewer, 100);
        }
        assert_eq!(audience.count(100), 3);
        audience.seen(2, 110);
        assert_eq!(audience.count(116), 1);
    }
}
