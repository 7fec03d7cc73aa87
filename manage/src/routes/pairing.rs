//! Who may come in: the pairing window, and devices that ask.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::{Done, Outcome, Shared};
use crate::desk::{Ask, Refused, Why};
use crate::model::{ArmPairing, Device, DeviceName, Pairing, PendingDevice, Problem};
use crate::problem::{Json as Body, Path};
use crate::routes::devices::check_name;

/// How long the window may be open, in seconds.
const SECONDS: std::ops::RangeInclusive<u32> = 10..=120;

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/api/v1/pairing", get(look).post(arm).delete(cancel))
        .route("/api/v1/pending", get(pending))
        .route("/api/v1/pending/{id}/approve", post(approve))
        .route("/api/v1/pending/{id}/deny", post(deny))
}

/// The pairing window.
#[utoipa::path(get, path = "/api/v1/pairing", tag = "pairing", security(("bearer" = [])), responses(
    (status = 200, description = "The window, its PIN while it is open.", body = Pairing),
))]
pub(super) async fn look(State(shared): State<Shared>) -> Json<Pairing> {
    let pairing = shared.counter.status.borrow().pairing.clone();
    Json(pairing)
}

/// Opens the window, with a new PIN.
#[utoipa::path(post, path = "/api/v1/pairing", tag = "pairing", security(("bearer" = [])),
    request_body = ArmPairing, responses(
    (status = 200, description = "It is open.", body = Pairing),
    (status = 422, description = "That many seconds cannot be.", body = Problem),
    (status = 429, description = "Too many wrong PINs were tried; wait.", body = Problem),
))]
pub(super) async fn arm(State(shared): State<Shared>, Body(wish): Body<ArmPairing>) -> Outcome<Pairing> {
    let seconds = wish.seconds.unwrap_or(*SECONDS.end());
    if !SECONDS.contains(&seconds) {
        let error = format!("a window is open for {} to {} s", SECONDS.start(), SECONDS.end());
        return Err(Refused::new(Why::Invalid, error, "leave `seconds` out, or send one within").into());
    }
    Ok(Json(shared.counter.ask(|reply| Ask::ArmPairing { seconds, reply }).await?))
}

/// Closes the window.
#[utoipa::path(delete, path = "/api/v1/pairing", tag = "pairing", security(("bearer" = [])), responses(
    (status = 200, description = "It is closed.", body = Pairing),
))]
pub(super) async fn cancel(State(shared): State<Shared>) -> Outcome<Pairing> {
    Ok(Json(shared.counter.ask(|reply| Ask::CancelPairing { reply }).await?))
}

/// Devices that wait for a person's word.
#[utoipa::path(get, path = "/api/v1/pending", tag = "pairing", security(("bearer" = [])), responses(
    (status = 200, description = "The oldest first; eight at most, each for two minutes.", body = Vec<PendingDevice>),
))]
pub(super) async fn pending(State(shared): State<Shared>) -> Json<Vec<PendingDevice>> {
    let pending = shared.counter.status.borrow().pending.clone();
    Json(pending)
}

/// Lets a pending device in, under this name.
#[utoipa::path(post, path = "/api/v1/pending/{id}/approve", tag = "pairing", security(("bearer" = [])),
    params(("id" = u64, Path, description = "The request's number.")), request_body = Option<DeviceName>, responses(
    (status = 200, description = "It may connect.", body = Device),
    (status = 404, description = "No such device waits.", body = Problem),
    (status = 422, description = "That name cannot be.", body = Problem),
))]
pub(super) async fn approve(
    State(shared): State<Shared>,
    Path(request): Path<u64>,
    Body(name): Body<Option<DeviceName>>,
) -> Outcome<Device> {
    let name = name.map(|given| check_name(&given.name)).transpose()?;
    Ok(Json(shared.counter.ask(|reply| Ask::Approve { request, name, reply }).await?))
}

/// Turns a pending device away.
#[utoipa::path(post, path = "/api/v1/pending/{id}/deny", tag = "pairing", security(("bearer" = [])),
    params(("id" = u64, Path, description = "The request's number.")), responses(
    (status = 204, description = "It is turned away."),
    (status = 404, description = "No such device waits.", body = Problem),
))]
pub(super) async fn deny(State(shared): State<Shared>, Path(request): Path<u64>) -> Done {
    shared.counter.ask(|reply| Ask::Deny { request, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}
