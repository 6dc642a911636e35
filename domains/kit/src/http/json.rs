//! Extractors whose refusals are problems too: 400 for what is not JSON, 413, 415, and 422 for JSON of another shape.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A JSON body, in and out.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(refused(rejection)),
        }
    }
}

fn refused(rejection: JsonRejection) -> Problem {
    let detail = match &rejection {
        JsonRejection::MissingJsonContentType(_) => "send Content-Type: application/json".to_owned(),
        JsonRejection::JsonSyntaxError(_) => "the body is not JSON".to_owned(),
        // Says the field and the type it should have, at most with the value the caller sent.
        JsonRejection::JsonDataError(_) => {
            let text = rejection.body_text();
            text.split_once(": ").map_or(text.clone(), |(_, why)| why.to_owned())
        }
        _ => "the body cannot be read, or is too large".to_owned(),
    };
    Problem::new(rejection.status(), detail)
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Parameters of the path. What does not parse is 404: there is nothing under such a name.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_bad) => Err(Problem::not_found()),
        }
    }
}

/// Parameters of the query.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(bad) => {
                let text = bad.body_text();
                let why = text.split_once(": ").map_or(text.as_str(), |(_, why)| why);
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why))
            }
        }
    }
}
