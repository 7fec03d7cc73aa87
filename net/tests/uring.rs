//! What is io_uring's alone: loans from an arena, rings that are refused.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::without::without;
use common::{Random, WAIT, again_once, all_of, assert_round_trip, drain, exchange, open, pair, rings};
use punktfunk_net::limits::TRIALS_MAX;
use punktfunk_net::{Arena, Backend, ReceiveLimits, Receiver, Sender, Socket, SocketConfig};

const BINDS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];
const SEGMENT: usize = 1448;

/// In both families, where this machine has rings.
fn every(test: impl Fn(&str)) {
    if rings() {
        BINDS.into_iter().for_each(test);
    }
}

#[test]
fn what_is_lent_comes_unchanged_and_its_place_is_leased_again() {
    every(|bind| {
        let (mut sender, mut receiver, dest) = pair(bind, Backend::Uring);
        // Room for one round and a half: each round waits for what was lent in the one before.
        let bytes_max = 130 * SEGMENT;
        let mut arena = Arena::new(bytes_max + bytes_max / 2).unwrap();
        sender.attach(&arena);
        let mut random = Random(21);
        for _ in 0..100 {
            let len = 1 + random.below(bytes_max);
            let bytes = random.bytes(len);
            assert!(sender.settle(WAIT), "loopback is done with a train when it is received");
            let lease = arena.lease(bytes.len()).expect("what was settled can be leased");
            arena.bytes_mut(&lease).copy_from_slice(&bytes);
            let got = exchange(&mut receiver, bytes.len().div_ceil(SEGMENT), || {
                let report = sender.send(dest, arena.bytes(&lease), SEGMENT, WAIT);
                assert_eq!(report.dropped, 0);
            });
            assert!(got.iter().flat_map(|(bytes, _)| bytes).eq(&bytes));
            arena.release(lease);
        }
        let counters = sender.counters();
        assert!(counters.loans_read + counters.loans_copied > 100, "{counters:?}");
        assert_eq!((counters.loans_refused, counters.uring_refused), (0, 0), "{counters:?}");
    });
}

#[test]
fn what_is_not_the_arenas_is_copied() {
    every(|bind| {
        let (mut sender, mut receiver, dest) = pair(bind, Backend::Uring);
        let bytes = Random(22).bytes(100 * SEGMENT);
        assert_round_trip(&mut sender, &mut receiver, dest, &bytes, SEGMENT);
        let mut arena = Arena::new(bytes.len()).unwrap();
        sender.attach(&arena);
        assert_round_trip(&mut sender, &mut receiver, dest, &bytes, SEGMENT);
        assert!(sender.settle(Duration::ZERO));
        // Short messages are not worth a loan.
        let lease = arena.lease(bytes.len()).unwrap();
        arena.bytes_mut(&lease).copy_from_slice(&bytes);
        exchange(&mut receiver, 1, || {
            sender.send(dest, &arena.bytes(&lease)[..SEGMENT], SEGMENT, WAIT);
        });
        let counters = sender.counters();
        assert_eq!(counters.loans_read + counters.loans_copied + counters.loans_refused, 0, "{counters:?}");
        // An arena that has gone lends nothing, whatever lies at its addresses.
        drop(arena);
        let arena = Arena::new(bytes.len()).unwrap();
        let mut arenas = [arena, Arena::new(bytes.len()).unwrap()];
        for arena in &mut arenas {
            let lease = arena.lease(bytes.len()).unwrap();
            arena.bytes_mut(&lease).copy_from_slice(&bytes);
            let got = exchange(&mut receiver, 100, || {
                sender.send(dest, arena.bytes(&lease), SEGMENT, WAIT);
            });
            assert!(got.iter().flat_map(|(bytes, _)| bytes).eq(&bytes));
            arena.release(lease);
        }
        let counters = sender.counters();
        assert_eq!(counters.loans_read + counters.loans_copied + counters.loans_refused, 0, "{counters:?}");
    });
}

#[test]
fn a_machine_without_rings_is_served_without_and_says_so() {
    BINDS.into_iter().for_each(served_without);
}

fn served_without(bind: &str) {
    for (code, said) in
        [(libc::ENOSYS, "no io_uring"), (libc::EPERM, "kernel.io_uring_disabled"), (libc::ENOMEM, "gives no")]
    {
        let (_, mut receiver, dest) = pair(bind, Backend::Gso);
        let socket = without(libc::SYS_io_uring_setup, code, || {
            let config = SocketConfig {
                backend: Some(Backend::Uring),
                ..SocketConfig::new(bind.parse().expect("an address"))
            };
            Arc::new(Socket::open(&config).expect("a socket"))
        });
        let caps = socket.caps().clone();
        assert_eq!((caps.backend, caps.uring), (Backend::Gso, false));
        let fallbacks: Vec<_> =
            caps.fallbacks.iter().filter(|fallback| fallback.wanted == "io_uring").collect();
        assert!(matches!(&fallbacks[..], [one] if one.cause.contains(said)), "{caps}");
        let mut sender = Sender::new(socket);
        assert_eq!(sender.backend(), Backend::Gso);
        assert_round_trip(&mut sender, &mut receiver, dest, &[5; 10_000], 1000);
    }
}

#[test]
fn a_ring_that_is_refused_later_is_done_without() {
    every(|bind| {
        let (_, mut receiver, dest) = pair(bind, Backend::Gso);
        // The socket was opened where rings were allowed; the sender sends first where they are not.
        let mut sender = Sender::new(open(bind, Backend::Uring));
        assert_eq!(sender.backend(), Backend::Uring);
        without(libc::SYS_io_uring_setup, libc::EPERM, || {
            assert_round_trip(&mut sender, &mut receiver, dest, &[5; 10_000], 1000);
        });
        assert_eq!((sender.backend(), sender.counters().uring_refused), (Backend::Gso, 1));
        assert_round_trip(&mut sender, &mut receiver, dest, &[5; 10_000], 1000);
    });
}

#[test]
fn a_ring_that_breaks_is_done_without_in_the_same_call() {
    every(|bind| {
        let (mut sender, mut receiver, dest) = pair(bind, Backend::Uring);
        let bytes = Random(23).bytes(100 * SEGMENT);
        let mut arena = Arena::new(bytes.len()).unwrap();
        sender.attach(&arena);
        let lease = arena.lease(bytes.len()).unwrap();
        arena.bytes_mut(&lease).copy_from_slice(&bytes);
        sender.send(dest, arena.bytes(&lease), SEGMENT, WAIT);
        all_of(&mut receiver, 100).unwrap();
        without(libc::SYS_io_uring_enter, libc::EPERM, || {
            let report = sender.send(dest, arena.bytes(&lease), SEGMENT, WAIT);
            assert_eq!((report.sent, report.dropped), (100, 0));
        });
        let got = all_of(&mut receiver, 100).unwrap();
        assert!(got.iter().flat_map(|(bytes, _)| bytes).eq(&bytes), "nothing doubled, nothing lost");
        assert_eq!((sender.backend(), sender.counters().uring_refused), (Backend::Gso, 1));
        // What had been lent has come back.
        arena.release(lease);
        let again = arena.lease(bytes.len()).expect("the arena is free");
        arena.release(again);
    });
}

#[test]
fn a_receiver_whose_ring_breaks_goes_on_without() {
    every(|bind| {
        let (mut sender, mut receiver, dest) = pair(bind, Backend::Uring);
        assert_round_trip(&mut sender, &mut receiver, dest, &[1; 10_000], 1000);
        without(libc::SYS_io_uring_enter, libc::EPERM, || {
            sender = Sender::new(open(bind, Backend::Gso));
            for _ in 0..3 {
                assert_round_trip(&mut sender, &mut receiver, dest, &[2; 10_000], 1000);
            }
        });
        assert_eq!(receiver.counters().uring_refused, 1);
        assert_round_trip(&mut sender, &mut receiver, dest, &[3; 10_000], 1000);
        let socket = open(bind, Backend::Uring);
        let dest = socket.local_addr();
        let mut receiver = Receiver::new(socket, ReceiveLimits::default()).unwrap();
        without(libc::SYS_io_uring_setup, libc::EPERM, || {
            assert_round_trip(&mut sender, &mut receiver, dest, &[4; 10_000], 1000);
        });
        assert_eq!(receiver.counters().uring_refused, 1);
    });
}

#[test]
fn more_than_all_buffers_hold_waits_in_the_socket() {
    every(|bind| {
        again_once(|| {
            let socket = open(bind, Backend::Uring);
            let dest = socket.local_addr();
            let limits = ReceiveLimits { buffers: 3, buffer_bytes: 2048 };
            let mut receiver = Receiver::new(socket, limits).unwrap();
            // Armed before anything comes.
            assert!(receiver.receive(Some(Duration::ZERO)).unwrap().is_empty());
            let mut sender = Sender::new(open(bind, Backend::Scalar));
            let bytes = Random(24).bytes(100 * 1000);
            sender.send(dest, &bytes, 1000, WAIT);
            assert!(
                receiver.receive(Some(WAIT)).unwrap().count() <= 3,
                "a batch is no more than the buffers hold"
            );
            drain(&mut receiver);
            sender.send(dest, &bytes, 1000, WAIT);
            let got = all_of(&mut receiver, 100)?;
            assert!(got.iter().flat_map(|(bytes, _)| bytes).eq(&bytes), "in order, nothing twice");
            let counters = receiver.counters();
            assert!(counters.rearmed >= 30, "each three fill the buffers: {counters:?}");
            assert_eq!((counters.truncated, counters.kernel_drops), (0, 0));
            Ok(())
        });
    });
}

#[test]
fn a_datagram_of_no_bytes_ends_nothing() {
    every(|bind| {
        let (_, mut receiver, dest) = pair(bind, Backend::Uring);
        let socket = open(bind, Backend::Scalar);
        for _ in 0..20 {
            let got = exchange(&mut receiver, 3, || {
                for bytes in [&b"a"[..], b"", b"b"] {
                    socket.send_to(dest, None, bytes, None).unwrap();
                }
            });
            assert_eq!(
                got.iter().map(|(bytes, _)| bytes.as_slice()).collect::<Vec<_>>(),
                [&b"a"[..], b"", b"b"]
            );
        }
    });
}

#[test]
fn a_receiver_may_go_from_thread_to_thread() {
    every(|bind| {
        let (mut sender, mut receiver, dest) = pair(bind, Backend::Uring);
        let bytes = Random(25).bytes(20_000);
        for _ in 0..5 {
            // One thread has ended since it received, and one only waits.
            std::thread::scope(|scope| {
                scope.spawn(|| assert_round_trip(&mut sender, &mut receiver, dest, &bytes, 1000));
            });
            assert_round_trip(&mut sender, &mut receiver, dest, &bytes, 1000);
            let waker = receiver.waker();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    waker.wake();
                    assert!(receiver.receive(None).unwrap().is_empty());
                });
            });
        }
    });
}

#[test]
fn a_receive_is_over_before_its_memory_goes() {
    every(|bind| {
        for round in 0..50_u8 {
            let socket = open(bind, Backend::Uring);
            let dest = socket.local_addr();
            let mut sender = Sender::new(open(bind, Backend::Gso));
            let mut receiver = Receiver::new(Arc::clone(&socket), ReceiveLimits::default()).unwrap();
            assert!(receiver.receive(Some(Duration::from_micros(100))).unwrap().is_empty());
            // Datagrams come before, while and after the receiver goes; the arena is likely to get its addresses.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..20 {
                        sender.send(dest, &[round; 60_000], 1000, Duration::ZERO);
                    }
                });
                if round % 2 == 0 {
                    scope.spawn(|| drop(receiver));
                } else {
                    drop(receiver);
                }
                let mut arena = Arena::new(1 << 20).unwrap();
                let lease = arena.lease(1 << 20).unwrap();
                std::thread::sleep(Duration::from_millis(2));
                assert!(arena.bytes(&lease).iter().all(|byte| *byte == 0), "somebody else wrote here");
                arena.release(lease);
            });
            // Another receiver on the same socket takes over.
            let mut receiver = Receiver::new(socket, ReceiveLimits::default()).unwrap();
            drain(&mut receiver);
            let mut sender = Sender::new(open(bind, Backend::Gso));
            assert_round_trip(&mut sender, &mut receiver, dest, &[round; 5000], 1000);
        }
    });
}

#[test]
fn loopback_copies_so_a_ring_is_not_chosen_by_itself() {
    every(|bind| {
        let (_, mut receiver, dest) = pair(bind, Backend::Gso);
        let socket = Arc::new(Socket::open(&SocketConfig::new(bind.parse().unwrap())).unwrap());
        let mut sender = Sender::new(socket);
        let bytes = Random(26).bytes(44 * SEGMENT);
        let mut arena = Arena::new(bytes.len()).unwrap();
        sender.attach(&arena);
        for _ in 0..50 {
            assert!(sender.settle(WAIT));
            let lease = arena.lease(bytes.len()).unwrap();
            arena.bytes_mut(&lease).copy_from_slice(&bytes);
            let got = exchange(&mut receiver, 44, || {
                sender.send(dest, arena.bytes(&lease), SEGMENT, WAIT);
            });
            assert!(got.iter().flat_map(|(bytes, _)| bytes).eq(&bytes));
            arena.release(lease);
            assert_eq!(sender.backend(), Backend::Gso);
        }
        let counters = sender.counters();
        assert_eq!(
            (counters.loans_copied, counters.loans_read),
            (1, 0),
            "one loan found it out: {counters:?}"
        );
    });
}

/// The kernel interrupts a thread whose ring goes: the threads that open, make and close must not be those.
#[test]
fn who_opens_a_socket_is_not_interrupted() {
    every(|bind| {
        let plain = std::net::UdpSocket::bind(bind).unwrap();
        plain.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
        for _ in 0..10 {
            let socket = Arc::new(Socket::open(&SocketConfig::new(bind.parse().unwrap())).unwrap());
            let dest = plain.local_addr().unwrap();
            let mut arena = Arena::new(44 * SEGMENT).unwrap();
            let mut sender = Sender::new(socket);
            sender.attach(&arena);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..3 {
                        assert!(sender.settle(WAIT));
                        let lease = arena.lease(44 * SEGMENT).unwrap();
                        sender.send(dest, arena.bytes(&lease), SEGMENT, WAIT);
                        arena.release(lease);
                    }
                    drop(sender);
                });
            });
            while let Ok(bytes) = plain.recv(&mut [0; 2000]) {
                assert_eq!(bytes, SEGMENT);
            }
            let error = plain.recv(&mut [0; 2000]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
        }
    });
}

#[test]
fn a_receive_that_cannot_be_cancelled_keeps_its_memory_and_the_receiver_goes_on() {
    every(|bind| {
        let (mut sender, mut receiver, dest) = pair(bind, Backend::Uring);
        assert_round_trip(&mut sender, &mut receiver, dest, &[1; 10_000], 1000);
        // The thread that armed the receive is this one; the next one cannot end it.
        let mut sender = Sender::new(open(bind, Backend::Gso));
        without(libc::SYS_io_uring_register, libc::EPERM, || {
            for _ in 0..3 {
                assert_round_trip(&mut sender, &mut receiver, dest, &[2; 10_000], 1000);
            }
        });
        assert_eq!(receiver.counters().uring_refused, 1);
        assert_round_trip(&mut sender, &mut receiver, dest, &[3; 10_000], 1000);
    });
}

#[test]
fn every_destination_has_a_trial_of_its_own_up_to_a_limit() {
    every(|bind| {
        let socket = Arc::new(Socket::open(&SocketConfig::new(bind.parse().unwrap())).unwrap());
        let mut sender = Sender::new(socket);
        let mut arena = Arena::new(44 * SEGMENT).unwrap();
        sender.attach(&arena);
        for destination in 1..=TRIALS_MAX + 2 {
            let (_, mut receiver, dest) = pair(bind, Backend::Gso);
            for _ in 0..2 {
                let lease = arena.lease(44 * SEGMENT).expect("all is back");
                exchange(&mut receiver, 44, || {
                    assert_eq!(sender.send(dest, arena.bytes(&lease), SEGMENT, WAIT).sent, 44);
                });
                arena.release(lease);
                assert!(sender.settle(WAIT));
                assert_eq!(sender.backend(), Backend::Gso, "loopback copies");
            }
            let counters = sender.counters();
            let trials = u64::from(destination.min(TRIALS_MAX));
            assert_eq!((counters.loans_copied, counters.uring_refused), (trials, 0), "{counters:?}");
        }
    });
}
