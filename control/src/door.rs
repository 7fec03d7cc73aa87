//! The host's TLS: two protocols behind one port, and who may ask for which.
//!
//! Promises: a client's certificate must be known to get on with the session's protocol; one that is not known may pass
//! on the pairing protocol, and nowhere else. Which of the two a client asks for stands in its ClientHello, which TLS
//! handles before the certificate; each connection has its own memory of it, so that no other one's answer counts.
//! Refuses: a client that offers neither, and to take an offer of both for pairing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quinn_proto::ConnectionId;
use quinn_proto::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn_proto::crypto::{Keys, ServerConfig, Session, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::KeyUsage;

use crate::error::ControlError;
use crate::identity::Identity;
use crate::pairing::PAIR_ALPN;
use crate::tls::{self, PinVerifier};

/// Makes TLS's end of each connection.
pub(crate) struct Door {
    provider: Arc<CryptoProvider>,
    certified: Arc<CertifiedKey>,
    verifier: Arc<PinVerifier>,
    session_alpn: Vec<u8>,
    /// For what is the same for every connection.
    common: QuicServerConfig,
}

impl Door {
    /// Lets in whom `verifier` allows, and strangers to pair.
    ///
    /// # Errors
    /// When TLS does not take the identity.
    pub(crate) fn new(
        identity: &Identity,
        verifier: Arc<PinVerifier>,
        session_alpn: &[u8],
    ) -> Result<Self, ControlError> {
        let (provider, certified) = (tls::provider(), identity.certified());
        let session_alpn = session_alpn.to_vec();
        let common = config(&provider, &certified, &verifier, &session_alpn)?;
        let common = QuicServerConfig::try_from(common).map_err(no_initial_suite)?;
        Ok(Self { provider, certified, verifier, session_alpn, common })
    }
}

impl ServerConfig for Door {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.common.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.common.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        let config = config(&self.provider, &self.certified, &self.verifier, &self.session_alpn)
            .expect("`new` has made one of the same parts");
        let config = QuicServerConfig::try_from(config).expect("`new` has made one of the same parts");
        Arc::new(config).start_session(version, params)
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    certified: &Arc<CertifiedKey>,
    verifier: &Arc<PinVerifier>,
    session_alpn: &[u8],
) -> Result<rustls::ServerConfig, Error> {
    let visitor = Arc::new(Visitor {
        certified: Arc::clone(certified),
        verifier: Arc::clone(verifier),
        session_alpn: session_alpn.to_vec(),
        is_here_to_pair: AtomicBool::new(false),
    });
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::clone(&visitor) as Arc<dyn ClientCertVerifier>)
        .with_cert_resolver(visitor);
    // Of two that a client offers TLS takes the first of these.
    config.alpn_protocols = vec![session_alpn.to_vec(), PAIR_ALPN.to_vec()];
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// QUIC takes no TLS without the suite of its first packets.
pub(crate) fn no_initial_suite(error: NoInitialCipherSuite) -> ControlError {
    ControlError::Tls(Error::General(error.to_string()))
}

/// One client's connection: what it has asked for, and what its certificate may therefore be.
#[derive(Debug)]
struct Visitor {
    certified: Arc<CertifiedKey>,
    verifier: Arc<PinVerifier>,
    session_alpn: Vec<u8>,
    is_here_to_pair: AtomicBool,
}

impl ResolvesServerCert for Visitor {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offers =
            |wanted: &[u8]| hello.alpn().is_some_and(|mut offered| offered.any(|alpn| alpn == wanted));
        let to_pair = offers(PAIR_ALPN) && !offers(&self.session_alpn);
        self.is_here_to_pair.store(to_pair, Ordering::Relaxed);
        Some(Arc::clone(&self.certified))
    }
}

impl ClientCertVerifier for Visitor {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let to_pair = self.is_here_to_pair.load(Ordering::Relaxed);
        let judged = self.verifier.judge(end_entity, KeyUsage::client_auth(), to_pair, now);
        judged.map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(&*self.verifier, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(&*self.verifier, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(&*self.verifier)
    }
}
