//! What the CDN has to forget: asked for by what happens and by admins, told in few calls, once each, followed to its end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nova_core::publish::StaticAuthorizer;
use nova_domain::Role;
use nova_domain::http::caller::Caller;
use nova_media::{PurgeError, Remedy};
use serde_json::{Value, json};

use crate::house::{House, houses, houses_behind_a_cdn, text};

const VTT: &str = "WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n";

async fn admin(house: &House) -> Caller {
    Caller {
        role: Role::Admin,
        ..house.person("admin").await
    }
}

async fn video(house: &House, owner: &Caller) -> String {
    house.clock.advance(Duration::from_millis(1));
    let now = house.clock.now();
    let id = uuid::Uuid::now_v7().to_string();
    let mut tx = house.db.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO media_videos (id, owner_user_id, source, folder, title, description, visibility, status, progress, error, duration_us, width, \
         height, bytes, created_at) VALUES ($1, $2, 'upload', $3, 'A film', '', 'public', 'ready', 100, '', 0, 0, 0, 0, $4)",
    )
    .bind(&id)
    .bind(owner.user)
    .bind(format!("u{}", id.replace('-', "")))
    .bind(now.0)
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    id
}

async fn ask(house: &House, caller: &Caller, paths: &[&str]) -> String {
    house.clock.advance(Duration::from_millis(1));
    let body = json!({ "paths": paths });
    let (status, made) = house.call(Some(caller), "POST", "/cdn/invalidations", Some(body)).await;
    assert_eq!((status, text(&made, "status")), (202, "pending"), "{made}");
    text(&made, "id").to_owned()
}

async fn shown(house: &House, caller: &Caller, id: &str) -> Value {
    let (status, shown) = house
        .call(Some(caller), "GET", &format!("/cdn/invalidations/{id}"), None)
        .await;
    assert_eq!(status, 200, "{shown}");
    shown
}

/// Reason and paths of all that was asked for, the oldest first.
async fn wishes(house: &House, caller: &Caller) -> Vec<(String, Value)> {
    let (_, list) = house
        .call(Some(caller), "GET", "/cdn/invalidations?limit=100", None)
        .await;
    let items = list["items"].as_array().unwrap().iter().rev();
    items
        .map(|item| (text(item, "reason").to_owned(), item["paths"].clone()))
        .collect()
}

/// Lets time go on until the wish stands so.
async fn until(house: &mut House, caller: &Caller, id: &str, status: &str) {
    house
        .watch(async |house| {
            house.clock.advance(Duration::from_millis(500));
            let now = shown(house, caller, id).await;
            text(&now, "status") == status
        })
        .await;
}

#[tokio::test]
async fn what_waits_is_told_in_one_call_and_followed_to_its_end() {
    for mut house in houses_behind_a_cdn().await {
        let admin = admin(&house).await;
        let first = ask(&house, &admin, &["/vod/a/1.jpg", "/b", "/b"]).await;
        let second = ask(&house, &admin, &["/vod/a/*"]).await;
        let cdn = std::sync::Arc::clone(&house.cdn);
        let mut seen = Vec::new();
        house
            .watch(async |house| {
                house.clock.advance(Duration::from_millis(500));
                let now = shown(house, &admin, &first).await;
                if seen.last() != Some(&now["status"]) {
                    seen.push(now["status"].clone());
                }
                if now["status"] == "in_progress" {
                    assert!(
                        now["cdn_id"].is_string() && now["submitted_at"].is_string() && now["finished_at"].is_null()
                    );
                    cdn.finish();
                }
                now["status"] == "completed"
            })
            .await;
        assert!(seen.ends_with(&[json!("in_progress"), json!("completed")]), "{seen:?}");
        let second = shown(&house, &admin, &second).await;
        assert_eq!(
            (&second["status"], &second["error"]),
            (&json!("completed"), &Value::Null)
        );
        assert!(second["finished_at"].is_string());
        assert_eq!(house.cdn.told(), [["/vod/a/*", "/b"]]);
    }
}

#[tokio::test]
async fn what_fails_for_a_while_is_told_again_as_the_same_and_what_is_refused_fails_alone() {
    let failure = |remedy, why: &str| PurgeError {
        why: why.to_owned(),
        remedy,
    };
    for mut house in houses_behind_a_cdn().await {
        let admin = admin(&house).await;
        house.cdn.fails.lock().unwrap().extend([
            failure(Remedy::Wait, "too many"),
            failure(Remedy::Setup, "not allowed"),
            failure(Remedy::Wait, "too many"),
        ]);
        let id = ask(&house, &admin, &["/a"]).await;
        let mut whys = Vec::new();
        house
            .watch(async |house| {
                house.clock.advance(Duration::from_millis(250));
                let now = shown(house, &admin, &id).await;
                if !now["error"].is_null() && whys.last() != Some(&now["error"]) {
                    assert_eq!(now["status"], "pending");
                    whys.push(now["error"].clone());
                }
                now["status"] == "in_progress"
            })
            .await;
        assert_eq!(whys, ["too many", "not allowed", "too many"]);
        assert_eq!(house.cdn.told(), [["/a"]]);
        assert_eq!(shown(&house, &admin, &id).await["error"], Value::Null);
    }
    for mut house in houses_behind_a_cdn().await {
        let admin = admin(&house).await;
        // The batch, and then the first of its two by itself.
        house.cdn.fails.lock().unwrap().extend([
            failure(Remedy::Nothing, "no such path"),
            failure(Remedy::Nothing, "no such path"),
        ]);
        let bad = ask(&house, &admin, &["/bad"]).await;
        let good = ask(&house, &admin, &["/good"]).await;
        until(&mut house, &admin, &good, "in_progress").await;
        let bad = shown(&house, &admin, &bad).await;
        assert_eq!((text(&bad, "status"), text(&bad, "error")), ("failed", "no such path"));
        assert!(bad["finished_at"].is_string());
        assert_eq!(house.cdn.told(), [["/good"]]);
    }
}

#[tokio::test]
async fn no_more_is_at_work_than_the_cdn_takes() {
    for mut house in houses_behind_a_cdn().await {
        let admin = admin(&house).await;
        // It does three patterns at a time.
        let first = ask(&house, &admin, &["/a/*", "/b/*"]).await;
        let second = ask(&house, &admin, &["/c/*", "/d/*"]).await;
        let third = ask(&house, &admin, &["/a/x"]).await;
        let cdn = std::sync::Arc::clone(&house.cdn);
        let mut rounds = 0;
        house
            .watch(async |house| {
                house.clock.advance(Duration::from_millis(500));
                if shown(house, &admin, &first).await["status"] == "in_progress" {
                    rounds += 1;
                    if rounds == 20 {
                        assert_eq!(cdn.told().len(), 1, "the second waits");
                        cdn.finish();
                    }
                }
                shown(house, &admin, &second).await["status"] == "in_progress"
            })
            .await;
        assert!(rounds >= 20);
        assert_eq!(shown(&house, &admin, &third).await["status"], "completed");
        assert_eq!(house.cdn.told(), [["/a/*", "/b/*"], ["/c/*", "/d/*"]]);
    }
}

#[tokio::test]
async fn a_call_that_never_ends_stops_nobody_and_is_the_same_one_afterwards() {
    for mut house in houses_behind_a_cdn().await {
        let admin = admin(&house).await;
        house.cdn.is_silent.store(true, Ordering::SeqCst);
        let id = ask(&house, &admin, &["/a"]).await;
        // The task is stopped in the middle of the call, as by a restart.
        house
            .watch(async |house| house.cdn.calls.load(Ordering::SeqCst) == 1)
            .await;
        house.cdn.is_silent.store(false, Ordering::SeqCst);
        house.tasks = house.again().await;
        until(&mut house, &admin, &id, "in_progress").await;
        assert_eq!((house.cdn.told().len(), house.cdn.calls.load(Ordering::SeqCst)), (1, 2));
    }
}

#[tokio::test]
async fn what_is_deleted_replaced_or_made_private_is_forgotten_without_being_asked_for() {
    for mut house in houses_behind_a_cdn().await {
        let (admin, ada) = (admin(&house).await, house.person("ada").await);
        let moderator = Caller {
            role: Role::Moderator,
            ..house.person("moderator").await
        };
        let all = |id: &str| json!([format!("/vod/{id}/*")]);
        let mut expected = Vec::new();

        let private = video(&house, &ada).await;
        for body in [
            json!({ "title": "x" }),
            json!({ "visibility": "private" }),
            json!({ "visibility": "private" }),
        ] {
            let (status, _) = house
                .call(Some(&ada), "PATCH", &format!("/videos/{private}"), Some(body))
                .await;
            assert_eq!(status, 200);
        }
        expected.push(("video_private".to_owned(), all(&private)));

        let captioned = video(&house, &ada).await;
        for (method, status) in [("PUT", 200), ("PUT", 200), ("DELETE", 204)] {
            house.clock.advance(Duration::from_millis(1));
            let path = format!("/videos/{captioned}/captions/en");
            assert_eq!(house.send(Some(&ada), method, &path, "text/vtt", VTT).await.0, status);
        }
        expected.push(("captions_replaced".to_owned(), all(&captioned)));
        expected.push(("captions_deleted".to_owned(), all(&captioned)));

        house.clock.advance(Duration::from_millis(1));
        let stream = house.create(&ada, "public").await;
        let (stream, name) = (text(&stream, "id"), text(&stream, "name"));
        let body = json!({ "visibility": "private" });
        house
            .call(Some(&ada), "PATCH", &format!("/streams/{stream}"), Some(body))
            .await;
        expected.push(("stream_private".to_owned(), json!([format!("/live/{name}/*")])));
        house.clock.advance(Duration::from_millis(1));
        assert_eq!(
            house
                .call(Some(&moderator), "DELETE", &format!("/streams/{stream}"), None)
                .await
                .0,
            204
        );
        expected.push(("stream_deleted".to_owned(), json!([format!("/live/{name}/*")])));

        let (own, taken_down) = (video(&house, &ada).await, video(&house, &ada).await);
        for (caller, id) in [(&ada, &own), (&moderator, &taken_down)] {
            house.clock.advance(Duration::from_millis(1));
            assert_eq!(
                house
                    .call(Some(caller), "DELETE", &format!("/videos/{id}"), None)
                    .await
                    .0,
                204
            );
            assert!(
                !wishes(&house, &admin).await.iter().any(|(_, paths)| *paths == all(id)),
                "the origin may still have it"
            );
            house.relay.drain().await.unwrap();
            expected.push(("video_deleted".to_owned(), all(id)));
        }

        let (_, image) = house
            .send(Some(&ada), "POST", "/images?kind=avatar", "image/png", "picture")
            .await;
        let url = text(&image["variants"][0], "url").to_owned();
        let (folder, _) = url
            .strip_prefix("https://nova.example")
            .unwrap()
            .rsplit_once('/')
            .unwrap();
        house.clock.advance(Duration::from_millis(1));
        let path = format!("/images/{}", text(&image, "id"));
        assert_eq!(house.call(Some(&moderator), "DELETE", &path, None).await.0, 204);
        house.relay.drain().await.unwrap();
        expected.push(("image_deleted".to_owned(), json!([format!("{folder}/*")])));
        assert_eq!(wishes(&house, &admin).await, expected);

        // An account that goes takes everything with it.
        let grace = house.person("grace").await;
        let last = video(&house, &grace).await;
        let mut tx = house.db.begin().await.unwrap();
        (house.personal.erase)(&mut tx, grace.user).await.unwrap();
        tx.commit().await.unwrap();
        house.clock.advance(Duration::from_secs(20));
        house.relay.drain().await.unwrap();
        expected.push(("video_deleted".to_owned(), all(&last)));
        assert_eq!(wishes(&house, &admin).await, expected);

        // All of it reaches the CDN.
        let cdn = std::sync::Arc::clone(&house.cdn);
        house
            .watch(async |house| {
                house.clock.advance(Duration::from_millis(500));
                cdn.finish();
                let (_, list) = house
                    .call(Some(&admin), "GET", "/cdn/invalidations?limit=100", None)
                    .await;
                list["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|item| item["status"] == "completed")
            })
            .await;
        let told: Vec<String> = house.cdn.told().concat();
        for (_, paths) in &expected {
            assert!(
                told.contains(&paths[0].as_str().unwrap().to_owned()),
                "{paths} of {told:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_be_removed_is_forgotten_at_once_and_again_when_it_is_gone() {
    for house in houses_behind_a_cdn().await {
        let (admin, ada) = (admin(&house).await, house.person("ada").await);
        let id = video(&house, &ada).await;
        house.library.is_away.store(true, Ordering::SeqCst);
        assert_eq!(
            house.call(Some(&ada), "DELETE", &format!("/videos/{id}"), None).await.0,
            204
        );
        for _ in 0..3 {
            house.relay.drain().await.unwrap();
            house.clock.advance(Duration::from_secs(30));
            assert_eq!(wishes(&house, &admin).await.len(), 1);
        }
        house.library.is_away.store(false, Ordering::SeqCst);
        house.relay.drain().await.unwrap();
        assert_eq!(wishes(&house, &admin).await.len(), 2);
    }
}

#[tokio::test]
async fn paths_are_looked_at_and_lists_come_in_pages() {
    for house in houses_behind_a_cdn().await {
        let admin = admin(&house).await;
        let many: Vec<String> = (0..101).map(|n| format!("/{n}")).collect();
        let wild: Vec<String> = (0..16).map(|n| format!("/{n}/*")).collect();
        for (paths, field) in [
            (json!([]), "paths"),
            (json!(many), "paths"),
            (json!(wild), "paths"),
            (json!(["/fine", "x"]), "paths[1]"),
            (json!(["/a/*/b"]), "paths[0]"),
        ] {
            let body = json!({ "paths": paths });
            let (status, problem) = house.call(Some(&admin), "POST", "/cdn/invalidations", Some(body)).await;
            assert_eq!(
                (status, &problem["errors"][0]["field"]),
                (422, &json!(field)),
                "{problem}"
            );
        }
        let mut ids = Vec::new();
        for n in 0..5 {
            ids.push(ask(&house, &admin, &[&format!("/{n}")]).await);
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/cdn/invalidations?limit=2{cursor}");
            let (_, page) = house.call(Some(&admin), "GET", &path, None).await;
            seen.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| text(item, "id").to_owned()),
            );
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        ids.reverse();
        assert_eq!(seen, ids);
    }
}

#[tokio::test]
async fn without_a_cdn_nothing_is_written_and_asking_is_a_conflict() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let (admin, ada) = (admin(&house).await, house.person("ada").await);
        let id = video(&house, &ada).await;
        assert_eq!(
            house.call(Some(&ada), "DELETE", &format!("/videos/{id}"), None).await.0,
            204
        );
        house.relay.drain().await.unwrap();
        let body = json!({ "paths": ["/x"] });
        let (status, problem) = house.call(Some(&admin), "POST", "/cdn/invalidations", Some(body)).await;
        assert_eq!(status, 409, "{problem}");
        assert_eq!(wishes(&house, &admin).await, []);
        assert!(house.tasks.iter().all(|(name, _)| *name != "media.invalidations"));
    }
}

#[tokio::test]
async fn what_ended_long_ago_is_not_kept() {
    for mut house in houses_behind_a_cdn().await {
        let admin = admin(&house).await;
        let old = ask(&house, &admin, &["/old"]).await;
        let cdn = std::sync::Arc::clone(&house.cdn);
        house
            .watch(async |house| {
                house.clock.advance(Duration::from_millis(500));
                cdn.finish();
                shown(house, &admin, &old).await["status"] == "completed"
            })
            .await;
        house.clock.advance(Duration::from_secs(31 * 86_400));
        house.tasks = house.again().await;
        house.watch(async |house| wishes(house, &admin).await.is_empty()).await;
    }
}

#[tokio::test]
async fn what_cannot_be_told_for_a_day_has_failed_and_says_why() {
    for mut house in houses_behind_a_cdn().await {
        let admin = admin(&house).await;
        let failure = PurgeError {
            why: "not allowed".into(),
            remedy: Remedy::Setup,
        };
        house.cdn.fails.lock().unwrap().extend(vec![failure; 1000]);
        let id = ask(&house, &admin, &["/a"]).await;
        let asked_at = house.clock.now();
        house
            .watch(async |house| {
                house.clock.advance(Duration::from_secs(600));
                shown(house, &admin, &id).await["status"] == "failed"
            })
            .await;
        let now = shown(&house, &admin, &id).await;
        assert_eq!(text(&now, "error"), "not allowed");
        assert!(house.clock.now().0 - asked_at.0 > 86_400_000_000);
        assert!(house.cdn.calls.load(Ordering::SeqCst) > 3 && house.cdn.told().is_empty());
    }
}

#[tokio::test]
async fn when_very_much_waits_no_more_is_taken_from_people() {
    for house in houses_behind_a_cdn().await {
        let admin = admin(&house).await;
        let mut tx = house.db.begin().await.unwrap();
        sqlx::raw_sql(
            "INSERT INTO media_invalidations (id, reason, paths, status, created_at, available_at) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT \
             i + 1 FROM n WHERE i < 10000) SELECT 'w' || i, 'video_deleted', '[]', 'pending', 0, 0 FROM n",
        )
        .execute(tx.conn())
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let body = json!({ "paths": ["/x"] });
        let (status, problem) = house.call(Some(&admin), "POST", "/cdn/invalidations", Some(body)).await;
        assert_eq!(status, 503, "{problem}");
    }
}
