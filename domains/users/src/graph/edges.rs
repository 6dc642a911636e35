//! The one place where a follow begins and ends: the row, the counts and the event together.

use nova_core::clock::Timestamp;
use nova_domain::Problem;
use nova_domain::db::{Error, Tx, UserId};
use nova_domain::events::{FollowCreated, FollowRemoved};

use crate::counts;
use crate::state::State;

/// `follower` follows `followee` from now on, and asks no more. `actor` made it so.
pub(super) async fn begin(
    state: &State,
    tx: &mut Tx,
    (follower, followee): (UserId, UserId),
    actor: UserId,
    now: Timestamp,
) -> Result<(), Problem> {
    if counts::following(tx, follower).await? >= i64::from(state.config.most_following) {
        return Err(Problem::conflict(format!(
            "nobody follows more than {} people",
            state.config.most_following
        ))
        .code("following_limit"));
    }
    let made = sqlx::query(
        "INSERT INTO users_follows (follower_id, followee_id, created_at) VALUES ($1, $2, $3) ON CONFLICT (follower_id, followee_id) DO NOTHING",
    )
    .bind(follower)
    .bind(followee)
    .bind(now.0)
    .execute(tx.conn())
    .await?
    .rows_affected();
    ask_no_more(tx, follower, followee).await?;
    if made == 1 {
        counts::note(tx, follower, followee, 1, now).await?;
        tx.emit(&FollowCreated { follower, followee }, Some(actor), now).await?;
    }
    Ok(())
}

/// `follower` follows `followee` no more, and does not ask either.
pub(super) async fn end(
    tx: &mut Tx,
    follower: UserId,
    followee: UserId,
    actor: UserId,
    now: Timestamp,
) -> Result<(), Error> {
    ask_no_more(tx, follower, followee).await?;
    let gone = sqlx::query("DELETE FROM users_follows WHERE follower_id = $1 AND followee_id = $2")
        .bind(follower)
        .bind(followee)
        .execute(tx.conn())
        .await?
        .rows_affected();
    if gone == 1 {
        counts::note(tx, follower, followee, -1, now).await?;
        tx.emit(&FollowRemoved { follower, followee }, Some(actor), now).await?;
    }
    Ok(())
}

/// Takes a request back; true when there was one.
pub(super) async fn ask_no_more(tx: &mut Tx, follower: UserId, followee: UserId) -> Result<bool, Error> {
    let gone = sqlx::query("DELETE FROM users_follow_requests WHERE follower_id = $1 AND followee_id = $2")
        .bind(follower)
        .bind(followee)
        .execute(tx.conn())
        .await?
        .rows_affected();
    Ok(gone == 1)
}
