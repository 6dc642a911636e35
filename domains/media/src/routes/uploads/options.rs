use axum::extract::State as Shared;
use axum::response::Response;
use http::{HeaderValue, StatusCode};

use super::{CHECKSUMS, EXTENSIONS, VERSION, answer};
use crate::domain::State;

/// What of tus this server can.
#[utoipa::path(
    options, path = "/uploads", tag = "videos", operation_id = "upload_options",
    responses((status = 204, description = "Told in Tus-Version, Tus-Extension, Tus-Max-Size and Tus-Checksum-Algorithm"))
)]
pub(crate) async fn options(Shared(state): Shared<State>) -> Response {
    answer(
        StatusCode::NO_CONTENT,
        &[
            ("tus-version", VERSION),
            ("tus-extension", EXTENSIONS),
            ("tus-max-size", HeaderValue::from(state.config.upload_max_bytes)),
            ("tus-checksum-algorithm", CHECKSUMS),
        ],
    )
}
