//! Paths of every length of frame: jumbo frames are found and used, and a path that shrinks is got over.

use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::support::{
    ClientStart, HostStart, Namespace, PATIENCE, Place, assert_all_came, count, dropped, machine_kept_up,
    not_run, session_turn,
};

/// 100 Mbit/s at 60 Hz: access units of 208 KB.
const MEDIA: &str = "bitstream:rate=100M,fps=60,slices=2";

/// Pictures that a shrinking path may cost: those of half a second.
const LOST_MAX: u64 = 30;

/// Two namespaces and a wire of this MTU; the host is 10.8.0.1.
struct Wire {
    host: Namespace,
    client: Namespace,
}

impl Wire {
    fn new(mtu: usize) -> Result<Self, String> {
        let (host, client) = (Namespace::new()?, Namespace::new()?);
        // Trains are cut before the wire: whole, they would pass whatever the other end's MTU is.
        host.run(&format!(
            "ip link add va mtu {mtu} type veth peer name vb mtu {mtu}
             ip link set vb netns {}
             ip addr add 10.8.0.1/24 dev va
             ip link set va up
             ethtool -K va tx-udp-segmentation off",
            client.id()
        ))?;
        client.run(
            "ip addr add 10.8.0.2/24 dev vb
             ip link set vb up",
        )?;
        Ok(Self { host, client })
    }

    /// Streams for so many seconds; `meanwhile` runs beside it.
    fn stream(&self, place: &Place, seconds: &str, meanwhile: impl FnOnce()) -> Value {
        let host = HostStart::new(place, MEDIA).args(&["--once"]).listen("10.8.0.1:0").within(&self.host);
        let host = host.ready();
        let client = ClientStart::new(place, host.port).within(&self.client, "10.8.0.1");
        let client = client.args(&["--seconds", seconds]).start();
        host.event("welcome", 0, PATIENCE);
        meanwhile();
        let ended = client.program.wait(PATIENCE);
        ended.expect_code(0);
        host.ends();
        let summary = ended.json();
        eprintln!("{} {} {}", summary["pictures"], summary["datagrams"], summary["path"]);
        assert_eq!(count(&summary, "/verified/wrong"), 0, "{summary:#}");
        summary
    }
}

fn on_a_wire(mtu: usize, test: impl FnOnce(&Wire, &Place)) {
    let (_turn, place) = (session_turn(), Place::new());
    match Wire::new(mtu) {
        Ok(wire) => test(&wire, &place),
        Err(cause) => not_run(&format!("a path of MTU {mtu}"), &cause),
    }
}

#[test]
fn a_path_grows_in_mid_stream_and_no_picture_is_lost() {
    for (mtu, shard_bytes) in [(1_500, 1_408), (9_000, 8_896)] {
        on_a_wire(mtu, |wire, place| {
            let summary = wire.stream(place, "3", || ());
            assert_all_came(&summary);
            assert_eq!(count(&summary, "/path/shard_bytes"), shard_bytes, "{summary:#}");
            assert_eq!(count(&summary, "/path/shrunk"), 0, "{summary:#}");
        });
    }
}

#[test]
fn a_path_that_shrinks_is_got_over_within_a_second() {
    on_a_wire(9_000, |wire, place| {
        let summary = wire.stream(place, "6", || {
            sleep(Duration::from_millis(1_500));
            // Beyond the host's sight: long datagrams vanish.
            wire.client.run("ip link set vb mtu 1500").unwrap();
            sleep(Duration::from_millis(2_500));
            // Before its eyes: the kernel takes no long ones.
            wire.host.run("ip link set va mtu 1280").unwrap();
            wire.client.run("ip link set vb mtu 1280").unwrap();
        });
        // One of them was cut by the host itself.
        let gone = count(&summary, "/pictures/lost") + count(&summary, "/pictures/late") + dropped(&summary);
        if machine_kept_up(&summary, "what a shrinking path costs") {
            assert!(gone > 0 && gone <= 2 * LOST_MAX, "{gone} pictures: {summary:#}");
        }
        assert_eq!(count(&summary, "/path/shrunk"), 2, "{summary:#}");
        assert_eq!(count(&summary, "/path/shard_bytes"), 1_152, "{summary:#}");
        // In between QUIC has found out what the first shrinking left.
        let mean = count(&summary, "/wire_kbps");
        assert!(mean > 50_000, "{summary:#}");
    });
}
