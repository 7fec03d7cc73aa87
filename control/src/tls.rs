//! TLS 1.3 with pinned, self-signed certificates.
//!
//! Promises: both ends show a certificate; each must be well formed, signed by its own key and valid today, and is
//! then judged by its fingerprint alone; each end proves by the handshake's signature that it holds the
//! certificate's key. A certificate that was turned away is remembered, so that the error can name it. Refuses: TLS 1.2, resumption and 0-RTT, peers without a certificate, another ALPN.
//! Names and authorities are not looked at: a pin is stronger. The calendar is read by TLS itself.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::error::CertificateFault;
use crate::fingerprint::Fingerprint;
use crate::identity::Identity;
use crate::trust::Trust;

/// A certificate that was turned away: what it showed, not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) fingerprint: Fingerprint,
    /// `None`: nothing is wrong with it but that it is not trusted.
    pub(crate) fault: Option<CertificateFault>,
}

/// Judges certificates by fingerprint; one for each endpoint.
#[derive(Debug)]
pub(crate) struct PinVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    /// The last certificate turned away. TLS's callbacks take `&self`, and one thread drives an
    /// endpoint: the lock is never contended.
    refused: Mutex<Option<Refused>>,
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

    /// What was turned away since the last call.
    pub(crate) fn take_refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// `is_stranger_welcome`: whether a certificate that is not known may pass.
    pub(crate) fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        usage: KeyUsage,
        is_stranger_welcome: bool,
        now: UnixTime,
    ) -> Result<(), Error> {
        let fingerprint = Fingerprint::of_certificate(certificate);
        let refuse = |fault, error| {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Refused { fingerprint, fault });
            Err(Error::InvalidCertificate(error))
        };
        match examine(certificate, self.algorithms.all, usage, now) {
            Err(fault @ CertificateFault::Expired) => refuse(Some(fault), CertificateError::Expired),
            Err(fault @ CertificateFault::NotYetValid) => refuse(Some(fault), CertificateError::NotValidYet),
            Err(fault @ CertificateFault::Malformed) => refuse(Some(fault), CertificateError::BadEncoding),
            Ok(()) if is_stranger_welcome || self.trust.allows(&fingerprint) => Ok(()),
            // TLS says this as the alert access_denied, which nothing else in a handshake sends.
            Ok(()) => refuse(None, CertificateError::ApplicationVerificationFailure),
        }
    }
}

/// Form, own signature and dates: what a certificate must be, whoever's it is.
pub(crate) fn examine(
    certificate: &CertificateDer<'_>,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    usage: KeyUsage,
    now: UnixTime,
) -> Result<(), CertificateFault> {
    let malformed = |_| CertificateFault::Malformed;
    let itself = [anchor_from_trusted_cert(certificate).map_err(malformed)?];
    let parsed = EndEntityCert::try_from(certificate).map_err(malformed)?;
    match parsed.verify_for_usage(algorithms, &itself, &[], now, usage, None, None) {
        Ok(_) => Ok(()),
        Err(webpki::Error::CertExpired { .. }) => Err(CertificateFault::Expired),
        Err(webpki::Error::CertNotValidYet { .. }) => Err(CertificateFault::NotYetValid),
        Err(_) => Err(CertificateFault::Malformed),
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, KeyUsage::server_auth(), false, now).map(|()| ServerCertVerified::assertion())
    }

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
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
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
