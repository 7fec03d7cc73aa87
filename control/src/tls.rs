//! TLS 1.3 with pinned, self-signed certificates.
//!
//! Promises: both ends show a certificate; each is judged by its fingerprint alone, and each proves by
//! the handshake's signature that it holds the certificate's key. A certificate that was turned away is
//! remembered, so that the error can name it. Refuses: TLS 1.2, resumption and 0-RTT, peers without a
//! certificate, another ALPN. Names, dates and authorities are not looked at: a pin is stronger.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::fingerprint::Fingerprint;
use crate::identity::Identity;
use crate::trust::Trust;

/// Judges certificates by fingerprint; one for each endpoint.
#[derive(Debug)]
pub(crate) struct PinVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    /// The last certificate turned away. TLS's callbacks take `&self`, and one thread drives an
    /// endpoint: the lock is never contended.
    refused: Mutex<Option<Fingerprint>>,
}

impl PinVerifier {
    pub(crate) fn new(trust: Trust) -> Arc<Self> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Arc::new(Self { trust, algorithms, refused: Mutex::new(None) })
    }

    /// Whether a peer that has proven to be this one may stay.
    pub(crate) fn allows(&self, peer: &Fingerprint) -> bool {
        self.trust.allows(peer)
    }

    /// The fingerprint turned away since the last call.
    pub(crate) fn take_refused(&self) -> Option<Fingerprint> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn judge(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let fingerprint = Fingerprint::of_certificate(certificate);
        if self.trust.allows(&fingerprint) {
            return Ok(());
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
        // TLS says this as the alert access_denied, which nothing else in a handshake sends.
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }
}

/// The same in both directions: the peer holds its certificate's key. (Two traits of the same methods.)
macro_rules! proof_of_key {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            // The configurations below do not offer it.
            Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls13RequiredForQuic))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity).map(|()| ServerCertVerified::assertion())
    }

    proof_of_key!();
}

impl ClientCertVerifier for PinVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity).map(|()| ClientCertVerified::assertion())
    }

    proof_of_key!();
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The host's TLS.
pub(crate) fn server_config(
    identity: &Identity,
    verifier: Arc<PinVerifier>,
    alpn: &[u8],
) -> Result<rustls::ServerConfig, Error> {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(identity.certified()));
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![alpn.to_vec()];
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The client's TLS.
pub(crate) fn client_config(
    identity: &Identity,
    verifier: Arc<PinVerifier>,
    alpn: &[u8],
) -> Result<rustls::ClientConfig, Error> {
    let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(identity.certified()));
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(resolver);
    config.alpn_protocols = vec![alpn.to_vec()];
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}
