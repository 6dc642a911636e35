//! Streams, videos and pictures as whoever judges a report sees them: how they looked when they were reported, whatever becomes of them.

use nova_core::store::BoxFuture;
use nova_domain::db::{Error, UserId};
use nova_domain::policy::Visibility;
use nova_domain::reports::{Exhibit, Reportable};
use serde_json::{Value, json};

use crate::domain::State;
use crate::{image, stream, video};

/// What of this domain can be reported.
pub(crate) struct Reported(pub(crate) State);

/// `None` for what only its owner sees: nobody else learns from a report that it is there. A block is no hiding place.
fn exhibit(viewer: UserId, owner: UserId, visibility: Visibility, text: &Value) -> Option<Exhibit> {
    if visibility == Visibility::Private && viewer != owner {
        return None;
    }
    Some(Exhibit {
        owner: Some(owner),
        text: text.to_string(),
    })
}

impl Reported {
    async fn stream(&self, viewer: UserId, id: &str) -> Result<Option<Exhibit>, Error> {
        let state = &self.0;
        let Some(row) = stream::find(state.db.read(), id).await? else {
            // On a server with open publishing there are streams that nobody owns, known by their names.
            let open = state.gate.get(id).is_none() && (state.live.look)(id).is_some();
            return Ok(open.then(|| Exhibit {
                owner: None,
                text: json!({ "name": id }).to_string(),
            }));
        };
        let on_air = (state.live.look)(&row.name).map(|on_air| on_air.started_at);
        let text = json!({
            "id": row.id, "name": row.name, "title": row.title, "description": row.description, "on_air_since": on_air,
            "watch_url": format!("{}/watch/{}", state.public_url, row.name),
        });
        Ok(exhibit(viewer, row.owner_user_id, row.visibility(), &text))
    }

    async fn video(&self, viewer: UserId, kind: &str, id: &str) -> Result<Option<Exhibit>, Error> {
        let state = &self.0;
        let row = video::find(state.db.read(), id).await?;
        let seen = |row: &video::Row| {
            let right = kind != "clip" || row.source == "clip";
            right && (viewer == row.owner_user_id || matches!(row.status.as_str(), "live" | "ready"))
        };
        Ok(row.filter(seen).and_then(|row| {
            let text = json!({
                "id": row.id, "title": row.title, "description": row.description, "source": row.source, "stream_id": row.stream_id,
                "watch_url": format!("{}/watch/v/{}", state.public_url, row.id),
            });
            exhibit(viewer, row.owner_user_id, row.visibility(), &text)
        }))
    }

    async fn image(&self, viewer: UserId, id: &str) -> Result<Option<Exhibit>, Error> {
        let row = image::find(self.0.db.read(), id).await?;
        Ok(row.and_then(|row| {
            let largest = row.variants().first().map(|variant| row.path(variant));
            let text = json!({
                "id": row.id, "kind": row.kind(), "width": row.width, "height": row.height,
                "url": largest.map(|path| format!("{}{path}", self.0.public_url)),
            });
            exhibit(viewer, row.owner_user_id, Visibility::Unlisted, &text)
        }))
    }
}

impl Reportable for Reported {
    fn kinds(&self) -> &'static [&'static str] {
        &["stream", "video", "clip", "image"]
    }

    fn exhibit<'a>(
        &'a self,
        viewer: UserId,
        kind: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Exhibit>, Error>> {
        Box::pin(async move {
            match kind {
                "stream" => self.stream(viewer, id).await,
                "image" => self.image(viewer, id).await,
                _ => self.video(viewer, kind, id).await,
            }
        })
    }
}
