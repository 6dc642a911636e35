//! The media domain as the binary plugs it in.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use dashmap::DashMap;
use nova_core::clock::{Clock, Timestamp};
use nova_core::publish::{PublishAuthorizer, StaticAuthorizer};
use nova_domain::accounts::{Accounts, Directory, Images};
use nova_domain::db::{Db, Tx, UserId};
use nova_domain::events::ModerationAction;
use nova_domain::http::limit::Limits;
use nova_domain::personal::Personal;
use nova_domain::reports::Reportable;
use nova_domain::secret::Sealer;
use nova_domain::{Context, Domain};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::authorizer::Authorizer;
use crate::clip::MakeClip;
use crate::gate::Gate;
use crate::image::{Album, RemoveImage};
use crate::library::Videos;
use crate::live::Live;
use crate::reported::Reported;
use crate::stream::StreamId;
use crate::token::PlaybackTokens;
use crate::upload::{Files, MakeVideo};
use crate::video::{MakeStoryboard, RemoveObjects};
use crate::{clip, invalidation, make, personal, routes, stream, upload, watch};

/// The section `[domains.media]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Streams of one person.
    pub most_streams: u32,
    /// Minutes a token for a private stream is good.
    pub playback_minutes: u32,
    /// Seconds after `stop` in which the stream's key is refused: encoders come back by themselves.
    pub stop_seconds: u32,
    /// Bytes of the largest file.
    pub upload_max_bytes: u64,
    /// Hours in which an upload must be whole.
    pub upload_hours: u32,
    /// Uploads of one person at a time.
    pub most_uploads: u32,
    /// Bytes that the videos and pictures of one person may take; 0 for no bound.
    pub storage_bytes: u64,
    /// Clips of one person that are being made at a time.
    pub most_clips: u32,
    /// Seconds of the longest clip of somebody else's video.
    pub clip_seconds: u32,
    /// Seconds of the longest reel.
    pub reel_seconds: u32,
    /// Bytes of the largest picture that is uploaded.
    pub image_max_bytes: u64,
    /// Pixels of the largest picture that is uploaded.
    pub image_max_pixels: u64,
    /// Pictures of one person.
    pub most_images: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            most_streams: 20,
            playback_minutes: 240,
            stop_seconds: 10,
            upload_max_bytes: 20 << 30,
            upload_hours: 24,
            most_uploads: 5,
            storage_bytes: 0,
            most_clips: 5,
            clip_seconds: 180,
            reel_seconds: 90,
            image_max_bytes: 10 << 20,
            image_max_pixels: 50_000_000,
            most_images: 10_000,
        }
    }
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) config: Arc<Config>,
    pub(crate) public_url: Arc<str>,
    /// What addresses of media begin with.
    pub(crate) media_url: Arc<str>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) accounts: Arc<dyn Accounts>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) live: Live,
    pub(crate) files: Files,
    /// Who makes a video.
    pub(crate) making: Arc<Semaphore>,
    /// Who makes a clip, or a storyboard.
    pub(crate) clipping: Arc<Semaphore>,
}

impl State {
    /// Ends what is on air of a stream: everywhere within a second of the commit, in this process at it.
    pub(crate) async fn cut(
        &self,
        tx: &mut Tx,
        id: StreamId,
        reason: &'static str,
        refused_until: Timestamp,
        now: Timestamp,
    ) -> Result<(), nova_domain::db::Error> {
        stream::cut(tx, id, reason, refused_until, now).await?;
        self.stop_at_commit(tx, id, reason);
        Ok(())
    }

    /// Ends what is on air of a stream in this process, at the commit.
    pub(crate) fn stop_at_commit(&self, tx: &mut Tx, id: StreamId, reason: &'static str) {
        let (gate, hub) = (Arc::clone(&self.gate), Arc::clone(&self.live.hub));
        tx.on_commit(move || {
            if let Some(broadcast) = gate.name_of(id).and_then(|name| hub.get(&name)) {
                broadcast.stop(reason);
            }
        });
    }
}

/// The media domain, built: what the live side needs of it.
pub struct Media {
    /// For the delivery side.
    pub gate: Arc<Gate>,
    /// For the library.
    pub videos: Videos,
    /// For who shows themselves by a picture.
    pub images: Arc<dyn Images>,
    /// For who takes reports.
    pub reportable: Arc<dyn Reportable>,
    /// For ingest.
    pub authorizer: Arc<dyn PublishAuthorizer>,
}

impl Media {
    /// Builds the domain. `listed` says who may publish beside the owners of streams; `data_dir` holds the server's secret.
    pub fn new(
        context: &Context,
        config: Config,
        live: Live,
        listed: StaticAuthorizer,
        data_dir: &Path,
        directory: Arc<dyn Directory>,
        accounts: Arc<dyn Accounts>,
    ) -> anyhow::Result<(Self, Domain)> {
        let key = Sealer::derive(data_dir, b"playback tokens").context("the server's secret")?;
        let gate = Arc::new(Gate::new(PlaybackTokens::new(&key), context.clock.clone()));
        let state = State {
            db: context.db.clone(),
            clock: context.clock.clone(),
            limits: context.limits.clone(),
            config: Arc::new(config),
            public_url: context.public_url.as_str().into(),
            media_url: match live.media_url.trim_end_matches('/') {
                "" => context.public_url.as_str().into(),
                cdn => cdn.into(),
            },
            directory,
            accounts,
            gate: Arc::clone(&gate),
            live,
            files: Files::new(data_dir).context("the folder of uploads")?,
            making: Arc::new(Semaphore::new(1)),
            clipping: Arc::new(Semaphore::new(4)),
        };
        let authorizer = Arc::new(Authorizer {
            state: state.clone(),
            listed,
            accepted: Arc::new(DashMap::new()),
        });
        let reportable = Arc::new(Reported(state.clone()));
        let videos = Videos::new(state.db.clone(), state.clock.clone(), gate.tokens().clone());
        let (removing, making, sweeping) = (state.clone(), state.clone(), state.clone());
        let (clearing, clipping, drawing) = (state.clone(), state.clone(), state.clone());
        let (suspending, watching, erasing) = (state.clone(), state.clone(), state.clone());
        let purging = state.clone();
        let mut domain = Domain::new("media")
            .routes(routes::router(state))
            .on::<ModerationAction>(move |tx, envelope| {
                let state = suspending.clone();
                Box::pin(async move {
                    if envelope.event.action == "suspend" {
                        cut_all(&state, tx, envelope.event.user, "this account is suspended").await?;
                    }
                    Ok(())
                })
            })
            .job::<RemoveObjects>(move |leased, job| {
                let state = removing.clone();
                Box::pin(async move {
                    if let Some(upload) = &job.upload {
                        state.files.remove(upload).await?;
                    }
                    let removed = state.live.library.remove(&job.folder).await;
                    if let Some(video) = job.watched {
                        let path = invalidation::of_video(video);
                        let gone = removed.is_ok();
                        invalidation::ask_for_job(&state, leased, "video_deleted", path, gone).await?;
                    }
                    removed
                })
            })
            .job::<RemoveImage>(move |leased, job| {
                let state = clearing.clone();
                Box::pin(async move {
                    let removed = job.run(&state).await;
                    let path = invalidation::of_image(&job.folder);
                    invalidation::ask_for_job(&state, leased, "image_deleted", path, removed.is_ok()).await?;
                    Ok(removed?)
                })
            })
            .job::<MakeVideo>(move |leased, job| Box::pin(make::make(making.clone(), leased, job)))
            .job::<MakeStoryboard>(move |_leased, job| Box::pin(job.run(drawing.clone())))
            .job::<MakeClip>(move |leased, job| Box::pin(clip::make(clipping.clone(), leased, job)))
            .task("media.uploads", move |stop| upload::sweep(sweeping, stop))
            .task("media.watch", move |stop| watch::run(watching, stop))
            .personal(Personal::new(personal::TABLES, personal::export, move |tx, user| {
                let state = erasing.clone();
                Box::pin(async move { personal::erase(&state, tx, user).await })
            }));
        if let Some(cdn) = purging.live.purge.clone() {
            domain = domain.task("media.invalidations", move |stop| invalidation::run(purging, cdn, stop));
        }
        let media = Self {
            gate,
            videos,
            images: Album::shared(),
            reportable,
            authorizer,
        };
        Ok((media, domain))
    }
}

/// Ends whatever a person has on air.
pub(crate) async fn cut_all(
    state: &State,
    tx: &mut Tx,
    owner: UserId,
    reason: &'static str,
) -> Result<(), nova_domain::db::Error> {
    let ids: Vec<StreamId> = sqlx::query_scalar("SELECT id FROM media_streams WHERE owner_user_id = $1")
        .bind(owner)
        .fetch_all(tx.conn())
        .await?;
    let now = state.clock.now();
    for id in ids {
        state.cut(tx, id, reason, now, now).await?;
    }
    Ok(())
}
