//! The edge over virtual wires: MTUs, wires without segmentation offload, full queues, a kernel that refuses.
//!
//! Needs root, iproute2 and ethtool. Where they are missing the tests say so in one line each and pass, but
//! fail where `CI=true`. Nothing leaves the namespaces, which go with the threads that made them.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::wire::{Namespace, Wire, on_a_wire};
use common::without::without;
use common::{
    Random, WAIT, again_once, all_of, assert_round_trip, backends, collect, drain, exchange, lend, rings,
};
use punktfunk_net::{Arena, Backend, Caps, NetError, Receiver, Sender, Socket, SocketConfig};

/// The payload of the largest datagram.
fn payload_max(mtu: usize, dest: SocketAddr) -> usize {
    mtu - if dest.is_ipv4() { 28 } else { 48 }
}

fn carries_everything(wire: &Wire, mtu: usize) {
    let (mut receiver, dests) = wire.receiver();
    let mut random = Random(0x9e37_79b9);
    for backend in backends() {
        let mut sender = Sender::new(wire.socket_a("[::]:0", backend, 4 << 20));
        let (arena, lease) = lend(&mut sender, &random.bytes(101 * mtu));
        for dest in dests {
            let most = payload_max(mtu, dest);
            for (segment, len) in
                [(most, 44 * most), (most, 100 * most + 1), (1192, 90_001), (700, 701), (9, 9)]
            {
                // What is lent, and what is not.
                let bytes = arena.bytes(&lease);
                assert_round_trip(&mut sender, &mut receiver, dest, &bytes[bytes.len() - len..], segment);
                assert_round_trip(&mut sender, &mut receiver, dest, &random.bytes(len), segment);
            }
        }
        let lent = sender.counters().loans_read + sender.counters().loans_copied;
        assert_eq!((lent > 0, sender.counters().loans_refused), (backend == Backend::Uring, 0));
        let counters = sender.counters();
        assert_eq!(counters.packets_send_dropped + counters.gso_refused, 0, "{counters:?}");
        assert_eq!(sender.backend(), backend);
    }
}

#[test]
fn every_mtu_with_and_without_offload() {
    for mtu in [1280, 1500, 9000] {
        on_a_wire(&format!("MTU {mtu}"), mtu, |wire| {
            carries_everything(wire, mtu);
            // The kernel cuts the trains itself.
            wire.a.commands("ethtool -K va tx-udp-segmentation off")?;
            carries_everything(wire, mtu);
            // No checksums by the device, either.
            wire.a.commands("ethtool -K va tx off")?;
            carries_everything(wire, mtu);
            // The other end puts together what came in pieces.
            wire.b.commands("ethtool -K vb gro on rx-udp-gro-forwarding on")?;
            carries_everything(wire, mtu);
            Ok(())
        });
    }
}

#[test]
fn a_datagram_above_the_mtu_is_counted_and_a_shorter_one_goes() {
    for mtu in [1280, 1500, 9000] {
        on_a_wire(&format!("EMSGSIZE at MTU {mtu}"), mtu, |wire| {
            let (mut receiver, dests) = wire.receiver();
            for backend in backends() {
                let socket = wire.socket_a("[::]:0", backend, 4 << 20);
                let mut sender = Sender::new(Arc::clone(&socket));
                let (arena, lease) = lend(&mut sender, &vec![5; 7 * mtu]);
                for dest in dests {
                    let segment = payload_max(mtu, dest) + 1;
                    let bytes = &arena.bytes(&lease)[..6 * segment + 600];
                    let got = exchange(&mut receiver, 1, || {
                        let before = sender.counters().emsgsize;
                        let report = sender.send(dest, bytes, segment, WAIT);
                        assert_eq!((report.sent, report.dropped), (1, 6), "{backend} to {dest}");
                        // A loan may be what was refused: then it is tried by copy, too.
                        let calls_max = if backend == Backend::Uring { 12 } else { 6 };
                        assert!(report.system_calls <= calls_max, "{backend}: {} calls", report.system_calls);
                        let counters = sender.counters();
                        assert_eq!(counters.emsgsize - before, 6);
                        assert_eq!(counters.emsgsize, counters.packets_send_dropped);
                    });
                    assert_eq!(got[0].0, [5; 600]);
                    let got = exchange(&mut receiver, 1, || {
                        let before = socket.counters().emsgsize;
                        socket.send_to(dest, None, &vec![5; 2 * segment + 600], Some(segment)).unwrap();
                        assert_eq!(socket.counters().emsgsize - before, 2);
                    });
                    assert_eq!(got[0].0, [5; 600]);
                    // What fits goes on as before.
                    let bytes = Random(4).bytes(20_000);
                    assert_round_trip(&mut sender, &mut receiver, dest, &bytes, segment - 1);
                }
                assert_eq!(sender.backend(), backend, "a size is no reason to give trains up");
            }
            Ok(())
        });
    }
}

/// What tbf lets through: 8 Mbit/s are a byte a microsecond.
const TBF: &str = "tbf rate 8mbit burst 4kb";

#[test]
fn a_full_send_buffer_is_waited_for_then_counted() {
    on_a_wire("a full send buffer", 1500, |wire| {
        // A queue longer than the send buffer: what is full is the buffer.
        wire.a.commands(&format!("tc qdisc add dev va root {TBF} limit 64mb"))?;
        let (mut receiver, dests) = wire.receiver();
        for backend in backends() {
            for dest in dests {
                again_once(|| fill_send_buffer(wire, &mut receiver, backend, dest));
            }
        }
        Ok(())
    });
}

/// Sends more than the send buffer holds, with no patience, much, and some.
fn fill_send_buffer(
    wire: &Wire,
    receiver: &mut Receiver,
    backend: Backend,
    dest: SocketAddr,
) -> Result<(), String> {
    drain(receiver);
    let mut sender = Sender::new(wire.socket_a("[::]:0", backend, 32 << 10));
    let (arena, lease) = lend(&mut sender, &Random(6).bytes(300 * 1400));
    let bytes = arena.bytes(&lease);
    let report = sender.send(dest, bytes, 1400, Duration::ZERO);
    assert_eq!(report.sent + report.dropped, 300, "{backend}");
    assert!(report.sent > 0 && report.dropped > 100, "{backend} to {dest}: {report:?}");
    assert_eq!(sender.counters().packets_send_dropped, report.dropped);
    assert_eq!(sender.counters().waits_full, 0, "no patience is no wait");
    all_of(receiver, report.sent as usize)?;
    // With patience everything goes.
    let report = sender.send(dest, &bytes[..100 * 1400], 1400, 5 * WAIT);
    assert_eq!((report.sent, report.dropped), (100, 0), "{backend} to {dest}");
    assert!(sender.counters().waits_full > 0);
    all_of(receiver, 100)?;
    // With some, the wait ends in time.
    let start = Instant::now();
    let report = sender.send(dest, bytes, 1400, Duration::from_millis(40));
    let took = start.elapsed();
    assert!(report.dropped > 0 && report.sent + report.dropped == 300);
    assert!((35..3000).contains(&took.as_millis()), "{backend}: {took:?}");
    all_of(receiver, report.sent as usize)?;
    // A plain send does not wait: it counts.
    let plain = wire.socket_a("[::]:0", backend, 8 << 10);
    for _ in 0..100 {
        plain.send_to(dest, None, &bytes[..1400], None).expect("a full buffer is no error");
    }
    let counters = plain.counters();
    assert_eq!(counters.datagrams + counters.packets_send_dropped, 100);
    assert!(counters.packets_send_dropped > 0);
    all_of(receiver, counters.datagrams as usize)?;
    Ok(())
}

#[test]
fn a_full_device_queue_is_counted() {
    on_a_wire("a full device queue", 1500, |wire| {
        // A queue shorter than the send buffer: what is full is the queue.
        wire.a.commands(&format!("tc qdisc add dev va root {TBF} limit 64kb"))?;
        let (mut receiver, dests) = wire.receiver();
        for backend in backends() {
            for dest in dests {
                again_once(|| fill_device_queue(wire, &mut receiver, backend, dest));
            }
        }
        Ok(())
    });
}

/// Sends more than the device's queue holds, with no patience, and then less.
fn fill_device_queue(
    wire: &Wire,
    receiver: &mut Receiver,
    backend: Backend,
    dest: SocketAddr,
) -> Result<(), String> {
    const COUNT: u64 = 900;
    drain(receiver);
    let mut sender = Sender::new(wire.socket_a("[::]:0", backend, 4 << 20));
    let (arena, lease) = lend(&mut sender, &Random(6).bytes(COUNT as usize * 1400));
    let bytes = arena.bytes(&lease);
    let start = Instant::now();
    let (mut sent, mut dropped) = (0, 0);
    // Trains of ten, so that one fits the queue.
    for train in bytes.chunks(14_000) {
        let report = sender.send(dest, train, 1400, Duration::ZERO);
        sent += report.sent;
        dropped += report.dropped;
    }
    assert_eq!(sent + dropped, COUNT);
    // The queue, the burst, and a byte for each microsecond that this took on a busy machine.
    let taken_max = (64 << 10) + (4 << 10) + start.elapsed().as_micros() as u64;
    assert!(sent > 0 && dropped > 0, "{backend} to {dest}: {sent} sent, {dropped} dropped");
    if !matches!(backend, Backend::Gso | Backend::Uring) {
        assert!(
            sent * 1400 <= taken_max,
            "{backend} to {dest}: {sent} of {COUNT} sent, {taken_max} bytes fit"
        );
    }
    assert!(sender.counters().enobufs > 0);
    match backend {
        // tbf cuts trains by itself, and says that all is well if a part found room.
        Backend::Gso | Backend::Uring => {
            let got = collect(receiver, sent as usize, Duration::from_millis(700)).len() as u64;
            assert!(got > 0 && got <= sent, "{backend} to {dest}: {got} of {sent}");
        }
        Backend::Sendmmsg | Backend::Scalar => {
            all_of(receiver, sent as usize)?;
            let more = collect(receiver, 1, Duration::from_millis(100)).len();
            assert_eq!(more, 0, "{backend} to {dest}: what the kernel took came, no more");
        }
    }
    drain(receiver);
    let report = sender.send(dest, &[1; 14_000], 1400, 5 * WAIT);
    assert_eq!((report.sent, report.dropped), (10, 0));
    all_of(receiver, 10)?;
    Ok(())
}

#[test]
fn answers_leave_from_the_address_that_was_asked_in_both_families() {
    on_a_wire("several addresses", 1500, |wire| {
        wire.a.commands("ip addr add 10.9.0.3/24 dev va\nip -6 addr add fd09::3/64 dev va nodad")?;
        let (mut receiver, dests) = wire.receiver();
        for backend in backends() {
            let host = wire.socket_a("[::]:0", backend, 1 << 20);
            let mut sender = Sender::new(Arc::clone(&host));
            for (dest, asked) in dests.into_iter().zip(["10.9.0.3", "fd09::3"]) {
                let asked: SocketAddr = SocketAddr::new(asked.parse().unwrap(), host.local_addr().port());
                sender.set_source(Some(asked.ip()));
                let got = exchange(&mut receiver, 7, || {
                    assert_eq!(sender.send(dest, &[7; 5000], 1400, WAIT).sent, 4, "{backend}");
                    host.send_to(dest, Some(asked.ip()), &[8; 3000], Some(1400)).unwrap();
                });
                assert!(got.iter().all(|(_, from)| *from == asked), "{backend}: {got:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_machine_with_ipv6_switched_off_serves_ipv4_at_the_default_address() {
    on_a_wire("IPv6 off", 1500, |wire| {
        // The kernel shows the settings of the namespace of the thread that looks.
        let set = wire.a.run(|| std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"));
        set.map_err(|error| format!("switching IPv6 off: {error}"))?;
        let (mut receiver, [dest, _]) = wire.receiver();
        for backend in backends() {
            let mut sender = Sender::new(wire.socket_a("[::]:0", backend, 1 << 20));
            assert_round_trip(&mut sender, &mut receiver, dest, &[7; 5000], 1400);
        }
        Ok(())
    });
}

#[test]
fn what_a_queue_still_holds_of_an_arena_is_not_leased_again() {
    if !rings() {
        return;
    }
    on_a_wire("loans", 1500, |wire| {
        // The first train passes, the others wait a tenth of a second each.
        wire.a.commands("tc qdisc add dev va root tbf rate 4mbit burst 70kb limit 4mb")?;
        let (mut receiver, dests) = wire.receiver();
        let bytes = Random(8).bytes(3 * 44 * 1400);
        for dest in dests {
            let mut sender = Sender::new(wire.socket_a("[::]:0", Backend::Uring, 4 << 20));
            let mut arena = Arena::new(bytes.len()).expect("an arena");
            sender.attach(&arena);
            let got = exchange(&mut receiver, 3 * 44, || {
                assert!(sender.settle(WAIT), "the queue is empty");
                let lease = arena.lease(bytes.len()).expect("nothing is on loan");
                arena.bytes_mut(&lease).copy_from_slice(&bytes);
                assert_eq!(sender.send(dest, arena.bytes(&lease), 1400, WAIT).sent, 3 * 44);
                arena.release(lease);
                assert!(!sender.settle(Duration::ZERO), "the queue holds two trains");
                assert!(arena.lease(bytes.len()).is_none(), "to {dest}");
            });
            assert!(got.iter().flat_map(|(bytes, _)| bytes).eq(&bytes));
            assert!(sender.settle(WAIT));
            let lease = arena.lease(bytes.len()).expect("all is back");
            arena.release(lease);
            let counters = sender.counters();
            assert!(counters.loans_read + counters.loans_copied >= 3, "{counters:?}");
        }
        Ok(())
    });
}

#[test]
fn a_ring_that_breaks_while_a_queue_holds_its_trains_jams_no_arena() {
    if !rings() {
        return;
    }
    on_a_wire("loans of a broken ring", 1500, |wire| {
        wire.a.commands("tc qdisc add dev va root tbf rate 4mbit burst 70kb limit 4mb")?;
        let (mut receiver, dests) = wire.receiver();
        let bytes = Random(10).bytes(3 * 44 * 1400);
        for dest in dests {
            let mut sender = Sender::new(wire.socket_a("[::]:0", Backend::Uring, 4 << 20));
            let mut arena = Arena::new(bytes.len()).expect("an arena");
            sender.attach(&arena);
            let kept = 1000;
            let lease = arena.lease(bytes.len()).expect("nothing is on loan");
            arena.bytes_mut(&lease).copy_from_slice(&bytes);
            let got = again_once(|| {
                drain(&mut receiver);
                assert_eq!(sender.send(dest, arena.bytes(&lease), 1400, WAIT).sent, 3 * 44);
                // The queue holds two trains when the ring breaks.
                without(libc::SYS_io_uring_enter, libc::EPERM, || {
                    assert_eq!(sender.send(dest, &[7; 100], 100, WAIT).sent, 1);
                });
                assert_eq!(sender.backend(), Backend::Gso);
                // By the next lease the arena has other memory.
                let another = arena.lease(1).expect("whole pages have room for one byte more");
                arena.release(another);
                assert!(arena.bytes(&lease).iter().eq(&bytes), "what is leased stays as it was");
                arena.bytes_mut(&lease)[kept..].fill(0xFF);
                let got = all_of(&mut receiver, 3 * 44 + 1);
                arena.bytes_mut(&lease).copy_from_slice(&bytes);
                got
            });
            let (last, lent) = got.split_last().expect("they came");
            assert_eq!(last.0, [7; 100]);
            assert!(lent.iter().flat_map(|(bytes, _)| bytes).eq(&bytes), "as it was when it was lent");
            arena.release(lease);
            let lease = arena.lease(bytes.len()).expect("what was lent is home");
            arena.release(lease);
            let counters = sender.counters();
            assert!(counters.loans_orphaned > 0, "{counters:?}");
            assert_eq!(counters.uring_refused, 1);
        }
        Ok(())
    });
}

#[test]
fn a_wire_that_copies_does_not_get_a_ring_by_itself() {
    if !rings() {
        return;
    }
    on_a_wire("the trial of a ring", 1500, |wire| {
        let (mut receiver, dests) = wire.receiver();
        for dest in dests {
            let config = SocketConfig::new("[::]:0".parse().expect("an address"));
            let socket = wire.a.run(move || Arc::new(Socket::open(&config).expect("a socket")));
            let mut sender = Sender::new(socket);
            let (arena, lease) = lend(&mut sender, &Random(9).bytes(44 * 1400));
            for _ in 0..60 {
                assert_round_trip(&mut sender, &mut receiver, dest, arena.bytes(&lease), 1400);
                assert!(sender.settle(WAIT), "to {dest}");
                assert_eq!(sender.backend(), Backend::Gso, "to {dest}");
            }
            let counters = sender.counters();
            assert_eq!((counters.loans_copied, counters.loans_read), (1, 0), "to {dest}: {counters:?}");
        }
        Ok(())
    });
}

#[test]
fn no_route_is_counted() {
    on_a_wire("no route", 1500, |wire| {
        let socket = wire.socket_a("[::]:0", Backend::Gso, 1 << 20);
        let nowhere: SocketAddr = "192.0.2.1:9".parse().unwrap();
        assert!(matches!(socket.send_to(nowhere, None, &[0; 3000], Some(1000)), Err(NetError::Send { .. })));
        assert_eq!(socket.counters().packets_send_dropped, 3);
        let mut sender = Sender::new(socket);
        let report = sender.send(nowhere, &[0; 10_000], 1000, WAIT);
        assert_eq!((report.sent, report.dropped), (0, 10));
        assert_eq!(sender.counters().unreachable, 10);
        assert!(report.system_calls <= 8, "{report:?}");
        Ok(())
    });
}

#[test]
fn a_namespace_without_loopback_opens_all_the_same() {
    on_a_wire("no loopback", 1500, |_| {
        let bare = Namespace::new()?;
        let caps: Caps = bare.run(|| {
            Socket::open(&SocketConfig::new("[::]:0".parse().expect("an address")))
                .expect("a socket")
                .caps()
                .clone()
        });
        assert_eq!(caps.backend, Backend::Gso, "{caps}");
        Ok(())
    });
}
