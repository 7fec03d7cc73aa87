//! The stream of statuses, as server-sent events.
//!
//! Promises: each event is the newest status, so that a reader who is slow skips what is old; a comment each 15 s
//! keeps the connection known to be alive; the stream ends with the server. Refuses more than [`STREAMS_MAX`].
//!
//! [`STREAMS_MAX`]: crate::limits::STREAMS_MAX

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use axum::routing::get;
use futures_core::Stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Shared;
use crate::model::{Problem, Status};
use crate::problem::Answer;

const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/api/v1/events", get(events))
}

/// The status, each time that it changes: server-sent events named `status`, each with a `Status` in JSON.
#[utoipa::path(get, path = "/api/v1/events", tag = "host", security(("bearer" = [])), responses(
    (status = 200, description = "It does not end by itself.", content_type = "text/event-stream", body = Status),
    (status = 429, description = "Too many read the stream already.", body = Problem),
))]
pub(super) async fn events(State(shared): State<Shared>) -> Result<Sse<KeepAliveStream<Statuses>>, Answer> {
    let place = Arc::clone(&shared.streams).try_acquire_owned().map_err(|_| {
        let error = "too many read the stream of events already";
        Answer::new(StatusCode::TOO_MANY_REQUESTS, error, "close another console")
    })?;
    let mut status = shared.counter.status.clone();
    status.mark_changed();
    let statuses = Statuses { next: Box::pin(next(status, shared.stopped)), _place: place };
    Ok(Sse::new(statuses).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

type Watched = (watch::Receiver<Arc<Status>>, watch::Receiver<bool>);
type Next = Pin<Box<dyn Future<Output = Option<(Event, Watched)>> + Send>>;

/// Events without an end but the server's.
pub(super) struct Statuses {
    next: Next,
    _place: OwnedSemaphorePermit,
}

async fn next(
    mut status: watch::Receiver<Arc<Status>>,
    mut stopped: watch::Receiver<bool>,
) -> Option<(Event, Watched)> {
    let has_changed = {
        let mut changed = Box::pin(status.changed());
        let mut stops = Box::pin(stopped.wait_for(|stop| *stop));
        std::future::poll_fn(move |context| {
            if stops.as_mut().poll(context).is_ready() {
                return Poll::Ready(false);
            }
            changed.as_mut().poll(context).map(|changed| changed.is_ok())
        })
        .await
    };
    if !has_changed {
        return None;
    }
    let newest = Arc::clone(&status.borrow_and_update());
    // A plain value of numbers and texts is always JSON.
    let event = Event::default().event("status").json_data(&*newest).ok()?;
    Some((event, (status, stopped)))
}

impl Stream for Statuses {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.next.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some((event, (status, stopped)))) => {
                self.next = Box::pin(next(status, stopped));
                Poll::Ready(Some(Ok(event)))
            }
        }
    }
}
