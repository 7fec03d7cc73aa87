//! The whole edge over loopback: what is sent comes, as it was sent, by every backend and in both families.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{
    Came, Missing, Random, WAIT, again_once, all_of, assert_round_trip, backends, collect, drain, exchange,
    open, pair, rings,
};
use punktfunk_net::{Backend, NetError, ReceiveLimits, Receiver, Sender, Socket, SocketConfig};

const BINDS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// The ways in which datagrams are received here, by a backend each.
fn receiving() -> Vec<Backend> {
    if rings() { vec![Backend::Gso, Backend::Uring] } else { vec![Backend::Gso] }
}

fn has_trains(backend: Backend) -> bool {
    matches!(backend, Backend::Gso | Backend::Uring)
}

fn every(test: impl Fn(Backend, &str)) {
    for backend in backends() {
        for bind in BINDS {
            test(backend, bind);
        }
    }
}

#[test]
fn every_backend_carries_every_size() {
    every(|backend, bind| {
        let (mut sender, mut receiver, dest) = pair(bind, backend);
        assert_eq!(sender.backend(), backend);
        let mut random = Random(1);
        let mut missing = Missing::default();
        // One segment; exactly one train; one more; several calls; a last segment of one byte.
        for (segment, len) in [
            (1448, 1448),
            (1448, 100),
            (1448, 44 * 1448),
            (1448, 44 * 1448 + 1),
            (1192, 400 * 1192 + 7),
            (1, 50),
            (8936, 20 * 8936 + 8935),
            (40_000, 90_000),
            (1523, 43 * 1523),
            (32_753, 65_506),
            (65_480, 65_480),
        ] {
            let again = assert_round_trip(&mut sender, &mut receiver, dest, &random.bytes(len), segment);
            missing.datagrams += again.datagrams;
            missing.bytes += again.bytes;
        }
        let counters = sender.counters();
        assert_eq!(
            counters.packets_send_dropped + counters.gso_refused + counters.emsgsize,
            0,
            "{counters:?}"
        );
        assert_eq!(receiver.counters().datagrams + missing.datagrams, counters.datagrams);
        assert_eq!(receiver.counters().bytes + missing.bytes, counters.bytes);
        assert_eq!(counters.trains > 0, has_trains(backend));
    });
}

#[test]
fn mixed_sizes_arrive_in_order() {
    let seed = 0x5eed_2026_1122;
    eprintln!("seed {seed:#x}");
    let mut random = Random(seed);
    every(|backend, bind| {
        let mut random = Random(random_seed(backend, bind, seed));
        let (mut sender, mut receiver, dest) = pair(bind, backend);
        for _ in 0..200 {
            let segment = 1 + random.below(3000);
            let len = 1 + random.below(30_000);
            let bytes = random.bytes(len);
            assert_round_trip(&mut sender, &mut receiver, dest, &bytes, segment);
        }
    });
    // Sends of differing sizes back to back: the kernel may coalesce only what is equal.
    let mut pairs: Vec<_> = BINDS
        .into_iter()
        .flat_map(|bind| receiving().into_iter().map(move |backend| pair(bind, backend)))
        .collect();
    for round in 0..100 {
        let at = round % pairs.len();
        let (sender, receiver, dest) = &mut pairs[at];
        let mut send = || {
            let (segment, len) = (100 + random.below(5) * 333, 1 + random.below(4000));
            (segment, random.bytes(len))
        };
        let sends: Vec<_> = (0..10).map(|_| send()).collect();
        let want: Vec<&[u8]> = sends.iter().flat_map(|(segment, bytes)| bytes.chunks(*segment)).collect();
        let got = exchange(receiver, want.len(), || {
            for (segment, bytes) in &sends {
                sender.send(*dest, bytes, *segment, WAIT);
            }
        });
        assert!(bytes_of(&got) == want, "seed {seed:#x}");
    }
}

fn bytes_of(got: &[Came]) -> Vec<&[u8]> {
    got.iter().map(|(bytes, _)| bytes.as_slice()).collect()
}

/// The whole of what was sent, from its datagrams.
fn joined(got: &[Came]) -> Vec<u8> {
    bytes_of(got).concat()
}

#[test]
fn what_is_lost_once_is_sent_again_and_what_is_lost_twice_is_a_fault() {
    let (mut sender, mut receiver, dest) = pair(BINDS[0], Backend::Gso);
    let bytes = Random(17).bytes(3000);
    let mut tries = 0;
    let mut send = |lost: &[u32]| {
        tries += 1;
        let len = if lost.contains(&tries) { 2000 } else { 3000 };
        sender.send(dest, &bytes[..len], 1000, WAIT);
    };
    assert_eq!(joined(&exchange(&mut receiver, 3, || send(&[1]))), bytes);
    let fault = std::panic::AssertUnwindSafe(|| exchange(&mut receiver, 3, || send(&[3, 4])));
    let said = *std::panic::catch_unwind(fault).unwrap_err().downcast::<String>().unwrap();
    for part in ["2 datagrams of 3", "kernel_drops", "Udp:", "RcvbufErrors"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
}

fn random_seed(backend: Backend, bind: &str, seed: u64) -> u64 {
    seed ^ (backend as u64) << 8 ^ bind.len() as u64
}

#[test]
fn system_calls_are_few() {
    let bytes = Random(3).bytes(44 * 1448 * 3);
    for (backend, calls, trains) in
        [(Backend::Gso, 1, 3), (Backend::Sendmmsg, 3, 0), (Backend::Scalar, 132, 0), (Backend::Uring, 1, 3)]
    {
        if !backends().contains(&backend) {
            continue;
        }
        for bind in BINDS {
            let (mut sender, _receiver, dest) = pair(bind, backend);
            let report = sender.send(dest, &bytes, 1448, WAIT);
            assert_eq!(
                (report.sent, report.dropped, report.system_calls),
                (132, 0, calls),
                "{backend} {bind}"
            );
            assert_eq!(sender.counters().trains, trains, "{backend} {bind}");
        }
    }
}

#[test]
fn trains_stay_below_the_kernels_limits() {
    let (sender, ..) = pair(BINDS[0], Backend::Gso);
    for (segment, most) in
        [(1192, 44), (1448, 44), (1488, 44), (1489, 43), (8936, 7), (65_507, 1), (70_000, 1)]
    {
        assert_eq!(sender.segments_max(segment), most, "{segment}");
    }
}

#[test]
fn a_dual_stack_socket_speaks_to_both_and_shows_canonical_addresses() {
    receiving().into_iter().for_each(speak_to_both);
}

fn speak_to_both(backend: Backend) {
    let host = open("[::]:0", backend);
    assert!(host.caps().dual_stack);
    let port = host.local_addr().port();
    let mut to_host = Receiver::new(Arc::clone(&host), ReceiveLimits::default()).expect("a live socket");
    let mut from_host = Sender::new(host);
    for bind in BINDS {
        let (mut sender, mut receiver, client) = {
            let socket = open(bind, backend);
            let addr = socket.local_addr();
            (
                Sender::new(Arc::clone(&socket)),
                Receiver::new(socket, ReceiveLimits::default()).expect("a live socket"),
                addr,
            )
        };
        let dest = SocketAddr::new(client.ip(), port);
        let bytes = Random(5).bytes(5000);
        let got = exchange(&mut to_host, 4, || {
            sender.send(dest, &bytes, 1448, WAIT);
        });
        assert!(got.iter().all(|(_, from)| *from == client), "{got:?} from {client}");
        assert_round_trip(&mut from_host, &mut receiver, client, &bytes, 1000);
        // A mapped address is the same address.
        let mapped = match client {
            SocketAddr::V4(v4) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
            SocketAddr::V6(_) => client,
        };
        assert_round_trip(&mut from_host, &mut receiver, mapped, &bytes, 1000);
    }
}

#[test]
fn the_other_family_is_an_error_and_counted() {
    let socket = open(BINDS[0], Backend::Gso);
    let dest: SocketAddr = "[::1]:9".parse().unwrap();
    assert!(matches!(socket.send_to(dest, None, b"x", None), Err(NetError::FamilyMismatch { .. })));
    let mut sender = Sender::new(socket);
    let report = sender.send(dest, &[0; 3000], 1448, WAIT);
    assert_eq!((report.sent, report.dropped, report.system_calls), (0, 3, 0));
    assert_eq!(sender.counters().unreachable, 3);
}

#[test]
fn a_plain_send_carries_single_datagrams_and_batches() {
    every(|backend, bind| {
        let (_, mut receiver, dest) = pair(bind, backend);
        let socket = open(bind, backend);
        let bytes = Random(7).bytes(70 * 1200 + 5);
        let mut sent = (0, 0);
        for (bytes, segment) in [(&bytes[..1200], None), (&bytes, Some(1200)), (&[][..], None)] {
            let want: Vec<&[u8]> = match segment {
                Some(segment) => bytes.chunks(segment).collect(),
                None => vec![bytes],
            };
            let got = exchange(&mut receiver, want.len(), || {
                socket.send_to(dest, None, bytes, segment).unwrap();
                sent = (sent.0 + want.len() as u64, sent.1 + bytes.len() as u64);
            });
            assert_eq!(bytes_of(&got), want);
        }
        let counters = socket.counters();
        assert_eq!((counters.datagrams, counters.bytes), sent, "{counters:?}");
        assert_eq!(counters.packets_send_dropped, 0);
    });
}

#[test]
fn datagrams_too_large_are_counted_and_the_others_go() {
    every(|backend, bind| {
        let (mut sender, mut receiver, dest) = pair(bind, backend);
        // The last, shorter datagram fits; the two before do not fit any IP packet.
        let got = exchange(&mut receiver, 1, || {
            let before = sender.counters().emsgsize;
            let report = sender.send(dest, &vec![7; 2 * 70_000 + 500], 70_000, WAIT);
            assert_eq!((report.sent, report.dropped), (1, 2), "{backend} {bind}");
            assert_eq!(sender.counters().emsgsize - before, 2);
        });
        assert_eq!(got[0].0, [7; 500]);
        assert_eq!(sender.backend(), backend, "a size is no reason to give trains up");
        let got = exchange(&mut receiver, 1, || {
            let socket = open(bind, backend);
            socket.send_to(dest, None, &vec![7; 70_500], Some(70_000)).unwrap();
            assert_eq!(socket.counters().emsgsize, 1);
            assert_eq!(socket.counters().packets_send_dropped, 1);
        });
        assert_eq!(got[0].0, [7; 500]);
    });
}

/// Switches a socket's option on.
fn switch_on(socket: &Socket, level: i32, name: i32) {
    let on = 1_i32;
    // SAFETY: the value is a live `c_int` of the length given.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const on).cast(),
            size_of::<i32>() as u32,
        )
    };
    assert_eq!(done, 0, "option {name}");
}

/// Datagrams without a checksum over IPv6 go out, and are taken in (linux/udp.h).
const UDP_NO_CHECK6_TX: i32 = 101;
const UDP_NO_CHECK6_RX: i32 = 102;

/// A socket without checksums is one the kernel cuts no train for (EINVAL).
fn forbid_trains(socket: &Socket) {
    switch_on(socket, libc::SOL_SOCKET, libc::SO_NO_CHECK);
    switch_on(socket, libc::SOL_UDP, UDP_NO_CHECK6_TX);
}

#[test]
fn a_refused_train_goes_singly_in_the_same_call() {
    BINDS.into_iter().for_each(refuse_a_train);
}

fn refuse_a_train(bind: &str) {
    let to = open(bind, Backend::Gso);
    switch_on(&to, libc::SOL_UDP, UDP_NO_CHECK6_RX);
    let dest = to.local_addr();
    let mut receiver = Receiver::new(to, ReceiveLimits::default()).expect("a receiver");
    let fresh = || {
        let socket = open(bind, Backend::Gso);
        forbid_trains(&socket);
        socket
    };
    let bytes = Random(11).bytes(100 * 1000 + 3);
    // Only a socket's first train is refused, so a second try needs another socket.
    let (socket, mut sender) = again_once(|| {
        drain(&mut receiver);
        let socket = fresh();
        let mut sender = Sender::new(Arc::clone(&socket));
        let report = sender.send(dest, &bytes, 1000, WAIT);
        assert_eq!((report.sent, report.dropped), (101, 0));
        let got = all_of(&mut receiver, 101)?;
        assert!(joined(&got) == bytes, "no byte changed, none doubled");
        Ok((socket, sender))
    });
    assert_eq!(sender.counters().gso_refused, 1, "one refusal is enough");
    assert_eq!(sender.backend(), Backend::Sendmmsg);
    assert!(!socket.gso_works());
    assert_round_trip(&mut sender, &mut receiver, dest, &bytes, 1000);
    assert_eq!(sender.counters().gso_refused, 1);
    // Another path may do what this one does not; here it does not either.
    sender.restart();
    assert!(socket.gso_works());
    assert_round_trip(&mut sender, &mut receiver, dest, &bytes, 1000);
    assert_eq!((sender.counters().gso_refused, sender.backend()), (2, Backend::Sendmmsg));

    let got = exchange(&mut receiver, 5, || {
        let plain = fresh();
        plain.send_to(dest, None, &bytes[..5000], Some(1000)).expect("a live socket");
        assert_eq!((plain.counters().gso_refused, plain.counters().packets_send_dropped), (1, 0));
    });
    assert!(joined(&got) == bytes[..5000]);
}

/// Makes every `sendmmsg` of one message fail with `code`, for this thread and as long as it lives.
fn refuse_single_messages(code: i32) {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut program = [
        // The call's number, then the low half of its third argument: the number of messages.
        statement(load, 0, 0, std::mem::offset_of!(libc::seccomp_data, nr) as u32),
        statement(equal, 0, 3, libc::SYS_sendmmsg as u32),
        statement(load, 0, 0, (std::mem::offset_of!(libc::seccomp_data, args) + 16) as u32),
        statement(equal, 0, 1, 1),
        statement(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ERRNO | code as u32),
        statement(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    common::without::filter(&mut program);
}

#[test]
fn whatever_the_kernel_answers_is_counted_and_nothing_is_lost_silently() {
    // What a train of ten datagrams meets, and how many datagrams go all the same: (sent, refusals, trains
    // work on afterwards).
    for case in [
        (libc::EIO, 10, 1, false),
        (libc::EINVAL, 10, 1, false),
        (libc::EMSGSIZE, 10, 1, true),
        (libc::ENOBUFS, 0, 0, true),
        (libc::EAGAIN, 0, 0, true),
        (libc::EPERM, 0, 0, true),
        (libc::ENETUNREACH, 0, 0, true),
        (libc::ENOSYS, 0, 0, true),
    ] {
        BINDS.into_iter().for_each(|bind| again_once(|| meet_answer(bind, case)));
    }
}

/// Sends a train of ten that the kernel answers with a code.
fn meet_answer(bind: &str, (code, sent, gso_refused, goes_on): (i32, u64, u64, bool)) -> Result<(), String> {
    let (mut sender, mut receiver, dest) = pair(bind, Backend::Gso);
    let name = std::io::Error::from_raw_os_error(code);
    let bytes = Random(13).bytes(9_500);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            refuse_single_messages(code);
            let report = sender.send(dest, &bytes, 1000, Duration::ZERO);
            assert_eq!((report.sent, report.dropped), (sent, 10 - sent), "{name}");
        });
    });
    let counters = sender.counters();
    assert_eq!((counters.gso_refused, counters.packets_send_dropped), (gso_refused, 10 - sent), "{name}");
    assert_eq!(counters.enobufs, u64::from(code == libc::ENOBUFS), "{name}");
    let unreachable = matches!(code, libc::EPERM | libc::ENETUNREACH | libc::ENOSYS);
    assert_eq!(counters.unreachable, if unreachable { 10 } else { 0 }, "{name}");
    assert_eq!(sender.backend() == Backend::Gso, goes_on, "{name}");
    let got = all_of(&mut receiver, sent as usize)?;
    assert!(joined(&got) == bytes[..if sent > 0 { bytes.len() } else { 0 }], "{name}");
    assert_round_trip(&mut sender, &mut receiver, dest, &bytes, 1000);
    Ok(())
}

#[test]
fn a_full_queue_is_tried_again_while_patience_lasts() {
    let (mut sender, _receiver, dest) = pair(BINDS[0], Backend::Gso);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            refuse_single_messages(libc::ENOBUFS);
            let start = Instant::now();
            let report = sender.send(dest, &[0; 5000], 1000, Duration::from_millis(20));
            assert!((20..2000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
            assert_eq!((report.sent, report.dropped), (0, 5));
            assert!((2..=102).contains(&report.system_calls), "{report:?}");
        });
    });
    assert_eq!(sender.counters().waits_full, sender.counters().enobufs - 1);
}

#[test]
fn an_unreachable_peer_stops_nothing() {
    for backend in backends() {
        for bind in BINDS {
            let (_, mut receiver, live) = pair(bind, backend);
            let socket = open(bind, backend);
            let own = socket.local_addr();
            let mut answers = Receiver::new(Arc::clone(&socket), ReceiveLimits::default()).unwrap();
            let mut sender = Sender::new(Arc::clone(&socket));
            let dead = UdpSocket::bind(bind).unwrap().local_addr().unwrap();
            for round in 0..50_u8 {
                // Each of these brings a "port unreachable" back, which the next call is told of.
                exchange(&mut receiver, 3, || {
                    sender.send(dead, &[0; 2000], 1000, WAIT);
                    let report = sender.send(live, &[round; 2500], 1000, WAIT);
                    assert_eq!((report.sent, report.dropped), (3, 0), "{backend} {bind}");
                });
                exchange(&mut receiver, 1, || {
                    sender.send(dead, &[0; 2000], 1000, WAIT);
                    socket.send_to(live, None, &[round; 10], None).unwrap();
                });
                let got = exchange(&mut answers, 1, || {
                    sender.send(dead, &[0; 2000], 1000, WAIT);
                    let peer = UdpSocket::bind(bind).unwrap();
                    peer.send_to(&[round; 9], own).unwrap();
                });
                assert_eq!(got[0].0, [round; 9]);
            }
            assert_eq!(socket.take_refused(), Some(dead), "{backend} {bind}");
            assert_eq!(socket.take_refused(), None, "told once");
            assert!(
                sender.counters().soft_errors + answers.counters().soft_errors > 0,
                "the kernel said nothing: the test shows nothing"
            );
            // With the queue drained, waiting is waiting.
            sender.send(dead, &[0; 10], 10, WAIT);
            let before = answers.counters().waits;
            assert!(answers.receive(Some(Duration::from_millis(30))).unwrap().is_empty());
            assert!(answers.counters().waits - before <= 3, "a pending error must not spin the wait");
        }
    }
}

#[test]
fn what_does_not_fit_a_buffer_is_counted_not_handed_on() {
    for backend in receiving() {
        BINDS.into_iter().for_each(|bind| again_once(|| overfill(bind, backend)));
    }
}

fn overfill(bind: &str, backend: Backend) -> Result<(), String> {
    let socket = open(bind, backend);
    let dest = socket.local_addr();
    let limits = ReceiveLimits { buffers: 4, buffer_bytes: 3000 };
    let mut receiver = Receiver::new(socket, limits).expect("a live socket");
    let mut sender = Sender::new(open(bind, Backend::Gso));
    sender.send(dest, &[1; 10_000], 1000, WAIT);
    sender.send(dest, &[2; 3001], 3001, WAIT);
    sender.send(dest, &[3; 3000], 3000, WAIT);
    let mut got = Vec::new();
    // How many are whole is the kernel's choice: it puts together what it likes.
    let met = |receiver: &Receiver| receiver.counters().datagrams + receiver.counters().truncated;
    let deadline = Instant::now() + WAIT;
    while met(&receiver) < 12 && Instant::now() < deadline {
        got.extend(collect(&mut receiver, 1, Duration::from_millis(50)));
    }
    let seen: Vec<_> = got.iter().map(|(bytes, _)| (bytes.len(), bytes[0])).collect();
    let counters = receiver.counters();
    assert!(seen.iter().all(|(len, kind)| matches!((len, kind), (1000, 1) | (3000, 3))), "{seen:?}");
    assert_eq!(seen.len() as u64, counters.datagrams);
    if met(&receiver) < 12 {
        return Err(format!("of 12 datagrams these came: {counters:?}"));
    }
    assert_eq!(counters.datagrams + counters.truncated, 12, "{counters:?}");
    assert!(counters.truncated >= 1, "{counters:?}");
    Ok(())
}

#[test]
fn the_kernels_drops_are_counted() {
    for backend in receiving() {
        BINDS.into_iter().for_each(|bind| again_once(|| overflow(bind, backend)));
    }
}

fn overflow(bind: &str, backend: Backend) -> Result<(), String> {
    let config = SocketConfig {
        bind: bind.parse().expect("a live socket"),
        buffer_bytes: 8192,
        backend: Some(backend),
    };
    let socket = Arc::new(Socket::open(&config).expect("a live socket"));
    assert!(socket.caps().drop_count);
    let dest = socket.local_addr();
    let mut receiver = Receiver::new(socket, ReceiveLimits::default()).expect("a live socket");
    let mut sender = Sender::new(open(bind, Backend::Scalar));
    let mut drops = 0;
    for _ in 0..3 {
        sender.send(dest, &vec![0; 200 * 1000], 1000, WAIT);
        drain(&mut receiver);
        // The count comes beside the next datagram.
        sender.send(dest, &[0; 1000], 1000, WAIT);
        all_of(&mut receiver, 1)?;
        let (sent, counters) = (sender.counters().datagrams, receiver.counters());
        let known = counters.datagrams + counters.kernel_drops;
        assert!(known <= sent, "{known} of {sent}: {counters:?}");
        if known < sent {
            return Err(format!("{known} of {sent} datagrams are accounted for: {counters:?}"));
        }
        assert!(counters.kernel_drops > drops, "{counters:?}");
        drops = counters.kernel_drops;
    }
    Ok(())
}

#[test]
fn a_wake_ends_a_wait_and_is_not_lost() {
    for backend in receiving() {
        BINDS.into_iter().for_each(|bind| wake(bind, backend));
    }
}

fn wake(bind: &str, backend: Backend) {
    let (mut sender, mut receiver, dest) = pair(bind, backend);
    let waker = receiver.waker();
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(30));
            waker.wake();
        });
        assert!(receiver.receive(None).expect("a live socket").is_empty());
    });
    assert!(start.elapsed() >= Duration::from_millis(25));
    // A wake before the wait counts; a datagram that is there comes first and does not eat the wake.
    again_once(|| {
        drain(&mut receiver);
        waker.wake();
        sender.send(dest, &[1; 10], 10, WAIT);
        let count = receiver.receive(None).expect("a live socket").count();
        if count == 0 {
            // Lost, or not there yet: the wake is eaten.
            return Err(format!("no datagram came: {:?}", receiver.counters()));
        }
        assert_eq!(count, 1);
        Ok(())
    });
    assert!(receiver.receive(None).expect("a live socket").is_empty());
    let start = Instant::now();
    assert!(receiver.receive(Some(Duration::from_millis(20))).expect("a live socket").is_empty());
    assert!(start.elapsed() >= Duration::from_millis(20), "the wake was taken, so this waits");
    assert!(receiver.receive(Some(Duration::ZERO)).expect("a live socket").is_empty());
}

#[test]
fn a_port_in_use_names_itself() {
    for bind in BINDS {
        let first = open(bind, Backend::Gso);
        let error = Socket::open(&SocketConfig::new(first.local_addr())).unwrap_err();
        assert!(matches!(error, NetError::Bind { .. }));
        let said = error.to_string();
        assert!(said.contains(&first.local_addr().to_string()) && said.contains("in use"), "{said}");
    }
}

#[test]
fn limits_out_of_bounds_are_errors() {
    let socket = open(BINDS[0], Backend::Gso);
    let ring = open(BINDS[0], Backend::Uring);
    for (buffers, buffer_bytes) in [(0, 65_536), (33, 65_536), (8, 63), (8, 65_537), (usize::MAX, 64)] {
        let limits = ReceiveLimits { buffers, buffer_bytes };
        let error = Receiver::new(Arc::clone(&socket), limits).unwrap_err();
        assert!(matches!(error, NetError::ReceiveLimits { .. }), "{limits:?}: {error}");
        assert!(Receiver::new(Arc::clone(&ring), limits).is_err());
    }
}

#[test]
fn caps_say_in_one_line_what_was_got() {
    let wanted = 1 << 40;
    let config = SocketConfig { buffer_bytes: wanted, ..SocketConfig::new(BINDS[0].parse().unwrap()) };
    let caps = Socket::open(&config).unwrap().caps().clone();
    let line = caps.to_string();
    assert!(!line.contains('\n'));
    assert!(line.starts_with(&format!("send by {}", caps.backend)), "{line}");
    assert!(line.contains("net.core.wmem_max") && line.contains("net.core.rmem_max"), "{line}");
    assert!(caps.gro && caps.error_queue, "{line}");
}
