//! Each branch of the verifiers, at both ends and on both protocols. CVE-2026-32253: a callback of TLS that let expired
//! and unknown certificates pass.

use std::time::Duration;

use super::network::Way;
use super::pair::{Pair, hello};
use crate::error::CertificateFault;
use crate::limits::ALPN;
use crate::pairing::PAIR_ALPN;
use crate::{ConnectError, HostEvent, HostLimits, Identity, PairError, RejectReason, Trust, Wish};

const SOON: Duration = Duration::from_secs(4);

fn host_that_trusts(name: &str, known: &[&Identity]) -> Pair {
    let known = known.iter().map(|identity| identity.fingerprint()).collect();
    Pair::with(name, 1, Way::LAN, Way::LAN, Trust::Pinned(known), HostLimits::default(), ALPN)
}

/// A session by this client; what each end was told.
fn session(pair: &mut Pair, client: &Identity, trust: Trust) -> (Option<ConnectError>, Vec<RejectReason>) {
    let index = pair.connect_with(client, trust, hello(), ALPN);
    pair.run_until(SOON, |pair| pair.clients[index].ended.is_some() || pair.skew(index).is_some());
    pair.run_for(Duration::from_millis(100));
    let rejected = pair.events.iter().filter_map(|event| match event {
        HostEvent::Rejected { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    (pair.clients[index].ended.clone(), rejected.collect())
}

/// A visit of the pairing protocol; how it ended.
fn visit(pair: &mut Pair, client: &Identity) -> Option<Result<(), PairError>> {
    let guest = pair.apply(client, Wish::Knock, "a stranger");
    pair.run_until(SOON, |pair| pair.guests[guest].outcome().is_some());
    pair.guests[guest].outcome()
}

#[test]
fn a_certificate_that_is_known_and_valid_is_let_in() {
    let client = Identity::valid_in(2000..4000);
    let mut pair = host_that_trusts("known", &[&client]);
    assert_eq!(session(&mut pair, &client, Trust::Open), (None, vec![]));
}

#[test]
fn cve_2026_32253_an_unknown_certificate_is_refused() {
    let (known, client) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let mut pair = host_that_trusts("unknown", &[&known]);
    let ours = client.fingerprint();
    let (ended, rejected) = session(&mut pair, &client, Trust::Open);
    assert_eq!(ended, Some(ConnectError::HostDemandsTrust { ours }));
    assert_eq!(rejected, [RejectReason::NotTrusted { fingerprint: ours }]);
    assert!(pair.sessions.is_empty());
}

#[test]
fn cve_2026_32253_an_expired_or_early_certificate_is_refused_though_it_is_known() {
    for (years, fault) in
        [(1990..2001, CertificateFault::Expired), (3000..4000, CertificateFault::NotYetValid)]
    {
        let client = Identity::valid_in(years);
        let mut pair = host_that_trusts("dates", &[&client]);
        let (ended, rejected) = session(&mut pair, &client, Trust::Open);
        assert_eq!(ended, Some(ConnectError::OurCertificate), "{fault:?}");
        let fingerprint = client.fingerprint();
        assert_eq!(rejected, [RejectReason::Certificate { fault, fingerprint }]);
        // Nor does a host that is open to everyone take it, nor may it pair or knock.
        let mut open = Pair::lan("dates, open");
        let (ended, _) = session(&mut open, &client, Trust::Open);
        assert_eq!(ended, Some(ConnectError::OurCertificate), "{fault:?}");
        let refused = Some(Err(PairError::Connect(ConnectError::OurCertificate)));
        assert_eq!(visit(&mut pair, &client), refused, "{fault:?}");
        assert!(pair.host.pending().is_empty());
    }
}

#[test]
fn cve_2026_32253_a_certificate_without_its_key_is_refused() {
    let (victim, thief) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let impostor = thief.impostor_of(&victim);
    let mut pair = host_that_trusts("wrong key", &[&victim]);
    let (ended, rejected) = session(&mut pair, &impostor, Trust::Open);
    assert!(matches!(ended, Some(ConnectError::Transport { .. })), "{ended:?}");
    assert!(matches!(rejected[..], [RejectReason::NoHello { .. }]), "{rejected:?}");
    let knocked = visit(&mut pair, &impostor);
    assert!(matches!(knocked, Some(Err(PairError::Connect(ConnectError::Transport { .. })))), "{knocked:?}");
    assert!(pair.sessions.is_empty() && pair.host.pending().is_empty());
}

/// Every byte of a certificate is under its own signature, or is that signature.
#[test]
fn a_certificate_with_a_byte_turned_is_refused() {
    let client = Identity::generate().unwrap();
    for place in (0..600).step_by(29) {
        let bent = client.bent_at(place);
        let mut pair = host_that_trusts("bent", &[&client, &bent]);
        let (ended, _) = session(&mut pair, &bent, Trust::Open);
        assert!(ended.is_some(), "byte {place}");
        assert!(pair.sessions.is_empty(), "byte {place}");
        assert!(visit(&mut pair, &bent).is_some_and(|outcome| outcome.is_err()), "byte {place}");
    }
}

#[test]
fn a_hosts_certificate_is_judged_likewise() {
    let client = Identity::generate().unwrap();
    for (host, fault) in [
        (Identity::valid_in(1990..2001), Some(CertificateFault::Expired)),
        (Identity::valid_in(3000..4000), Some(CertificateFault::NotYetValid)),
        (Identity::generate().unwrap().bent_at(333), Some(CertificateFault::Malformed)),
        (Identity::generate().unwrap(), None),
    ] {
        let got = host.fingerprint();
        let mut pair = Pair::lan("a host's");
        pair.replace_host(host);
        let known = Trust::Pinned(if fault.is_some() { vec![got] } else { vec![client.fingerprint()] });
        let (ended, _) = session(&mut pair, &client, known.clone());
        let expected = match fault {
            Some(fault) => ConnectError::HostCertificate { fault, got },
            None => ConnectError::WrongFingerprint { expected: known.expected().to_vec(), got },
        };
        assert_eq!(ended, Some(expected));
        if fault.is_some() {
            let visited = visit(&mut pair, &client);
            assert!(
                matches!(visited, Some(Err(PairError::Connect(ConnectError::HostCertificate { .. })))),
                "{visited:?}"
            );
        }
    }
}

/// The pairing protocol is the only place where a stranger may stay, and a session there is none.
#[test]
fn a_stranger_who_has_shaken_hands_to_pair_gets_no_session() {
    let (known, stranger) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let mut pair = host_that_trusts("hello on the wrong protocol", &[&known]);
    // A session's client that asks for the pairing protocol, and says Hello there.
    let index = pair.connect_with(&stranger, Trust::Open, hello(), PAIR_ALPN);
    pair.run_until(SOON, |pair| pair.clients[index].ended.is_some());
    assert!(pair.clients[index].ended.is_some());
    assert!(pair.sessions.is_empty() && pair.host.pending().is_empty());
    assert!(pair.clients[index].welcomed.is_none());
    pair.run_for(Duration::from_secs(10));
    assert!(pair.host.is_idle());
}
