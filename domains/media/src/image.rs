//! The rows of pictures, and their objects.
//!
//! Objects lie under `images/{folder}/`. The folder is a hash of what they hold and of the row's id: two people's same picture lies in two
//! folders, so that deleting one never takes the other's, and nobody learns from an address whether somebody else has a picture as well.
//! A row is written before its objects are, and is ready after: whatever is killed when, no object is without a row that leads to it.

use std::sync::Arc;

use nova_core::clock::Timestamp;
use nova_core::store::{BoxFuture, StoreError};
use nova_domain::accounts::Images;
use nova_domain::db::{Engine, Error, Executor, Id, Tx, UserId};
use nova_domain::events::ImageDeleted;
use nova_domain::outbox::Job;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::State;
use crate::pictures::{MadePicture, PictureKind};

/// A picture whose objects have not come to rest after so long was lost with its process.
const UNFINISHED_MICROS: i64 = 600_000_000;

/// A picture: the marker of its id.
pub(crate) enum Image {}

/// The id of a picture.
pub(crate) type ImageId = Id<Image>;

/// One size of a picture, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    #[serde(rename = "type")]
    pub(crate) media_type: String,
    pub(crate) bytes: u64,
}

/// A picture as it is kept.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) id: ImageId,
    pub(crate) owner_user_id: UserId,
    kind: String,
    pub(crate) folder: String,
    variants: String,
    pub(crate) width: i64,
    pub(crate) height: i64,
    pub(crate) bytes: i64,
    pub(crate) created_at: i64,
}

impl Row {
    pub(crate) fn kind(&self) -> PictureKind {
        PictureKind::parse(&self.kind)
    }

    pub(crate) fn variants(&self) -> Vec<Variant> {
        serde_json::from_str(&self.variants).unwrap_or_default()
    }

    /// Where an object of it is served, below this server's address.
    pub(crate) fn path(&self, variant: &Variant) -> String {
        format!("/media/images/{}/{}", self.folder, variant.name)
    }

    /// The variant that is shown where nobody chooses: `wide` pixels or a little more, the largest where none has so many.
    pub(crate) fn usual(&self, wide: u32) -> Option<Variant> {
        let variants = self.variants();
        let enough = variants.iter().filter(|variant| variant.width >= wide);
        let smallest = enough.min_by_key(|variant| variant.width);
        smallest.or_else(|| variants.first()).cloned()
    }
}

/// The columns of a [`Row`], of a table called `i`.
pub(crate) const COLUMNS: &str =
    "i.id, i.owner_user_id, i.kind, i.folder, i.variants, i.width, i.height, i.bytes, i.created_at";

/// The picture with this id, once its objects are there.
pub(crate) async fn find(on: impl Executor<'_>, id: &str) -> Result<Option<Row>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    let sql = format!("SELECT {COLUMNS} FROM media_images i WHERE i.id = $1 AND i.ready = 1");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id.to_lowercase())
        .fetch_optional(on)
        .await?)
}

/// Writes down a picture whose objects are about to be stored; where they go.
pub(crate) async fn begin(
    tx: &mut Tx,
    id: ImageId,
    owner: UserId,
    kind: PictureKind,
    made: &MadePicture,
    now: Timestamp,
) -> Result<String, Error> {
    let digest = Sha256::new()
        .chain_update(id.uuid().as_bytes())
        .chain_update(made.hash)
        .finalize();
    let folder: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let variants: Vec<Variant> = made
        .files
        .iter()
        .map(|file| Variant {
            name: file.name.clone(),
            width: file.width,
            height: file.height,
            media_type: file.media_type.to_owned(),
            bytes: file.bytes.len() as u64,
        })
        .collect();
    let bytes: u64 = variants.iter().map(|variant| variant.bytes).sum();
    sqlx::query(
        "INSERT INTO media_images (id, owner_user_id, kind, folder, variants, width, height, bytes, ready, created_at) VALUES ($1, $2, $3, $4, $5, $6, \
         $7, $8, 0, $9)",
    )
    .bind(id)
    .bind(owner)
    .bind(kind.as_str())
    .bind(folder.as_str())
    .bind(serde_json::to_string(&variants).unwrap_or_default())
    .bind(i64::from(made.width))
    .bind(i64::from(made.height))
    .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
    .bind(now.0)
    .execute(tx.conn())
    .await?;
    Ok(folder)
}

/// Stores the objects of a picture.
pub(crate) async fn store(state: &State, folder: &str, made: MadePicture) -> Result<(), StoreError> {
    for file in made.files {
        let key = format!("{}{}", prefix(folder), file.name);
        state.live.store.put(&key, vec![file.bytes]).await?;
    }
    Ok(())
}

/// The objects are there. False when the row is gone meanwhile.
pub(crate) async fn finish(tx: &mut Tx, id: ImageId) -> Result<bool, Error> {
    let done = sqlx::query("UPDATE media_images SET ready = 1 WHERE id = $1")
        .bind(id)
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes a picture: its row now, its objects once that is certain; who shows it hears of it. False when somebody else was faster.
pub(crate) async fn remove(
    tx: &mut Tx,
    id: ImageId,
    owner: UserId,
    folder: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    let gone = sqlx::query("DELETE FROM media_images WHERE id = $1")
        .bind(id)
        .execute(tx.conn())
        .await?;
    if gone.rows_affected() == 0 {
        return Ok(false);
    }
    let folder = folder.to_owned();
    tx.enqueue(&RemoveImage { folder }, now, now).await?;
    let image = id.to_string();
    tx.emit(&ImageDeleted { image, owner }, None, now).await?;
    Ok(true)
}

/// Removes what killed processes left between row and objects.
pub(crate) async fn sweep(state: &State) -> Result<(), Error> {
    let now = state.clock.now();
    let left: Vec<(ImageId, UserId, String)> = sqlx::query_as(
        "SELECT id, owner_user_id, folder FROM media_images WHERE ready = 0 AND created_at < $1 LIMIT 100",
    )
    .bind(now.0 - UNFINISHED_MICROS)
    .fetch_all(state.db.read())
    .await?;
    for (id, owner, folder) in left {
        let mut tx = state.db.begin().await?;
        remove(&mut tx, id, owner, &folder, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The objects of a picture that is gone are removed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RemoveImage {
    pub(crate) folder: String,
}

impl Job for RemoveImage {
    const TYPE: &'static str = "media.remove_image";
}

impl RemoveImage {
    pub(crate) async fn run(&self, state: &State) -> Result<(), StoreError> {
        state.live.store.delete_prefix(&prefix(&self.folder)).await
    }
}

fn prefix(folder: &str) -> String {
    format!("images/{folder}/")
}

/// Tells other domains where pictures lie.
pub(crate) struct Album;

impl Album {
    pub(crate) fn shared() -> Arc<dyn Images> {
        Arc::new(Self)
    }
}

impl Images for Album {
    fn path<'a>(
        &'a self,
        tx: &'a mut Tx,
        owner: UserId,
        kind: &'static str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, Error>> {
        Box::pin(async move {
            if id.contains('\0') {
                return Ok(None);
            }
            let lock = match tx.engine() {
                Engine::Postgres => " FOR SHARE",
                Engine::Sqlite => "",
            };
            let sql = format!(
                "SELECT {COLUMNS} FROM media_images i WHERE i.id = $1 AND i.owner_user_id = $2 AND i.kind = $3 AND i.ready = 1{lock}"
            );
            let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                .bind(id.to_lowercase())
                .bind(owner)
                .bind(kind)
                .fetch_optional(tx.conn())
                .await?;
            let wide = if kind == "avatar" { 256 } else { 1500 };
            Ok(row.and_then(|row| row.usual(wide).map(|variant| row.path(&variant))))
        })
    }
}
