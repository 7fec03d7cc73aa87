//! What can go wrong, said so that a person knows whose fault it is and what to do.
//!
//! Promises: one enum for each edge: a program's own calls (`ControlError`), the end of a client's
//! connection (`ConnectError`), the end of a host's session (`SessionEnd`), a stranger turned away
//! (`RejectReason`). Refuses: strings as variants.

use std::net::SocketAddr;
use std::time::Duration;

use crate::event::SessionId;
use crate::fingerprint::Fingerprint;
use crate::limits::PROTOCOL;
use crate::messages::{Bye, MessageError, Refusal};

/// A call that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The session has ended or never was.
    #[error("there is no session {0}; it may just have ended")]
    NoSuchSession(SessionId),
    /// The call does not fit the session's state.
    #[error("{verb} needs a session that is {needs}, but it is {found}")]
    OutOfTurn {
        /// The call.
        verb: &'static str,
        /// The state that it needs.
        needs: &'static str,
        /// The state that there is.
        found: &'static str,
    },
    /// The peer has not read its messages for so long that the queue is full; the session ends.
    #[error("the peer does not read its messages: {queued} bytes wait for it")]
    PeerDoesNotRead {
        /// How many bytes wait.
        queued: usize,
    },
    /// The address cannot be connected to.
    #[error("cannot connect to {address}: give an address with a port other than 0")]
    Address {
        /// The address that was given.
        address: SocketAddr,
    },
    /// TLS refused our own identity or settings.
    #[error("TLS does not accept this program's own identity: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why a client's connection ended, or never was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nothing came back.
    #[error(
        "no answer from {host} in {:.1} s{}: check that the host program runs there, that the address and \
         the UDP port are right, and that no firewall on the way drops UDP",
        .waited.as_secs_f32(),
        if *.refused { "; its machine says that nobody listens on that port" } else { "" }
    )]
    NoAnswer {
        /// The address asked.
        host: SocketAddr,
        /// How long.
        waited: Duration,
        /// Whether the network has said that nobody listens there; it was not waited any longer then.
        refused: bool,
    },
    /// The host answered with No.
    #[error("the host refused: {0}")]
    ConnectionRefusedByHost(Refusal),
    /// The host is not the one that was asked for.
    #[error(
        "the host's fingerprint is {got}, expected {}: another machine answers at this address, or the \
         host has a new identity; if that is right, pair with it anew or trust the new fingerprint",
        list(.expected)
    )]
    WrongFingerprint {
        /// The fingerprints that would have been believed.
        expected: Vec<Fingerprint>,
        /// The fingerprint that the host showed.
        got: Fingerprint,
    },
    /// The host's certificate is not to be believed, whether it is known or not.
    #[error(
        "the host's certificate {fault} (fingerprint {got}): check the date here, or let the host make a new identity"
    )]
    HostCertificate {
        /// What is wrong with it.
        fault: CertificateFault,
        /// The fingerprint that the host showed.
        got: Fingerprint,
    },
    /// The host says so of this client's certificate.
    #[error(
        "the host takes this client's certificate for malformed, expired or not valid yet: check the date on both \
         machines, or move this client's identity away and pair anew"
    )]
    OurCertificate,
    /// The host does not trust this client.
    #[error(
        "the host does not know this client: `punktfunk pair HOST` changes that, by the PIN that the host shows; or let \
         the host be started with --trust {ours}"
    )]
    HostDemandsTrust {
        /// This client's fingerprint.
        ours: Fingerprint,
    },
    /// The two programs are too far apart in age.
    #[error(
        "this client speaks control protocol {ours}, the host {}: update the older of the two",
        version(.theirs)
    )]
    ProtocolVersion {
        /// What this client speaks.
        ours: u32,
        /// What the host speaks, if it told.
        theirs: Option<u32>,
    },
    /// The host was there and then fell silent.
    #[error(
        "the host {host} has been silent for {:.1} s: it was killed, the network is gone, or this machine's \
         address has changed",
        .silent.as_secs_f32()
    )]
    Lost {
        /// The host's address.
        host: SocketAddr,
        /// How long it has been silent.
        silent: Duration,
    },
    /// The host has been started anew and knows nothing of this session, or it has given it up.
    #[error(
        "the host {host} does not know this session any more: it was restarted, or this machine's address has \
         changed; connect again"
    )]
    Restarted {
        /// The host's address.
        host: SocketAddr,
    },
    /// The host greeted but did not get on.
    #[error("the host {host} did not send its {waited_for} within {} s", .waited.as_secs())]
    Stalled {
        /// The host's address.
        host: SocketAddr,
        /// What was waited for.
        waited_for: &'static str,
        /// How long.
        waited: Duration,
    },
    /// The host said Bye.
    #[error("the host ended the session: {0}")]
    Closed(Bye),
    /// This client said Bye.
    #[error("this client ended the session: {0}")]
    Left(Bye),
    /// The host does not keep to the protocol.
    #[error("the host broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// QUIC itself failed.
    #[error("the connection to {host} failed: {text}")]
    Transport {
        /// The host's address.
        host: SocketAddr,
        /// What QUIC says.
        text: String,
    },
}

impl ConnectError {
    /// Whether the session ended because one of the two wanted it to.
    pub fn is_orderly(&self) -> bool {
        matches!(self, ConnectError::Closed(_) | ConnectError::Left(_))
    }
}

/// What is wrong with a certificate, whoever's it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// Its last day is over.
    #[error("is expired, by this machine's calendar")]
    Expired,
    /// Its first day has not come.
    #[error("is not valid yet, by this machine's calendar")]
    NotYetValid,
    /// It is no X.509 certificate that is signed by its own key.
    #[error("is no well-formed certificate that its own key has signed")]
    Malformed,
}

/// How a peer broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Bytes that are no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A message that does not belong here.
    #[error("a {message} message while {state}")]
    OutOfTurn {
        /// The message.
        message: &'static str,
        /// What the session was doing.
        state: &'static str,
    },
    /// A clock round whose times cannot be.
    #[error("an answer to clock round {round} that was not asked or runs backwards")]
    Skew {
        /// The round.
        round: u32,
    },
    /// The control stream was ended or reset.
    #[error("the control stream was closed")]
    StreamClosed,
    /// A share of a pairing that is no point of the group.
    #[error("a share that no honest peer sends")]
    Share,
    /// A feedback report that is none.
    #[error("a malformed feedback report")]
    Feedback,
    /// The peer does not read what is sent to it.
    #[error("the peer does not read its messages")]
    DoesNotRead,
    /// The peer says that we broke the protocol.
    #[error("the peer says: {text}")]
    Accused {
        /// What it says.
        text: String,
    },
}

/// Why a host's session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionEnd {
    /// The client said Bye.
    #[error("the client left: {0}")]
    ClientLeft(Bye),
    /// The host program said Bye.
    #[error("the host ended the session: {0}")]
    HostLeft(Bye),
    /// The host program refused the client.
    #[error("the client was turned away: {0}")]
    Refused(Refusal),
    /// The client fell silent.
    #[error("the client has been silent for {:.1} s: it was killed, or the network is gone", .silent.as_secs_f32())]
    Lost {
        /// How long it has been silent.
        silent: Duration,
    },
    /// The client fell silent at its own address, and datagrams that name its session come from another one.
    #[error(
        "the client has been silent for {:.1} s, and datagrams of its session came from {to}: its address seems \
         to have changed, and nobody there has proven to be the client; it can connect again",
        .silent.as_secs_f32()
    )]
    Moved {
        /// The other address. Not proven: whoever has seen the session's datagrams can send from there.
        to: SocketAddr,
        /// How long its own address has been silent.
        silent: Duration,
    },
    /// The client greeted but did not get on.
    #[error("the client did not send its {waited_for} within {} s", .waited.as_secs())]
    Stalled {
        /// What was waited for.
        waited_for: &'static str,
        /// How long.
        waited: Duration,
    },
    /// The client does not keep to the protocol.
    #[error("the client broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The client closed without a Bye, or QUIC itself failed.
    #[error("the connection failed: {text}")]
    Transport {
        /// What QUIC says.
        text: String,
    },
}

/// Why a stranger never became a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// Its certificate is not among the trusted. The fingerprint is what it showed, not yet proven.
    #[error(
        "it is not known; its fingerprint is {fingerprint}: to let it in, pair it (serve --pair shows a PIN for `punktfunk \
         pair`), or start with --trust {fingerprint}"
    )]
    NotTrusted {
        /// The fingerprint that it showed.
        fingerprint: Fingerprint,
    },
    /// Its certificate is not to be believed, whether it is known or not.
    #[error("its certificate {fault}; the fingerprint that it showed is {fingerprint}")]
    Certificate {
        /// What is wrong with it.
        fault: CertificateFault,
        /// The fingerprint that it showed.
        fingerprint: Fingerprint,
    },
    /// It does not know the PIN that is armed, or none is.
    #[error("it wanted to pair and did not know the PIN; nothing was stored")]
    NotPaired,
    /// It does not trust this host.
    #[error("it does not trust this host: it expects another fingerprint")]
    HostNotTrusted,
    /// It speaks another control protocol.
    #[error(
        "it speaks control protocol {}, this host {PROTOCOL}: update the older of the two",
        version(.theirs)
    )]
    ProtocolVersion {
        /// What it speaks, if it told.
        theirs: Option<u32>,
    },
    /// Every place is taken.
    #[error("all {connections_max} places for connections are taken")]
    Full {
        /// How many places there are.
        connections_max: usize,
    },
    /// Its address has too many connections behind which nobody is known.
    #[error("its address has {per_address_max} unfinished handshakes and strangers' connections already")]
    Crowded {
        /// How many it may have.
        per_address_max: usize,
    },
    /// It had not said who it is when somebody else wanted its place.
    #[error("it gave way to a newcomer: the {unknown_max} places of those that are not known yet were taken")]
    GaveWay {
        /// How many places there are.
        unknown_max: usize,
    },
    /// It did not get as far as a Hello.
    #[error("it did not send a Hello: {text}")]
    NoHello {
        /// What happened.
        text: String,
    },
}

fn list(fingerprints: &[Fingerprint]) -> String {
    match fingerprints {
        [] => "nobody (the list is empty)".to_owned(),
        known => known.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
    }
}

fn version(theirs: &Option<u32>) -> String {
    theirs.map_or_else(|| "another one".to_owned(), |number| number.to_string())
}
