//! What this end's sessions stand on: the machine, the ciphers and who opens them; and a socket for each.
//!
//! Promises: what the settings wish is used or refused by name; the machine is looked at once. Refuses nothing else.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use punktfunk_control::{Hello, Mode};
use punktfunk_engine::{Machine, Wishes};
use punktfunk_net::{BACKEND_VARIABLE, Backend, Socket, SocketConfig, udp_payload_bytes_to};
use punktfunk_proto::limits::shard_bytes_for_payload;
use punktfunk_seal::{
    BACKEND_VARIABLE as SEAL_VARIABLE, Backend as SealBackend, Backends, CIPHER_VARIABLE, CipherPreference,
};
use punktfunk_settings::Config;

use crate::address::unspecified_like;
use crate::error::ClientError;

/// This end.
pub struct Ground {
    /// The cores, and the wishes for them.
    pub machine: Machine,
    /// The ciphers, best first.
    pub ciphers: CipherPreference,
    /// Which library opens each.
    pub seal: Backends,
    /// How datagrams are to leave, where that was said.
    send: Option<Backend>,
}

impl Ground {
    /// Looks at what this machine can do.
    ///
    /// # Errors
    /// The settings ask for what there is not.
    pub fn look(told: &Config) -> Result<Self, ClientError> {
        let usage = |error: &dyn Display| ClientError::Usage(error.to_string());
        let machine = Machine::probe(Wishes::of(|name| told.os(name)).map_err(|error| usage(&error))?);
        let asked = SealBackend::asked(told.os(SEAL_VARIABLE)).map_err(|error| usage(&error))?;
        let asked_cipher = CipherPreference::asked(told.os(CIPHER_VARIABLE));
        let ciphers = CipherPreference::of_this_cpu(asked_cipher.map_err(|error| usage(&error))?);
        let send = Backend::asked(told.os(BACKEND_VARIABLE))?;
        let seal = Backends::measure(asked, Instant::now);
        tracing::info!("FEC by {}", machine.fec_kernel());
        tracing::info!("{seal}");
        Ok(Self { machine, ciphers, seal, send })
    }

    /// A socket for a session with the host at this address.
    ///
    /// # Errors
    /// There is none.
    pub fn socket_to(&self, host: SocketAddr) -> Result<Arc<Socket>, ClientError> {
        let mut config = SocketConfig::new(unspecified_like(host));
        config.backend = self.send;
        let socket = Arc::new(Socket::open(&config)?);
        tracing::info!("{}", socket.caps());
        Ok(socket)
    }

    /// A Hello with this end's bounds.
    pub fn hello(&self, name: String, mode: Mode, kbps: u32, host: SocketAddr) -> Hello {
        let mut hello = Hello::new(name, mode, kbps);
        hello.ciphers = self.ciphers.ciphers().to_vec();
        hello.au_bytes_max = *punktfunk_proto::limits::AU_BYTES.end();
        hello.slices_max = *punktfunk_proto::limits::SLICES.end();
        if let Some(bytes) = udp_payload_bytes_to(host).and_then(shard_bytes_for_payload) {
            hello.shard_bytes_max = bytes;
        }
        hello
    }

    /// What it is, as lines of a log's head.
    pub fn facts(&self, socket: &Socket) -> Vec<String> {
        let mut facts = punktfunk_perf::machine_facts();
        facts.extend([format!("net: {}", socket.caps()), format!("fec: {}", self.machine.fec_kernel())]);
        facts.push(self.seal.to_string());
        facts
    }
}
