//! The audit log: who did what to whom, when and from where. Rows are added in the transaction of the act and never changed.

use nova_core::clock::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::{Db, Error, Id, Tx, UserId};
use crate::http::Client;

/// One entry: the marker of its id.
pub enum Entry {}

/// Something worth knowing years later. It carries no bodies and no secrets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Act<'a> {
    /// Who did it; `None` for the server itself.
    pub actor: Option<UserId>,
    /// What, as `<domain>.<verb>`.
    pub action: &'a str,
    /// To whom or what: an id.
    pub subject: Option<String>,
    /// Few words more, for a person.
    pub detail: &'a str,
}

impl Tx {
    /// Writes `act` into the log, to stand or fall with this transaction.
    pub async fn audit(&mut self, act: Act<'_>, client: Option<&Client>, now: Timestamp) -> Result<(), Error> {
        sqlx::query("INSERT INTO kit_audit (id, at, actor_id, action, subject, ip, request_id, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(Id::<Entry>::new(now))
            .bind(now.0)
            .bind(act.actor)
            .bind(act.action)
            .bind(act.subject)
            .bind(client.map(|client| client.ip.to_string()))
            .bind(client.map(|client| client.request_id.clone()))
            .bind(act.detail)
            .execute(self.conn())
            .await?;
        Ok(())
    }
}

/// An entry as it is exported.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Logged {
    /// Its id: entries are in the order of their ids.
    pub id: String,
    /// When, RFC 3339.
    #[sqlx(try_from = "i64")]
    pub at: Timestamp,
    /// Who; `None` for the server itself.
    pub actor_id: Option<String>,
    /// What.
    pub action: String,
    /// To whom or what.
    pub subject: Option<String>,
    /// From which address, as long as it is kept.
    pub ip: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
    /// Few words more.
    pub detail: String,
}

/// At most `limit` entries after the one with id `after`, oldest first.
pub async fn page(db: &Db, after: &str, limit: i64) -> Result<Vec<Logged>, Error> {
    Ok(sqlx::query_as(
        "SELECT id, at, actor_id, action, subject, ip, request_id, detail FROM kit_audit WHERE id > $1 ORDER BY id LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(db.read())
    .await?)
}
