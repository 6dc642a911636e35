use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use nova_core::error::Kind;
use nova_domain::audit::Act;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json};
use nova_domain::{Caller, Problem, Role};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Shown, Status};
use crate::domain::State;
use crate::invalidation::{ASKED, InvalidationId, MOST_WAITING, insert};

const PER_ACCOUNT: Rule = Rule::new("invalidations.account", 60, 600, Duration::from_secs(3600));

/// Paths of one request.
const MOST_PATHS: usize = 100;
/// Of these, with a `*` at the end.
const MOST_WILDCARDS: usize = 15;
/// Bytes of a path.
const LONGEST: usize = 1024;

/// What the CDN has to forget.
#[derive(Deserialize, ToSchema)]
#[schema(as = InvalidationRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Paths of the CDN's addresses, with their query where that counts for its caches; a `*` at the end of one stands for whatever follows, and at most 15
    /// may have it. What must not stand in an address is percent-encoded.
    #[schema(min_items = 1, max_items = 100, example = json!(["/vod/0190c0de-0000-7000-8000-000000000000/*"]))]
    paths: Vec<String>,
}

/// Whether CloudFront takes this path.
fn is_path(path: &str) -> bool {
    let stem = path.strip_suffix('*').unwrap_or(path);
    let mut bytes = stem.bytes();
    let mut fine = path.len() <= LONGEST && stem.starts_with('/');
    while let Some(byte) = bytes.next() {
        fine &= match byte {
            b'%' => [bytes.next(), bytes.next()]
                .into_iter()
                .all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            byte => byte.is_ascii_alphanumeric() || b"-_.!'(),$&+;=:@/?".contains(&byte),
        };
    }
    fine
}

/// Makes the CDN's caches forget what lies at these paths. It is done in the background, together with what others ask for; the answer's id tells how far
/// it is. For admins: what is deleted, replaced or made private is forgotten without anybody's asking.
#[utoipa::path(
    post, path = "/cdn/invalidations", tag = "videos", operation_id = "invalidate_cdn_cache", security(("bearer" = [])), request_body = Asked,
    responses(
        (status = 202, description = "Noted", body = Shown),
        (status = 400, description = "The body cannot be read", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "Not an admin, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "No CDN that can be made to forget is configured", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "Too much waits already", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Json(asked): Json<Asked>,
) -> Result<Response, Problem> {
    caller.require(Role::Admin)?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let paths = asked.paths;
    let mut fields = Fields::new();
    fields.check(
        (1..=MOST_PATHS).contains(&paths.len()),
        "paths",
        format!("must be 1 to {MOST_PATHS}"),
    );
    fields.check(
        paths.iter().filter(|path| path.ends_with('*')).count() <= MOST_WILDCARDS,
        "paths",
        format!("at most {MOST_WILDCARDS} end with '*'"),
    );
    for (place, _) in paths
        .iter()
        .take(MOST_PATHS)
        .enumerate()
        .filter(|(_, path)| !is_path(path))
    {
        let what =
            format!("must begin with '/', have at most {LONGEST} characters of an address, and '*' only at its end");
        fields.check(false, &format!("paths[{place}]"), what);
    }
    fields.done()?;
    if state.live.purge.is_none() {
        return Err(Problem::conflict("no CDN that can be made to forget is configured"));
    }
    let waiting: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM media_invalidations WHERE batch_id IS NULL AND finished_at IS NULL")
            .fetch_one(state.db.read())
            .await
            .map_err(nova_domain::db::Error::from)?;
    if waiting >= MOST_WAITING {
        return Err(Problem::of(Kind::Unavailable, "too much waits for the CDN already"));
    }
    let now = state.clock.now();
    let id = InvalidationId::new(now);
    let mut tx = state.db.begin().await?;
    insert(&mut tx, id, ASKED, &paths, now, now).await?;
    let act = Act {
        actor: Some(caller.user),
        action: "media.cdn_invalidated",
        subject: Some(id.to_string()),
        detail: "admin",
    };
    tx.audit(act, Some(&client), now).await?;
    let shown = Shown {
        id,
        status: Status::Pending,
        reason: ASKED.to_owned(),
        paths,
        error: None,
        cdn_id: None,
        created_at: now,
        submitted_at: None,
        finished_at: None,
    };
    Ok(tx.commit_as((StatusCode::ACCEPTED, Json(shown))).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_addresses_with_a_star_at_the_end_only() {
        for good in ["/", "/*", "/a/b.m4s", "/a/b*", "/a%20b", "/a?x=1&y=2", "/a?*"] {
            assert!(is_path(good), "{good}");
        }
        let long = format!("/{}", "a".repeat(LONGEST));
        for bad in [
            "", "*", "a/b", "/a/*/b", "/a**", "/a b", "/ä", "/a%2", "/a%zz", "/a#b", "/a\n", "/a\"", "/a\0", &long,
        ] {
            assert!(!is_path(bad), "{bad:?}");
        }
    }
}
