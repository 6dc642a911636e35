//! The origin router: a `GET` under `/live/{stream}/` or `/vod/{video}/` becomes a question to that one's `Presentation`, and its reply a
//! response; one under `/media/images/` is an object of the store.
//!
//! Cache lives follow RFC 8216bis appendix B.1 (conformance 66), every response may be read by any page (CORS), and no cookie, redirect or
//! session is involved (conformance 87). Text is compressed once per version, objects are served from the packager's own bytes.

use std::hash::{Hash, Hasher};
use std::io::Write;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL,
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RANGE,
    RETRY_AFTER, USER_AGENT, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use metrics::Counter;
use nova_core::clock::Clock;
use nova_core::delivery::{
    Admission, Catalog, Library, Object, ObjectKind, Opening, Pieces, Presentation, Reply, Text, TextKind,
};
use nova_core::store::{ObjectStore, StoreError};

use crate::body::Body;
use crate::hot::Hot;

/// Bytes of older segments, read from the store, that are kept for the next viewer who asks.
const CACHE_BYTES: u64 = 64 << 20;

/// Which of the two a path lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `/live/{stream}/`
    Live,
    /// `/vod/{video}/`
    Vod,
    /// `/media/images/{folder}/`
    Images,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Viewer {
    /// Where the request comes from.
    pub address: IpAddr,
    /// Nothing stands between a body and the viewer's socket (TLS, HTTP/2): media can go there without a copy.
    pub plain: bool,
    /// The address carried a token that is good for what it leads to (`path_token`).
    pub proven: bool,
}

/// What the origin router works with.
pub struct Origin {
    catalog: Arc<dyn Catalog>,
    library: Arc<dyn Library>,
    store: Arc<dyn ObjectStore>,
    clock: Clock,
    stored: moka::future::Cache<String, Bytes>,
    hot: Hot,
    counters: Counters,
}

/// | metric | counts |
/// | --- | --- |
/// | `nova_origin_requests_total` by `what` | answered requests: playlist, object, held, not_found, refused |
/// | `nova_origin_bytes_total` | bytes of bodies handed to the connection |
struct Counters {
    playlists: Counter,
    objects: Counter,
    held: Counter,
    not_found: Counter,
    refused: Counter,
    bytes: Counter,
}

impl Counters {
    fn new() -> Self {
        let of = |what: &'static str| metrics::counter!("nova_origin_requests_total", "what" => what);
        Self {
            playlists: of("playlist"),
            objects: of("object"),
            held: of("held"),
            not_found: of("not_found"),
            refused: of("refused"),
            bytes: metrics::counter!("nova_origin_bytes_total"),
        }
    }
}

impl Origin {
    /// A router over these streams, these videos and the store they lie in. Install the metrics recorder first.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        library: Arc<dyn Library>,
        store: Arc<dyn ObjectStore>,
        clock: Clock,
    ) -> Self {
        let stored = moka::future::Cache::builder()
            .weigher(|_key: &String, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX))
            .max_capacity(CACHE_BYTES)
            .build();
        Self {
            catalog,
            library,
            store,
            clock,
            stored,
            hot: Hot::new(),
            counters: Counters::new(),
        }
    }

    /// Gives memory back that no viewer needs any more; to be called every few seconds.
    pub fn tidy(&self) {
        self.hot.tidy();
    }

    /// Answers a request for `path`, the part of the URL behind `/live/`, `/vod/` or `/media/images/`.
    pub async fn respond(
        &self,
        what: What,
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        viewer: Viewer,
    ) -> Response<Body> {
        if *method == Method::OPTIONS {
            return preflight();
        }
        if *method != Method::GET && *method != Method::HEAD {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and OPTIONS");
            response
                .headers_mut()
                .insert(http::header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
            return response;
        }
        let mut response = match what {
            What::Live => self.live(path, query, headers, viewer).await,
            What::Vod => self.vod(path, query, headers, viewer).await,
            What::Images => self.image(path, headers, viewer).await,
        };
        response
            .headers_mut()
            .insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if *method == Method::HEAD {
            let length = http_body::Body::size_hint(response.body()).exact();
            if let Some(length) = length {
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            *response.body_mut() = Body::empty();
        }
        response
    }

    /// A picture that somebody uploaded. Straight from the store: one that is deleted is gone with the next request.
    async fn image(&self, path: &str, headers: &HeaderMap, viewer: Viewer) -> Response<Body> {
        let kind = match path.rsplit_once('.') {
            Some((_, "jpg")) => "image/jpeg",
            Some((_, "webp")) => "image/webp",
            _ => return self.not_found(None, 60),
        };
        let mut hasher = std::hash::DefaultHasher::new();
        path.hash(&mut hasher);
        let mut response = match self.store.get(&format!("images/{path}")).await {
            Ok(bytes) => self.object(
                Object {
                    kind: ObjectKind::Picture,
                    pieces: Pieces::One(bytes),
                    tag: hasher.finish(),
                },
                headers,
                viewer,
            ),
            Err(StoreError::NotFound(_) | StoreError::BadKey(_)) => return self.not_found(None, 2),
            Err(error) => {
                tracing::warn!(%error, "a picture cannot be read from the store");
                return self.busy("pictures cannot be read now, try again");
            }
        };
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        // What people upload is a picture and nothing else, whatever a browser makes of its bytes.
        out.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        out.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        );
        response
    }

    async fn vod(&self, path: &str, query: Option<&str>, headers: &HeaderMap, viewer: Viewer) -> Response<Body> {
        let Some((name, rest)) = path.split_once('/') else {
            return self.not_found(None, 1);
        };
        match self.library.open(name, rest, query).await {
            Opening::Found {
                presentation,
                admission,
            } if !is_list(rest) || viewer.proven || admission != Admission::Denied => {
                let admission = proven(admission, viewer);
                self.answer(&*presentation, rest, query, headers, viewer, &admission)
                    .await
            }
            Opening::Found { .. } | Opening::Unknown => self.not_found(None, 1),
            Opening::Away => self.busy("what is known of videos cannot be read now, try again"),
        }
    }

    async fn live(&self, path: &str, query: Option<&str>, headers: &HeaderMap, viewer: Viewer) -> Response<Body> {
        let Some((name, rest)) = path.split_once('/') else {
            return self.not_found(None, 1);
        };
        let Some(stream) = self.catalog.find(name) else {
            return self.not_found(self.catalog.may_come(name).then_some(1), 1);
        };
        let admission = if is_list(rest) || rest == "thumbnail.jpg" {
            self.catalog.admits(name, query)
        } else {
            Admission::Open
        };
        let admission = proven(admission, viewer);
        if admission == Admission::Denied {
            return self.not_found(None, 1);
        }
        self.answer(&*stream, rest, query, headers, viewer, &admission).await
    }

    async fn answer(
        &self,
        stream: &dyn Presentation,
        rest: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        viewer: Viewer,
        admission: &Admission,
    ) -> Response<Body> {
        let mut reply = stream.answer(rest, query);
        if let Reply::Wait(_) = reply {
            self.counters.held.increment(1);
            reply = hold(stream, reply, rest, query).await;
        }
        match reply {
            Reply::Text(text) => {
                self.count_viewer(stream, headers, viewer.address);
                match admission {
                    Admission::Token(token) => self.private_text(&text, Some(token)),
                    Admission::Address => self.private_text(&text, None),
                    _ => self.text(&text, headers),
                }
            }
            Reply::Object(object) => self.object(object, headers, viewer),
            Reply::Stored { key, kind, range, tag } => match self.stored(&key, kind, range, tag).await {
                Some(object) => self.object(object, headers, viewer),
                None => self.not_found(None, 2),
            },
            Reply::Growing { kind, pieces } => {
                self.counters.objects.increment(1);
                let hot = viewer.plain.then(|| self.hot.clone());
                let mut response = Response::new(Body::growing(pieces, hot));
                response.headers_mut().insert(CONTENT_TYPE, content_type(kind));
                response.headers_mut().insert(CACHE_CONTROL, IMMUTABLE);
                response
            }
            Reply::Still(jpeg) => {
                self.counters.objects.increment(1);
                self.counters.bytes.increment(jpeg.len() as u64);
                let mut response = Response::new(Body::full(jpeg));
                let out = response.headers_mut();
                out.insert(CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
                out.insert(CACHE_CONTROL, max_age_value(STILL_LIFE));
                response
            }
            Reply::NotFound if rest == "master.m3u8" || rest == "manifest.mpd" => self.not_found(Some(1), 1),
            Reply::NotFound => {
                // Conformance 66: 4 target durations for a blocking playlist, 1 for the rest; a usual target duration is 2 s.
                let blocking = query.is_some_and(|query| query.contains("_HLS_msn"));
                self.not_found(None, if blocking { 8 } else { 2 })
            }
            Reply::Invalid(why) => {
                self.counters.refused.increment(1);
                refusal(StatusCode::BAD_REQUEST, why)
            }
            Reply::Busy | Reply::Wait(_) => self.busy("not there within the time a request may be held"),
        }
    }

    /// The answer to an address whose token is not good: it has ended, or was changed.
    pub fn ended(&self) -> Response<Body> {
        self.counters.refused.increment(1);
        let mut response = refusal(StatusCode::FORBIDDEN, "this address has ended");
        response
            .headers_mut()
            .insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }

    fn busy(&self, why: &'static str) -> Response<Body> {
        self.counters.refused.increment(1);
        let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, why);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }

    fn not_found(&self, retry_after: Option<u64>, max_age: u64) -> Response<Body> {
        self.counters.not_found.increment(1);
        let mut response = Response::new(Body::full(Bytes::from_static(b"not found\n")));
        *response.status_mut() = StatusCode::NOT_FOUND;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PLAIN);
        headers.insert(CACHE_CONTROL, max_age_value(Duration::from_secs(max_age)));
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn count_viewer(&self, stream: &dyn Presentation, headers: &HeaderMap, peer: IpAddr) {
        let mut hasher = std::hash::DefaultHasher::new();
        peer.hash(&mut hasher);
        headers.get(USER_AGENT).map(HeaderValue::as_bytes).hash(&mut hasher);
        stream
            .audience()
            .seen(hasher.finish(), self.clock.monotonic_micros() / 1_000_000);
    }

    fn text(&self, text: &Text, headers: &HeaderMap) -> Response<Body> {
        self.counters.playlists.increment(1);
        let etag = entity_tag(text.tag);
        let gzip = headers.get(ACCEPT_ENCODING).is_some_and(accepts_gzip);
        let fresh = not_modified(headers, &etag);
        let body = match (fresh, gzip) {
            (true, _) => Bytes::new(),
            (_, true) => text.compressed.get_or_init(|| compress(&text.plain)).clone(),
            (_, false) => text.plain.clone(),
        };
        self.counters.bytes.increment(body.len() as u64);
        let mut response = Response::new(Body::full(body));
        if fresh {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let out = response.headers_mut();
        out.reserve(8);
        out.insert(CONTENT_TYPE, text_type(text.kind));
        let life = match text.kind {
            TextKind::Media { blocking: true } => text.target * 6,
            // It does not change any more, but may still be deleted or become private.
            TextKind::Media { blocking: false } if text.ended => ENDED_LIFE,
            _ => text.target / 2,
        };
        out.insert(CACHE_CONTROL, max_age_value(life));
        out.insert(ETAG, etag);
        out.insert(VARY, HeaderValue::from_static("accept-encoding"));
        out.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("date, age, etag"),
        );
        if gzip && !fresh {
            out.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    /// A playlist for one viewer: the playlists it leads to carry the viewer's token on, segments and parts stay the same for everybody. Behind an address
    /// that is a proof itself nothing is carried on.
    fn private_text(&self, text: &Text, token: Option<&str>) -> Response<Body> {
        self.counters.playlists.increment(1);
        let body = match (text.kind, token) {
            (_, None) => text.plain.clone(),
            (TextKind::Mpd | TextKind::MpdPatch, Some(token)) => String::from_utf8_lossy(&text.plain)
                .replace("patch.mpd?", &format!("patch.mpd?token={token}&amp;"))
                .into(),
            (TextKind::Multivariant | TextKind::Media { .. }, Some(token)) => with_token(&text.plain, token),
        };
        self.counters.bytes.increment(body.len() as u64);
        let mut response = Response::new(Body::full(body));
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, text_type(text.kind));
        out.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        out.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("date, age, etag"),
        );
        response
    }

    fn object(&self, mut object: Object, headers: &HeaderMap, viewer: Viewer) -> Response<Body> {
        self.counters.objects.increment(1);
        if viewer.plain {
            object.pieces = self.hot.place(object.pieces);
        }
        let etag = entity_tag(object.tag);
        let mut response = if not_modified(headers, &etag) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            match headers.get(RANGE).map(|range| parse_range(range, object.pieces.len())) {
                None | Some(RangeRequest::Whole) => {
                    let body = Body::pieces(&object.pieces);
                    self.counters.bytes.increment(http_body::Body::size_hint(&body).lower());
                    Response::new(body)
                }
                Some(RangeRequest::Part(range)) => {
                    self.counters.bytes.increment(range.len() as u64);
                    partial(&object.pieces, &range)
                }
                Some(RangeRequest::Unsatisfiable) => {
                    let mut response = refusal(StatusCode::RANGE_NOT_SATISFIABLE, "range outside the object");
                    if let Ok(value) = HeaderValue::try_from(format!("bytes */{}", object.pieces.len())) {
                        response.headers_mut().insert(CONTENT_RANGE, value);
                    }
                    return response;
                }
            }
        };
        let out = response.headers_mut();
        out.reserve(8);
        out.insert(CONTENT_TYPE, content_type(object.kind));
        out.insert(CACHE_CONTROL, IMMUTABLE);
        out.insert(ETAG, etag);
        out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        response
    }

    /// An object of the store, or the range of it that is meant.
    async fn stored(&self, key: &str, kind: ObjectKind, range: Option<Range<u64>>, tag: u64) -> Option<Object> {
        // One read for any number of viewers who ask at once.
        let bytes = match self.stored.try_get_with_by_ref(key, self.store.get(key)).await {
            Ok(bytes) => bytes,
            // A video without a picture has none to show.
            Err(_none) if matches!(kind, ObjectKind::Picture | ObjectKind::Captions) => return None,
            Err(error) => {
                tracing::warn!(%error, "a listed segment cannot be read from the store");
                return None;
            }
        };
        let range = range.and_then(|range| Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?));
        let bytes = match range {
            Some(range) if range.end <= bytes.len() => bytes.slice(range),
            Some(_) => return None,
            None => bytes,
        };
        Some(Object {
            kind,
            pieces: Pieces::One(bytes),
            tag,
        })
    }
}

/// Waits as the reply says and asks again, until there is an answer or the limit has passed.
async fn hold(stream: &dyn Presentation, mut reply: Reply, path: &str, query: Option<&str>) -> Reply {
    let Reply::Wait(first) = &reply else { return reply };
    let limit = tokio::time::sleep(first.limit);
    tokio::pin!(limit);
    while let Reply::Wait(wait) = reply {
        tokio::select! {
            () = wait.until => {}
            () = &mut limit => return stream.answer_late(path, query),
        }
        reply = stream.answer(path, query);
    }
    reply
}

/// Whether a path is that of a playlist or a manifest, or of the list of small pictures.
/// What an address proves nobody else need allow.
fn proven(admission: Admission, viewer: Viewer) -> Admission {
    match admission {
        Admission::Denied if viewer.proven => Admission::Address,
        other => other,
    }
}

fn is_list(path: &str) -> bool {
    path.ends_with(".m3u8") || path.ends_with(".mpd") || path == "storyboard.vtt"
}

/// Cache life of stills: a new one comes about every five seconds.
const STILL_LIFE: Duration = Duration::from_secs(2);
/// Cache life of media playlists of what has ended.
const ENDED_LIFE: Duration = Duration::from_secs(60);
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

const fn content_type(kind: ObjectKind) -> HeaderValue {
    match kind {
        ObjectKind::Video => HeaderValue::from_static("video/mp4"),
        ObjectKind::Audio => HeaderValue::from_static("audio/mp4"),
        ObjectKind::Picture => HeaderValue::from_static("image/jpeg"),
        ObjectKind::Captions => HeaderValue::from_static("text/vtt; charset=utf-8"),
    }
}

fn max_age_value(life: Duration) -> HeaderValue {
    match life.as_secs() {
        // What playlists of the usual target durations have.
        1 => HeaderValue::from_static("max-age=1"),
        2 => HeaderValue::from_static("max-age=2"),
        12 => HeaderValue::from_static("max-age=12"),
        other => {
            HeaderValue::try_from(format!("max-age={}", other.max(1))).unwrap_or(HeaderValue::from_static("no-store"))
        }
    }
}

fn refusal(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::from_static(why.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn text_type(kind: TextKind) -> HeaderValue {
    HeaderValue::from_static(match kind {
        TextKind::Mpd => "application/dash+xml",
        TextKind::MpdPatch => "application/dash-patch+xml",
        TextKind::Multivariant | TextKind::Media { .. } => "application/vnd.apple.mpegurl",
    })
}

/// Puts `token` into the query of every playlist that `list` names: on lines of their own, and in `URI` attributes.
fn with_token(list: &[u8], token: &str) -> Bytes {
    let mut out = String::with_capacity(list.len() + 256);
    for line in String::from_utf8_lossy(list).lines() {
        if line.starts_with('#') {
            out.push_str(&line.replace(".m3u8\"", &format!(".m3u8?token={token}\"")));
        } else {
            out.push_str(line);
            if line.ends_with(".m3u8") {
                out.push_str("?token=");
                out.push_str(token);
            }
        }
        out.push('\n');
    }
    out.into()
}

fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, OPTIONS"),
    );
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn partial(pieces: &Pieces, range: &Range<usize>) -> Response<Body> {
    let mut response = Response::new(Body::slice(pieces, range));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let text = format!("bytes {}-{}/{}", range.start, range.end - 1, pieces.len());
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
    response
}

/// A strong entity tag: sixteen hexadecimal digits in quotes.
fn entity_tag(tag: u64) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'"'; 18];
    for (index, digit) in text[1..17].iter_mut().enumerate() {
        *digit = DIGITS[(tag >> (60 - 4 * index) & 0xf) as usize];
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("\"0\""))
}

fn not_modified(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes())
        })
}

/// True unless gzip is absent or has weight zero.
fn accepts_gzip(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| {
        value.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
                && !parts.any(|weight| matches!(weight.trim_start_matches("q="), "0" | "0.0" | "0.00" | "0.000"))
        })
    })
}

fn compress(plain: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(plain.len() / 4), flate2::Compression::new(4));
    // Writing to memory does not fail.
    let _infallible = encoder.write_all(plain);
    encoder.finish().map(Bytes::from).unwrap_or_default()
}

#[derive(Debug, PartialEq, Eq)]
enum RangeRequest {
    Whole,
    Part(Range<usize>),
    Unsatisfiable,
}

/// RFC 9110 14.2. Anything but one range of bytes is answered with the whole.
fn parse_range(value: &HeaderValue, length: usize) -> RangeRequest {
    let spec = value.to_str().ok().and_then(|value| value.strip_prefix("bytes="));
    let Some((first, last)) = spec.and_then(|spec| spec.trim().split_once('-')) else {
        return RangeRequest::Whole;
    };
    let number = |text: &str| -> Option<usize> {
        (!text.is_empty() && text.len() < 19 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())
            .flatten()
    };
    let range = match (first.is_empty(), last.is_empty()) {
        (true, true) => return RangeRequest::Whole,
        (true, false) => match number(last) {
            Some(suffix) => length.saturating_sub(suffix)..if suffix == 0 { 0 } else { length },
            None => return RangeRequest::Whole,
        },
        (false, true) => match number(first) {
            Some(start) => start..length,
            None => return RangeRequest::Whole,
        },
        (false, false) => match (number(first), number(last)) {
            (Some(start), Some(end)) if start <= end => start..length.min(end.saturating_add(1)),
            _ => return RangeRequest::Whole,
        },
    };
    if range.start < range.end {
        RangeRequest::Part(range)
    } else {
        RangeRequest::Unsatisfiable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_rfc_9110() {
        let parse = |text: &'static str| parse_range(&HeaderValue::from_static(text), 10);
        assert_eq!(parse("bytes=0-3"), RangeRequest::Part(0..4));
        assert_eq!(parse("bytes=4-"), RangeRequest::Part(4..10));
        assert_eq!(parse("bytes=-3"), RangeRequest::Part(7..10));
        assert_eq!(parse("bytes=-30"), RangeRequest::Part(0..10));
        assert_eq!(parse("bytes=8-100"), RangeRequest::Part(8..10));
        assert_eq!(parse("bytes=10-"), RangeRequest::Unsatisfiable);
        assert_eq!(parse("bytes=-0"), RangeRequest::Unsatisfiable);
        for whole in [
            "bytes=3-1",
            "bytes=a-b",
            "items=0-1",
            "bytes=0-1,3-4",
            "bytes=",
            "bytes=-",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(parse(whole), RangeRequest::Whole, "{whole}");
        }
    }

    #[test]
    fn gzip_is_used_when_offered_and_not_refused() {
        let accepts = |text: &'static str| accepts_gzip(&HeaderValue::from_static(text));
        assert!(accepts("gzip, deflate, br"));
        assert!(accepts("br;q=1.0, GZIP;q=0.8"));
        assert!(!accepts("identity"));
        assert!(!accepts("gzip;q=0"));
    }
}
