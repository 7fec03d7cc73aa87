//! The routes: each a verb of the host's loop, or the newest status.
//!
//! Promises: below `/api/v1/` everything but the health and the document wants the token; the rest is the console's
//! own files. What a body says is checked here, so that the host's loop gets sensible asks only.

mod devices;
mod host;
mod pairing;
mod sessions;
mod stream;
mod upkeep;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi;

use crate::desk::Counter;
use crate::guard::{Guard, admit, dress};
use crate::limits::{BODY_BYTES_MAX, STREAMS_MAX};
use crate::logs::LogRing;
use crate::openapi::{Bearer, Refusals};
use crate::problem::{Answer, no_route, no_verb};
use crate::{assets, openapi};

/// What every route has.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) counter: Counter,
    pub(crate) logs: LogRing,
    pub(crate) version: String,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) stopped: watch::Receiver<bool>,
}

impl Shared {
    pub(crate) fn new(
        counter: Counter,
        logs: LogRing,
        version: String,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self { counter, logs, version, streams: Arc::new(Semaphore::new(STREAMS_MAX)), stopped }
    }
}

/// What a route answers with.
pub(crate) type Outcome<T> = Result<axum::Json<T>, Answer>;

/// What a route answers with that has nothing to say.
pub(crate) type Done = Result<StatusCode, Answer>;

/// All of it.
pub(crate) fn app(shared: Shared, guard: Arc<Guard>) -> Router {
    let open = Router::new()
        .route("/api/v1/health", get(host::health))
        .route("/api/v1/openapi.json", get(openapi::serve))
        .merge(assets::router());
    let guarded = Router::new()
        .merge(host::router())
        .merge(sessions::router())
        .merge(pairing::router())
        .merge(devices::router())
        .merge(upkeep::router())
        .merge(stream::router())
        .layer(from_fn_with_state(Arc::clone(&guard), admit));
    open.merge(guarded)
        .fallback(no_route)
        .method_not_allowed_fallback(no_verb)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(guard, dress))
        .with_state(shared)
}

/// The document of all routes.
#[derive(OpenApi)]
#[openapi(
    paths(
        host::health, host::status, host::compositors, host::logs, host::diagnose,
        stream::events,
        sessions::list, sessions::end, sessions::reconfigure, sessions::speed_test,
        pairing::look, pairing::arm, pairing::cancel, pairing::pending, pairing::approve, pairing::deny,
        devices::list, devices::rename, devices::revoke,
        upkeep::settings, upkeep::change, upkeep::recordings, upkeep::start_recording, upkeep::stop_recording,
    ),
    info(
        title = "punktfunk host",
        description = "What a host does and may be told to do. Everything but the health wants the bearer token that `punktfunk-host token` prints.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    modifiers(&Bearer, &Refusals),
)]
pub(crate) struct Api;
