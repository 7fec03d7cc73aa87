//! Settings and recordings.

use axum::extract::State;
use axum::routing::{get, put};
use axum::{Json, Router};

use super::{Outcome, Shared};
use crate::desk::Ask;
use crate::model::{Problem, Recording, Setting, SettingChange};
use crate::problem::{Json as Body, Path};

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/api/v1/settings", get(settings))
        .route("/api/v1/settings/{key}", put(change))
        .route("/api/v1/recordings", get(recordings).post(start_recording).delete(stop_recording))
}

/// Every setting, and where it comes from.
#[utoipa::path(get, path = "/api/v1/settings", tag = "upkeep", security(("bearer" = [])), responses(
    (status = 200, description = "In the file's order.", body = Vec<Setting>),
))]
pub(super) async fn settings(State(shared): State<Shared>) -> Outcome<Vec<Setting>> {
    Ok(Json(shared.counter.ask(|reply| Ask::Settings { reply }).await?))
}

/// Writes a setting into the file, or takes it out.
#[utoipa::path(put, path = "/api/v1/settings/{key}", tag = "upkeep", security(("bearer" = [])),
    params(("key" = String, Path, description = "The setting's key.")), request_body = SettingChange, responses(
    (status = 200, description = "It is written.", body = Setting),
    (status = 404, description = "There is no such setting.", body = Problem),
    (status = 409, description = "A variable or a flag overrules it, or the console may not change it.", body = Problem),
    (status = 422, description = "That value cannot be.", body = Problem),
))]
pub(super) async fn change(
    State(shared): State<Shared>,
    Path(key): Path<String>,
    Body(change): Body<SettingChange>,
) -> Outcome<Setting> {
    let value = change.value;
    Ok(Json(shared.counter.ask(|reply| Ask::ChangeSetting { key, value, reply }).await?))
}

/// The folders of `PUNKTFUNK_PERF` logs.
#[utoipa::path(get, path = "/api/v1/recordings", tag = "upkeep", security(("bearer" = [])), responses(
    (status = 200, description = "The newest first.", body = Vec<Recording>),
))]
pub(super) async fn recordings(State(shared): State<Shared>) -> Outcome<Vec<Recording>> {
    Ok(Json(shared.counter.ask(|reply| Ask::Recordings { reply }).await?))
}

/// Begins to record each stage's latency, for sessions from now on.
#[utoipa::path(post, path = "/api/v1/recordings", tag = "upkeep", security(("bearer" = [])), responses(
    (status = 200, description = "It records.", body = Recording),
    (status = 409, description = "It records already.", body = Problem),
))]
pub(super) async fn start_recording(State(shared): State<Shared>) -> Outcome<Recording> {
    Ok(Json(shared.counter.ask(|reply| Ask::StartRecording { reply }).await?))
}

/// Ends that.
#[utoipa::path(delete, path = "/api/v1/recordings", tag = "upkeep", security(("bearer" = [])), responses(
    (status = 200, description = "It is written.", body = Recording),
    (status = 409, description = "Nothing is being recorded.", body = Problem),
))]
pub(super) async fn stop_recording(State(shared): State<Shared>) -> Outcome<Recording> {
    Ok(Json(shared.counter.ask(|reply| Ask::StopRecording { reply }).await?))
}
