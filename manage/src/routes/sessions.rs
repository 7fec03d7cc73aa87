//! Sessions: who streams, how to change that, and how fast the path is.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};

use super::{Done, Outcome, Shared};
use crate::desk::{Ask, Refused, Why};
use crate::model::{Mode, Problem, Reconfigure, Session, SpeedTest, SpeedTestRequest};
use crate::problem::{Json as Body, Path};

/// The wire's rate, in kbit/s.
const BITRATE_KBPS: std::ops::RangeInclusive<u32> = 500..=8_000_000;
/// A speed test's, in kbit/s.
const TARGET_KBPS: std::ops::RangeInclusive<u32> = 500..=10_000_000;
/// How long a speed test may take, in milliseconds.
const DURATION_MS: std::ops::RangeInclusive<u32> = 200..=10_000;
/// A picture's side, in pixels.
const SIDE: std::ops::RangeInclusive<u32> = 16..=16_384;
/// A picture's rate, in thousandths of a hertz.
const REFRESH_MHZ: std::ops::RangeInclusive<u32> = 1_000..=1_000_000;

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/api/v1/sessions", get(list))
        .route("/api/v1/sessions/{id}", delete(end).merge(patch(reconfigure)))
        .route("/api/v1/speed-test", post(speed_test))
}

/// Each session that lives.
#[utoipa::path(get, path = "/api/v1/sessions", operation_id = "sessions", tag = "sessions", security(("bearer" = [])), responses(
    (status = 200, description = "The oldest first.", body = Vec<Session>),
))]
pub(super) async fn list(State(shared): State<Shared>) -> Json<Vec<Session>> {
    let sessions = shared.counter.status.borrow().sessions.clone();
    Json(sessions)
}

/// Ends a session.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "sessions", security(("bearer" = [])),
    params(("id" = u64, Path, description = "The session's number.")), responses(
    (status = 204, description = "It ends."),
    (status = 404, description = "There is no such session.", body = Problem),
))]
pub(super) async fn end(State(shared): State<Shared>, Path(session): Path<u64>) -> Done {
    shared.counter.ask(|reply| Ask::EndSession { session, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes a running session's mode or rate; the answer comes when that is done.
#[utoipa::path(patch, path = "/api/v1/sessions/{id}", tag = "sessions", security(("bearer" = [])),
    params(("id" = u64, Path, description = "The session's number.")), request_body = Reconfigure, responses(
    (status = 204, description = "It is changed."),
    (status = 404, description = "There is no such session.", body = Problem),
    (status = 409, description = "It does not stream, or cannot do all of it: what it can is done.", body = Problem),
    (status = 422, description = "That mode or rate cannot be.", body = Problem),
))]
pub(super) async fn reconfigure(
    State(shared): State<Shared>,
    Path(session): Path<u64>,
    Body(change): Body<Reconfigure>,
) -> Done {
    check(change)?;
    shared.counter.ask(|reply| Ask::Reconfigure { session, change, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tests a session's path: its video waits, and filler takes its place. The status has the progress and the result.
#[utoipa::path(post, path = "/api/v1/speed-test", tag = "sessions", security(("bearer" = [])),
    request_body = SpeedTestRequest, responses(
    (status = 200, description = "It has begun.", body = SpeedTest),
    (status = 404, description = "There is no such session.", body = Problem),
    (status = 409, description = "The session does not stream, or a test runs.", body = Problem),
    (status = 422, description = "That rate or time cannot be.", body = Problem),
))]
pub(super) async fn speed_test(
    State(shared): State<Shared>,
    Body(request): Body<SpeedTestRequest>,
) -> Outcome<SpeedTest> {
    within("target_kbps", request.target_kbps, &TARGET_KBPS)?;
    within("duration_ms", request.duration_ms, &DURATION_MS)?;
    Ok(Json(shared.counter.ask(|reply| Ask::SpeedTest { request, reply }).await?))
}

fn check(change: Reconfigure) -> Result<(), Refused> {
    if let Some(kbps) = change.bitrate_kbps {
        within("bitrate_kbps", kbps, &BITRATE_KBPS)?;
    }
    if let Some(Mode { width, height, refresh_mhz }) = change.mode {
        within("width", width, &SIDE)?;
        within("height", height, &SIDE)?;
        within("refresh_mhz", refresh_mhz, &REFRESH_MHZ)?;
    }
    Ok(())
}

fn within(name: &str, value: u32, range: &std::ops::RangeInclusive<u32>) -> Result<(), Refused> {
    if range.contains(&value) {
        return Ok(());
    }
    let error = format!("{name} is {value}, and goes from {} to {}", range.start(), range.end());
    Err(Refused::new(Why::Invalid, error, "send one within"))
}
