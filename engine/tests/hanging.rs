//! An encoder that hangs in a call holds nobody up for longer than was said.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use punktfunk_engine::{HostConfig, HostPipeline, Merge};
use punktfunk_net::{Socket, SocketConfig};
use punktfunk_proto::{BitratePolicy, RedundancyPolicy, SessionClock};
use punktfunk_seal::{Cipher, Direction, Plane, PlaneKeys, Sealer, Secret};

use support::{Pattern, machine, negotiated};

#[test]
fn a_stage_that_hangs_is_waited_for_as_long_as_was_said() {
    let client = UdpSocket::bind("127.0.0.1:0").expect("a loopback socket");
    let destination = client.local_addr().expect("a bound socket");
    let socket = Arc::new(Socket::open(&SocketConfig::new(([127, 0, 0, 1], 0).into())).expect("a socket"));
    let now = Instant::now();
    let config = HostConfig {
        negotiated: negotiated(2),
        shard_bytes: 1408,
        clock: SessionClock::new(now),
        destination,
        source: None,
        pace_kbps: Some(1_000_000),
        burst_bytes: 128 << 10,
        redundancy: RedundancyPolicy::Fixed,
        bitrate: BitratePolicy::Fixed,
        // A stage that hangs takes its thread with it: the other one has its own.
        machine: machine(Merge::Apart),
    };
    let keys =
        PlaneKeys::new(&Secret::new([7; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video);
    let mut pattern = Pattern::new(2, 2_000, Duration::from_millis(5), u64::MAX);
    let goes_on = Arc::new(AtomicBool::new(false));
    pattern.goes_on = Arc::clone(&goes_on);
    let host = HostPipeline::start(pattern, socket, Sealer::new(keys, now), &config).expect("two threads");
    // The first slice has left, and the encoder stands before the second one.
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("a time above zero");
    assert!(client.recv(&mut [0; 2048]).is_ok_and(|length| length > 0), "{:?}", host.stats());
    let asked = Instant::now();
    assert!(!host.wind_down(Duration::from_millis(50)), "it hangs");
    let took = asked.elapsed();
    assert!((Duration::from_millis(50)..Duration::from_secs(5)).contains(&took), "{took:?}");
    goes_on.store(true, Ordering::Release);
    assert!(host.wind_down(Duration::from_secs(10)), "it goes on");
    host.stop();
}
