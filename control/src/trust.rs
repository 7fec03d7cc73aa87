//! Whom to believe: anyone, or the holders of known certificates.
//!
//! Promises: a peer is judged by its certificate's fingerprint and nothing else: no name, no authority. Refuses: to be the
//! proof; that the certificate is valid today and that the peer holds its key is TLS's to show.

use crate::fingerprint::Fingerprint;

/// The peers that may talk to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Any peer with a certificate of its own. Its fingerprint is still told.
    Open,
    /// These peers only. An empty list trusts nobody.
    Pinned(Vec<Fingerprint>),
}

impl Trust {
    /// Whether a peer with this fingerprint may talk to us.
    pub fn allows(&self, peer: &Fingerprint) -> bool {
        match self {
            Trust::Open => true,
            Trust::Pinned(known) => known.contains(peer),
        }
    }

    /// The fingerprints that are asked for; empty when any will do.
    pub fn expected(&self) -> &[Fingerprint] {
        match self {
            Trust::Open => &[],
            Trust::Pinned(known) => known,
        }
    }
}
