//! What can be reported, how it is kept, and what moderators do away with.

use nova_core::publish::StaticAuthorizer;
use nova_domain::http::caller::Caller;
use serde_json::{Value, json};

use crate::house::{House, houses, text};

/// How the thing looks to `viewer` who reports it, and whose it is.
async fn exhibit(house: &House, viewer: &Caller, kind: &str, id: &str) -> Option<Value> {
    let seen = house.media.reportable.exhibit(viewer.user, kind, id).await.unwrap()?;
    let text: Value = serde_json::from_str(&seen.text).unwrap();
    Some(json!({ "owner": seen.owner.map(|owner| owner.to_string()), "says": text }))
}

async fn picture(house: &House, owner: &Caller) -> String {
    let (status, image) = house.send(Some(owner), "POST", "/images", "image/png", "picture").await;
    assert_eq!(status, 201, "{image}");
    text(&image, "id").to_owned()
}

/// A video of `owner` that can be watched.
async fn video(house: &House, owner: &Caller, visibility: &str) -> String {
    let headers = [("upload-length", "5")];
    let (status, made) = house.tus(owner, "POST", "/uploads", &headers, b"").await;
    assert_eq!(status, 201);
    let id = made["nova-video"].to_str().unwrap().to_owned();
    let mut tx = house.db.begin().await.unwrap();
    for (column, value) in [("status", "ready"), ("visibility", visibility)] {
        let sql = format!("UPDATE media_videos SET {column} = $1 WHERE id = $2");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(value)
            .bind(id.as_str())
            .execute(tx.conn())
            .await
            .unwrap();
    }
    sqlx::query("DELETE FROM media_uploads")
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    id
}

#[tokio::test]
async fn what_is_reported_is_kept_as_it_looked_and_no_secret_is_in_it() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let cast = house.cast().await;
        let owner = cast.owner.user.to_string();
        let stream = house.create(&cast.owner, "public").await;
        // Who is blocked reports as well: a block is no hiding place.
        for viewer in [&cast.other, &cast.blocked] {
            for id in [text(&stream, "id"), text(&stream, "name")] {
                let seen = exhibit(&house, viewer, "stream", id).await.unwrap();
                assert_eq!(seen["owner"], owner.as_str());
                assert_eq!(
                    (&seen["says"]["title"], &seen["says"]["id"]),
                    (&json!("My show"), &stream["id"])
                );
                assert!(!seen.to_string().contains(text(&stream, "stream_key")));
            }
        }
        let film = video(&house, &cast.owner, "unlisted").await;
        let seen = exhibit(&house, &cast.other, "video", &film).await.unwrap();
        assert_eq!(
            (&seen["owner"], &seen["says"]["source"]),
            (&json!(owner), &json!("upload"))
        );
        assert_eq!(exhibit(&house, &cast.other, "clip", &film).await, None, "it is no clip");
        let image = picture(&house, &cast.owner).await;
        let seen = exhibit(&house, &cast.other, "image", &image).await.unwrap();
        assert!(text(&seen["says"], "url").starts_with("https://nova.example/media/images/"));
        for kind in ["stream", "video", "clip", "image"] {
            assert_eq!(
                exhibit(&house, &cast.other, kind, "nothing\0such").await,
                None,
                "{kind}"
            );
        }
        // A stream that nobody owns is known by its name, while it is on air.
        let _anybody = house.publish("open-name").await;
        let seen = exhibit(&house, &cast.other, "stream", "open-name").await.unwrap();
        assert_eq!(seen, json!({ "owner": null, "says": { "name": "open-name" } }));
    }
}

#[tokio::test]
async fn nobody_learns_from_a_report_that_something_private_is_there() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let cast = house.cast().await;
        let stream = house.create(&cast.owner, "private").await;
        let film = video(&house, &cast.owner, "private").await;
        let (kind_and_id, viewers) = (
            [("stream", text(&stream, "id")), ("video", film.as_str())],
            [&cast.other, &cast.blocked],
        );
        for (kind, id) in kind_and_id {
            for viewer in viewers {
                assert_eq!(exhibit(&house, viewer, kind, id).await, None, "{kind}");
            }
            assert!(exhibit(&house, &cast.owner, kind, id).await.is_some(), "{kind}");
        }
    }
}

#[tokio::test]
async fn what_a_moderator_does_away_with_stands_in_the_log_and_others_hear_of_it() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let cast = house.cast().await;
        for (caller, by) in [(&cast.moderator, "moderator"), (&cast.owner, "owner")] {
            let stream = house.create(&cast.owner, "private").await;
            let _publisher = house.publish(text(&stream, "stream_key")).await;
            let on_air = house.hub.get(text(&stream, "name")).unwrap();
            let things = [
                ("stream_deleted", "/streams/", text(&stream, "id").to_owned()),
                ("video_deleted", "/videos/", video(&house, &cast.owner, "private").await),
                ("image_deleted", "/images/", picture(&house, &cast.owner).await),
            ];
            for (action, path, id) in things {
                let path = format!("{path}{id}");
                let hidden = if action == "image_deleted" { 403 } else { 404 };
                assert_eq!(house.call(Some(&cast.other), "DELETE", &path, None).await.0, hidden);
                assert_eq!(house.call(Some(caller), "DELETE", &path, None).await.0, 204, "{path}");
                assert_eq!(house.call(Some(caller), "GET", &path, None).await.0, 404, "{path}");
                let logged: (String, String) =
                    sqlx::query_as("SELECT actor_id, detail FROM kit_audit WHERE action = $1 AND subject = $2")
                        .bind(format!("media.{action}"))
                        .bind(id.as_str())
                        .fetch_one(house.db.read())
                        .await
                        .unwrap();
                assert_eq!(logged, (caller.user.to_string(), by.to_owned()), "{action}");
            }
            assert_eq!(on_air.stop_reason().as_deref(), Some("the stream was deleted"));
        }
    }
}
