//! The pacer's whole way: how far from the rate's own times trains arrive, where the device keeps departure times and
//! where the host waits for them itself.
//!
//! The first wants a kernel with `fq`; `cargo xtask vm` boots one, and there it must run.

#[path = "../../net/tests/common/stamps.rs"]
mod stamps;
#[allow(dead_code, reason = "this file uses a part")]
mod support;
#[path = "../../net/tests/common/wire.rs"]
mod wire;

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use punktfunk_engine::{HostConfig, HostPipeline, Merge};
use punktfunk_net::Backend;
use punktfunk_proto::{BitratePolicy, Negotiated, RedundancyPolicy, SessionClock};
use punktfunk_seal::{Cipher, Direction, Plane, PlaneKeys, Sealer, Secret};

use stamps::{Arrival, Stamped, spread};
use support::{Pattern, machine};
use wire::{Wire, on_a_wire};

const AUS: u64 = 8;
const AU_BYTES: usize = 100_000;
const RATE_KBPS: u32 = 20_000;
const BURST_BYTES: usize = 16 << 10;

/// How late the better half of the trains may be: an emulated machine beside a busy one.
const LATE_P50: Duration = Duration::from_millis(5);

/// What came of `AUS` access units, ten a second, at `RATE_KBPS`.
fn stream(wire: &Wire, to: &Stamped) -> Vec<Arrival> {
    let now = Instant::now();
    let config = HostConfig {
        negotiated: Negotiated::new(1408, 500_000, 10_000, 1, 100, 4 << 20).expect("in range"),
        shard_bytes: 1408,
        clock: SessionClock::new(now),
        destination: to.address("10.9.0.2"),
        source: None,
        pace_kbps: Some(RATE_KBPS),
        burst_bytes: BURST_BYTES,
        redundancy: RedundancyPolicy::Fixed,
        bitrate: BitratePolicy::Fixed,
        machine: machine(Merge::Apart),
    };
    let keys =
        PlaneKeys::new(&Secret::new([7; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video);
    let socket = wire.socket_a("[::]:0", Backend::Gso, 8 << 20);
    let pattern = Pattern::new(1, AU_BYTES, Duration::from_millis(100), AUS);
    let host = HostPipeline::start(pattern, socket, Sealer::new(keys, now), &config).expect("two threads");
    let came = to.collect(10_000, Duration::from_secs(1));
    let sent = host.stop().stats.protect;
    assert_eq!((sent.packets_send_dropped, sent.fallbacks), (0, 0), "{sent:?}");
    assert!(sent.paced_aus > 0 && sent.datagrams == came.len() as u64, "{} came of {sent:?}", came.len());
    came
}

/// How late each paced train came, beside the one of its access unit that kept to the rate best. All datagrams of a
/// train have one stamp.
fn lateness(came: &[Arrival]) -> Vec<Duration> {
    let au = |arrival: &Arrival| u32::from_le_bytes(*arrival.head[8..].first_chunk().expect("a header"));
    let mut late = Vec::new();
    for unit in came.chunk_by(|one, next| au(one) == au(next)) {
        let start = unit[0].at;
        let mut bytes = 0;
        let trains = unit.chunk_by(|one, next| one.at == next.at).map(|train| {
            bytes += train.iter().map(|arrival| arrival.bytes).sum::<usize>();
            (bytes, train[0].at - start)
        });
        // A byte at a kilobit a second takes eight milliseconds. What the burst lets go at once has no time of its own.
        let due = |bytes: usize| Duration::from_nanos(bytes as u64 * 8_000_000 / u64::from(RATE_KBPS));
        let paced = trains.filter(|(bytes, _)| *bytes > BURST_BYTES);
        let behind: Vec<_> =
            paced.map(|(bytes, at)| (at + Duration::from_secs(10)).saturating_sub(due(bytes))).collect();
        let best = behind.iter().min().copied().unwrap_or_default();
        late.extend(behind.iter().map(|behind| *behind - best));
    }
    late
}

/// Packets that fq has held back.
fn throttled(wire: &Wire) -> u64 {
    let told = wire.a.run(|| Command::new("tc").args(["-s", "qdisc", "show", "dev", "va"]).output());
    let told = String::from_utf8_lossy(&told.expect("tc runs").stdout).into_owned();
    // Twice: flows that are held back now, and packets so far.
    let count = told.rsplit_once("throttled ").and_then(|(_, rest)| rest.split_whitespace().next());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[test]
fn trains_come_at_the_pacers_times_by_the_hosts_own_waits_and_by_fq() {
    on_a_wire("pacing", 1500, |wire| {
        let to = wire.b.run(|| Stamped::bind("0.0.0.0:0"));
        for (qdisc, keeps) in [("pfifo limit 10000", false), ("fq", true)] {
            if let Err(cause) = wire.a.commands(&format!("tc qdisc replace dev va root {qdisc}")) {
                let line = format!(
                    "punktfunk-engine: not run: pacing by {qdisc} ({cause}); cargo xtask vm has it\n"
                );
                let _ = std::io::stderr().write_all(line.as_bytes());
                assert!(std::env::var("PUNKTFUNK_VM").as_deref() != Ok("1"), "{line}");
                continue;
            }
            let mut late = lateness(&stream(wire, &to));
            let held = throttled(wire);
            let line = format!("pacing, {qdisc}: {} late; {held} held back by fq\n", spread(&mut late));
            let _ = std::io::stderr().write_all(line.as_bytes());
            assert_eq!(held > 0, keeps, "{line}");
            assert!(late[late.len() / 2] < LATE_P50, "{line}");
        }
        Ok(())
    });
}
