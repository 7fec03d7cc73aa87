//! Datagrams from nowhere and from the way between: dropped and counted, and the session goes on.
//!
//! Promises: the same bytes again with the seed that a run printed.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use punktfunk_proto::{DATAGRAM_OVERHEAD, is_media};
use serde_json::Value;

use crate::support::{
    Between, ClientStart, Host, HostStart, Meddler, PATIENCE, Place, Program, Random, assert_adds_up, count,
    machine_kept_up, session_turn,
};

/// Easy to carry, every byte checked.
const SOURCE: &str = "bitstream:rate=20M,fps=60,slices=2,idr=2x/1s";

/// Datagrams that a stranger throws at each of the two ports.
const THROWN: u32 = 10_000;

/// What the datagrams may cost in memory: about twice what all of them together have.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

/// Something that is no datagram of anybody.
fn noise(random: &mut Random) -> Vec<u8> {
    match random.below(4) {
        0 => {
            let len = random.below(1_500) as usize;
            random.bytes(len)
        }
        1 => media_like(random),
        2 => quic_like(random, 0xc0),
        _ => quic_like(random, 0x40),
    }
}

/// A header that holds together, with a seal that does not.
fn media_like(random: &mut Random) -> Vec<u8> {
    let shard_bytes = 64 * (1 + random.below(22) as usize);
    let mut bytes = random.bytes(DATAGRAM_OVERHEAD + shard_bytes);
    let (k, m) = (1 + random.below(64) as u16, 1 + random.below(8) as u16);
    let shard = random.below(u64::from(k + m)) as u16;
    bytes[0] = (random.below(4) as u8) << 2;
    bytes[1] = random.below(16) as u8;
    bytes[2..4].copy_from_slice(&shard.to_le_bytes());
    bytes[4..8].copy_from_slice(&(random.below(1 << 20) as u32).to_le_bytes());
    bytes[8..12].copy_from_slice(&(random.below(400) as u32).to_le_bytes());
    bytes[16..18].copy_from_slice(&k.to_le_bytes());
    bytes[18..20].copy_from_slice(&m.to_le_bytes());
    bytes[20..22].copy_from_slice(&(random.below(8) as u16).to_le_bytes());
    bytes[22..24].copy_from_slice(&(random.below(shard_bytes as u64) as u16).to_le_bytes());
    bytes
}

/// QUIC version 1 as far as one sees without keys.
fn quic_like(random: &mut Random, first: u8) -> Vec<u8> {
    let mut bytes = random.bytes(1_200);
    bytes[0] = first | (bytes[0] & 0x3f);
    if first == 0xc0 {
        bytes[1..5].copy_from_slice(&1_u32.to_be_bytes());
        (bytes[5], bytes[14]) = (8, 8);
    }
    bytes
}

/// A true datagram with something wrong.
fn mutated(random: &mut Random, datagram: &[u8]) -> Vec<u8> {
    let mut bytes = datagram.to_vec();
    match random.below(5) {
        0 => bytes.truncate(random.below(datagram.len() as u64) as usize),
        1 => {
            let more = 1 + random.below(80) as usize;
            bytes.extend(random.bytes(more));
        }
        2 => bytes[0] ^= 1 << random.below(8),
        3 => {
            // Where the headers are.
            let place = random.below(datagram.len().min(32) as u64) as usize;
            bytes[place] ^= 1 << random.below(8);
        }
        _ => {
            let place = random.below(datagram.len() as u64) as usize;
            bytes[place] ^= 1 + random.below(255) as u8;
        }
    }
    bytes
}

/// Ends the session that was under attack, and checks that nothing came of the attack but numbers.
fn check_survived(
    host: Host,
    client: Program,
    between: Option<&Between>,
    memory_before: (u64, u64),
) -> Value {
    let memory_after = (host.program.memory_peak_bytes(), client.memory_peak_bytes());
    for (end, before, after) in
        [("host", memory_before.0, memory_after.0), ("client", memory_before.1, memory_after.1)]
    {
        eprintln!("{end}: {} KiB before, {} KiB after", before >> 10, after >> 10);
        assert!(after - before < GROWTH_BYTES_MAX, "the {end} grew from {before} to {after} bytes");
    }
    client.signal("INT");
    let ended = client.wait(PATIENCE);
    ended.expect_code(0).expect_said(&[]);
    // How many media datagrams came to the host, which takes none.
    host.ends().expect_said(&["media or empty datagrams came in and were dropped"]);
    let summary = ended.json();
    eprintln!("{}", summary["datagrams"]);
    let of = |pointer: &str| count(&summary, pointer);
    assert!(of("/verified/slices") > 0 && of("/verified/wrong") == 0, "{summary:#}");
    for counter in ["malformed", "bad_tag", "unknown_epoch"] {
        assert!(of(&format!("/datagrams/{counter}")) > 0, "no {counter} in {}", summary["datagrams"]);
    }
    assert_adds_up(&summary);
    let what = "that no picture got lost";
    if between.is_none_or(|between| between.kept_up(what)) && machine_kept_up(&summary, what) {
        assert_eq!(of("/pictures/lost"), 0, "{summary:#}");
        assert_eq!(of("/pictures/sent"), of("/pictures/decoded"), "{summary:#}");
    }
    summary
}

fn memory(host: &Host, client: &Program) -> (u64, u64) {
    (host.program.memory_peak_bytes(), client.memory_peak_bytes())
}

#[test]
fn strangers_change_nothing() {
    let (_turn, place) = (session_turn(), Place::new());
    let mut random = Random::new();
    let host = HostStart::new(&place, SOURCE).args(&["--once"]).ready();
    let client = ClientStart::new(&place, host.port).start();
    let remote: SocketAddr = host.event("hello", 0, PATIENCE)["remote"].as_str().unwrap().parse().unwrap();
    host.event("welcome", 0, PATIENCE);
    thread::sleep(Duration::from_secs(1));
    let before = memory(&host, &client.program);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for turn in 0..THROWN {
        for to in [remote, SocketAddr::from(([127, 0, 0, 1], host.port))] {
            stranger.send_to(&noise(&mut random), to).unwrap();
        }
        if turn % 16 == 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    thread::sleep(Duration::from_secs(1));
    check_survived(host, client.program, None, before);
}

/// Hands a datagram on; often something wrong goes before it, and sometimes it goes twice.
fn meddler(random: &mut Random) -> Meddler {
    let mut random = random.fork();
    Box::new(move |datagram, send| {
        // QUIC's datagrams are too few to leave them to chance.
        if random.below(2) == 0 || !datagram.first().copied().is_some_and(is_media) {
            send(&mutated(&mut random, datagram));
        }
        send(datagram);
        if random.below(8) == 0 {
            send(datagram);
        }
    })
}

#[test]
fn whoever_sits_between_changes_nothing() {
    let (_turn, place) = (session_turn(), Place::new());
    let mut random = Random::new();
    let host = HostStart::new(&place, SOURCE).args(&["--once"]).ready();
    let between = Between::start(host.port, meddler(&mut random), meddler(&mut random));
    let client = ClientStart::new(&place, between.port()).start();
    host.event("welcome", 0, PATIENCE);
    thread::sleep(Duration::from_secs(1));
    let before = memory(&host, &client.program);
    // Media to the host, which the client never sends.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&media_like(&mut random), ("127.0.0.1", host.port)).unwrap();
    thread::sleep(Duration::from_secs(3));
    let summary = check_survived(host, client.program, Some(&between), before);
    assert!(count(&summary, "/datagrams/replayed") > 0, "{}", summary["datagrams"]);
}
