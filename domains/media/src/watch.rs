//! Looks at what is on air a few times a second: writes down what began and ended, and cuts what must not go on, whichever process decided it.
//!
//! The database may be away: what is on air goes on, and what has to be written is written when it is back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use nova_core::clock::Timestamp;
use nova_core::live::{Broadcast, Status};
use nova_domain::db::{Error, Id, UserId};
use nova_domain::events::{StreamEnded, StreamStarted};
use tokio_util::sync::CancellationToken;

use crate::domain::State;
use crate::library::Kept;
use crate::stream::{self, StreamId};
use crate::video;

/// A cut of another process has effect within this.
const LOOK: Duration = Duration::from_millis(400);
/// How often a process says that its broadcasts run.
const SAY_MICROS: i64 = 15_000_000;
/// A broadcast nobody has spoken of for so long ended with its process.
const LOST_MICROS: i64 = 90_000_000;
/// A recording that is left behind by its process is looked for when it is so old.
const LEFT_MICROS: i64 = 5_000_000;
/// A recording that is nowhere so long after its broadcast was never made.
const CLOSED_MICROS: i64 = 600_000_000;
/// How long after a publisher was let in its broadcast must be there.
const ARRIVES_MICROS: i64 = 60_000_000;

/// A broadcast that is written down.
struct Written {
    row: Id<Broadcast>,
    stream: StreamId,
    owner: UserId,
    broadcast: Arc<Broadcast>,
    peak: u64,
    said_at: i64,
}

/// The task.
pub(crate) async fn run(state: State, stop: CancellationToken) {
    let mut written: HashMap<String, Written> = HashMap::new();
    let mut away = false;
    let mut swept_at = i64::MIN;
    loop {
        let mut looked = look(&state, &mut written).await;
        let now = state.clock.now();
        if looked.is_ok() && now.0.saturating_sub(swept_at) > SAY_MICROS {
            looked = lost(&state, now).await;
            swept_at = now.0;
        }
        match &looked {
            Err(error) if !away => tracing::warn!(%error, "broadcasts are written down when the database is back"),
            Ok(()) if away => tracing::info!("broadcasts are written down again"),
            _ => {}
        }
        away = looked.is_err();
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {
                // The hub has been closed: write the ends.
                let _best_effort = tokio::time::timeout(Duration::from_secs(2), look(&state, &mut written)).await;
                return;
            }
        }
    }
}

async fn look(state: &State, written: &mut HashMap<String, Written>) -> Result<(), Error> {
    let now = state.clock.now();
    let running: Vec<(Arc<Broadcast>, crate::gate::Entry)> = state
        .live
        .hub
        .list()
        .into_iter()
        .filter(|broadcast| broadcast.status() != Status::Ended)
        .filter_map(|broadcast| {
            let entry = state.gate.get(broadcast.stream())?;
            Some((broadcast, entry))
        })
        .collect();
    if !running.is_empty() {
        enforce(state, &running).await?;
    }
    for (broadcast, entry) in &running {
        if !written.contains_key(broadcast.id()) {
            let row = begin(state, entry, broadcast).await?;
            let one = Written {
                row,
                stream: entry.id,
                owner: entry.owner,
                broadcast: Arc::clone(broadcast),
                peak: 0,
                said_at: now.0,
            };
            written.insert(broadcast.id().to_owned(), one);
        }
    }
    let on_air: HashSet<&str> = running.iter().map(|(broadcast, _)| broadcast.id()).collect();
    let mut ended = Vec::new();
    for (id, one) in written.iter_mut() {
        let viewers = (state.live.look)(one.broadcast.stream()).map_or(0, |on_air| on_air.viewers);
        one.peak = one.peak.max(viewers);
        if !on_air.contains(id.as_str()) {
            end(state, one, now).await?;
            ended.push(id.clone());
        } else if now.0 - one.said_at > SAY_MICROS {
            say(state, one, now).await?;
            one.said_at = now.0;
        }
    }
    for id in ended {
        written.remove(&id);
    }
    finish_recordings(state, written, now).await?;
    state.gate.retain(|name, entry| {
        let arriving = now.0 - entry.admitted.0 < ARRIVES_MICROS;
        arriving || state.live.hub.get(name).is_some() || (state.live.look)(name).is_some()
    });
    Ok(())
}

/// Cuts what was cut by another process, or whose stream is gone, and takes over what has changed.
async fn enforce(state: &State, running: &[(Arc<Broadcast>, crate::gate::Entry)]) -> Result<(), Error> {
    let ids: Vec<StreamId> = running.iter().map(|(_, entry)| entry.id).collect();
    let rows: HashMap<StreamId, stream::Row> = stream::by_ids(&state.db, &ids)
        .await?
        .into_iter()
        .map(|row| (row.id, row))
        .collect();
    for (broadcast, entry) in running {
        match rows.get(&entry.id) {
            None => broadcast.stop("the stream was deleted"),
            Some(row) if row.cut_at > entry.admitted.0 => broadcast.stop(&row.cut_reason),
            Some(row) => state.gate.change(row.id, &row.name, row.visibility()),
        }
    }
    Ok(())
}

/// Recordings whose broadcast is over become videos that can be listed, once the library has all of them.
async fn finish_recordings(state: &State, written: &HashMap<String, Written>, now: Timestamp) -> Result<(), Error> {
    for (folder, ended_at) in video::unfinished(&state.db, now.plus_micros(-LEFT_MICROS)).await? {
        if written.contains_key(&folder) {
            continue;
        }
        match state.live.library.kept(&folder).await {
            Ok(Kept::Growing) => {}
            Ok(Kept::Whole(facts)) => {
                let mut tx = state.db.begin().await?;
                video::finish(&mut tx, &folder, &facts, now).await?;
                tx.commit().await?;
            }
            // The process that has it may still be about to close it.
            Ok(Kept::Nothing) if now.0 - ended_at < CLOSED_MICROS => {}
            Ok(Kept::Nothing) => {
                let mut tx = state.db.begin().await?;
                video::forget(&mut tx, &folder).await?;
                tx.commit().await?;
            }
            Err(error) => tracing::warn!(folder, %error, "a recording cannot be looked at"),
        }
    }
    Ok(())
}

async fn begin(state: &State, entry: &crate::gate::Entry, broadcast: &Broadcast) -> Result<Id<Broadcast>, Error> {
    let (stream, owner) = (entry.id, entry.owner);
    let at = broadcast.started();
    let row = Id::<Broadcast>::new(at);
    let mut tx = state.db.begin().await?;
    sqlx::query("INSERT INTO media_broadcasts (id, stream_id, owner_user_id, started_at, peak_viewers, seen_at) VALUES ($1, $2, $3, $4, 0, $5)")
        .bind(row)
        .bind(stream)
        .bind(owner)
        .bind(at.0)
        .bind(state.clock.now().0)
        .execute(tx.conn())
        .await?;
    if entry.record {
        video::begin_recording(&mut tx, stream, owner, broadcast.id(), at).await?;
    }
    let event = StreamStarted {
        stream: stream.to_string(),
        owner,
    };
    tx.emit(&event, Some(owner), at).await?;
    tx.commit().await?;
    Ok(row)
}

async fn end(state: &State, one: &Written, now: Timestamp) -> Result<(), Error> {
    let mut tx = state.db.begin().await?;
    sqlx::query("UPDATE media_broadcasts SET ended_at = $1, seen_at = $1, peak_viewers = $2 WHERE id = $3")
        .bind(now.0)
        .bind(i64::try_from(one.peak).unwrap_or(i64::MAX))
        .bind(one.row)
        .execute(tx.conn())
        .await?;
    let event = StreamEnded {
        stream: one.stream.to_string(),
        owner: one.owner,
    };
    tx.emit(&event, Some(one.owner), now).await?;
    tx.commit().await
}

async fn say(state: &State, one: &Written, now: Timestamp) -> Result<(), Error> {
    let mut tx = state.db.begin().await?;
    sqlx::query("UPDATE media_broadcasts SET seen_at = $1, peak_viewers = $2 WHERE id = $3")
        .bind(now.0)
        .bind(i64::try_from(one.peak).unwrap_or(i64::MAX))
        .bind(one.row)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}

/// Ends what killed processes left open.
pub(crate) async fn lost(state: &State, now: Timestamp) -> Result<(), Error> {
    let mut tx = state.db.begin().await?;
    sqlx::query("UPDATE media_broadcasts SET ended_at = seen_at WHERE ended_at IS NULL AND seen_at < $1")
        .bind(now.0 - LOST_MICROS)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}
