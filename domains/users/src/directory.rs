//! Who has which name: what identity asks when an account is made, and what a change of name does.

use std::sync::Arc;
use std::time::Duration;

use nova_core::clock::{Clock, Timestamp};
use nova_core::store::BoxFuture;
use nova_domain::accounts::{Card, ClaimError, Directory};
use nova_domain::db::{Db, Error, Tx, UserId};
use tokio_util::sync::CancellationToken;

use crate::card;
use crate::name;

/// How often names are swept.
const SWEPT_EVERY: Duration = Duration::from_secs(3600);

/// The directory in `db`; `public_url` is the base of absolute URLs.
pub fn directory(db: Db, public_url: &str) -> Arc<dyn Directory> {
    let base = card::Base::new(public_url);
    Arc::new(Names { db, base })
}

struct Names {
    db: Db,
    base: card::Base,
}

impl Directory for Names {
    fn claim<'a>(
        &'a self,
        tx: &'a mut Tx,
        user: UserId,
        name: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), ClaimError>> {
        Box::pin(async move {
            take(tx, user, name, now).await?;
            sqlx::query(
                "INSERT INTO users_profiles (user_id, username, created_at, updated_at) VALUES ($1, $2, $3, $4)",
            )
            .bind(user)
            .bind(name)
            .bind(now.0)
            .bind(now.0)
            .execute(tx.conn())
            .await
            .map_err(Error::from)?;
            Ok(())
        })
    }

    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<UserId>, Error>> {
        Box::pin(async move {
            Ok(holder(&self.db, name)
                .await?
                .filter(|holder| holder.now)
                .map(|holder| holder.user))
        })
    }

    fn card(&self, user: UserId) -> BoxFuture<'_, Result<Option<Card>, Error>> {
        Box::pin(async move { card::of(&self.db, &self.base, user).await })
    }
}

/// Gives `name` to `user`: when nobody has it, when its time of rest is over, or when it was theirs before. Nothing else is changed when it
/// cannot be had, so the transaction may go on.
pub(crate) async fn take(tx: &mut Tx, user: UserId, name: &str, now: Timestamp) -> Result<(), ClaimError> {
    let folded = name::check(name)?;
    let taken = sqlx::query(
        "INSERT INTO users_names (name, user_id) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET user_id = excluded.user_id, kept_until = NULL \
         WHERE users_names.kept_until <= $3 OR users_names.user_id = excluded.user_id",
    )
    .bind(folded)
    .bind(user)
    .bind(now.0)
    .execute(tx.conn())
    .await
    .map_err(Error::from)?
    .rows_affected();
    if taken == 1 { Ok(()) } else { Err(ClaimError::Taken) }
}

/// Names of people who are gone are forgotten once they have rested.
pub(crate) async fn sweep(db: Db, clock: Clock, stop: CancellationToken) {
    loop {
        if let Err(error) = forget(&db, clock.now()).await {
            tracing::warn!(%error, "names of people who are gone are forgotten later");
        }
        tokio::select! {
            () = tokio::time::sleep(SWEPT_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn forget(db: &Db, now: Timestamp) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    sqlx::query("DELETE FROM users_names WHERE user_id IS NULL AND kept_until <= $1")
        .bind(now.0)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}

/// Whom a name leads to.
pub(crate) struct Holder {
    pub(crate) user: UserId,
    /// False when they have another name by now.
    pub(crate) now: bool,
}

/// Who has `name`, or had it last.
pub(crate) async fn holder(db: &Db, name: &str) -> Result<Option<Holder>, Error> {
    if !name::is_well_formed(name) {
        return Ok(None);
    }
    let row: Option<(UserId, Option<i64>)> =
        sqlx::query_as("SELECT user_id, kept_until FROM users_names WHERE name = $1 AND user_id IS NOT NULL")
            .bind(name::fold(name))
            .fetch_optional(db.read())
            .await?;
    Ok(row.map(|(user, kept_until)| Holder {
        user,
        now: kept_until.is_none(),
    }))
}
