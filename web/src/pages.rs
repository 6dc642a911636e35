//! The web app, embedded: one shell for every page, and its files.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use nova_core::publish::is_stream_name;

struct File {
    name: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    etag: &'static str,
}

mod files {
    use super::File;
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}

/// Nothing inline, nothing from elsewhere; media through blob URLs, as players make them.
macro_rules! policy {
    ($ancestors:literal) => {
        HeaderValue::from_static(concat!(
            "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; ",
            "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors ",
            $ancestors
        ))
    };
}

/// Addresses of pages that play nothing and say nothing about themselves.
const PLAIN: [&str; 14] = [
    "/",
    "/register",
    "/login",
    "/verify-email",
    "/reset-password",
    "/account",
    "/account/sessions",
    "/account/tokens",
    "/account/export",
    "/account/streams",
    "/account/videos",
    "/watch/v/{video}",
    "/u/{name}",
    "/api/docs",
];

/// Routes of the pages.
pub(crate) fn router() -> Router {
    let watch = |Path(stream): Path<String>, headers: HeaderMap| async move {
        with_player(shell(&headers, policy!("'self'")), &stream)
    };
    let embed = |Path(stream): Path<String>, headers: HeaderMap| async move {
        with_player(shell(&headers, policy!("*")), &stream)
    };
    let plain = |headers: HeaderMap| async move { shell(&headers, policy!("'self'")) };
    let pages = PLAIN
        .into_iter()
        .fold(Router::new(), |pages, path| pages.route(path, get(plain)));
    pages
        .route("/watch/{stream}", get(watch))
        .route("/embed/{stream}", get(embed))
        .route("/assets/{*path}", get(asset))
        .fallback(get(root_file))
}

fn shell(headers: &HeaderMap, policy: HeaderValue) -> Response {
    let mut response = match files::FILES.iter().find(|file| file.name == "index.html") {
        Some(file) => send(file, headers, HeaderValue::from_static("no-cache")),
        None => (
            [(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))],
            "<!doctype html><title>Nova</title><p>This build has no web app. Run <code>make ui</code> and build again.",
        )
            .into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(
        REFERRER_POLICY,
        HeaderValue::from_static("strict-origin-when-cross-origin"),
    );
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}

/// Names what a page with a player will want before its first script runs (RFC 8288, HTML 4.6.7): the chunks of hls.js and the stream's
/// playlist. They travel together with the scripts that ask for them, which on a long line is two round trips earlier.
fn with_player(mut response: Response, stream: &str) -> Response {
    let mut links: Vec<_> = files::FILES
        .iter()
        .filter(|file| file.name.starts_with("assets/hls") && file.name.ends_with(".js"))
        .map(|file| format!("</{}>; rel=modulepreload", file.name))
        .collect();
    if is_stream_name(stream) {
        links.push(format!(
            "</live/{stream}/master.m3u8>; rel=preload; as=fetch; crossorigin=anonymous"
        ));
    }
    if let Ok(links) = HeaderValue::try_from(links.join(", "))
        && !links.is_empty()
    {
        response.headers_mut().insert(LINK, links);
    }
    response
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let wanted = format!("assets/{path}");
    match files::FILES.iter().find(|file| file.name == wanted) {
        // Their names carry a hash of their content.
        Some(file) => send(
            file,
            &headers,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        ),
        None => not_found(),
    }
}

async fn root_file(uri: http::Uri, headers: HeaderMap) -> Response {
    let wanted = uri.path().trim_start_matches('/');
    match files::FILES
        .iter()
        .find(|file| file.name == wanted && file.name != "index.html")
    {
        Some(file) => send(file, &headers, HeaderValue::from_static("public, max-age=3600")),
        None => not_found(),
    }
}

fn not_found() -> Response {
    (
        StatusCode::NOT_FOUND,
        [(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))],
        "not found\n",
    )
        .into_response()
}

fn send(file: &'static File, headers: &HeaderMap, cache: HeaderValue) -> Response {
    let gzip = headers
        .get(ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("gzip"));
    let known = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|tag| tag.as_bytes() == file.etag.as_bytes());
    let mut response = match (known, file.gzip.filter(|_| gzip)) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, Some(compressed)) => {
            ([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))], compressed).into_response()
        }
        (false, None) => file.plain.into_response(),
    };
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, content_type(file.name));
    out.insert(CACHE_CONTROL, cache);
    out.insert(ETAG, HeaderValue::from_static(file.etag));
    out.insert(VARY, HeaderValue::from_static("accept-encoding"));
    out.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn content_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "webmanifest" => "application/manifest+json",
        "json" | "map" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}
