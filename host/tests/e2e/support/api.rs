//! The management API of a running host, asked over HTTPS with its owner's token.
//!
//! Promises: only the host of this very identity is believed; no answer takes longer than the tests' patience.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use punktfunk_control::Identity;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use super::{PATIENCE, Place};

/// Where a host's API listens, and who may ask there.
pub(crate) struct Api {
    address: SocketAddr,
    identity: Identity,
    token: String,
}

/// An address for `--manage` that nobody listens at.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl Api {
    /// The one of the host whose identity is in this test's folder.
    pub(crate) fn of(place: &Place, address: &str) -> Self {
        let folder = place.path("host-identity");
        let token = std::fs::read_to_string(folder.join("manage-token")).unwrap().trim().to_owned();
        Self {
            address: address.parse().unwrap(),
            identity: Identity::load_or_create(&folder).unwrap(),
            token,
        }
    }

    /// Asks for what has no end; gives the status.
    pub(crate) fn status(&self, method: &str, path: &str) -> u16 {
        let mut head = [0; 12];
        self.send(method, path, None).read_exact(&mut head).unwrap();
        std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::IpAddress(self.address.ip().into());
        let connection = ClientConnection::new(self.identity.web_client().unwrap(), name).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let (address, token, bytes) = (self.address, &self.token, body.len());
        write!(
            stream,
            "{method} /api/v1/{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        stream.flush().unwrap();
        stream
    }

    /// Asks; gives the status and the body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut stream = self.send(method, path, body);
        let mut answer = String::new();
        match stream.read_to_string(&mut answer) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            outcome => _ = outcome.unwrap(),
        }
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Asks for what must be granted.
    pub(crate) fn granted(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Asks for what must be refused so; gives what is said.
    pub(crate) fn refused(&self, method: &str, path: &str, body: Option<Value>, code: u16) -> String {
        let (status, answer) = self.ask(method, path, body);
        assert_eq!(status, code, "{method} {path}: {answer}");
        answer["error"].as_str().unwrap_or_else(|| panic!("no word of why: {answer}")).to_owned()
    }
}
