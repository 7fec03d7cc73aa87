//! How this program's own commands ask a host that runs: by the management API, with its owner's token.
//!
//! Promises: only the host of this very identity is believed; an answer is bounded in size and time. Refuses to ask
//! without the token, which only the identity's owner can read.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use punktfunk_control::Identity;
use punktfunk_manage::Token;
use punktfunk_settings::Config;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use crate::error::HostError;
use crate::manage::ManageAt;

/// How long a connection and each part of an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Where a command is to ask.
///
/// # Errors
/// The settings, or the command line, say that there is no such place.
pub fn place(manage: ManageAt, config: &Config) -> Result<SocketAddr, HostError> {
    match manage {
        ManageAt::Address(address) => Ok(address),
        ManageAt::Off => Err(HostError::NoManagement { place: config.resolved().place("manage.listen") }),
    }
}

/// Where a browser finds a console that is there: one that listens on every address is found at the one that this machine
/// speaks to others from, or, where it speaks to nobody, at its own.
pub fn reachable(at: SocketAddr) -> SocketAddr {
    if !at.ip().is_unspecified() {
        return at;
    }
    // Nothing is sent: a connected UDP socket only knows whence it would be. The addresses are documentation's.
    let from = |own: SocketAddr, far: SocketAddr| {
        let socket = UdpSocket::bind(own)?;
        socket.connect(far)?;
        socket.local_addr()
    };
    let four = || from((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into());
    let six = || {
        let far = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        from((Ipv6Addr::UNSPECIFIED, 0).into(), (far, 9).into())
    };
    let own = if at.is_ipv6() { four().or_else(|_| six()) } else { four() };
    let loopback = if at.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { IpAddr::from(Ipv4Addr::LOCALHOST) };
    SocketAddr::new(own.map_or(loopback, |own| own.ip()), at.port())
}

/// A host that runs, and is this identity's.
pub struct RunningHost {
    address: SocketAddr,
    identity: Identity,
    token: Token,
}

impl RunningHost {
    /// The one whose API listens there.
    ///
    /// # Errors
    /// There is no token: no host of this identity has run.
    pub fn of(folder: &Path, identity: Identity, address: SocketAddr) -> Result<Self, HostError> {
        let token = Token::load(folder)?
            .ok_or(HostError::NoRunningHost { address, cause: "it has made no token yet".into() })?;
        Ok(Self { address, identity, token })
    }

    /// Asks, and gives the answer's JSON.
    ///
    /// # Errors
    /// No host answers there, or it refuses.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, HostError> {
        let address = self.address;
        let unheard = |error: io::Error| HostError::NoRunningHost { address, cause: error.to_string() };
        let (status, text) = self.exchange(method, path, body).map_err(unheard)?;
        let answer = serde_json::from_str(&text).unwrap_or(Value::Null);
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let said = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        Err(HostError::RunningHostRefused { error: said("error"), remedy: said("remedy"), status })
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<(u16, String)> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let config = self.identity.web_client().map_err(io::Error::other)?;
        // The name is a formality: the certificate is known.
        let name = ServerName::IpAddress(self.address.ip().into());
        let mut stream =
            StreamOwned::new(ClientConnection::new(config, name).map_err(io::Error::other)?, stream);
        let body = body.map(Value::to_string).unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            self.token.reveal(),
            body.len()
        )?;
        stream.flush()?;
        let mut answer = Vec::new();
        match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer) {
            // An end without TLS's own word for it: the length below tells whether all came.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            outcome => {
                outcome?;
            }
        }
        read_answer(&answer).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "its answer is no HTTP"))
    }
}

/// Status and body of an answer whose body's length is told, or that ends with the connection.
fn read_answer(answer: &[u8]) -> Option<(u16, String)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let body = &answer[end + 4..];
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    };
    let length = head.lines().find_map(field).unwrap_or(body.len());
    Some((status, String::from_utf8(body.get(..length)?.to_vec()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(read_answer(whole), Some((200, "{}".into())));
        assert_eq!(read_answer(b"HTTP/1.1 204 No Content\r\n\r\n"), Some((204, String::new())));
        for length in 0..whole.len() {
            assert_eq!(read_answer(&whole[..length]), None, "{length}");
        }
        for hostile in [&b"HTTP/1.1 \xff\xff\xff\r\n\r\n"[..], b"HTTP/2 200 \r\n\r\n", b"HTTP/1.1 2\r\n\r\n"]
        {
            assert_eq!(read_answer(hostile), None);
        }
    }
}
