//! The host as a whole.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Outcome, Shared};
use crate::desk::{Ask, Refused, Why};
use crate::model::{Compositor, Diagnosis, Health, LogLine, Problem, Status};
use crate::problem::Query;

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/compositors", get(compositors))
        .route("/api/v1/logs", get(logs))
        .route("/api/v1/doctor", post(diagnose))
}

/// That the program answers.
#[utoipa::path(get, path = "/api/v1/health", tag = "host", responses(
    (status = 200, description = "It answers.", body = Health),
))]
pub(super) async fn health(State(shared): State<Shared>) -> Json<Health> {
    Json(Health { status: "ok".to_owned(), version: shared.version })
}

/// The host at this moment.
#[utoipa::path(get, path = "/api/v1/status", tag = "host", security(("bearer" = [])), responses(
    (status = 200, description = "The host, its sessions, the pairing window, and who waits.", body = Status),
))]
pub(super) async fn status(State(shared): State<Shared>) -> Json<Status> {
    let status = Status::clone(&shared.counter.status.borrow());
    Json(status)
}

/// Which compositors could be shown.
#[utoipa::path(get, path = "/api/v1/compositors", tag = "host", security(("bearer" = [])), responses(
    (status = 200, description = "Each that is known.", body = Vec<Compositor>),
))]
pub(super) async fn compositors(State(shared): State<Shared>) -> Outcome<Vec<Compositor>> {
    Ok(Json(shared.counter.ask(|reply| Ask::Compositors { reply }).await?))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    /// Lines with a greater number only; all, where it is greater than every line's: it is of a program that ended.
    after: Option<u64>,
}

/// The last lines of the program's log.
#[utoipa::path(get, path = "/api/v1/logs", tag = "host", params(After), security(("bearer" = [])), responses(
    (status = 200, description = "The oldest first.", body = Vec<LogLine>),
    (status = 422, description = "No line has that number.", body = Problem),
))]
pub(super) async fn logs(State(shared): State<Shared>, Query(query): Query<After>) -> Outcome<Vec<LogLine>> {
    let after = query.after.unwrap_or(0);
    if i64::try_from(after).is_err() {
        return Err(Refused::new(Why::Invalid, "no line has that number", "send one of a line").into());
    }
    Ok(Json(shared.logs.after(after)))
}

/// Looks at every link of the chain, which takes a second or more.
#[utoipa::path(post, path = "/api/v1/doctor", tag = "host", security(("bearer" = [])), responses(
    (status = 200, description = "Each link.", body = Diagnosis),
))]
pub(super) async fn diagnose(State(shared): State<Shared>) -> Outcome<Diagnosis> {
    Ok(Json(shared.counter.ask(|reply| Ask::Diagnose { reply }).await?))
}
