//! A host that answers asks as a test likes, and a client that speaks HTTP by hand.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use punktfunk_manage::model::Status;
use punktfunk_manage::{Ask, Config, LogRing, Manage, Token};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use serde_json::Value;

/// A server, and the thread that plays the host's loop.
pub struct Host {
    manage: Option<Manage>,
    token: Token,
    client: Arc<ClientConfig>,
    publish: Sender<Status>,
    published: Arc<Mutex<u64>>,
    stop: Arc<AtomicBool>,
    desk: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn tls() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let certificate = CertificateDer::from(certificate.der().to_vec());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

impl Host {
    pub fn start(mut answer: impl FnMut(Ask) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::load_or_create(dir.path()).unwrap();
        let (server, client) = tls();
        let (manage, mut desk) = Manage::start(Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: server,
            token: token.clone(),
            names: Vec::new(),
            logs: LogRing::default(),
            version: "1.2.3".to_owned(),
        })
        .unwrap();
        let (publish, statuses) = channel::<Status>();
        let (published, stop) = (Arc::new(Mutex::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&published), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut last = Status::default();
            while !stopped.load(Ordering::Relaxed) {
                while let Ok(status) = statuses.try_recv() {
                    last.clone_from(&status);
                    desk.publish(status);
                    *counted.lock().unwrap() += 1;
                }
                while let Some(ask) = desk.poll_ask() {
                    answer(ask);
                }
                if desk.has_answers() {
                    desk.publish(last.clone());
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { manage: Some(manage), token, client, publish, published, stop, desk: Some(thread), _dir: dir }
    }

    pub fn address(&self) -> SocketAddr {
        self.manage.as_ref().unwrap().address()
    }

    /// As a browser would name it.
    pub fn name(&self) -> String {
        format!("localhost:{}", self.address().port())
    }

    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token.reveal())
    }

    /// Publishes, and waits until that is so.
    pub fn publish(&self, status: Status) {
        let before = *self.published.lock().unwrap();
        self.publish.send(status).unwrap();
        while *self.published.lock().unwrap() == before {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn bare(&self, verb: &str, path: &str) -> Answer {
        self.ask(verb, path, &[], None)
    }

    pub fn with_token(&self, verb: &str, path: &str, body: Option<&str>) -> Answer {
        self.ask(verb, path, &[("Authorization", &self.bearer()), ("Content-Type", "application/json")], body)
    }

    pub fn ask(&self, verb: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let mut stream = self.open(verb, path, headers, body);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !stream.is_over && Instant::now() < deadline {
            stream.read_some();
        }
        stream.answer()
    }

    /// Sends a request; the answer is the stream's.
    pub fn open(&self, verb: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Stream {
        let tcp = TcpStream::connect(self.address()).unwrap();
        tcp.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let mut stream = Stream { tls: StreamOwned::new(connection, tcp), text: Vec::new(), is_over: false };
        let mut request = format!("{verb} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "Connection") {
            request.push_str("Connection: close\r\n");
        }
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request.push_str(&format!("Host: {}\r\n", self.name()));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = body.unwrap_or_default();
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write(request.as_bytes());
        stream
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.manage = None;
        self.stop.store(true, Ordering::Relaxed);
        if let Some(desk) = self.desk.take() {
            let outcome = desk.join();
            assert!(outcome.is_ok() || std::thread::panicking(), "the host's loop has panicked");
        }
    }
}

/// A connection, and what has come on it.
pub struct Stream {
    tls: StreamOwned<ClientConnection, TcpStream>,
    text: Vec<u8>,
    is_over: bool,
}

impl Stream {
    /// Writes all of it, however long the other end takes to begin its handshake.
    pub fn write(&mut self, mut bytes: &[u8]) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !bytes.is_empty() && Instant::now() < deadline {
            match self.tls.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                // It was refused before it was read; what the host says about it may still come.
                Err(_) => return,
            }
        }
    }

    fn read_some(&mut self) {
        let mut piece = [0; 4096];
        match self.tls.read(&mut piece) {
            Ok(0) => self.is_over = true,
            Ok(read) => self.text.extend_from_slice(&piece[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.is_over = true,
        }
    }

    pub fn wait_for(&mut self, words: &str, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline && !self.is_over {
            self.read_some();
            if String::from_utf8_lossy(&self.text).contains(words) {
                return true;
            }
        }
        false
    }

    pub fn ends(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline && !self.is_over {
            self.read_some();
        }
        self.is_over
    }

    fn answer(self) -> Answer {
        let text = String::from_utf8(self.text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}
