//! The audit log: who did what to whom, when and from where. Rows are added in the transaction of the act and never changed.

use nova_core::clock::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::{Error, Id, Tx, UserId};
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
