//! Every operation of the API, asked by everybody (ASVS 8.2.1 to 8.2.3, 8.3.2): one that is missing in the table fails the test, one that
//! answers what its description does not say fails it, too.

use nova_core::clock::Timestamp;
use nova_domain::http::caller::Proof;
use nova_domain::{Role, testing};

use crate::house::{CAPTIONS, House, PASSWORD, Person};

/// Who asks. `other` knows nobody, `blocked` is blocked by the owner, `suspended` is another one who is suspended; `stale` is the owner who proved
/// who they are too long ago for what is sensitive, `token` the owner by a personal access token for everything.
const WHO: [&str; 9] = [
    "anonymous",
    "owner",
    "other",
    "blocked",
    "suspended",
    "moderator",
    "admin",
    "stale",
    "token",
];

type Line = (&'static str, &'static str, &'static str, [u16; 9]);

/// Everybody is answered so.
const fn all(status: u16) -> [u16; 9] {
    [status; 9]
}

/// Whoever is logged in may, on their own behalf; a suspended person may look.
const fn look(status: u16) -> [u16; 9] {
    [401, status, status, status, status, status, status, status, status]
}

/// The same for what a personal access token may not see.
const fn look_in_person(status: u16) -> [u16; 9] {
    [401, status, status, status, status, status, status, status, 403]
}

/// Whoever is logged in may, and a suspended person may not.
const fn act(status: u16) -> [u16; 9] {
    [401, status, status, status, 403, status, status, status, status]
}

/// The same in person, with a recent proof.
const fn sensitive(status: u16) -> [u16; 9] {
    [401, status, status, status, 403, status, status, 403, 403]
}

/// Moderators and admins may, in person.
const fn moderate(status: u16) -> [u16; 9] {
    [401, 403, 403, 403, 403, status, status, 403, 403]
}

/// Admins may.
const fn rule(status: u16) -> [u16; 9] {
    [401, 403, 403, 403, 403, 403, status, 403, 403]
}

/// What anybody sees whom the owner has not blocked.
const PUBLIC: [u16; 9] = [200, 200, 200, 404, 200, 200, 200, 200, 200];
/// What the owner sees, and whoever moderates.
const PRIVATE: [u16; 9] = [404, 200, 404, 404, 404, 200, 200, 200, 200];

/// What the owner alone changes; others see that it is there.
const fn owned(status: u16) -> [u16; 9] {
    [401, status, 403, 404, 403, 403, 403, status, status]
}

/// What the owner alone changes, and others must not know of.
const fn hidden(status: u16) -> [u16; 9] {
    [401, status, 404, 404, 403, 403, 403, status, status]
}

/// What the owner alone has, and nobody else knows of.
const fn mine(status: u16) -> [u16; 9] {
    [401, status, 404, 404, 403, 404, 404, status, status]
}

/// The same in person, with a recent proof.
const fn mine_sensitive(status: u16) -> [u16; 9] {
    [401, status, 404, 404, 403, 404, 404, 403, 403]
}

/// What the owner takes away, and whoever moderates.
const fn taken_down(status: u16) -> [u16; 9] {
    [401, status, 403, 404, 403, status, status, status, status]
}

/// The same of what others must not know of.
const fn taken_down_hidden(status: u16) -> [u16; 9] {
    [401, status, 404, 404, 403, status, status, status, status]
}

/// Whoever may see it reports it, but its owner; who is blocked may as well.
const REPORTED: [u16; 9] = [401, 422, 201, 201, 403, 201, 201, 422, 422];

/// Method, path below `/api/v1`, body; then what each of [`WHO`] is answered. What is in braces is made for each request, of the owner.
const AUTH: &[Line] = &[
    ("GET", "/.well-known/jwks.json", "", all(200)),
    (
        "POST",
        "/auth/register",
        r#"{"email":"new@example.org","username":"newcomer","password":"a rather long phrase of mine"}"#,
        all(202),
    ),
    (
        "POST",
        "/auth/verify-email",
        r#"{"email":"new@example.org","code":"00000000"}"#,
        all(422),
    ),
    (
        "POST",
        "/auth/login",
        r#"{"email_or_username":"nobody","password":"a rather long phrase of mine"}"#,
        all(401),
    ),
    ("POST", "/auth/refresh", r#"{"refresh_token":"x"}"#, all(401)),
    ("POST", "/auth/logout", "", look_in_person(204)),
    (
        "POST",
        "/auth/password-reset",
        r#"{"email":"new@example.org"}"#,
        all(202),
    ),
    (
        "POST",
        "/auth/password-reset/confirm",
        r#"{"token":"x","password":"a rather long phrase of mine"}"#,
        all(422),
    ),
    ("POST", "/auth/introspect", r#"{"token":"x"}"#, all(200)),
    ("GET", "/auth/sudo", "", look_in_person(200)),
    (
        "POST",
        "/auth/sudo",
        r#"{"password":"{password}"}"#,
        look_in_person(200),
    ),
    (
        "POST",
        "/auth/password",
        r#"{"current_password":"{password}","new_password":"{password}"}"#,
        [401, 204, 204, 204, 403, 204, 204, 204, 403],
    ),
    ("GET", "/auth/account", "", look(200)),
    (
        "DELETE",
        "/auth/account",
        "",
        [401, 202, 202, 202, 202, 202, 202, 403, 403],
    ),
    ("POST", "/auth/account/restore", "", look_in_person(204)),
    ("POST", "/auth/email", r#"{"email":"new@example.org"}"#, sensitive(202)),
    ("GET", "/auth/logins", "", look_in_person(200)),
    (
        "POST",
        "/auth/exports",
        "",
        [401, 202, 202, 202, 202, 202, 202, 403, 403],
    ),
    ("GET", "/auth/exports", "", look_in_person(200)),
    (
        "GET",
        "/auth/exports/{export}",
        "",
        [401, 200, 404, 404, 404, 404, 404, 200, 403],
    ),
    ("GET", "/auth/sessions", "", look_in_person(200)),
    ("DELETE", "/auth/sessions", "", look_in_person(204)),
    (
        "DELETE",
        "/auth/sessions/{session}",
        "",
        [401, 204, 404, 404, 404, 404, 404, 204, 403],
    ),
    (
        "PATCH",
        "/auth/sessions/{session}",
        r#"{"device_name":"x"}"#,
        [401, 204, 404, 404, 403, 404, 404, 204, 403],
    ),
    ("GET", "/auth/tokens", "", look_in_person(200)),
    (
        "POST",
        "/auth/tokens",
        r#"{"name":"x","scopes":["read"]}"#,
        sensitive(201),
    ),
    (
        "DELETE",
        "/auth/tokens/{token}",
        "",
        [401, 204, 404, 404, 403, 404, 404, 204, 403],
    ),
    ("POST", "/auth/totp", "", sensitive(200)),
    ("POST", "/auth/totp/confirm", r#"{"code":"000000"}"#, sensitive(409)),
    ("POST", "/auth/totp/recovery-codes", "", sensitive(409)),
    ("DELETE", "/auth/totp", "", sensitive(409)),
    ("GET", "/auth/passkeys", "", look_in_person(200)),
    (
        "PATCH",
        "/auth/passkeys/{passkey}",
        r#"{"name":"x"}"#,
        [401, 204, 404, 404, 403, 404, 404, 204, 403],
    ),
    ("DELETE", "/auth/passkeys/{passkey}", "", mine_sensitive(204)),
    ("POST", "/auth/passkeys/login/begin", "", all(200)),
    (
        "POST",
        "/auth/passkeys/login/finish",
        r#"{"flow":"x","credential":{}}"#,
        all(401),
    ),
    ("POST", "/auth/passkeys/register/begin", "", sensitive(200)),
    (
        "POST",
        "/auth/passkeys/register/finish",
        r#"{"flow":"x","name":"x","credential":{}}"#,
        sensitive(422),
    ),
    ("POST", "/auth/passkeys/sudo/begin", "", look_in_person(409)),
    (
        "POST",
        "/auth/passkeys/sudo/finish",
        r#"{"flow":"x","credential":{}}"#,
        [401, 403, 403, 403, 403, 403, 403, 403, 403],
    ),
    ("GET", "/auth/oauth", "", all(200)),
    ("GET", "/auth/oauth/facebook/start", "", all(303)),
    ("POST", "/auth/oauth/facebook/link", "{}", sensitive(200)),
    ("POST", "/auth/oauth/facebook/sudo", "{}", look_in_person(404)),
    ("GET", "/auth/oauth/facebook/callback?state=x&code=y", "", all(303)),
    ("POST", "/auth/oauth/facebook/callback", "form:state=x&code=y", all(303)),
    (
        "POST",
        "/auth/oauth/facebook/deletion",
        "form:signed_request=x.y",
        all(401),
    ),
    ("GET", "/auth/oauth/facebook/deletion/x", "", all(404)),
    ("POST", "/auth/oauth/facebook/events", r#"{"payload":"x"}"#, all(404)),
    ("POST", "/auth/oauth/complete", r#"{"ticket":"x"}"#, all(401)),
    ("GET", "/auth/links", "", look_in_person(200)),
    ("DELETE", "/auth/links/{link}", "", mine_sensitive(204)),
    (
        "PUT",
        "/auth/users/{other}/role",
        r#"{"role":"viewer"}"#,
        [401, 403, 403, 403, 403, 403, 204, 403, 403],
    ),
];

const USERS: &[Line] = &[
    ("GET", "/users/me", "", look(200)),
    ("PATCH", "/users/me", r#"{"bio":"x"}"#, act(200)),
    ("GET", "/users/{name}", "", PUBLIC),
    ("GET", "/users?ids={owner}", "", look(200)),
    ("GET", "/users/suggestions", "", look(200)),
    ("GET", "/users/me/preferences", "", look(200)),
    ("PUT", "/users/me/preferences", "{}", act(200)),
    (
        "PUT",
        "/users/{owner}/follow",
        "",
        [401, 422, 200, 404, 403, 200, 200, 422, 422],
    ),
    ("DELETE", "/users/{owner}/follow", "", act(204)),
    (
        "PUT",
        "/users/{owner}/block",
        "",
        [401, 422, 200, 200, 403, 200, 200, 422, 422],
    ),
    ("DELETE", "/users/{owner}/block", "", act(204)),
    (
        "PUT",
        "/users/{owner}/mute",
        "",
        [401, 422, 200, 404, 403, 200, 200, 422, 422],
    ),
    ("DELETE", "/users/{owner}/mute", "", act(204)),
    ("GET", "/users/{owner}/followers", "", PUBLIC),
    ("GET", "/users/{owner}/following", "", PUBLIC),
    ("GET", "/users/me/follow-requests", "", look(200)),
    (
        "PUT",
        "/users/me/follow-requests/{request}",
        "",
        [401, 204, 404, 404, 403, 404, 404, 204, 204],
    ),
    ("DELETE", "/users/me/follow-requests/{request}", "", act(204)),
    ("DELETE", "/users/me/followers/{other}", "", act(204)),
    ("GET", "/users/me/blocks", "", look(200)),
    ("GET", "/users/me/mutes", "", look(200)),
    ("GET", "/users/me/strikes", "", look(200)),
    (
        "POST",
        "/users/me/appeals",
        r#"{"strike_id":"{strike}","text":"why"}"#,
        [401, 201, 404, 404, 404, 404, 404, 201, 403],
    ),
    (
        "POST",
        "/reports",
        r#"{"target_type":"user","target_id":"{owner}","reason":"other"}"#,
        [401, 422, 201, 201, 403, 201, 201, 422, 422],
    ),
    ("GET", "/moderation/reports", "", moderate(200)),
    ("POST", "/moderation/reports/{report}/claim", "", moderate(200)),
    (
        "POST",
        "/moderation/reports/{report}/resolve",
        r#"{"action":"none"}"#,
        moderate(200),
    ),
    ("GET", "/moderation/users/{owner}/strikes", "", moderate(200)),
    (
        "POST",
        "/moderation/users/{owner}/warn",
        r#"{"statement":"why"}"#,
        moderate(200),
    ),
    (
        "POST",
        "/moderation/users/{owner}/suspend",
        r#"{"statement":"why","days":3}"#,
        moderate(200),
    ),
    ("POST", "/moderation/users/{owner}/unsuspend", "", moderate(204)),
    ("GET", "/moderation/appeals", "", moderate(200)),
    (
        "POST",
        "/moderation/appeals/{appeal}/decide",
        r#"{"grant":false,"answer":"no"}"#,
        moderate(200),
    ),
];

const MEDIA: &[Line] = &[
    ("GET", "/streams", "", all(200)),
    ("POST", "/streams", r#"{"title":"x"}"#, act(201)),
    ("GET", "/streams/{stream}", "", PUBLIC),
    ("GET", "/streams/{private_stream}", "", PRIVATE),
    ("PATCH", "/streams/{stream}", r#"{"title":"x"}"#, owned(200)),
    ("PATCH", "/streams/{private_stream}", r#"{"title":"x"}"#, hidden(200)),
    ("DELETE", "/streams/{stream}", "", taken_down(204)),
    ("DELETE", "/streams/{private_stream}", "", taken_down_hidden(204)),
    ("POST", "/streams/{stream}/key", "", owned(200)),
    ("POST", "/streams/{private_stream}/key", "", hidden(200)),
    ("POST", "/streams/{stream}/stop", "", taken_down(204)),
    ("POST", "/streams/{private_stream}/stop", "", taken_down_hidden(204)),
    (
        "POST",
        "/streams/{stream}/playback-token",
        "",
        [401, 200, 200, 404, 403, 200, 200, 200, 200],
    ),
    (
        "POST",
        "/streams/{private_stream}/playback-token",
        "",
        [401, 200, 404, 404, 403, 200, 200, 200, 200],
    ),
    ("GET", "/images", "", look(200)),
    ("POST", "/images", "picture", act(201)),
    ("GET", "/images/{image}", "", PUBLIC),
    ("DELETE", "/images/{image}", "", taken_down(204)),
    ("GET", "/videos", "", all(200)),
    ("GET", "/videos/{video}", "", PUBLIC),
    ("GET", "/videos/{private_video}", "", PRIVATE),
    ("GET", "/videos/{draft}", "", PRIVATE),
    ("PATCH", "/videos/{video}", r#"{"title":"x"}"#, owned(200)),
    ("PATCH", "/videos/{private_video}", r#"{"title":"x"}"#, hidden(200)),
    ("DELETE", "/videos/{video}", "", taken_down(204)),
    ("DELETE", "/videos/{private_video}", "", taken_down_hidden(204)),
    (
        "POST",
        "/videos/{video}/playback-token",
        "",
        [401, 200, 200, 404, 403, 200, 200, 200, 200],
    ),
    (
        "POST",
        "/videos/{private_video}/playback-token",
        "",
        [401, 200, 404, 404, 403, 200, 200, 200, 200],
    ),
    (
        "POST",
        "/cdn/signed-urls",
        r#"{"video_id":"{video}"}"#,
        [401, 200, 403, 404, 403, 403, 200, 200, 200],
    ),
    (
        "POST",
        "/cdn/signed-urls",
        r#"{"stream_id":"{private_stream}"}"#,
        [401, 200, 404, 404, 403, 403, 200, 200, 200],
    ),
    ("POST", "/cdn/invalidations", r#"{"paths":["/vod/x/*"]}"#, rule(202)),
    ("GET", "/cdn/invalidations", "", rule(200)),
    ("GET", "/cdn/invalidations/{invalidation}", "", rule(200)),
    ("POST", "/videos/{draft}/cancel", "", hidden(202)),
    ("POST", "/videos/{failed}/retry", "", hidden(202)),
    ("GET", "/storage", "", look(200)),
    ("OPTIONS", "/uploads", "", all(204)),
    ("POST", "/uploads", "", act(201)),
    (
        "HEAD",
        "/uploads/{upload}",
        "",
        [401, 200, 404, 404, 404, 404, 404, 200, 200],
    ),
    ("PATCH", "/uploads/{upload}", "piece", mine(204)),
    ("DELETE", "/uploads/{upload}", "", mine(204)),
    (
        "POST",
        "/reports",
        r#"{"target_type":"stream","target_id":"{stream}","reason":"spam"}"#,
        REPORTED,
    ),
    (
        "POST",
        "/reports",
        r#"{"target_type":"video","target_id":"{video}","reason":"spam"}"#,
        REPORTED,
    ),
    (
        "POST",
        "/reports",
        r#"{"target_type":"image","target_id":"{image}","reason":"spam"}"#,
        REPORTED,
    ),
    (
        "POST",
        "/reports",
        r#"{"target_type":"stream","target_id":"{private_stream}","reason":"spam"}"#,
        [401, 422, 404, 404, 403, 404, 404, 422, 422],
    ),
    (
        "POST",
        "/reports",
        r#"{"target_type":"video","target_id":"{private_video}","reason":"spam"}"#,
        [401, 422, 404, 404, 403, 404, 404, 422, 422],
    ),
    (
        "POST",
        "/reports",
        r#"{"target_type":"video","target_id":"{draft}","reason":"spam"}"#,
        [401, 422, 404, 404, 403, 404, 404, 422, 422],
    ),
    (
        "POST",
        "/videos/{video}/clips",
        r#"{"start":0,"end":2}"#,
        [401, 201, 201, 404, 403, 201, 201, 201, 201],
    ),
    (
        "POST",
        "/videos/{private_video}/clips",
        r#"{"start":0,"end":2}"#,
        [401, 201, 404, 404, 403, 403, 403, 201, 201],
    ),
    ("GET", "/reels", "", all(200)),
    ("GET", "/videos/{video}/captions", "", PUBLIC),
    ("GET", "/videos/{private_video}/captions", "", PRIVATE),
    ("PUT", "/videos/{video}/captions/en", "captions", owned(200)),
    ("PUT", "/videos/{private_video}/captions/en", "captions", hidden(200)),
    ("DELETE", "/videos/{captioned}/captions/en", "", owned(204)),
];

/// The people of one line.
struct Cast {
    callers: [Option<Person>; 9],
}

impl Cast {
    async fn new(house: &House, line: &str) -> Self {
        let person = async |who: &str, role| house.person(&format!("{who}_{line}"), role).await;
        let owner = person("owner", Role::Viewer).await;
        let (other, blocked) = (
            person("other", Role::Viewer).await,
            person("blocked", Role::Viewer).await,
        );
        let suspended = person("suspended", Role::Viewer).await;
        house.suspend(&suspended).await;
        let (moderator, admin) = (
            person("moderates", Role::Moderator).await,
            person("rules", Role::Admin).await,
        );
        let block = format!("/users/{}/block", blocked.id);
        house.must(&owner, "PUT", &block, None).await;
        let stale = house.as_well(&owner, "stale", |caller| {
            caller.authenticated_at = Timestamp(caller.authenticated_at.0 - 11 * 60_000_000);
        });
        let token = house.as_well(&owner, "token", |caller| {
            caller.proof = Proof::Token(vec!["read".into(), "write".into()]);
        });
        Self {
            callers: [
                None,
                Some(owner),
                Some(other),
                Some(blocked),
                Some(suspended),
                Some(moderator),
                Some(admin),
                Some(stale),
                Some(token),
            ],
        }
    }

    fn called(&self, who: &str) -> &Person {
        let index = WHO.iter().position(|one| *one == who).unwrap();
        self.callers[index].as_ref().unwrap()
    }

    /// The text with what stands in braces made, of the owner.
    async fn fill(&self, house: &House, caller: Option<&Person>, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, name, after)) = placeholder(rest) {
            filled += before;
            let owner = self.called("owner");
            filled += &match name {
                "owner" => owner.id.to_string(),
                "name" => owner.name.clone(),
                "other" => self.called("other").id.to_string(),
                "password" => {
                    if let Some(caller) = caller {
                        house.set_password(caller).await;
                    }
                    PASSWORD.to_owned()
                }
                other => {
                    house
                        .make(other, owner, self.called("other"), self.called("moderator"))
                        .await
                }
            };
            rest = after;
        }
        filled + rest
    }
}

/// What stands before a name in braces, the name, and what stands after it.
fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    text.match_indices('{').find_map(|(start, _)| {
        let (name, after) = text[start + 1..].split_once('}')?;
        is_name(name).then_some((&text[..start], name, after))
    })
}

async fn ask(house: &House, cast: &Cast, caller: Option<&Person>, (method, path, body, _): &Line) -> (u16, String) {
    let (path, body) = (
        cast.fill(house, caller, path).await,
        cast.fill(house, caller, body).await,
    );
    let path = if path.starts_with("/.well-known") {
        path
    } else {
        format!("/api/v1{path}")
    };
    let (kind, body) = match body.as_str() {
        "" => (None, body),
        "picture" => (Some("image/png"), body),
        "captions" => (Some("text/vtt"), CAPTIONS.to_owned()),
        "piece" => (Some("application/offset+octet-stream"), body),
        form if form.starts_with("form:") => (
            Some("application/x-www-form-urlencoded"),
            form.trim_start_matches("form:").to_owned(),
        ),
        _ => (Some("application/json"), body),
    };
    let headers: &[(&str, &str)] = match *method {
        "POST" if path.ends_with("/uploads") => &[("tus-resumable", "1.0.0"), ("upload-length", "5")],
        _ if path.contains("/uploads/") => &[("tus-resumable", "1.0.0"), ("upload-offset", "0")],
        _ => &[],
    };
    let token = caller.map(|caller| caller.token.as_str());
    let (status, answer) = house.send(token, method, &path, (kind, body), headers).await;
    (status, answer.to_string())
}

/// Every caller of every line on both engines; what is not as the table says.
async fn holds(table: &[Line]) {
    for db in testing::databases().await {
        let house = House::new(db).await;
        let mut wrong = Vec::new();
        for (number, line) in table.iter().enumerate() {
            let (method, path, _, expected) = line;
            let cast = Cast::new(&house, &number.to_string()).await;
            let described = &described(&house, method, path)["responses"];
            for ((caller, who), expected) in cast.callers.iter().zip(WHO).zip(expected) {
                let (status, answer) = ask(&house, &cast, caller.as_ref(), line).await;
                if status != *expected {
                    wrong.push(format!(
                        "{method} {path} as {who}: {status} instead of {expected}: {answer}"
                    ));
                }
                if described.get(status.to_string()).is_none() {
                    wrong.push(format!("{method} {path} as {who}: {status} is not described"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// What the description says of the operation that a line of the table is about: the one with the fewest parameters, as the router prefers it.
fn described<'a>(house: &'a House, method: &str, path: &str) -> &'a serde_json::Value {
    let paths = house.api["paths"].as_object().unwrap();
    let found = paths
        .iter()
        .filter(|(template, _)| is_about(path, template))
        .filter_map(|(template, item)| Some((template.matches('{').count(), item.get(method.to_lowercase())?)))
        .min_by_key(|(parameters, _)| *parameters);
    found
        .unwrap_or_else(|| panic!("{method} {path} is described nowhere"))
        .1
}

/// A line's path leads to this template: a name in braces may stand for its parameters only.
fn is_about(path: &str, template: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let template = template.trim_start_matches("/api/v1");
    let (path, template): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
    let alike = |(part, template): (&&str, &&str)| part == template || template.starts_with('{');
    path.len() == template.len() && path.iter().zip(&template).all(alike)
}

#[tokio::test]
async fn every_operation_on_accounts_answers_everybody_as_the_table_says() {
    holds(AUTH).await;
}

#[tokio::test]
async fn every_operation_on_people_answers_everybody_as_the_table_says() {
    holds(USERS).await;
}

#[tokio::test]
async fn every_operation_on_media_answers_everybody_as_the_table_says() {
    holds(MEDIA).await;
}

#[tokio::test]
async fn no_operation_is_missing_in_the_table() {
    let house = House::new(testing::sqlite().await).await;
    let lines = || [AUTH, USERS, MEDIA].into_iter().flatten();
    let mut missing = Vec::new();
    for (template, item) in house.api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let named = lines().any(|(one, path, ..)| {
                one.eq_ignore_ascii_case(method) && std::ptr::eq(described(&house, one, path), operation)
            });
            if !named {
                missing.push(format!("{method} {template}"));
            }
        }
    }
    assert!(missing.is_empty(), "in no table: {missing:#?}");
}

/// ASVS 6.4.6: an admin sends a link, and the person chooses.
#[tokio::test]
async fn nobody_chooses_a_password_for_somebody_else() {
    let house = House::new(testing::sqlite().await).await;
    let mut taking = Vec::new();
    for (path, item) in house.api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let schema = schema
                .as_str()
                .and_then(|name| house.api.pointer(name.trim_start_matches('#')));
            let fields = schema.and_then(|schema| schema["properties"].as_object());
            if fields.is_some_and(|fields| fields.keys().any(|name| name.contains("password"))) {
                taking.push(format!("{method} {path}"));
            }
        }
    }
    let own = [
        "post /api/v1/auth/login",
        "post /api/v1/auth/password",
        "post /api/v1/auth/password-reset/confirm",
        "post /api/v1/auth/register",
        "post /api/v1/auth/sudo",
    ];
    taking.sort_unstable();
    assert_eq!(taking, own, "each is about who asks, or whom a mail was sent to");
}
