//! The whole program before a CloudFront distribution: ministack speaks its control API, and what stands before that fails as it is told.

use nova_cdn::testing::cloudfront::{CloudFrontServer, Fault};
use serde_json::{Value, json};

use crate::platform::{PASSWORD, Person, call, json_of};
use crate::program::run;
use crate::server::{Server, nova, until};

const KEY: &str = "AKIATESTSERVER";
const SECRET: &str = "an-s3cret-that-appears-nowhere";

fn variables(id: &str, endpoint: &str) -> [(&'static str, String); 5] {
    [
        ("NOVA_CDN__CLOUDFRONT__DISTRIBUTION_ID", id.to_owned()),
        ("NOVA_CDN__CLOUDFRONT__ENDPOINT", endpoint.to_owned()),
        ("NOVA_CDN__BASE_URL", "https://cdn.example".to_owned()),
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ]
}

/// A data folder with an admin in it, and what sets their password.
pub(crate) fn with_admin() -> (tempfile::TempDir, Value) {
    let data = tempfile::tempdir().expect("a folder");
    let arguments = "admin create-user --email root@example.org --username rooty --admin";
    let output = nova()
        .args(arguments.split(' '))
        .env("NOVA_DATA_DIR", data.path())
        .output()
        .expect("nova runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rest) = said.split_once('#').unwrap_or_else(|| panic!("a link in {said}"));
    let link = rest.lines().next().unwrap_or_default();
    (data, json!({ "token": link, "password": PASSWORD }))
}

fn until_done(admin: &Person<'_>, id: &str) -> Value {
    until("the CDN to forget", 40, || {
        let shown = json_of(admin.call("GET", &format!("/cdn/invalidations/{id}"), None).ok());
        (shown["status"] == "completed").then_some(shown)
    })
}

#[test]
fn what_the_cdn_was_told_before_a_kill_is_told_again_as_the_same_and_nothing_is_lost() {
    let cloudfront = CloudFrontServer::start().expect("a CloudFront API");
    let config = cloudfront.config();
    let variables = variables(&config.distribution_id, &config.endpoint);
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (data, link) = with_admin();
    let server = Server::start_in(data, &variables);
    call(&server, "POST", "/auth/password-reset/confirm", None, Some(&link)).is(200);
    let admin = Person::login(&server, "rooty");
    // Refused twice, then done, and the answer never comes.
    cloudfront.fail([
        Fault::Refuse(400, "TooManyInvalidationsInProgress"),
        Fault::Refuse(503, "ServiceUnavailable"),
        Fault::Hold,
    ]);
    let body = json!({ "paths": ["/vod/x/*", "/vod/x/y", "/one.jpg"] });
    let asked = json_of(admin.call("POST", "/cdn/invalidations", Some(&body)).is(202));
    let id = asked["id"].as_str().expect("an id").to_owned();
    cloudfront.until_called(|calls| calls.len() == 3);
    until("the server to have done it", 10, || {
        (cloudfront.invalidations().expect("an answer").len() == 1).then_some(())
    });
    let server = Server::start_in(server.leave("KILL"), &variables);
    let admin = Person::login(&server, "rooty");
    // What is deleted is forgotten without anybody's asking.
    let stream = json!({ "title": "My show", "visibility": "public" });
    let stream = json_of(admin.call("POST", "/streams", Some(&stream)).is(201));
    let (name, path) = (
        stream["name"].as_str().expect("a name"),
        format!("/streams/{}", stream["id"].as_str().expect("an id")),
    );
    admin.call("DELETE", &path, None).is(204);
    let done = until_done(&admin, &id);
    assert!(done["error"].is_null() && done["cdn_id"].is_string(), "{done}");
    let list = json_of(admin.call("GET", "/cdn/invalidations", None).ok());
    let newest = &list["items"][0];
    assert_eq!(newest["reason"], "stream_deleted", "{newest}");
    until_done(&admin, newest["id"].as_str().expect("an id"));
    let mut known = cloudfront.invalidations().expect("an answer");
    known.sort();
    assert_eq!(
        known,
        [
            vec![format!("/live/{name}/*")],
            vec!["/vod/x/*".into(), "/one.jpg".into()]
        ]
    );
    let posts: Vec<String> = cloudfront
        .calls()
        .into_iter()
        .filter(|(call, body)| call.starts_with("POST") && body.contains("/one.jpg"))
        .map(|(_, body)| body)
        .collect();
    assert!(
        posts.len() == 4 && posts.iter().all(|body| *body == posts[0]),
        "{posts:?}"
    );
    assert!(server.metric("nova_cdn_invalidations_total", "completed") >= 2.0);
    assert!(server.metric("nova_cloudfront_calls_total", "ok") >= 3.0);
    assert!(!server.log_has(SECRET) && !server.log_has(KEY));
}

#[test]
fn the_doctor_looks_at_the_distribution() {
    let cloudfront = CloudFrontServer::start().expect("a CloudFront API");
    let config = cloudfront.config();
    let tried = |id: &str, base: &str| {
        let mut variables = variables(id, &config.endpoint);
        variables[2].1 = base.to_owned();
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (output, said) = run(&["doctor", "--dev"], &variables);
        assert!(!said.contains(SECRET), "{said}");
        let line = said.lines().find(|line| line.contains("CloudFront")).map(str::to_owned);
        (output.status.code(), line.unwrap_or(said))
    };
    let id = config.distribution_id.as_str();
    let (code, line) = tried(id, "https://cdn.example");
    assert!(
        code == Some(0) && line.starts_with("ok    ") && line.contains(".cloudfront.net"),
        "{line}"
    );
    let (code, line) = tried(id, "https://other.example");
    assert!(
        code == Some(0) && line.starts_with("note  ") && line.contains("other.example"),
        "{line}"
    );
    let (code, line) = tried("ENOSUCH", "https://cdn.example");
    assert!(
        code == Some(1) && line.starts_with("FAIL  ") && line.contains("no such distribution"),
        "{line}"
    );
    cloudfront.fail([Fault::Refuse(403, "AccessDenied")]);
    let (code, line) = tried(id, "https://cdn.example");
    assert!(
        code == Some(1) && line.contains("this access key may not do it"),
        "{line}"
    );
}
