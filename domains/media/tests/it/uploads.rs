//! Uploads by tus 1.0: pieces, offsets, checksums, bounds, and what comes of a file.

use base64::Engine as _;
use nova_core::publish::StaticAuthorizer;
use nova_domain::http::caller::Caller;

use crate::house::{House, houses, text};

const PIECE: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// Begins one of this length; its path and its video.
async fn begin(house: &House, caller: &Caller, length: &str) -> (String, String) {
    let title = base64::engine::general_purpose::STANDARD.encode("My film");
    let metadata = format!("title {title}");
    let headers = [("upload-length", length), ("upload-metadata", metadata.as_str())];
    let (status, told) = house.tus(caller, "POST", "/uploads", &headers, b"").await;
    assert_eq!(status, 201);
    let path = told["location"]
        .to_str()
        .unwrap()
        .strip_prefix("/api/v1")
        .unwrap()
        .to_owned();
    (path, told["nova-video"].to_str().unwrap().to_owned())
}

async fn offset(house: &House, caller: &Caller, path: &str) -> String {
    let (status, told) = house.tus(caller, "HEAD", path, &[], b"").await;
    assert_eq!(status, 200);
    told["upload-offset"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_file_comes_in_pieces_and_becomes_a_video() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let (path, video) = begin(&house, &ada, "10").await;
        let status = async || {
            let (_, shown) = house.call(Some(&ada), "GET", &format!("/videos/{video}"), None).await;
            text(&shown, "status").to_owned()
        };
        assert_eq!(status().await, "uploading");
        assert_eq!(
            house.call(None, "GET", &format!("/videos/{video}"), None).await.0,
            404,
            "not yet for others"
        );
        let (code, told) = house
            .tus(&ada, "PATCH", &path, &[PIECE, ("upload-offset", "0")], b"01234")
            .await;
        assert_eq!((code, told["upload-offset"].to_str().unwrap()), (204, "5"));
        assert_eq!(offset(&house, &ada, &path).await, "5");
        // From another place than where it stands: refused, and nothing of it is kept.
        assert_eq!(
            house
                .tus(&ada, "PATCH", &path, &[PIECE, ("upload-offset", "3")], b"x")
                .await
                .0,
            409
        );
        assert_eq!(
            house
                .tus(
                    &ada,
                    "PATCH",
                    &path,
                    &[PIECE, ("upload-offset", "5")],
                    b"too much for it"
                )
                .await
                .0,
            413
        );
        assert_eq!(
            house.tus(&ada, "PATCH", &path, &[("upload-offset", "5")], b"x").await.0,
            415
        );
        assert_eq!(offset(&house, &ada, &path).await, "5");
        assert_eq!(
            house
                .tus(&ada, "PATCH", &path, &[PIECE, ("upload-offset", "5")], b"56789")
                .await
                .0,
            204
        );
        assert_eq!(status().await, "processing");
        house.relay.drain().await.unwrap();
        assert_eq!(status().await, "ready");
        let (_, shown) = house.call(Some(&ada), "GET", &format!("/videos/{video}"), None).await;
        assert_eq!(
            (text(&shown, "title"), text(&shown, "source"), shown["bytes"].as_i64()),
            ("My film", "upload", Some(10))
        );
        assert_eq!(
            house.tus(&ada, "HEAD", &path, &[], b"").await.0,
            404,
            "it is a video now"
        );
    }
}

#[tokio::test]
async fn a_piece_with_a_checksum_is_kept_whole_or_not_at_all() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let (path, _) = begin(&house, &ada, "10").await;
        // SHA-256 and SHA-1 of "hello".
        for (sum, code) in [
            ("sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", 204),
            ("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=", 204),
        ] {
            let at = offset(&house, &ada, &path).await;
            let headers = [PIECE, ("upload-offset", at.as_str()), ("upload-checksum", sum)];
            assert_eq!(house.tus(&ada, "PATCH", &path, &headers, b"hellx").await.0, 460);
            assert_eq!(offset(&house, &ada, &path).await, at);
            assert_eq!(house.tus(&ada, "PATCH", &path, &headers, b"hello").await.0, code);
        }
    }
}

#[tokio::test]
async fn an_upload_is_its_owners_and_there_are_only_so_many() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let (ada, eve) = (house.person("ada").await, house.person("eve").await);
        let (path, video) = begin(&house, &ada, "10").await;
        for method in ["HEAD", "DELETE"] {
            assert_eq!(house.tus(&eve, method, &path, &[], b"").await.0, 404, "{method}");
        }
        assert_eq!(
            house
                .tus(&eve, "PATCH", &path, &[PIECE, ("upload-offset", "0")], b"x")
                .await
                .0,
            404
        );
        for _ in 0..4 {
            begin(&house, &ada, "10").await;
        }
        assert_eq!(
            house
                .tus(&ada, "POST", "/uploads", &[("upload-length", "10")], b"")
                .await
                .0,
            409
        );
        assert_eq!(house.tus(&ada, "DELETE", &path, &[], b"").await.0, 204);
        assert_eq!(
            house.call(Some(&ada), "GET", &format!("/videos/{video}"), None).await.0,
            404
        );
        begin(&house, &ada, "10").await;
        assert_eq!(
            house
                .tus(&eve, "POST", "/uploads", &[("upload-length", "99999999999999")], b"")
                .await
                .0,
            413
        );
        assert_eq!(
            house
                .tus(&eve, "POST", "/uploads", &[("upload-length", "-1")], b"")
                .await
                .0,
            422
        );
        assert_eq!(house.tus(&eve, "POST", "/uploads", &[], b"").await.0, 422);
    }
}

#[tokio::test]
async fn a_file_that_is_no_video_fails_with_a_reason_and_what_is_given_up_is_not_made() {
    for house in houses(|| StaticAuthorizer::Open).await {
        let ada = house.person("ada").await;
        let (path, video) = begin(&house, &ada, "7").await;
        house
            .tus(&ada, "PATCH", &path, &[PIECE, ("upload-offset", "0")], b"rubbish")
            .await;
        house.relay.drain().await.unwrap();
        let (_, shown) = house.call(Some(&ada), "GET", &format!("/videos/{video}"), None).await;
        assert_eq!(
            (text(&shown, "status"), text(&shown, "error")),
            ("failed", "this file cannot be read")
        );

        let (path, video) = begin(&house, &ada, "5").await;
        house
            .tus(&ada, "PATCH", &path, &[PIECE, ("upload-offset", "0")], b"video")
            .await;
        assert_eq!(
            house
                .call(Some(&ada), "POST", &format!("/videos/{video}/cancel"), None)
                .await
                .0,
            202
        );
        house.relay.drain().await.unwrap();
        let shown = async || house.call(Some(&ada), "GET", &format!("/videos/{video}"), None).await.1;
        assert_eq!(text(&shown().await, "status"), "cancelled");
        assert_eq!(
            house
                .call(Some(&ada), "POST", &format!("/videos/{video}/retry"), None)
                .await
                .0,
            202
        );
        house.relay.drain().await.unwrap();
        assert_eq!(text(&shown().await, "status"), "ready");
        assert_eq!(
            house
                .call(Some(&ada), "POST", &format!("/videos/{video}/retry"), None)
                .await
                .0,
            409
        );
        assert_eq!(
            house
                .call(Some(&ada), "POST", &format!("/videos/{video}/cancel"), None)
                .await
                .0,
            409
        );
    }
}
