//! Media leaves from the address that QUIC's path has, from the first train on and after a change.

#[allow(dead_code, reason = "this file uses a part")]
mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use punktfunk_engine::{HostConfig, HostPipeline, Machine, Wishes};
use punktfunk_net::{Socket, SocketConfig};
use punktfunk_proto::{BitratePolicy, RedundancyPolicy, SessionClock};
use punktfunk_seal::{Cipher, Direction, Plane, PlaneKeys, Sealer, Secret};

use support::{Pattern, negotiated};

#[test]
fn media_leaves_from_the_paths_own_address() {
    let client = UdpSocket::bind("127.0.0.1:0").expect("a loopback socket");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("a live socket");
    let destination = client.local_addr().expect("a bound socket");
    let everywhere = SocketConfig::new(([0, 0, 0, 0], 0).into());
    let socket = Arc::new(Socket::open(&everywhere).expect("a socket"));
    let port = socket.local_addr().port();
    let [first, second]: [IpAddr; 2] = [[127, 0, 0, 2].into(), [127, 0, 0, 3].into()];
    let now = Instant::now();
    let config = HostConfig {
        negotiated: negotiated(1),
        shard_bytes: 1408,
        clock: SessionClock::new(now),
        destination,
        source: Some(first),
        pace_kbps: Some(1_000_000),
        burst_bytes: 128 << 10,
        redundancy: RedundancyPolicy::Fixed,
        bitrate: BitratePolicy::Fixed,
        machine: Machine::probe(Wishes::default()),
    };
    let keys =
        PlaneKeys::new(&Secret::new([7; 32]), Cipher::Aes128Gcm, Direction::HostToClient, Plane::Video);
    let pattern = Pattern::new(1, 20_000, Duration::from_millis(5), u64::MAX);
    let mut host =
        HostPipeline::start(pattern, socket, Sealer::new(keys, now), &config).expect("two threads");
    let from = || client.recv_from(&mut [0; 2048]).expect("media comes").1;
    for _ in 0..100 {
        assert_eq!(from(), SocketAddr::new(first, port));
    }
    host.set_destination(destination, Some(second)).expect("the ring has room");
    let end = Instant::now() + Duration::from_secs(5);
    while from() != SocketAddr::new(second, port) {
        assert!(Instant::now() < end, "the change does not come into force");
    }
    for _ in 0..100 {
        assert_eq!(from(), SocketAddr::new(second, port));
    }
    assert_eq!(host.stop().fault, None);
}
