//! Streams: their keys, who may do what, lists, names, tokens, cuts, and a database that is gone.

use std::sync::Arc;
use std::time::Duration;

use nova_core::clock::Timestamp;
use nova_core::publish::{Denied, StaticAuthorizer};
use nova_domain::accounts::Accounts;
use nova_domain::db::UserId;
use nova_domain::events::ModerationAction;
use nova_domain::http::caller::Caller;
use nova_media::Decision;
use serde_json::{Value, json};

use crate::house::{House, houses, text};

#[tokio::test]
async fn the_key_is_shown_once_kept_as_a_hash_and_opens_its_own_stream_only() {
    for house in houses(|| StaticAuthorizer::keys([("listed", "of-the-config")])).await {
        let ada = house.person("ada").await;
        let (first, second) = (house.create(&ada, "public").await, house.create(&ada, "public").await);
        for stream in [&first, &second] {
            assert_eq!(
                house.authorize(text(stream, "stream_key")).await.unwrap(),
                text(stream, "name")
            );
        }
        assert_eq!(house.authorize("listed").await.unwrap(), "of-the-config");
        for wrong in [
            "",
            "nova_sk_x",
            text(&first, "name"),
            text(&first, "id"),
            &text(&first, "stream_key")[1..],
        ] {
            assert_eq!(house.authorize(wrong).await.unwrap_err(), Denied::UnknownKey, "{wrong}");
        }
        let (_, shown) = house
            .call(Some(&ada), "GET", &format!("/streams/{}", text(&first, "id")), None)
            .await;
        assert!(shown.get("stream_key").is_none() && shown["ingest"]["rtmp_url"] == "rtmp://nova.example:1935/live");
        let kept: Vec<String> = sqlx::query_scalar("SELECT key_hash FROM media_streams")
            .fetch_all(house.db.read())
            .await
            .unwrap();
        assert!(
            kept.iter()
                .all(|hash| hash.len() == 64 && !text(&first, "stream_key").contains(hash.as_str()))
        );
    }
}

/// Visibility, method, path, body, and what each of the six is answered.
type Case = (&'static str, &'static str, &'static str, Option<Value>, [u16; 6]);

#[tokio::test]
async fn who_may_do_what_to_a_stream() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let cast = house.cast().await;
        let (owner, suspended) = (&cast.owner, &cast.suspended);
        let who = cast.who();
        let cases: [Case; 11] = [
            ("public", "GET", "", None, [200, 200, 200, 404, 200, 200]),
            ("unlisted", "GET", "", None, [200, 200, 200, 404, 200, 200]),
            ("private", "GET", "", None, [404, 200, 404, 404, 200, 200]),
            (
                "public",
                "PATCH",
                "",
                Some(json!({ "title": "new" })),
                [401, 200, 403, 404, 403, 403],
            ),
            (
                "private",
                "PATCH",
                "",
                Some(json!({ "title": "new" })),
                [401, 200, 404, 404, 403, 403],
            ),
            ("public", "POST", "/stop", None, [401, 204, 403, 404, 204, 403]),
            ("private", "POST", "/stop", None, [401, 204, 404, 404, 204, 403]),
            ("public", "POST", "/key", None, [401, 200, 403, 404, 403, 403]),
            ("private", "POST", "/key", None, [401, 200, 404, 404, 403, 403]),
            (
                "private",
                "POST",
                "/playback-token",
                None,
                [401, 200, 404, 404, 200, 403],
            ),
            (
                "public",
                "POST",
                "/playback-token",
                None,
                [401, 200, 200, 404, 200, 403],
            ),
        ];
        for (visibility, method, path, body, expected) in cases {
            let stream = house.create(owner, visibility).await;
            let id = text(&stream, "id");
            // The owner last: what they do may take it away.
            for n in [0, 2, 3, 4, 5, 1] {
                let (status, answer) = house
                    .call(who[n], method, &format!("/streams/{id}{path}"), body.clone())
                    .await;
                assert_eq!(status, expected[n], "{visibility} {method} {path} by {n}: {answer}");
            }
            if method != "DELETE" {
                house.call(Some(owner), "DELETE", &format!("/streams/{id}"), None).await;
            }
        }
        assert_eq!(
            house
                .call(None, "POST", "/streams", Some(json!({ "title": "x" })))
                .await
                .0,
            401
        );
        assert_eq!(
            house
                .call(Some(suspended), "POST", "/streams", Some(json!({ "title": "x" })))
                .await
                .0,
            403
        );
    }
}

#[tokio::test]
async fn lists_show_what_the_viewer_may_see_page_by_page() {
    for mut house in houses(|| StaticAuthorizer::Open).await {
        let (ada, eve) = (house.person("ada").await, house.person("eve").await);
        for visibility in ["public", "unlisted", "private"] {
            house.create(&ada, visibility).await;
            house.clock.advance(Duration::from_secs(1));
        }
        house.create(&eve, "public").await;
        let count = async |house: &House, caller: Option<&Caller>, query: &str| {
            let (status, list) = house.call(caller, "GET", &format!("/streams{query}"), None).await;
            assert_eq!(status, 200, "{list}");
            list["items"].as_array().unwrap().len()
        };
        assert_eq!(count(&house, None, "").await, 2);
        assert_eq!(count(&house, Some(&ada), "").await, 4);
        assert_eq!(count(&house, Some(&eve), &format!("?owner={}", ada.user)).await, 1);
        assert_eq!(count(&house, Some(&ada), "?owner=me").await, 3);
        assert_eq!(house.call(None, "GET", "/streams?owner=me", None).await.0, 401);
        assert_eq!(house.call(None, "GET", "/streams?owner=nobody", None).await.0, 422);
        assert_eq!(count(&house, None, "?status=live").await, 0);
        let (_, first) = house.call(Some(&ada), "GET", "/streams?limit=3", None).await;
        let (_, rest) = house
            .call(
                Some(&ada),
                "GET",
                &format!("/streams?limit=3&cursor={}", text(&first, "next_cursor")),
                None,
            )
            .await;
        assert_eq!(
            (
                first["items"].as_array().unwrap().len(),
                rest["items"].as_array().unwrap().len()
            ),
            (3, 1)
        );
        assert!(rest["next_cursor"].is_null());

        let on_air = house.create(&eve, "public").await;
        let _publisher = house.publish(text(&on_air, "stream_key")).await;
        let _anybody = house.publish("open-name").await;
        house
            .watch(async |house| count(house, None, "?status=live").await == 2)
            .await;
        assert_eq!(
            count(&house, None, "?status=idle").await,
            2,
            "the public ones that are not on air"
        );
        let (_, open) = house.call(None, "GET", "/streams/open-name", None).await;
        assert!(open["owner"].is_null() && open["status"] == "live", "{open}");
    }
}

#[tokio::test]
async fn names_are_chosen_kept_apart_and_good_while_on_air() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let (first, second) = (house.create(&ada, "public").await, house.create(&ada, "public").await);
        let rename = |stream: &Value, name: &str| {
            let path = format!("/streams/{}", text(stream, "id"));
            let body = json!({ "name": name });
            let (house, ada) = (&house, &ada);
            async move { house.call(Some(ada), "PATCH", &path, Some(body)).await.0 }
        };
        assert_eq!(rename(&first, "Show").await, 200);
        assert_eq!(rename(&second, "sHOW").await, 409);
        for bad in [
            "",
            "a b",
            "../x",
            &"a".repeat(65),
            &UserId::new(Timestamp(0)).to_string(),
        ] {
            assert_eq!(rename(&second, bad).await, 422, "{bad}");
        }
        assert_eq!(
            house.authorize("show").await.unwrap_err(),
            Denied::UnknownKey,
            "an owned name is not open"
        );
        let publisher = house.publish(text(&first, "stream_key")).await;
        assert_eq!(publisher.broadcast().stream(), "Show");
        assert_eq!(rename(&first, "other").await, 200);
        for name in ["other", "OTHER", "show", text(&first, "id")] {
            assert_eq!(house.media.gate.resolve(name).as_deref(), Some("Show"), "{name}");
        }
        // Back after a blip it goes on under the name it has.
        assert_eq!(house.authorize(text(&first, "stream_key")).await.unwrap(), "Show");
    }
}

#[tokio::test]
async fn a_private_stream_asks_for_a_token_and_a_change_has_effect_at_once() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let stream = house.create(&ada, "private").await;
        let _publisher = house.publish(text(&stream, "stream_key")).await;
        let name = text(&stream, "name");
        assert_eq!(house.media.gate.admits(name, None), Decision::Denied);
        let (_, granted) = house
            .call(Some(&ada), "POST", &format!("/streams/{name}/playback-token"), None)
            .await;
        let token = text(&granted, "token").to_owned();
        let query = format!("token={token}");
        assert_eq!(house.media.gate.admits(name, Some(&query)), Decision::Token(token));
        house.clock.advance(Duration::from_secs(4 * 3600));
        assert_eq!(
            house.media.gate.admits(name, Some(&query)),
            Decision::Denied,
            "it has ended"
        );
        house
            .call(
                Some(&ada),
                "PATCH",
                &format!("/streams/{name}"),
                Some(json!({ "visibility": "unlisted" })),
            )
            .await;
        assert_eq!(house.media.gate.admits(name, None), Decision::Open);
    }
}

#[tokio::test]
async fn a_new_key_a_stop_a_deletion_and_a_suspension_end_what_is_on_air() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        for (method, path, after) in [
            ("POST", "/key", Denied::UnknownKey),
            (
                "POST",
                "/stop",
                Denied::Refused("this stream was stopped a moment ago, wait a little".into()),
            ),
            ("DELETE", "", Denied::UnknownKey),
        ] {
            let stream = house.create(&ada, "public").await;
            let key = text(&stream, "stream_key");
            let publisher = house.publish(key).await;
            let (status, _) = house
                .call(
                    Some(&ada),
                    method,
                    &format!("/streams/{}{path}", text(&stream, "id")),
                    None,
                )
                .await;
            assert!(status < 300, "{method} {path}");
            assert!(
                publisher.superseded().is_cancelled() && publisher.broadcast().stop_reason().is_some(),
                "{method} {path}"
            );
            assert_eq!(house.authorize(key).await.unwrap_err(), after, "{method} {path}");
            house.clock.advance(Duration::from_secs(11));
            if path == "/stop" {
                house.authorize(key).await.unwrap();
            }
            house
                .call(Some(&ada), "DELETE", &format!("/streams/{}", text(&stream, "id")), None)
                .await;
        }
        let stream = house.create(&ada, "public").await;
        let publisher = house.publish(text(&stream, "stream_key")).await;
        let now = house.clock.now();
        let mut tx = house.db.begin().await.unwrap();
        house
            .standings
            .suspend(&mut tx, ada.user, Some(now.plus_micros(1_000_000)), now)
            .await
            .unwrap();
        let event = ModerationAction {
            user: ada.user,
            action: "suspend".into(),
        };
        tx.emit(&event, None, now).await.unwrap();
        tx.commit().await.unwrap();
        house.relay.drain().await.unwrap();
        assert!(publisher.superseded().is_cancelled());
        assert!(matches!(
            house.authorize(text(&stream, "stream_key")).await,
            Err(Denied::Refused(_))
        ));
        house.clock.advance(Duration::from_secs(2));
        house.authorize(text(&stream, "stream_key")).await.unwrap();
    }
}

#[tokio::test]
async fn what_another_process_cuts_ends_here_within_a_look() {
    for mut house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let stream = house.create(&ada, "public").await;
        let publisher = house.publish(text(&stream, "stream_key")).await;
        // As another process would write it: without this one's memory.
        let mut tx = house.db.begin().await.unwrap();
        sqlx::query("UPDATE media_streams SET cut_at = $1, cut_reason = 'by another'")
            .bind(house.clock.now().0)
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        house.watch(async |_| publisher.superseded().is_cancelled()).await;
        assert_eq!(publisher.broadcast().stop_reason().as_deref(), Some("by another"));
    }
}

#[tokio::test]
async fn broadcasts_are_written_down_from_beginning_to_end() {
    for mut house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let stream = house.create(&ada, "public").await;
        let publisher = house.publish(text(&stream, "stream_key")).await;
        let broadcast = Arc::clone(publisher.broadcast());
        let mut ended = false;
        house
            .watch(async |house| {
                let rows: Vec<(i64, Option<i64>, i64)> =
                    sqlx::query_as("SELECT started_at, ended_at, peak_viewers FROM media_broadcasts")
                        .fetch_all(house.db.read())
                        .await
                        .unwrap();
                if rows.len() == 1 && !ended {
                    assert_eq!((rows[0].0, rows[0].1), (broadcast.started().0, None));
                    broadcast.stop("enough");
                    ended = true;
                }
                rows.first().is_some_and(|row| row.1.is_some() && row.2 == 3)
            })
            .await;
    }
}

#[tokio::test]
async fn an_encoder_that_was_accepted_may_come_back_while_the_database_is_gone() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let stream = house.create(&ada, "public").await;
        let never = house.create(&ada, "public").await;
        house.authorize(text(&stream, "stream_key")).await.unwrap();
        house.db.close().await;
        assert_eq!(
            house.authorize(text(&stream, "stream_key")).await.unwrap(),
            text(&stream, "name")
        );
        assert_eq!(
            house.authorize(text(&never, "stream_key")).await.unwrap_err(),
            Denied::Unavailable
        );
        assert_eq!(house.authorize("any-name").await.unwrap_err(), Denied::Unavailable);
    }
}

#[tokio::test]
async fn a_person_has_only_so_many_streams() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        for _ in 0..3 {
            house.create(&ada, "public").await;
        }
        assert_eq!(
            house
                .call(Some(&ada), "POST", "/streams", Some(json!({ "title": "x" })))
                .await
                .0,
            409
        );
    }
}
