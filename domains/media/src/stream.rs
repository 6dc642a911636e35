//! The rows of streams.

use nova_core::clock::Timestamp;
use nova_domain::db::{Db, Engine, Error, Executor, Flag, Id, Tx, UserId};
use nova_domain::policy::Visibility;

/// A stream that somebody owns: the marker of its id.
pub(crate) enum Stream {}

/// The id of a stream.
pub(crate) type StreamId = Id<Stream>;

/// A stream as it is kept.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) id: StreamId,
    pub(crate) owner_user_id: UserId,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: String,
    visibility: String,
    pub(crate) record: Flag,
    pub(crate) cut_at: i64,
    pub(crate) cut_reason: String,
    pub(crate) refused_until: i64,
    pub(crate) created_at: i64,
}

impl Row {
    pub(crate) fn visibility(&self) -> Visibility {
        Visibility::parse(&self.visibility)
    }
}

/// The columns of a [`Row`], of a table called `s`.
pub(crate) const COLUMNS: &str = "s.id, s.owner_user_id, s.name, s.title, s.description, s.visibility, s.record, s.cut_at, s.cut_reason, \
                                  s.refused_until, s.created_at";

/// The stream with this id or name.
pub(crate) async fn find(on: impl Executor<'_>, id_or_name: &str) -> Result<Option<Row>, Error> {
    if id_or_name.contains('\0') {
        return Ok(None);
    }
    let sql = format!("SELECT {COLUMNS} FROM media_streams s WHERE s.id = $1 OR s.name_folded = $1");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id_or_name.to_lowercase())
        .fetch_optional(on)
        .await?)
}

/// The stream with this key.
pub(crate) async fn by_key(db: &Db, key_hash: &str) -> Result<Option<Row>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM media_streams s WHERE s.key_hash = $1");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(key_hash)
        .fetch_optional(db.read())
        .await?)
}

/// The stream with this id, its row locked until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx, id: StreamId) -> Result<Option<Row>, Error> {
    let lock = match tx.engine() {
        Engine::Postgres => " FOR UPDATE",
        Engine::Sqlite => "",
    };
    let sql = format!("SELECT {COLUMNS} FROM media_streams s WHERE s.id = $1{lock}");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(tx.conn())
        .await?)
}

/// Those of `ids` that there are.
pub(crate) async fn by_ids(db: &Db, ids: &[StreamId]) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::with_capacity(ids.len());
    for some in ids.chunks(100) {
        let places: Vec<String> = (1..=some.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT {COLUMNS} FROM media_streams s WHERE s.id IN ({})",
            places.join(", ")
        );
        let mut query = sqlx::query_as::<_, Row>(sqlx::AssertSqlSafe(sql));
        for id in some {
            query = query.bind(*id);
        }
        rows.extend(query.fetch_all(db.read()).await?);
    }
    Ok(rows)
}

/// Ends what is on air of a stream, everywhere: this process does so at the commit, others when they look.
pub(crate) async fn cut(
    tx: &mut Tx,
    id: StreamId,
    reason: &str,
    refused_until: Timestamp,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query("UPDATE media_streams SET cut_at = $1, cut_reason = $2, refused_until = $3 WHERE id = $4")
        .bind(now.0)
        .bind(reason)
        .bind(refused_until.0)
        .bind(id)
        .execute(tx.conn())
        .await?;
    Ok(())
}
