//! Refusals as HTTP answers, and the extractors that refuse in the same words.
//!
//! Promises: whatever is wrong with a request, the answer is a [`Problem`] in JSON that says so. Refuses to repeat
//! a request's own text but in Rust's quoting: nothing of it is ever markup.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;

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
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Answer;

    async fn from_request(request: Request, state: &S) -> Result<Self, Answer> {
        let axum::Json(value) = axum::Json::<Value>::from_request(request, state).await?;
        let misfit = |error: String| Answer::new(StatusCode::UNPROCESSABLE_ENTITY, error, FORM);
        // Serde would take a list of a form's values for the form.
        if has_list(&value) {
            return Err(misfit("the body has a list, and no form here does".to_owned()));
        }
        serde_json::from_value(value).map(Self).map_err(|error| misfit(error.to_string()))
    }
}

/// Where the forms of bodies are described.
const FORM: &str = "see /api/v1/openapi.json for the body's form";

/// Whether a list is anywhere in a value, whose depth the parser has bounded.
fn has_list(value: &Value) -> bool {
    match value {
        Value::Array(_) => true,
        Value::Object(map) => map.values().any(has_list),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

impl From<JsonRejection> for Answer {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text(), FORM)
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
