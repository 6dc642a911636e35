//! Videos: the recording of a broadcast from its first second to its deletion, who may do what, lists and tokens.

use std::sync::Arc;
use std::time::Duration;

use nova_core::publish::StaticAuthorizer;
use nova_domain::http::caller::Caller;
use nova_media::{Caption, Decision, Facts, Kept};
use serde_json::{Value, json};

use crate::house::{House, houses, text};

/// A recording of `owner` that is whole, from a stream of this visibility.
pub(crate) async fn recorded(house: &House, owner: &Caller, visibility: &str) -> String {
    let folder = format!("b{}", house.clock.now().0);
    house.clock.advance(Duration::from_millis(1));
    let id = uuid::Uuid::now_v7().to_string();
    let mut tx = house.db.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO media_videos (id, owner_user_id, stream_id, source, folder, title, description, visibility, status, progress, error, \
         duration_us, width, height, bytes, created_at) VALUES ($1, $2, NULL, 'recording', $3, 'My show', '', $4, 'ready', 100, '', 61000000, \
         1920, 1080, 5000, $5)",
    )
    .bind(&id)
    .bind(owner.user)
    .bind(folder)
    .bind(visibility)
    .bind(house.clock.now().0)
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    id
}

pub(crate) async fn videos_of(house: &House, caller: Option<&Caller>, query: &str) -> Vec<Value> {
    let (status, list) = house.call(caller, "GET", &format!("/videos{query}"), None).await;
    assert_eq!(status, 200, "{list}");
    list["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_broadcast_of_a_stream_that_records_is_a_video_from_beginning_to_end() {
    for mut house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        house.create(&ada, "public").await;
        let stream = house.create_recorded(&ada, "public", true).await;
        let publisher = house.publish(text(&stream, "stream_key")).await;
        let broadcast = Arc::clone(publisher.broadcast());
        assert_eq!(house.media.gate.records(broadcast.stream()), Some(true));
        let folder = broadcast.id().to_owned();
        house.library.kept.lock().unwrap().insert(folder.clone(), Kept::Growing);
        let facts = Facts {
            duration_us: 3_000_000,
            bytes: 123,
            width: 640,
            height: 360,
        };
        let mut ended = false;
        house
            .watch(async |house| {
                let list = videos_of(house, None, "").await;
                if list.is_empty() {
                    return false;
                }
                assert_eq!(list.len(), 1);
                let video = &list[0];
                if video["status"] == "live" && !ended {
                    assert_eq!((text(video, "title"), text(video, "source")), ("My show", "recording"));
                    assert_eq!(video["stream_id"], stream["id"]);
                    let (status, _) = house
                        .call(Some(&ada), "DELETE", &format!("/videos/{}", text(video, "id")), None)
                        .await;
                    assert_eq!(status, 409, "it is on air");
                    broadcast.stop("enough");
                    house.clock.advance(Duration::from_secs(10));
                    house
                        .library
                        .kept
                        .lock()
                        .unwrap()
                        .insert(folder.clone(), Kept::Whole(facts.clone()));
                    ended = true;
                }
                video["status"] == "ready" && video["duration_s"] == 3.0 && video["height"] == 360
            })
            .await;
        let (_, storage) = house.call(Some(&ada), "GET", "/storage", None).await;
        assert_eq!(
            (storage["videos"].as_i64(), storage["bytes"].as_i64()),
            (Some(1), Some(123))
        );
    }
}

#[tokio::test]
async fn who_may_do_what_to_a_video() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let cast = house.cast().await;
        let (owner, blocked) = (&cast.owner, &cast.blocked);
        let who = cast.who();
        let change = || Some(json!({ "title": "new" }));
        let cases = [
            ("public", "GET", "", None, [200, 200, 200, 404, 200, 200]),
            ("unlisted", "GET", "", None, [200, 200, 200, 404, 200, 200]),
            ("private", "GET", "", None, [404, 200, 404, 404, 200, 200]),
            ("public", "PATCH", "", change(), [401, 200, 403, 404, 403, 403]),
            ("private", "PATCH", "", change(), [401, 200, 404, 404, 403, 403]),
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
            let id = recorded(&house, owner, visibility).await;
            // The owner last: what they do may take it away.
            for n in [0, 2, 3, 4, 5, 1] {
                let (status, answer) = house
                    .call(who[n], method, &format!("/videos/{id}{path}"), body.clone())
                    .await;
                assert_eq!(status, expected[n], "{visibility} {method} {path} by {n}: {answer}");
            }
        }
        // What was left: three public or unlisted ones, and the private ones, which only the owner lists.
        let shown = |list: Vec<Value>| list.len();
        assert_eq!(shown(videos_of(&house, None, "").await), 3);
        assert_eq!(shown(videos_of(&house, Some(blocked), "").await), 0);
        assert_eq!(shown(videos_of(&house, Some(owner), "?owner=me").await), 7);
        assert_eq!(house.call(None, "GET", "/videos?owner=me", None).await.0, 401);
        assert_eq!(house.call(None, "GET", "/storage", None).await.0, 401);
    }
}

#[tokio::test]
async fn lists_of_videos_come_page_by_page() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(recorded(&house, &ada, "public").await);
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let (_, page) = house.call(None, "GET", &format!("/videos?limit=2{cursor}"), None).await;
            seen.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|video| text(video, "id").to_owned()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        made.reverse();
        assert_eq!(seen, made);
    }
}

#[tokio::test]
async fn a_private_video_asks_for_a_token_and_a_change_has_effect_within_a_second() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let id = recorded(&house, &ada, "public").await;
        let open = async |query: Option<&str>| house.media.videos.open(&id, query).await.unwrap().unwrap();
        assert_eq!(open(None).await.decision, Decision::Open);
        let folder = open(None).await.folder;
        let (status, _) = house
            .call(
                Some(&ada),
                "PATCH",
                &format!("/videos/{id}"),
                Some(json!({ "visibility": "private" })),
            )
            .await;
        assert_eq!(status, 200);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(open(None).await.decision, Decision::Denied);
        let (_, answer) = house
            .call(Some(&ada), "POST", &format!("/videos/{id}/playback-token"), None)
            .await;
        let token = text(&answer, "token").to_owned();
        let query = format!("token={token}");
        assert_eq!(open(Some(&query)).await.decision, Decision::Token(token));
        // By its folder it is the same video, and no way around the token.
        let opened = house.media.videos.open(&folder, None).await.unwrap().unwrap();
        assert_eq!(opened.decision, Decision::Denied);
        // A token of one video opens no other.
        let other = recorded(&house, &ada, "private").await;
        let opened = house.media.videos.open(&other, Some(&query)).await.unwrap().unwrap();
        assert_eq!(opened.decision, Decision::Denied);
        assert_eq!(house.media.videos.open("nothing", None).await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_objects_of_a_deleted_video_are_removed() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let id = recorded(&house, &ada, "public").await;
        let folder = house.media.videos.open(&id, None).await.unwrap().unwrap().folder;
        assert_eq!(
            house.call(Some(&ada), "DELETE", &format!("/videos/{id}"), None).await.0,
            204
        );
        assert_eq!(
            house.call(Some(&ada), "GET", &format!("/videos/{id}"), None).await.0,
            404
        );
        house.relay.drain().await.unwrap();
        assert_eq!(*house.library.removed.lock().unwrap(), [folder]);
    }
}

const WEBVTT: &str = "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n\n00:03.000 --> 00:04.000\nworld\n";

#[tokio::test]
async fn captions_are_put_listed_replaced_and_removed_by_the_owner() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let cast = house.cast().await;
        let who = cast.who();
        let id = recorded(&house, &cast.owner, "public").await;
        let path = format!("/videos/{id}/captions/pt-BR?label=Portugu%C3%AAs");
        for (caller, expected) in who.iter().zip([401, 200, 403, 404, 403, 403]) {
            let (status, answer) = house
                .send(*caller, "PUT", &path, "text/vtt; charset=utf-8", WEBVTT)
                .await;
            assert_eq!(status, expected, "{answer}");
        }
        let list = async |caller: Option<&Caller>| {
            let (status, list) = house.call(caller, "GET", &format!("/videos/{id}/captions"), None).await;
            (status, list["items"].as_array().cloned().unwrap_or_default())
        };
        let (_, items) = list(None).await;
        assert_eq!(
            (
                text(&items[0], "language"),
                text(&items[0], "label"),
                items[0]["cues"].as_i64()
            ),
            ("pt-br", "Português", Some(2))
        );
        assert_eq!(list(Some(&cast.blocked)).await.0, 404);
        let opened = house.media.videos.open(&id, None).await.unwrap().unwrap();
        assert_eq!(opened.captions.len(), 1);
        let cues = house.media.videos.cues(&id, &opened.captions[0]).await.unwrap();
        assert_eq!(cues.map(|cues| cues.len()), Some(2));
        let other = Caption {
            created_at: 1,
            ..opened.captions[0].clone()
        };
        assert_eq!(house.media.videos.cues(&id, &other).await.unwrap(), None);
        // Others in their place.
        let again = format!("/videos/{id}/captions/pt-br");
        let one = "WEBVTT\n\n00:01.000 --> 00:02.000\nonly\n";
        assert_eq!(
            house.send(Some(&cast.owner), "PUT", &again, "text/vtt", one).await.0,
            200
        );
        let (_, items) = list(None).await;
        assert_eq!(
            (items.len(), items[0]["cues"].as_i64(), text(&items[0], "label")),
            (1, Some(1), "pt-br")
        );
        for (caller, expected) in [(who[0], 401), (who[2], 403), (who[1], 204), (who[1], 404)] {
            assert_eq!(house.call(caller, "DELETE", &again, None).await.0, expected);
        }
        assert!(list(None).await.1.is_empty());
    }
}

#[tokio::test]
async fn what_is_no_webvtt_is_refused_with_its_line_and_captions_go_with_their_video() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let id = recorded(&house, &ada, "public").await;
        let put = async |path: &str, kind: &str, body: String| {
            house
                .send(Some(&ada), "PUT", &format!("/videos/{id}/captions/{path}"), kind, body)
                .await
        };
        let (status, problem) = put("en", "text/vtt", "WEBVTT\n\n00:01,000 --> 00:02,000\nsrt\n".into()).await;
        assert_eq!(status, 422);
        assert!(
            problem["errors"][0]["message"].as_str().unwrap().starts_with("line 3"),
            "{problem}"
        );
        assert_eq!(put("en", "application/json", WEBVTT.into()).await.0, 415);
        assert_eq!(put("en_US", "text/vtt", WEBVTT.into()).await.0, 422);
        assert_eq!(put("en?label=%22x%22", "text/vtt", WEBVTT.into()).await.0, 422);
        assert_eq!(put("en", "text/vtt", "WEBVTT\n".repeat(200_000)).await.0, 413);
        assert_eq!(put("en", "text/vtt", WEBVTT.into()).await.0, 200);
        assert_eq!(
            house.call(Some(&ada), "DELETE", &format!("/videos/{id}"), None).await.0,
            204
        );
        let left: i64 = sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM media_captions")
            .fetch_one(house.db.read())
            .await
            .unwrap();
        assert_eq!(left, 0);
    }
}
