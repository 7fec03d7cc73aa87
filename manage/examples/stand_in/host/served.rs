//! The host that is none, behind the real server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use punktfunk_manage::{Config, LogRing, Manage, ManageError, Token};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tracing_subscriber::layer::SubscriberExt;

use super::StandIn;

/// How often a status is published: oftener than a host does, so that a test need not wait.
const PUBLISH: Duration = Duration::from_millis(50);

/// The server, and the thread that plays the host's loop; both end when this is dropped.
pub struct Served {
    manage: Option<Manage>,
    host: Arc<Mutex<StandIn>>,
    stop: Arc<AtomicBool>,
    turn: Option<JoinHandle<()>>,
}

/// A certificate and its key, made anew.
pub fn identity() -> Arc<ServerConfig> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = CertificateDer::from(names.self_signed(&key).expect("a certificate").der().to_vec());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS's versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into());
    Arc::new(server.expect("the key belongs to the certificate"))
}

impl Served {
    /// Serves `host`.
    pub fn start(
        listen: SocketAddr,
        token: Token,
        tls: Arc<ServerConfig>,
        host: StandIn,
    ) -> Result<Self, ManageError> {
        let logs = LogRing::default();
        let config =
            Config { listen, tls, token, names: Vec::new(), logs: logs.clone(), version: "0.1.0".to_owned() };
        let (manage, mut desk) = Manage::start(config)?;
        let (host, stop) = (Arc::new(Mutex::new(host)), Arc::new(AtomicBool::new(false)));
        let (played, stopped) = (Arc::clone(&host), Arc::clone(&stop));
        let turn = move || {
            let mut published_at = None;
            tracing::info!(port = 47_800, "listening for clients");
            tracing::warn!(
                wanted = 16_777_216,
                got = 212_992,
                "the system lends less of a receive buffer than wanted"
            );
            while !stopped.load(Ordering::Relaxed) {
                let now = Instant::now();
                let mut host = played.lock().unwrap_or_else(PoisonError::into_inner);
                while let Some(ask) = desk.poll_ask() {
                    let words = format!("{ask:?}");
                    tracing::info!("asked: {}", words.split(' ').next().unwrap_or_default());
                    host.answer(ask, now);
                }
                if desk.has_answers()
                    || published_at.is_none_or(|at| now.saturating_duration_since(at) >= PUBLISH)
                {
                    desk.publish(host.status(now));
                    published_at = Some(now);
                }
                drop(host);
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let log = tracing_subscriber::registry().with(logs.layer());
        let turn = std::thread::spawn(move || tracing::subscriber::with_default(log, turn));
        Ok(Self { manage: Some(manage), host, stop, turn: Some(turn) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.manage.as_ref().expect("it serves until it is dropped").address()
    }

    /// Does something to the host.
    #[allow(dead_code, reason = "tests do")]
    pub fn with<T>(&self, act: impl FnOnce(&mut StandIn) -> T) -> T {
        act(&mut self.host.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.manage = None;
        self.stop.store(true, Ordering::Relaxed);
        if let Some(turn) = self.turn.take() {
            assert!(turn.join().is_ok() || std::thread::panicking(), "the host's loop has panicked");
        }
    }
}
