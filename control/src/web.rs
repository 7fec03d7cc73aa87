//! TLS for a web server that is this identity's, and for this machine's own programs that ask it.
//!
//! Promises: the server shows the certificate that peers have pinned; the client believes that one and no other. Refuses
//! TLS before 1.3, and a certificate of whoever asks: the web has tokens for that.

use std::sync::Arc;

use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, Error, ServerConfig};

use crate::identity::Identity;
use crate::tls::{self, PinVerifier};
use crate::trust::Trust;

/// The one protocol that is spoken.
const ALPN: &[u8] = b"http/1.1";

impl Identity {
    /// What a web server of this identity shakes hands with.
    ///
    /// # Errors
    /// When TLS does not take the identity.
    pub fn web_server(&self) -> Result<Arc<ServerConfig>, Error> {
        let mut config = ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.certified())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_early_data_size = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// What a program of the same identity asks that server with.
    ///
    /// # Errors
    /// When TLS does not take the identity.
    pub fn web_client(&self) -> Result<Arc<ClientConfig>, Error> {
        let verifier = PinVerifier::new(Trust::Pinned(vec![self.fingerprint()]));
        tls::client_config(self, verifier, ALPN).map(Arc::new)
    }
}
