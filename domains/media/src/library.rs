//! What this domain asks of the library, where the objects of videos lie, and what the library asks of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use bytes::Bytes;
use nova_core::clock::Clock;
use nova_core::store::{BoxFuture, ObjectStore, StoreError};
use nova_core::webvtt::Cue;
use nova_domain::db::{Db, Error, Id};
use nova_domain::policy::Visibility;

use crate::caption::{self, Caption};
use crate::gate::Decision;
use crate::pictures::{MadePicture, PictureError, PictureKind, Pictures};
use crate::token::PlaybackTokens;
use crate::video::{self, Row};

/// How long what is known of a video is believed: a change of its visibility has effect within this.
const BELIEVED: Duration = Duration::from_secs(1);
/// Videos of which something is known.
const KNOWN: u64 = 10_000;
/// Texts of captions that are kept: each is at most a megabyte, and usually a twentieth of that.
const TEXTS: u64 = 200;

/// What a video holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Microseconds of media.
    pub duration_us: i64,
    /// Bytes in the store.
    pub bytes: u64,
    /// Of the largest picture; 0 where there is none.
    pub width: u16,
    /// Of the largest picture; 0 where there is none.
    pub height: u16,
}

/// What the library has of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// More comes.
    Growing,
    /// All of it.
    Whole(Facts),
    /// Nothing.
    Nothing,
}

/// Why no video could be made of a file.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The file is none that can be used, and never will be; the text is for its owner.
    #[error("{0}")]
    Input(String),
    /// This machine could not do it; another try may.
    #[error("{0:#}")]
    Machine(anyhow::Error),
}

/// A part of a video, which becomes another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The folder of the video it is cut from.
    pub source: String,
    /// Microseconds from that video's beginning, as players count them.
    pub start_us: i64,
    /// The same.
    pub end_us: i64,
    /// The picture that stands for it, microseconds from its own beginning.
    pub cover_us: i64,
    /// Its picture is upright.
    pub is_reel: bool,
    /// The source is on air: what is not there yet may come.
    pub grows: bool,
}

/// Where the objects of videos lie. The binary fills it in.
pub trait Library: Send + Sync {
    /// Makes what can be watched of the file `source`, in `folder`; `progress` is told in hundredths. Dropping the future gives it up. What an
    /// earlier try left in the folder is replaced.
    fn make<'a>(
        &'a self,
        folder: &'a str,
        source: &'a Path,
        progress: Arc<AtomicU8>,
    ) -> BoxFuture<'a, Result<Facts, MakeError>>;
    /// Makes a clip in `folder`. What is whole of the source is shared with it, and stays when either goes. Dropping the future gives it up. What
    /// an earlier try left in the folder is replaced.
    fn clip<'a>(&'a self, folder: &'a str, cut: &'a Cut) -> BoxFuture<'a, Result<Facts, MakeError>>;
    /// Makes the storyboard of what is whole in this folder; false when there are no pictures, or nothing is whole.
    fn storyboard<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, anyhow::Result<bool>>;
    /// What there is in this folder.
    fn kept<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, anyhow::Result<Kept>>;
    /// Removes all of it; what is not there is no error.
    fn remove<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, anyhow::Result<()>>;
}

/// A library and a store that hold nothing: for commands that only read and write rows.
pub struct Nowhere;

impl Library for Nowhere {
    fn make<'a>(
        &'a self,
        _folder: &'a str,
        _source: &'a Path,
        _progress: Arc<AtomicU8>,
    ) -> BoxFuture<'a, Result<Facts, MakeError>> {
        let none = MakeError::Machine(anyhow::anyhow!("there is no library in this process"));
        Box::pin(std::future::ready(Err(none)))
    }

    fn clip<'a>(&'a self, _folder: &'a str, _cut: &'a Cut) -> BoxFuture<'a, Result<Facts, MakeError>> {
        let none = MakeError::Machine(anyhow::anyhow!("there is no library in this process"));
        Box::pin(std::future::ready(Err(none)))
    }

    fn storyboard<'a>(&'a self, _folder: &'a str) -> BoxFuture<'a, anyhow::Result<bool>> {
        Box::pin(std::future::ready(Err(anyhow::anyhow!(
            "there is no library in this process"
        ))))
    }

    fn kept<'a>(&'a self, _folder: &'a str) -> BoxFuture<'a, anyhow::Result<Kept>> {
        Box::pin(std::future::ready(Err(anyhow::anyhow!(
            "there is no library in this process"
        ))))
    }

    fn remove<'a>(&'a self, _folder: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(std::future::ready(Err(anyhow::anyhow!(
            "there is no library in this process"
        ))))
    }
}

impl Pictures for Nowhere {
    fn make(
        &self,
        _file: Bytes,
        _kind: PictureKind,
        _most_pixels: u64,
    ) -> BoxFuture<'_, Result<MadePicture, PictureError>> {
        Box::pin(std::future::ready(Err(PictureError::Busy)))
    }
}

impl ObjectStore for Nowhere {
    fn put<'a>(&'a self, key: &'a str, _pieces: Vec<Bytes>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::ready(Err(no_store(key))))
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(std::future::ready(Err(no_store(key))))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::ready(Err(no_store(key))))
    }

    fn delete_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::ready(Err(no_store(prefix))))
    }
}

fn no_store(key: &str) -> StoreError {
    StoreError::Io {
        key: key.to_owned(),
        source: std::io::Error::other("there is no store in this process"),
    }
}

/// A video that a request may go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where its objects lie.
    pub folder: String,
    /// Whether its playlists are given out.
    pub decision: Decision,
    /// Captions that were added to it.
    pub captions: Arc<[Caption]>,
}

/// Captions that were read: by video, language, and when they were uploaded.
type Texts = moka::future::Cache<(video::VideoId, String, i64), Option<Arc<[Cue]>>>;

/// Finds videos for the delivery side.
#[derive(Clone)]
pub struct Videos {
    db: Db,
    clock: Clock,
    tokens: PlaybackTokens,
    known: moka::future::Cache<String, Option<Known>>,
    /// Texts of captions, by the row and when it was written.
    texts: Texts,
}

#[derive(Clone)]
struct Known {
    row: Arc<Row>,
    captions: Arc<[Caption]>,
}

impl Videos {
    pub(crate) fn new(db: Db, clock: Clock, tokens: PlaybackTokens) -> Self {
        Self {
            db,
            clock,
            tokens,
            known: moka::future::Cache::builder()
                .max_capacity(KNOWN)
                .time_to_live(BELIEVED)
                .build(),
            texts: moka::future::Cache::builder().max_capacity(TEXTS).build(),
        }
    }

    /// The video that a URL names by its id, or by the folder of its objects; `None` when there is no such video.
    pub async fn open(&self, name: &str, query: Option<&str>) -> Result<Option<Opened>, Arc<Error>> {
        let Some(Known { row, captions }) = self.look(name).await? else {
            return Ok(None);
        };
        let decision = if row.visibility() == Visibility::Private {
            let pairs = query.unwrap_or_default().split('&');
            let token = pairs
                .filter_map(|pair| pair.split_once('='))
                .find_map(|(key, value)| (key == "token").then_some(value));
            let of = Id::from(row.id.uuid());
            match token {
                Some(token) if self.tokens.verify(of, token, self.clock.now()).is_some() => {
                    Decision::Token(token.to_owned())
                }
                _ => Decision::Denied,
            }
        } else {
            Decision::Open
        };
        Ok(Some(Opened {
            folder: row.folder.clone(),
            decision,
            captions,
        }))
    }

    async fn look(&self, name: &str) -> Result<Option<Known>, Arc<Error>> {
        let look = async {
            let row = match name.parse::<Id<video::Video>>() {
                Ok(_) => video::find(self.db.read(), name).await?,
                Err(_no_id) => video::by_folder(&self.db, name).await?,
            };
            let Some(row) = row.map(Arc::new) else { return Ok(None) };
            let captions = caption::of(&self.db, row.id).await?.into();
            Ok(Some(Known { row, captions }))
        };
        self.known.try_get_with_by_ref(name, look).await
    }

    /// The text of captions as [`Videos::open`] told them; `None` when others have taken their place.
    pub async fn cues(&self, name: &str, known: &Caption) -> Result<Option<Arc<[Cue]>>, Arc<Error>> {
        let Some(Known { row, .. }) = self.look(name).await? else {
            return Ok(None);
        };
        let key = (row.id, known.language.clone(), known.created_at);
        self.texts
            .try_get_with(key, caption::cues(&self.db, row.id, known))
            .await
    }
}
