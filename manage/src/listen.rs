//! Connections: TCP, TLS, HTTP/1.1.
//!
//! Promises: as many at once as [`Guests`] has places, those in their handshake among them; a handshake and a request's
//! head that do not come in time end theirs, and so does an answer that nobody reads. A connection that fails says so at
//! debug, for its fault is the peer's. Refuses whom nobody has to leave for.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::guests::{Guests, Place};
use crate::limits::{HANDSHAKE_MAX, HEAD_BYTES_MAX, HEAD_MAX, STILL_MAX};
use crate::patient::Patient;

/// How long to wait when the system has no descriptors left for another connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves until `stop` says so.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    app: Router,
    mut stop: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the management API cannot listen"),
    };
    let acceptor = TlsAcceptor::from(tls);
    let guests = Guests::default();
    loop {
        let accepted = match first(stop.wait_for(|stop| *stop), listener.accept()).await {
            Either::Left => return,
            Either::Right(accepted) => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let Some(place) = guests.enter(from.ip()) else {
                    tracing::debug!(%from, "the management API has no place left");
                    continue;
                };
                let (acceptor, app) = (acceptor.clone(), app.clone());
                tokio::spawn(async move {
                    let served = connection(stream, (from, &place), acceptor, app);
                    if let Either::Right(Err(error)) = first(place.taken(), served).await {
                        tracing::debug!(%from, %error, "a connection to the management API ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the management API cannot take a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    (from, place): (SocketAddr, &Place),
    acceptor: TlsAcceptor,
    app: Router,
) -> io::Result<()> {
    let handshake = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(Patient::new(stream, STILL_MAX)));
    let stream = handshake.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let app = app.layer(axum::Extension(ConnectInfo(from))).layer(axum::Extension(place.guest()));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .await
        .map_err(io::Error::other)
}

enum Either<T> {
    Left,
    Right(T),
}

/// Whichever of the two is ready first, `left` before `right`.
async fn first<T>(left: impl Future, right: impl Future<Output = T>) -> Either<T> {
    let (mut left, mut right) = (Box::pin(left), Box::pin(right));
    std::future::poll_fn(move |context| {
        if left.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(Either::Left);
        }
        right.as_mut().poll(context).map(Either::Right)
    })
    .await
}
