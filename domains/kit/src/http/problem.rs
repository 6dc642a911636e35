//! Errors as `application/problem+json` (RFC 9457), and the one place where a kind of failure becomes a status.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use nova_core::error::Kind;
use serde::Serialize;
use utoipa::ToSchema;

use super::limit::{self, Allowance};
use crate::db;

/// What went wrong, told so that a program can act on it and a person can read it.
#[derive(Clone, Debug)]
pub struct Problem(Box<Details>);

/// A problem as it is sent (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Details {
    /// `about:blank`: the status says it all; or an address of this API that names the case.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// A word for programs that must tell cases of one status apart, for example `sudo_required`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// What is wrong with each field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<Duration>,
    #[serde(skip)]
    limited: Option<Allowance>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// Its name.
    field: String,
    /// What is wrong with it.
    message: String,
}

impl Problem {
    /// A problem with any status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: None,
            errors: Vec::new(),
            retry_after: None,
            limited: None,
        }))
    }

    /// The problem of an error of this kind.
    pub fn of(kind: Kind, detail: impl Into<String>) -> Self {
        let status = match kind {
            Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let problem = Self::new(status, detail);
        match kind {
            Kind::Unavailable | Kind::Exhausted => problem.retry_after(Duration::from_secs(2)),
            _ => problem,
        }
    }

    /// 422: the request is understood and cannot be done as it is.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::of(Kind::Invalid, detail)
    }

    /// 401: nobody has proved who they are.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::of(Kind::Unauthenticated, detail)
    }

    /// 403: known, but not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::of(Kind::Forbidden, detail)
    }

    /// 404: not there, or not to be known.
    pub fn not_found() -> Self {
        Self::of(Kind::NotFound, "there is nothing here")
    }

    /// 409: in conflict with what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::of(Kind::Conflict, detail)
    }

    /// 500: a defect. `cause` is logged here, once, and never told.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = cause.to_string();
        let mut source = cause.source();
        while let Some(deeper) = source {
            chain.push_str(": ");
            chain.push_str(&deeper.to_string());
            source = deeper.source();
        }
        tracing::error!(error = %chain, "a request failed");
        Self::of(Kind::Internal, "something went wrong on this server")
    }

    /// Adds what is wrong with one field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.0.errors.push(FieldError {
            field: field.into(),
            message: message.into(),
        });
        self
    }

    /// Adds the word for programs.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Says which bucket is empty.
    #[must_use]
    pub(crate) fn limited(mut self, allowance: Allowance) -> Self {
        self.0.limited = Some(allowance);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.0.status == 401 {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"nova\""));
        }
        if let Some(wait) = self.0.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(allowance) = self.0.limited {
            limit::tell(&mut response, allowance);
        }
        response
    }
}

impl From<db::Error> for Problem {
    fn from(error: db::Error) -> Self {
        match error.kind() {
            Kind::Unavailable => {
                tracing::warn!(%error, "the database is busy or away");
                Self::of(Kind::Unavailable, "the server is busy, try again")
            }
            Kind::Conflict => Self::conflict("this is there already"),
            _ => Self::internal(&error),
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        db::Error::from(error).into()
    }
}

/// Gathers what is wrong with the fields of a request, so that a person hears all of it at once.
#[derive(Debug, Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    /// Nothing wrong so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes what is wrong with `field`, unless `fine`.
    pub fn check(&mut self, fine: bool, field: &str, message: impl Into<String>) {
        if !fine {
            self.0.push(FieldError {
                field: field.to_owned(),
                message: message.into(),
            });
        }
    }

    /// Checks that `text` has `least` to `most` characters and no control character but line breaks and tabs.
    pub fn text(&mut self, field: &str, text: &str, least: usize, most: usize) {
        let length = text.chars().count();
        self.check(
            (least..=most).contains(&length),
            field,
            format!("must have {least} to {most} characters"),
        );
        let control = text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
        self.check(!control, field, "must not have control characters");
    }

    /// 422 with everything that was noted.
    pub fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut problem = Problem::invalid("some fields are not as they must be");
        problem.0.errors = self.0;
        Err(problem)
    }
}
