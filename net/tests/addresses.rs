//! A machine with several addresses: what came tells which of them it was sent to, and an answer leaves from
//! there, by every verb and backend.

mod common;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Random, WAIT, again_once, all_of_with, backends, drain, exchange, open};
use punktfunk_net::{Backend, ReceiveLimits, Receiver, Sender};

/// A host that listens on all its addresses: 0.0.0.0 and the dual-stack [::].
const HOSTS: [&str; 2] = ["0.0.0.0:0", "[::]:0"];

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    let asked: IpAddr = "127.0.0.2".parse().unwrap();
    for (bind, backend) in
        HOSTS.into_iter().flat_map(|bind| backends().into_iter().map(move |backend| (bind, backend)))
    {
        let host = open(bind, backend);
        assert!(host.caps().local_ip, "{}", host.caps());
        let host_addr = SocketAddr::new(asked, host.local_addr().port());
        let mut to_host = Receiver::new(Arc::clone(&host), ReceiveLimits::default()).unwrap();
        let client = open("127.0.0.1:0", backend);
        let client_addr = client.local_addr();
        let mut to_client = Receiver::new(Arc::clone(&client), ReceiveLimits::default()).unwrap();

        let came = again_once(|| {
            drain(&mut to_host);
            client.send_to(host_addr, None, &[1; 2500], Some(1000)).unwrap();
            all_of_with(&mut to_host, 3, |segment| (segment.from, segment.to))
        });
        assert_eq!(came, [(client_addr, Some(asked)); 3], "{backend} {bind}");

        let mut sender = Sender::new(Arc::clone(&host));
        sender.set_source(Some(asked));
        // Several trains, and a last message that is none.
        let bytes = Random(3).bytes(2 * 44 * 1400 + 7);
        let got = exchange(&mut to_client, 4 + 89, || {
            host.send_to(client_addr, Some(asked), &[2; 2500], Some(1000)).unwrap();
            host.send_to(client_addr, Some(asked), &[2; 10], None).unwrap();
            let report = sender.send(client_addr, &bytes, 1400, WAIT);
            assert_eq!((report.sent, report.dropped), (89, 0), "{backend} {bind}");
        });
        assert!(got.iter().all(|(_, from)| *from == host_addr), "{backend} {bind}: {:?}", got[0].1);
        let media: Vec<u8> = got.into_iter().skip(4).flat_map(|(bytes, _)| bytes).collect();
        assert!(media == bytes, "{backend} {bind}");
        assert_eq!(sender.counters().trains > 0, matches!(backend, Backend::Gso | Backend::Uring));

        // Without a source it is the kernel's choice again.
        sender.set_source(None);
        let got = exchange(&mut to_client, 1, || {
            sender.send(client_addr, &[3; 10], 10, WAIT);
        });
        assert_ne!(got[0].1, host_addr, "{backend} {bind}");
    }
}

#[test]
fn a_mapped_source_is_the_same_and_another_familys_is_the_kernels_choice() {
    let mapped: IpAddr = "::ffff:127.0.0.2".parse().unwrap();
    for bind in HOSTS {
        let (host, client) = (open(bind, Backend::Gso), open("127.0.0.1:0", Backend::Gso));
        let (port, client_addr) = (host.local_addr().port(), client.local_addr());
        let mut to_client = Receiver::new(client, ReceiveLimits::default()).unwrap();
        for (source, from) in [(mapped, "127.0.0.2"), ("::1".parse().unwrap(), "127.0.0.1")] {
            let got = exchange(&mut to_client, 1, || {
                host.send_to(client_addr, Some(source), b"x", None).unwrap();
            });
            assert_eq!(got[0].1, SocketAddr::new(from.parse().unwrap(), port), "{source} from {bind}");
        }
    }
}

#[test]
fn who_refuses_is_told_canonical() {
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for bind in HOSTS {
        let socket = open(bind, Backend::Gso);
        let mut receiver = Receiver::new(Arc::clone(&socket), ReceiveLimits::default()).unwrap();
        assert_eq!(socket.take_refused(), None);
        let refused = again_once(|| {
            socket.send_to(closed, None, b"anybody?", None).unwrap();
            let deadline = Instant::now() + WAIT;
            loop {
                assert!(receiver.receive(Some(Duration::from_millis(20))).unwrap().is_empty());
                match socket.take_refused() {
                    Some(refused) => return Ok(refused),
                    None if Instant::now() < deadline => {}
                    None => return Err(format!("nobody refused: {:?}", receiver.counters())),
                }
            }
        });
        assert_eq!(refused, closed, "{bind}");
    }
}

#[test]
fn a_source_that_is_not_ours_is_an_error_and_counted() {
    let elsewhere: IpAddr = "192.0.2.77".parse().unwrap();
    for (bind, backend) in
        HOSTS.into_iter().flat_map(|bind| backends().into_iter().map(move |backend| (bind, backend)))
    {
        let (host, client) = (open(bind, backend), open("127.0.0.1:0", backend));
        let dest = client.local_addr();
        assert!(host.send_to(dest, Some(elsewhere), &[0; 3000], Some(1000)).is_err(), "{backend} {bind}");
        assert_eq!(host.counters().packets_send_dropped, 3, "{backend} {bind}");
        let mut sender = Sender::new(Arc::clone(&host));
        sender.set_source(Some(elsewhere));
        let report = sender.send(dest, &[0; 3000], 1000, WAIT);
        assert_eq!((report.sent, report.dropped), (0, 3), "{backend} {bind}");
        assert_eq!(sender.counters().unreachable, 3);
        sender.set_source(None);
        assert_eq!(sender.send(dest, &[0; 3000], 1000, WAIT).sent, 3, "{backend} {bind}");
        assert_eq!(sender.backend(), backend, "an address is no reason to give trains up");
    }
}
