//! Clips and reels: who may cut what, within which bounds, and what comes of it.

use std::time::Duration;

use nova_core::publish::StaticAuthorizer;
use nova_media::Cut;
use serde_json::{Value, json};

use crate::house::{House, houses, houses_with, text};
use crate::videos::{recorded, videos_of};

fn cut(start: f64, end: f64) -> Option<Value> {
    Some(json!({ "start": start, "end": end }))
}

async fn drained(house: &House) {
    house.clock.advance(Duration::from_secs(1));
    house.relay.drain().await.unwrap();
}

#[tokio::test]
async fn whoever_may_watch_a_video_may_cut_a_clip_of_their_own_and_a_private_one_is_its_owners() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let cast = house.cast().await;
        let who = cast.who();
        let cases = [
            ("public", [401, 201, 201, 404, 201, 403]),
            ("unlisted", [401, 201, 201, 404, 201, 403]),
            ("private", [401, 201, 404, 404, 403, 403]),
        ];
        for (visibility, expected) in cases {
            let id = recorded(&house, &cast.owner, visibility).await;
            for (caller, expected) in who.iter().zip(expected) {
                let path = format!("/videos/{id}/clips");
                let (status, clip) = house.call(*caller, "POST", &path, cut(1.0, 4.5)).await;
                assert_eq!(status, expected, "{visibility}: {clip}");
                if status != 201 {
                    continue;
                }
                // It is the caller's, of the same title and visibility, and says where it is from.
                let path = format!("/videos/{}", text(&clip, "id"));
                let (status, clip) = house.call(*caller, "GET", &path, None).await;
                assert_eq!(
                    (status, text(&clip, "source"), text(&clip, "title")),
                    (200, "clip", "My show")
                );
                assert_eq!(text(&clip, "visibility"), visibility);
                assert_eq!(clip["clip"], json!({ "video_id": id, "start_s": 1.0, "end_s": 4.5 }));
            }
        }
    }
}

#[tokio::test]
async fn a_clip_is_made_from_its_sources_folder_and_outlives_it() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let id = recorded(&house, &ada, "public").await;
        let folder = house.media.videos.open(&id, None).await.unwrap().unwrap().folder;
        let body = json!({ "start": 10.0, "end": 20.25, "reel": true, "cover_at": 2.5, "title": "The best of it" });
        let (_, clip) = house
            .call(Some(&ada), "POST", &format!("/videos/{id}/clips"), Some(body))
            .await;
        assert_eq!(
            (text(&clip, "status"), clip["reel"].as_bool()),
            ("processing", Some(true))
        );
        assert_eq!(videos_of(&house, None, "").await.len(), 1, "it is not there yet");
        drained(&house).await;
        let expected = Cut {
            source: folder,
            start_us: 10_000_000,
            end_us: 20_250_000,
            cover_us: 2_500_000,
            is_reel: true,
            grows: false,
        };
        assert_eq!(*house.library.cuts.lock().unwrap(), [expected]);
        assert_eq!(
            house.call(Some(&ada), "DELETE", &format!("/videos/{id}"), None).await.0,
            204
        );
        drained(&house).await;
        let (status, reels) = house.call(None, "GET", "/reels", None).await;
        assert_eq!(status, 200);
        let reel = &reels["items"][0];
        assert_eq!(
            (text(reel, "title"), reel["duration_s"].as_f64()),
            ("The best of it", Some(10.25))
        );
        assert_eq!(
            text(reel, "picture_url"),
            format!("https://nova.example/vod/{}/thumbnail.jpg", text(reel, "id"))
        );
        let (_, storage) = house.call(Some(&ada), "GET", "/storage", None).await;
        assert_eq!(storage["bytes"], 77);
    }
}

#[tokio::test]
async fn a_clip_whose_source_is_gone_before_it_is_made_fails_and_can_be_tried_again() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let id = recorded(&house, &ada, "public").await;
        let path = format!("/videos/{id}/clips");
        let (_, clip) = house.call(Some(&ada), "POST", &path, cut(0.0, 5.0)).await;
        assert_eq!(
            house.call(Some(&ada), "DELETE", &format!("/videos/{id}"), None).await.0,
            204
        );
        drained(&house).await;
        let path = format!("/videos/{}", text(&clip, "id"));
        let (_, clip) = house.call(Some(&ada), "GET", &path, None).await;
        assert_eq!(text(&clip, "status"), "failed");
        assert!(text(&clip, "error").contains("gone"), "{clip}");
        assert_eq!(
            house.call(Some(&ada), "POST", &format!("{path}/retry"), None).await.0,
            202
        );
    }
}

#[tokio::test]
async fn a_clip_has_the_captions_that_its_source_shows_in_it() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let id = recorded(&house, &ada, "public").await;
        for (language, text) in [
            (
                "en",
                "WEBVTT\n\n00:01.000 --> 00:02.000\nbefore\n\n00:09.000 --> 00:11.000\nacross\n\n00:12.000 --> 00:13.000\nwithin\n",
            ),
            ("de", "WEBVTT\n\n00:01.000 --> 00:02.000\nbefore\n"),
        ] {
            let path = format!("/videos/{id}/captions/{language}");
            assert_eq!(house.send(Some(&ada), "PUT", &path, "text/vtt", text).await.0, 200);
        }
        let path = format!("/videos/{id}/clips");
        let (_, clip) = house.call(Some(&ada), "POST", &path, cut(10.0, 20.0)).await;
        drained(&house).await;
        let clip = text(&clip, "id");
        let opened = house.media.videos.open(clip, None).await.unwrap().unwrap();
        let known: Vec<_> = opened
            .captions
            .iter()
            .map(|known| (known.language.as_str(), known.cues))
            .collect();
        assert_eq!(known, [("en", 2)]);
        let cues = house
            .media
            .videos
            .cues(clip, &opened.captions[0])
            .await
            .unwrap()
            .unwrap();
        let shown: Vec<_> = cues
            .iter()
            .map(|cue| (cue.start_ms, cue.end_ms, cue.text.as_str()))
            .collect();
        assert_eq!(shown, [(0, 1000, "across"), (2000, 3000, "within")]);
    }
}

#[tokio::test]
async fn the_bounds_of_clips() {
    let houses = houses_with(
        || StaticAuthorizer::Open,
        |config| {
            (config.most_clips, config.clip_seconds, config.reel_seconds) = (2, 30, 10);
        },
    );
    for house in houses.await {
        let (ada, eve) = (house.person("ada").await, house.person("eve").await);
        let public = recorded(&house, &ada, "public").await;
        let unlisted = recorded(&house, &ada, "unlisted").await;
        let refused = [
            (&ada, &public, json!({ "start": 5.0, "end": 5.5 }), "end"),
            (&ada, &public, json!({ "start": 50.0, "end": 70.0 }), "end"),
            (&ada, &public, json!({ "start": -1.0, "end": 7.0 }), "start"),
            (&ada, &public, json!({ "start": 0.0, "end": 11.0, "reel": true }), "end"),
            (
                &ada,
                &public,
                json!({ "start": 0.0, "end": 5.0, "cover_at": 5.0 }),
                "cover_at",
            ),
            (
                &ada,
                &public,
                json!({ "start": 0.0, "end": 5.0, "title": " " }),
                "title",
            ),
            (&eve, &public, json!({ "start": 0.0, "end": 31.0 }), "end"),
            (
                &eve,
                &unlisted,
                json!({ "start": 0.0, "end": 5.0, "visibility": "public" }),
                "visibility",
            ),
        ];
        for (caller, id, body, field) in refused {
            let (status, problem) = house
                .call(Some(caller), "POST", &format!("/videos/{id}/clips"), Some(body.clone()))
                .await;
            assert_eq!(
                (status, problem["errors"][0]["field"].as_str()),
                (422, Some(field)),
                "{body}: {problem}"
            );
        }
        let path = format!("/videos/{public}/clips");
        for expected in [201, 201, 409] {
            assert_eq!(house.call(Some(&ada), "POST", &path, cut(0.0, 40.0)).await.0, expected);
        }
        drained(&house).await;
        assert_eq!(house.call(Some(&ada), "POST", &path, cut(0.0, 40.0)).await.0, 201);
    }
}
