//! Refusals as HTTP answers, and the extractors that refuse in the same words.
//!
//! Promises: whatever is wrong with a request, the answer is a [`Problem`] in JSON that says so. Refuses to repeat
//! a request's own text but in Rust's quoting: nothing of it is ever markup.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::desk::{Refused, Why};
use crate::model::Problem;

/// A request that is refused, with its status.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) StatusCode, pub(crate) Problem);

impl Answer {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self(status, Problem { error: error.into(), remedy: remedy.into() })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.0, axum::Json(self.1)).into_response()
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        let status = match refused.why {
            Why::NotFound => StatusCode::NOT_FOUND,
            Why::Conflict => StatusCode::CONFLICT,
            Why::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Why::TooSoon => StatusCode::TOO_MANY_REQUESTS,
            Why::Failed => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, refused.error, refused.remedy)
    }
}

/// A body in JSON.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Answer))]
pub(crate) struct Json<T>(pub(crate) T);

impl From<JsonRejection> for Answer {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text(), "see /api/v1/openapi.json for the body's form")
    }
}

/// The parts of a path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Answer))]
pub(crate) struct Path<T>(pub(crate) T);

impl From<PathRejection> for Answer {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text(), "see /api/v1/openapi.json for the path's form")
    }
}

/// What stands behind a path's question mark.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Answer))]
pub(crate) struct Query<T>(pub(crate) T);

impl From<QueryRejection> for Answer {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text(), "see /api/v1/openapi.json for the query's form")
    }
}

pub(crate) async fn no_route() -> Answer {
    Answer::new(StatusCode::NOT_FOUND, "there is nothing here", "see /api/v1/openapi.json for what there is")
}

pub(crate) async fn no_verb() -> Answer {
    Answer::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this cannot be done here",
        "see /api/v1/openapi.json for what can",
    )
}
