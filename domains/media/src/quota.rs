//! How much of the store one person takes, and whether there is room for more.

use nova_domain::Problem;
use nova_domain::db::{Error, Tx, UserId};

use crate::domain::Config;

/// Bytes of their videos, of their pictures, and of files that are still coming.
pub(crate) async fn used(tx: &mut Tx, owner: UserId) -> Result<i64, Error> {
    let mut sum = 0_i64;
    for statement in [
        "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM media_videos WHERE owner_user_id = $1",
        "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM media_images WHERE owner_user_id = $1",
        "SELECT CAST(COALESCE(SUM(length), 0) AS BIGINT) FROM media_uploads WHERE owner_user_id = $1",
    ] {
        let bytes: i64 = sqlx::query_scalar(statement).bind(owner).fetch_one(tx.conn()).await?;
        sum = sum.saturating_add(bytes);
    }
    Ok(sum)
}

/// 409 when `more` bytes have no room beside what is there (`domains.media.storage_bytes`).
pub(crate) async fn check(tx: &mut Tx, config: &Config, owner: UserId, more: i64) -> Result<(), Problem> {
    let most = i64::try_from(config.storage_bytes).unwrap_or(i64::MAX);
    if most > 0 && used(tx, owner).await?.saturating_add(more) > most {
        return Err(
            Problem::conflict("there is no room left for this account: delete something first").code("storage_full"),
        );
    }
    Ok(())
}
