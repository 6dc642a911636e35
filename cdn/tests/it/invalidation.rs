//! Invalidations against a server that speaks CloudFront's API (ministack), and against answers that it never gives.

use std::time::Duration;

use nova_cdn::CloudFront;
use nova_cdn::invalidation::InvalidationError;
use nova_cdn::testing::cloudfront::{CloudFrontServer, Fault};
use nova_core::clock::Clock;
use nova_core::config::CloudFrontConfig;

const SECRET: &str = "a-secret-that-appears-nowhere";

fn cloudfront(config: &CloudFrontConfig) -> CloudFront {
    let cloudfront = CloudFront::with_key(config, Clock::system(), "AKIATESTSERVER", SECRET);
    cloudfront.bounded_by(Duration::from_secs(5))
}

fn paths(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[tokio::test]
async fn a_call_that_is_made_again_is_the_same_invalidation() {
    let server = CloudFrontServer::start().unwrap();
    let cloudfront = cloudfront(&server.config());
    let wanted = paths(&["/vod/a/*", "/b?x=1&y=<2>", "/c%20d"]);
    let id = cloudfront.invalidate("first", &wanted).await.unwrap();
    assert_eq!(cloudfront.invalidate("first", &wanted).await.unwrap(), id);
    assert!(cloudfront.is_complete(&id).await.unwrap());
    let other = cloudfront.invalidate("second", &wanted).await.unwrap();
    assert_ne!(other, id);
    // The server writes them as XML does.
    let written = paths(&["/vod/a/*", "/b?x=1&amp;y=&lt;2&gt;", "/c%20d"]);
    assert_eq!(server.invalidations().unwrap(), [written.clone(), written]);
    let error = cloudfront.invalidate("first", &paths(&["/other"])).await.unwrap_err();
    assert_eq!((error.may_pass(), error.is_setup()), (false, false), "{error}");
    let error = cloudfront.is_complete("NOSUCH").await.unwrap_err();
    assert_eq!((error.may_pass(), error.is_setup()), (false, false), "{error}");
    let (call, body) = &server.calls()[0];
    assert!(call.starts_with("POST /2020-05-31/distribution/"), "{call}");
    assert!(body.contains("<Quantity>3</Quantity>"), "{body}");
}

#[tokio::test]
async fn the_distribution_is_found_with_its_names_and_told_apart_from_none() {
    let server = CloudFrontServer::start().unwrap();
    let found = cloudfront(&server.config()).probe().await.unwrap();
    assert!(found.domain.ends_with(".cloudfront.net") && found.enabled, "{found:?}");
    assert_eq!(found.aliases, ["cdn.example"]);
    let none = CloudFrontConfig {
        distribution_id: "ENONE".into(),
        ..server.config()
    };
    let error = cloudfront(&none).probe().await.unwrap_err();
    assert!(
        error.is_setup() && error.to_string().contains("no such distribution"),
        "{error}"
    );
    let unset = CloudFrontConfig::default();
    assert!(CloudFront::connect(&unset, Clock::system()).await.is_none());
}

#[tokio::test]
async fn what_may_pass_is_told_from_what_will_not_and_no_error_tells_a_secret() {
    let server = CloudFrontServer::start().unwrap();
    let cloudfront = cloudfront(&server.config());
    let wanted = paths(&["/a"]);
    for (fault, may_pass, is_setup) in [
        (Fault::Refuse(400, "TooManyInvalidationsInProgress"), true, false),
        (Fault::Refuse(400, "Throttling"), true, false),
        (Fault::Refuse(429, "TooManyRequestsException"), true, false),
        (Fault::Refuse(503, "ServiceUnavailable"), true, false),
        (Fault::Refuse(500, ""), true, false),
        (Fault::Close, true, false),
        (Fault::Truncate, true, false),
        (Fault::Refuse(403, "AccessDenied"), false, true),
        (Fault::Refuse(403, "SignatureDoesNotMatch"), false, true),
        (Fault::Refuse(404, "NoSuchDistribution"), false, true),
        (Fault::Refuse(400, "InvalidArgument"), false, false),
    ] {
        server.fail([fault.clone()]);
        let error = cloudfront.invalidate("one", &wanted).await.unwrap_err();
        assert_eq!(
            (error.may_pass(), error.is_setup()),
            (may_pass, is_setup),
            "{fault:?}: {error}"
        );
        let all = format!("{error} {error:?}");
        assert!(!all.contains(SECRET) && !all.contains("AKIATESTSERVER"), "{all}");
    }
    // One of these calls reached the server, whose answer was cut off.
    assert_eq!(server.invalidations().unwrap().len(), 1);
    cloudfront.invalidate("one", &wanted).await.unwrap();
    assert_eq!(server.invalidations().unwrap(), [["/a"]]);
}

#[tokio::test]
async fn a_call_whose_answer_does_not_come_ends_in_time_and_is_the_same_when_made_again() {
    let server = CloudFrontServer::start().unwrap();
    let cloudfront = cloudfront(&server.config()).bounded_by(Duration::from_millis(300));
    server.fail([Fault::Hold]);
    let error = cloudfront.invalidate("one", &paths(&["/a"])).await.unwrap_err();
    assert!(
        matches!(error, InvalidationError::TimedOut(_)) && error.may_pass(),
        "{error}"
    );
    let patient = cloudfront.bounded_by(Duration::from_secs(5));
    patient.invalidate("one", &paths(&["/a"])).await.unwrap();
    assert_eq!(server.invalidations().unwrap(), [["/a"]]);
}
