//! A person's visit to the console: a host that is none, and a browser on it.

use std::sync::Arc;
use std::time::Instant;

use browser::Chromium;
use punktfunk_manage::Token;

use crate::host::{Served, StandIn, identity};

/// Each page, and what is there once it is complete.
pub const PAGES: [(&str, &str); 8] = [
    ("sessions", "Bitrate agreed"),
    ("pairing", "Kitchen tablet"),
    ("devices", "Work laptop"),
    ("speed", "Sends filler"),
    ("settings", "2026-11-26T21-14-02"),
    ("doctor", "kwin_wayland is not installed"),
    ("logs", "listening for clients"),
    ("live", "Latency at the host"),
];

/// The host, the browser, and what the one lets the other in by.
pub struct Visit {
    pub browser: Chromium,
    served: Option<Served>,
    origin: String,
    token: Token,
    tls: Arc<rustls::ServerConfig>,
    _dir: tempfile::TempDir,
}

impl Visit {
    /// Starts both; `None` where there is no browser, which is said.
    pub fn start(host: impl FnOnce(Instant) -> StandIn) -> Option<Self> {
        let mut browser = Chromium::start()?;
        browser.trust_any_certificate();
        let dir = tempfile::tempdir().unwrap();
        let token = Token::load_or_create(dir.path()).unwrap();
        let tls = identity();
        let listen = "127.0.0.1:0".parse().unwrap();
        let served = Served::start(listen, token.clone(), Arc::clone(&tls), host(Instant::now())).unwrap();
        let origin = format!("https://{}/", served.address());
        Some(Self { browser, served: Some(served), origin, token, tls, _dir: dir })
    }

    pub fn host(&self) -> &Served {
        self.served.as_ref().expect("it has not gone away")
    }

    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    pub fn token(&self) -> &str {
        self.token.reveal()
    }

    pub fn open_with_token(&mut self) {
        self.browser.open(&format!("{}#token={}", self.origin, self.token.reveal()));
    }

    /// Turns to a page and waits until it is complete.
    pub fn turn_to(&mut self, page: &str, sign: &str) {
        self.browser.turn_to(page, sign);
    }

    /// Looks at everything that must hold for every page, and leaves a picture of it.
    pub fn look(&mut self, name: &str, width: u32, colours: &str) {
        self.browser.look(&self.origin, name, width, colours);
    }

    /// No exception, no breach of the policy, no request to elsewhere.
    pub fn expect_no_faults(&mut self) {
        self.browser.expect_no_faults(&self.origin);
    }

    /// The host ends.
    pub fn go_away(&mut self) {
        self.served = None;
    }

    /// Another one starts in its place.
    pub fn come_back(&mut self, host: impl FnOnce(Instant) -> StandIn) {
        let listen = self.origin.trim_start_matches("https://").trim_end_matches('/').parse().unwrap();
        let host = host(Instant::now());
        self.served = Some(Served::start(listen, self.token.clone(), Arc::clone(&self.tls), host).unwrap());
    }
}
