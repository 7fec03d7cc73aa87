//! A slower hop on the way: 2.5 Gbit/s into 1 Gbit/s through a shallow port that drops what does not fit. Trains stay
//! whole up to there, because cutting them costs this machine more time than the links take; the port drops whole ones.

use serde_json::Value;

use crate::support::{
    ClientStart, HostStart, Namespace, Place, assert_adds_up, count, machine_kept_up, not_run, session_turn,
};

/// 600 Mbit/s of pictures in 4 slices: 680 Mbit/s on the wire, and 620 KB each.
const MEDIA: &str = "bitstream:rate=600M,fps=120,slices=4";

/// The host, a port, and the client, each in a namespace of its own.
pub(crate) struct Hop {
    pub(crate) host: Namespace,
    _port: Namespace,
    pub(crate) client: Namespace,
}

impl Hop {
    /// A way whose host and whose port have these queueing disciplines.
    pub(crate) fn new(of_host: &str, of_port: &str) -> Result<Self, String> {
        let (host, port, client) = (Namespace::new()?, Namespace::new()?, Namespace::new()?);
        host.run(&format!(
            "ip link add va type veth peer name pa
             ip link set pa netns {}
             ip addr add 10.7.1.1/24 dev va
             ip link set va up
             ip route add 10.7.2.0/24 via 10.7.1.2
             tc qdisc add dev va root {of_host}",
            port.id()
        ))?;
        client.run(&format!(
            "ip link add vb type veth peer name pb
             ip link set pb netns {}
             ip addr add 10.7.2.1/24 dev vb
             ip link set vb up
             ethtool -K vb gro on
             ip route add 10.7.1.0/24 via 10.7.2.2",
            port.id()
        ))?;
        port.run(&format!(
            "ip addr add 10.7.1.2/24 dev pa
             ip addr add 10.7.2.2/24 dev pb
             ip link set pa up
             ip link set pb up
             sysctl -qw net.ipv4.ip_forward=1
             tc qdisc add dev pb root {of_port}"
        ))?;
        Ok(Self { host, _port: port, client })
    }

    fn stream(&self, place: &Place, tweak: impl FnOnce(HostStart<'_>) -> HostStart<'_>) -> Value {
        let host = HostStart::new(place, MEDIA).args(&["--once"]).listen("10.7.1.1:0").within(&self.host);
        let host = tweak(host).ready();
        let client = ClientStart::new(place, host.port).within(&self.client, "10.7.1.1");
        let ended = client.args(&["--seconds", "4"]).run();
        ended.expect_code(0);
        host.ends();
        let summary = ended.json();
        let of = |pointer| count(&summary, pointer);
        eprintln!(
            "{} sent, {} lost, {} decoded; datagrams {} of {}; link {}",
            of("/pictures/sent"),
            of("/pictures/lost"),
            of("/pictures/decoded"),
            of("/datagrams/received"),
            of("/datagrams/sent"),
            summary["link"]
        );
        assert_adds_up(&summary);
        assert_eq!(of("/verified/wrong"), 0, "{summary:#}");
        summary
    }
}

#[test]
fn a_shallow_port_lets_a_paced_host_pass_and_no_other() {
    let (_turn, place) = (session_turn(), Place::new());
    let hop =
        match Hop::new("tbf rate 2500mbit burst 128kb limit 32mb", "tbf rate 1gbit burst 64kb limit 128kb") {
            Ok(hop) => hop,
            Err(cause) => return not_run("a slower hop", &cause),
        };
    let paced = hop.stream(&place, |host| host);
    let unpaced = hop
        .stream(&place, |host| host.env("PUNKTFUNK_PACE_BURST_KB", "65536").args(&["--link", "100000000"]));
    let of = |summary: &Value, pointer: &str| count(summary, pointer);
    let dropped =
        |summary: &Value| of(summary, "/datagrams/sent").saturating_sub(of(summary, "/datagrams/received"));
    // Resends may mend even that, late; what the port drops is what pacing is for.
    assert!(dropped(&unpaced) * 20 > of(&unpaced, "/datagrams/sent"), "the port is none: {unpaced:#}");
    // None on a quiet machine. A busy one sends its trains late and close together, and a port that drops whole trains
    // takes a block with each.
    if machine_kept_up(&paced, "that paced pictures came") {
        let lost = of(&paced, "/pictures/lost") + of(&paced, "/pictures/late");
        assert!(lost * 100 <= of(&paced, "/pictures/sent"), "{lost} lost: {paced:#}");
        assert!(dropped(&paced) * 100 <= of(&paced, "/datagrams/sent"), "{paced:#}");
    }
}
