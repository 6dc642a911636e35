//! What a bucket does, and what it says when it cannot.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use nova_cdn::S3Store;
use nova_cdn::testing::{ACCESS_KEY, Mode, S3Server, SECRET_KEY};
use nova_core::clock::{Clock, Timestamp};
use nova_core::config::StorageConfig;
use nova_core::store::{ObjectStore, StoreError};

pub(crate) fn store(server: &S3Server) -> S3Store {
    // Without a second upload, so that requests can be counted.
    let store = S3Store::with_key(&server.config(), Clock::system(), ACCESS_KEY, SECRET_KEY);
    store.hedged_after(Duration::from_secs(3600))
}

/// What an operator reads of an error, and its kind.
fn said(error: &StoreError) -> (String, Option<ErrorKind>) {
    let kind = match error {
        StoreError::Io { source, .. } | StoreError::Full { source, .. } => Some(source.kind()),
        StoreError::NotFound(_) | StoreError::BadKey(_) => None,
    };
    (error.to_string(), kind)
}

#[tokio::test]
async fn an_object_is_whole_has_a_second_key_and_goes_with_its_prefix() {
    let server = S3Server::start().unwrap();
    let store = store(&server);
    let pieces = vec!["ab".into(), Bytes::new(), "c".into()];
    store.put("vod/a/v0/1.m4s", pieces).await.unwrap();
    assert_eq!(std::fs::read(server.path("vod/a/v0/1.m4s")).unwrap(), b"abc");
    assert_eq!(store.get("vod/a/v0/1.m4s").await.unwrap(), "abc");
    store.copy("vod/a/v0/1.m4s", "vod/b/v0/1.m4s").await.unwrap();
    store.put("vod/a/empty.m4s", vec![]).await.unwrap();
    assert_eq!(store.get("vod/a/empty.m4s").await.unwrap(), "");
    store.put("vod/ab/1.m4s", vec!["another".into()]).await.unwrap();
    store.delete_prefix("vod/a/").await.unwrap();
    assert_eq!(server.keys("vod/"), ["vod/ab/1.m4s", "vod/b/v0/1.m4s"]);
    assert!(matches!(
        store.get("vod/a/v0/1.m4s").await,
        Err(StoreError::NotFound(_))
    ));
    assert!(matches!(
        store.copy("vod/a/v0/1.m4s", "vod/c/1.m4s").await,
        Err(StoreError::NotFound(_))
    ));
    // What is not there is no error.
    store.delete("vod/b/v0/1.m4s").await.unwrap();
    store.delete("vod/b/v0/1.m4s").await.unwrap();
    store.delete_prefix("vod/a/").await.unwrap();
    for key in ["../x", "/x", "a//b", "a b", ""] {
        assert!(
            matches!(store.put(key, vec![]).await, Err(StoreError::BadKey(_))),
            "{key:?}"
        );
    }
}

#[tokio::test]
async fn a_prefix_with_more_objects_than_one_list_holds_goes_whole() {
    let server = S3Server::start().unwrap();
    let store = store(&server);
    let folder = server.path("vod/long/v0");
    std::fs::create_dir_all(&folder).unwrap();
    for number in 0..2100 {
        std::fs::write(folder.join(format!("{number}.m4s")), b"x").unwrap();
    }
    store.delete_prefix("vod/long/").await.unwrap();
    assert_eq!(server.keys("vod/long/"), [""; 0]);
}

#[tokio::test]
async fn a_large_object_is_uploaded_in_parts_and_comes_back_the_same() {
    let server = S3Server::start().unwrap();
    let store = store(&server);
    // Pieces whose borders are not those of the parts; no two kilobytes are equal.
    let piece = |n: u32| -> Bytes {
        (0..3_000_000_u32 / 4)
            .flat_map(|i| (i ^ (n << 24)).to_be_bytes())
            .collect()
    };
    let pieces: Vec<Bytes> = (0..12).map(piece).collect();
    store.put("vod/a/v0/1.mp4", pieces.clone()).await.unwrap();
    assert_eq!(store.get("vod/a/v0/1.mp4").await.unwrap(), pieces.concat());
    let parts = server
        .done()
        .iter()
        .filter(|request| request.starts_with("PUT"))
        .count();
    assert_eq!(parts, 3, "{:?}", server.done());
}

#[tokio::test]
async fn objects_carry_what_a_cdn_needs_to_serve_them() {
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
    let server = S3Server::start().unwrap();
    let config = StorageConfig {
        prefix: "site/one".into(),
        ..server.config()
    };
    let store = S3Store::with_key(&config, Clock::system(), ACCESS_KEY, SECRET_KEY);
    store.put("vod/a/a1/1.m4s", vec!["x".into(), "y".into()]).await.unwrap();
    store.put("vod/a/index.jsonl", vec!["{}".into()]).await.unwrap();
    let client = aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
            .region(Region::new("us-east-1"))
            .endpoint_url(server.endpoint())
            .force_path_style(true)
            .build(),
    );
    let head = |key: &'static str| client.head_object().bucket("nova").key(key).send();
    let segment = head("site/one/vod/a/a1/1.m4s").await.unwrap();
    assert_eq!(segment.content_type(), Some("audio/mp4"));
    assert_eq!(segment.cache_control(), Some("public, max-age=31536000, immutable"));
    let index = head("site/one/vod/a/index.jsonl").await.unwrap();
    assert_eq!(index.content_type(), Some("application/jsonl"));
    assert_eq!(index.cache_control(), Some("no-cache"));
}

#[tokio::test]
async fn wrong_credentials_are_named_and_not_shown() {
    let server = S3Server::start().unwrap();
    let wrong = |access: &str, secret: &str| S3Store::with_key(&server.config(), Clock::system(), access, secret);
    for (store, hint) in [
        (
            wrong(ACCESS_KEY, "wrong-s3cret"),
            "the secret key does not belong to the access key",
        ),
        (
            wrong("AKIAUNKNOWN", "wrong-s3cret"),
            ": it does not know the access key",
        ),
    ] {
        let error = store.put("vod/a/1.m4s", vec!["x".into()]).await.unwrap_err();
        let (text, kind) = said(&error);
        assert!(text.contains(hint), "{text}");
        assert_eq!(kind, Some(ErrorKind::PermissionDenied));
        assert!(!format!("{text}{error:?}").contains("s3cret"), "{error:?}");
    }
    // Asking again would not help.
    assert_eq!(server.seen(), 2);
    let config = StorageConfig {
        bucket: "elsewhere".into(),
        ..server.config()
    };
    let store = S3Store::with_key(&config, Clock::system(), ACCESS_KEY, SECRET_KEY);
    // No bucket is another thing than no object.
    let (text, kind) = said(&store.delete_prefix("vod/a/").await.unwrap_err());
    assert!(text.contains("NoSuchBucket: there is no such bucket"), "{text}");
    assert_eq!(kind, Some(ErrorKind::NotConnected));
}

#[tokio::test]
async fn a_wrong_clock_is_said_in_seconds() {
    let server = S3Server::start().unwrap();
    for (ahead, direction) in [(3600, "ahead of"), (-3600, "behind")] {
        let clock = Clock::manual(Timestamp(Clock::system().now().0 + ahead * 1_000_000));
        let store = S3Store::with_key(&server.config(), clock, ACCESS_KEY, SECRET_KEY);
        let (text, _) = said(&store.probe().await.unwrap_err());
        let seconds = text.split_once("the clock of this machine is ").unwrap().1;
        let (seconds, rest) = seconds.split_once(" s ").unwrap();
        assert!((3590..=3610).contains(&seconds.parse::<i64>().unwrap()), "{text}");
        assert!(rest.starts_with(direction) && rest.contains("NTP"), "{text}");
    }
    let minute = Clock::manual(Timestamp(Clock::system().now().0 + 60_000_000));
    let skew = S3Store::with_key(&server.config(), minute, ACCESS_KEY, SECRET_KEY)
        .probe()
        .await
        .unwrap();
    assert!((55..=65).contains(&skew), "{skew}");
    assert_eq!(server.keys("probe/"), [""; 0]);
}

#[tokio::test]
async fn a_short_storm_of_503_is_not_noticed_and_a_long_one_is_an_error() {
    let server = S3Server::start().unwrap();
    let store = store(&server);
    server.fail_next(3);
    store.put("vod/a/1.m4s", vec!["x".into()]).await.unwrap();
    assert_eq!(server.seen(), 4);
    server.behave(Mode::Storm);
    let (text, kind) = said(&store.put("vod/a/2.m4s", vec!["x".into()]).await.unwrap_err());
    assert!(text.contains("503 SlowDown"), "{text}");
    assert_eq!(kind, Some(ErrorKind::NotConnected));
    assert_eq!(server.seen(), 8, "four tries and no more");
}

#[tokio::test]
async fn a_slow_upload_is_overtaken_by_a_second_one() {
    let server = S3Server::start().unwrap();
    let store = S3Store::with_key(&server.config(), Clock::system(), ACCESS_KEY, SECRET_KEY);
    let store = store.hedged_after(Duration::from_millis(50));
    server.hold_next(1);
    // Nobody lets the first request go: without a second one this would end as an error.
    store.put("vod/a/1.m4s", vec!["x".into()]).await.unwrap();
    assert_eq!(server.keys("vod/"), ["vod/a/1.m4s"]);
    assert_eq!(server.seen(), 2);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_never_taken_for_the_object() {
    let server = S3Server::start().unwrap();
    let store = store(&server);
    store.put("vod/a/1.m4s", vec!["0123456789".into()]).await.unwrap();
    server.behave(Mode::Truncating);
    let (text, _) = said(&store.get("vod/a/1.m4s").await.unwrap_err());
    assert!(text.starts_with("object vod/a/1.m4s"), "{text}");
    server.behave(Mode::Healthy);
    assert_eq!(store.get("vod/a/1.m4s").await.unwrap(), "0123456789");
}

#[tokio::test]
async fn bytes_that_changed_in_the_bucket_are_not_given_out() {
    let server = S3Server::start().unwrap();
    let store = store(&server);
    store.put("vod/a/1.m4s", vec!["0123456789".into()]).await.unwrap();
    std::fs::write(server.path("vod/a/1.m4s"), b"012345678!").unwrap();
    // The server still says the checksum that the upload had.
    assert!(store.get("vod/a/1.m4s").await.is_err());
}
