//! The server's thread: started with a bound address, ended with the handle.
//!
//! Promises: the address is bound before [`Manage::start`] returns, so that a port in use is an error at once; when
//! the handle is dropped nobody new is let in, and the thread is gone within a second. Refuses a runtime of more
//! than that one thread.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::desk::{Desk, desk};
use crate::guard::Guard;
use crate::listen;
use crate::logs::LogRing;
use crate::routes::{self, Shared};
use crate::token::Token;

/// How long requests may go on when the server ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// What a server serves with.
#[derive(Debug)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS with the host's identity, for HTTP/1.1.
    pub tls: Arc<rustls::ServerConfig>,
    /// Who may ask.
    pub token: Token,
    /// Names under which this host may be asked, beside its addresses and `localhost`.
    pub names: Vec<String>,
    /// The program's log.
    pub logs: LogRing,
    /// The program's version.
    pub version: String,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// The address cannot be had.
    #[error(
        "cannot serve the management API at {listen}: {error}; --manage ADDR:PORT takes another address, --manage off does without"
    )]
    Bind {
        /// Which.
        listen: SocketAddr,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// The system gives no thread or no timer.
    #[error("cannot start the management API's thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// The running server.
#[derive(Debug)]
pub struct Manage {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Manage {
    /// Binds and serves. The desk is for the host's loop.
    ///
    /// # Errors
    /// When the address cannot be bound, or the thread not started.
    pub fn start(config: Config) -> Result<(Self, Desk), ManageError> {
        let bind = |error| ManageError::Bind { listen: config.listen, error };
        let listener = TcpListener::bind(config.listen).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(ManageError::Thread)?;
        let (desk, counter) = desk();
        let (stop, stopped) = watch::channel(false);
        let shared = Shared::new(counter, config.logs, config.version, stopped.clone());
        let app = routes::app(shared, Arc::new(Guard::new(config.token, &config.names)));
        let serve = move || {
            runtime.block_on(listen::serve(listener, config.tls, app, stopped));
            runtime.shutdown_timeout(FAREWELL);
        };
        let thread = std::thread::Builder::new()
            .name("manage".to_owned())
            .spawn(serve)
            .map_err(ManageError::Thread)?;
        Ok((Self { address, stop, thread: Some(thread) }, desk))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Manage {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the management API's thread has panicked");
        }
    }
}
