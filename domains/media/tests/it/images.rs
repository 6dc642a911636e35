//! Pictures: made, shown, listed, deleted with their objects, counted, and who may do what.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nova_core::publish::StaticAuthorizer;
use nova_domain::Role;
use nova_domain::http::caller::Caller;
use serde_json::{Value, json};

use crate::house::{House, houses, text};

async fn upload(house: &House, caller: &Caller, query: &str) -> Value {
    let (status, image) = house
        .send(Some(caller), "POST", &format!("/images{query}"), "image/png", "picture")
        .await;
    assert_eq!(status, 201, "{image}");
    house.clock.advance(Duration::from_millis(1));
    image
}

fn objects(house: &House) -> Vec<String> {
    house.store.kept.lock().unwrap().keys().cloned().collect()
}

/// What `owner` shows as `kind`.
async fn path(house: &House, owner: &Caller, kind: &'static str, id: &str) -> Option<String> {
    let mut tx = house.db.begin().await.unwrap();
    house.media.images.path(&mut tx, owner.user, kind, id).await.unwrap()
}

#[tokio::test]
async fn a_picture_is_there_in_its_sizes_until_it_is_deleted() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let image = upload(&house, &ada, "?kind=avatar").await;
        let keys = objects(&house);
        assert_eq!(keys.len(), 2);
        let url = |key: &String| format!("https://nova.example/media/{key}");
        assert_eq!(
            image["variants"],
            json!([
                { "url": url(&keys[1]), "width": 512, "height": 512, "type": "image/jpeg" },
                { "url": url(&keys[0]), "width": 256, "height": 256, "type": "image/jpeg" },
            ])
        );
        assert_eq!(
            (&image["url"], &image["kind"], &image["width"], &image["bytes"]),
            (&image["variants"][0]["url"], &json!("avatar"), &json!(600), &json!(14))
        );
        let id = text(&image, "id");
        let (status, shown) = house.call(None, "GET", &format!("/images/{id}"), None).await;
        assert_eq!(
            (status, &shown["variants"], &shown["bytes"]),
            (200, &image["variants"], &Value::Null)
        );
        assert_eq!(
            path(&house, &ada, "avatar", id).await,
            Some(format!("/media/{}", keys[0])),
            "an avatar is shown 256 wide"
        );
        assert_eq!(path(&house, &ada, "banner", id).await, None, "it is of another kind");
        let (_, storage) = house.call(Some(&ada), "GET", "/storage", None).await;
        assert_eq!((&storage["images"], &storage["bytes"]), (&json!(1), &json!(14)));

        // The same picture once more lies for itself: deleting one leaves the other.
        let again = upload(&house, &ada, "?kind=avatar").await;
        assert_eq!(objects(&house).len(), 4);
        let (status, _) = house.call(Some(&ada), "DELETE", &format!("/images/{id}"), None).await;
        assert_eq!(status, 204);
        for method in ["GET", "DELETE"] {
            let (status, _) = house.call(Some(&ada), method, &format!("/images/{id}"), None).await;
            assert_eq!(status, 404, "{method}");
        }
        house.relay.drain().await.unwrap();
        assert_eq!(objects(&house).len(), 2);
        assert_eq!(path(&house, &ada, "avatar", id).await, None);
        assert!(path(&house, &ada, "avatar", text(&again, "id")).await.is_some());
    }
}

#[tokio::test]
async fn a_form_is_as_good_as_a_body_and_what_is_no_picture_is_refused() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let form =
            "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\npicture\r\n--x--\r\n";
        for (kind, query, body, status) in [
            ("multipart/form-data; boundary=x", "?kind=banner", form, 201),
            ("application/octet-stream", "", "picture", 201),
            ("image/png", "", "<svg/>", 415),
            ("image/svg+xml", "", "picture", 415),
            ("image/png", "", "damaged", 422),
            ("image/png", "", "one too many", 503),
            ("image/png", "", "", 422),
            ("image/png", "?kind=poster", "picture", 422),
            ("multipart/form-data; boundary=x", "", "picture", 400),
        ] {
            let (code, answer) = house
                .send(Some(&ada), "POST", &format!("/images{query}"), kind, body)
                .await;
            assert_eq!(code, status, "{kind} {body}: {answer}");
        }
        let large = vec![b'x'; (10 << 20) + 1];
        assert_eq!(
            house.send(Some(&ada), "POST", "/images", "image/png", large).await.0,
            413
        );
        assert_eq!(objects(&house).len(), 4, "nothing of the others is left");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_a_picture_and_keeps_nothing_of_it() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        house.store.full.store(true, Ordering::Relaxed);
        let (status, _) = house.send(Some(&ada), "POST", "/images", "image/png", "picture").await;
        assert_eq!(status, 507);
        house.relay.drain().await.unwrap();
        assert_eq!(objects(&house), Vec::<String>::new());
        let (_, list) = house.call(Some(&ada), "GET", "/images", None).await;
        assert_eq!(list["items"], json!([]));
    }
}

#[tokio::test]
async fn what_a_killed_process_left_of_a_picture_is_removed() {
    for mut house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let image = upload(&house, &ada, "").await;
        let id = text(&image, "id").to_owned();
        // As if the process had died before its objects were all there.
        let mut tx = house.db.begin().await.unwrap();
        sqlx::query("UPDATE media_images SET ready = 0")
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            house.call(Some(&ada), "GET", &format!("/images/{id}"), None).await.0,
            404
        );
        assert_eq!(path(&house, &ada, "post", &id).await, None);
        house.clock.advance(Duration::from_secs(601));
        house
            .watch(async |house| {
                house.relay.drain().await.unwrap();
                objects(house).is_empty()
            })
            .await;
    }
}

#[tokio::test]
async fn who_may_do_what_to_a_picture() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let cast = house.cast().await;
        let (owner, other, suspended) = (&cast.owner, &cast.other, &cast.suspended);
        let admin = Caller {
            role: Role::Admin,
            ..house.person("admin").await
        };
        // As [`Cast::who`] has them, the admin before the last.
        let who = {
            let [guest, owner, other, blocked, moderator, suspended] = cast.who();
            [guest, owner, other, blocked, moderator, Some(&admin), suspended]
        };
        let cases = [
            ("GET", [200, 200, 200, 404, 200, 200, 200]),
            ("DELETE", [401, 204, 403, 404, 204, 204, 403]),
        ];
        for (method, expected) in cases {
            for (n, caller) in who.iter().enumerate() {
                let id = text(&upload(&house, owner, "").await, "id").to_owned();
                let (status, answer) = house.call(*caller, method, &format!("/images/{id}"), None).await;
                assert_eq!(status, expected[n], "{method} by {n}: {answer}");
            }
        }
        for (caller, status) in [(None, 401), (Some(suspended), 403), (Some(other), 201)] {
            let made = house.send(caller, "POST", "/images", "image/png", "picture").await;
            assert_eq!(made.0, status);
        }
        for (caller, status) in [(None, 401), (Some(suspended), 200)] {
            assert_eq!(house.call(caller, "GET", "/images", None).await.0, status);
        }
    }
}

#[tokio::test]
async fn pictures_of_ones_own_come_page_by_page() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let (ada, eve) = (house.person("ada").await, house.person("eve").await);
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(text(&upload(&house, &ada, "").await, "id").to_owned());
        }
        upload(&house, &eve, "").await;
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/images?limit=2{cursor}");
            let (_, page) = house.call(Some(&ada), "GET", &path, None).await;
            let items = page["items"].as_array().unwrap();
            seen.extend(items.iter().map(|image| text(image, "id").to_owned()));
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
async fn pictures_are_taken_along_and_gone_with_their_person() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let (ada, eve) = (house.person("ada").await, house.person("eve").await);
        let image = upload(&house, &ada, "?kind=avatar").await;
        upload(&house, &eve, "").await;
        let export = (house.personal.export)(house.db.db.clone(), ada.user).await.unwrap();
        assert_eq!(export["images"][0]["id"], image["id"]);
        assert_eq!(export["images"][0]["paths"].as_array().unwrap().len(), 2);
        let mut tx = house.db.begin().await.unwrap();
        (house.personal.erase)(&mut tx, ada.user).await.unwrap();
        tx.commit().await.unwrap();
        house.relay.drain().await.unwrap();
        assert_eq!(objects(&house).len(), 2, "the other's");
        let (_, list) = house.call(Some(&ada), "GET", "/images", None).await;
        assert_eq!(list["items"], json!([]));
    }
}

#[tokio::test]
async fn an_account_has_room_for_so_much() {
    for house in crate::house::houses_with(
        || StaticAuthorizer::Open,
        |config| {
            config.storage_bytes = 30;
            config.most_images = 3;
        },
    )
    .await
    {
        let ada = house.person("ada").await;
        upload(&house, &ada, "").await;
        upload(&house, &ada, "").await;
        let (status, problem) = house.send(Some(&ada), "POST", "/images", "image/png", "picture").await;
        assert_eq!((status, &problem["code"]), (409, &json!("storage_full")));
        let (status, _) = house
            .tus(&ada, "POST", "/uploads", &[("upload-length", "10")], b"")
            .await;
        assert_eq!(status, 409, "a file that is coming counts with them");
        let eve = house.person("eve").await;
        for status in [201, 201] {
            let made = house.send(Some(&eve), "POST", "/images", "image/png", "picture").await;
            assert_eq!(made.0, status);
        }
    }
}
