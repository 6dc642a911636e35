//! What every answer of the API and the pages carries: security headers, and the id that finds the request in the log.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use super::client::Client;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The layer. A header that a handler has set stays as it is: `/embed` may be framed, and a page may allow what it needs.
pub async fn secure(client: Client, request: Request, next: Next) -> Response {
    let api = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut put = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    put(X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(REFERRER_POLICY, "strict-origin-when-cross-origin");
    put(OPENER, "same-origin");
    if client.secure {
        put(STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains");
    }
    if api {
        // An answer of the API is read by programs. Shown as a page it can do nothing.
        put(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
        put(X_FRAME_OPTIONS, "DENY");
        put(CACHE_CONTROL, "no-store");
    }
    if let Ok(id) = HeaderValue::from_str(&client.request_id)
        && !id.is_empty()
    {
        headers.insert(REQUEST_ID, id);
    }
    response
}
