//! Faults of the network: ports, families, trains, MTU, rules, multicast.

use std::net::UdpSocket;

use crate::patient::Patient;

/// A wire to another end, so that the machine has a network.
const WIRE: &str = "ip link add wire0 type veth peer name wire1; ip link set wire0 up; ip link set wire1 up; \
                    ip address add 10.9.0.1/24 dev wire0";

#[test]
fn names_who_holds_the_port() {
    let holds = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = holds.local_addr().unwrap().to_string();
    let mut patient = Patient::new();
    patient.listens_on(&at);
    let kill = format!("kill {}", std::process::id());
    patient.diagnose().expect("udp-port", "broken", &["is held by", &kill, "--listen"]);
    drop(holds);
    patient.diagnose().expect("udp-port", "ok", &["is free"]);
    patient.listens_on("192.0.2.7:47800");
    patient.diagnose().expect("udp-port", "broken", &["no address of this machine"]);
}

#[test]
fn names_a_machine_without_ipv6() {
    let Some(patient) = Patient::within("") else { return };
    patient.diagnose().expect("ipv6", "ok", &["both families"]);
    let patient = patient.with_script("echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6");
    patient.diagnose().expect("ipv6", "degraded", &["no IPv6", "disable_ipv6=0"]);
}

#[test]
fn names_a_kernel_that_cuts_no_trains() {
    let Some(patient) = Patient::within("") else { return };
    patient.diagnose().expect("gso", "ok", &["trains of up to 44"]);
    // No datagram of a train fits this device.
    let patient = patient.with_script("ip link set lo mtu 80");
    patient.diagnose().expect("gso", "degraded", &["refused", "times the CPU time"]);
}

#[test]
fn names_the_device_that_carries_too_little() {
    let mtu = |mtu| format!("{WIRE}; ip link set wire0 mtu {mtu}");
    let Some(patient) = Patient::within(&mtu(1500)) else { return };
    patient.diagnose().expect("mtu", "ok", &["wire0 1500"]);
    let patient = patient.with_script(&mtu(1280));
    patient.diagnose().expect(
        "mtu",
        "degraded",
        &["wire0 1280", "18 % more datagrams", "ip link set dev wire0 mtu 1500"],
    );
    let patient = patient.with_script(&mtu(1000));
    patient.diagnose().expect("mtu", "broken", &["wire0 1000", "no session"]);
    // wire1 has no address, as a bridge's port has none.
    let patient = patient.with_script(&format!("{}; ip link set wire1 mtu 1000", mtu(1500)));
    patient.diagnose().expect("mtu", "ok", &["wire0 1500"]);
    let patient = patient.with_script("");
    patient.diagnose().expect("mtu", "degraded", &["no network device is up"]);
}

#[test]
fn names_a_rule_that_throws_the_port_away() {
    let rules = |rules: &str| {
        format!(
            "nft add table inet walls; nft 'add chain inet walls doors {{ type filter hook input priority 0; policy {rules}'"
        )
    };
    let Some(patient) = Patient::within(&rules("accept; }; add rule inet walls doors udp dport 47801 drop"))
    else {
        return;
    };
    patient.diagnose().expect("firewall", "ok", &["no rule that was found"]);
    let patient =
        patient.with_script(&rules("accept; }; add rule inet walls doors udp dport 47000-48000 drop"));
    patient.diagnose().expect("firewall", "broken", &["did not arrive", "let UDP port 47800 in"]);
    // What comes over loopback is let in, and nothing else: only the rules tell.
    let from_here = "drop; }; add rule inet walls doors iifname lo accept";
    let patient = patient.with_script(&rules(from_here));
    patient.diagnose().expect("firewall", "degraded", &["inet walls doors", "none names UDP port 47800"]);
    let named = format!("{from_here}; add rule inet walls doors udp dport {{ 22, 47800 }} accept");
    let mut patient = patient.with_script(&rules(&named));
    patient.diagnose().expect("firewall", "ok", &["no rule that was found"]);
    for rule in [
        "udp dport @ports accept",
        "udp dport vmap { 22 : drop, 47800 : accept }",
        "meta l4proto . th dport { udp . 47800 } accept",
    ] {
        let ports = "add set inet walls ports { type inet_service; elements = { 47800 }; }";
        patient =
            patient.with_script(&rules(&format!("{from_here}; {ports}; add rule inet walls doors {rule}")));
        patient.diagnose().expect("firewall", "ok", &["no rule that was found"]);
    }
    let compared = format!("{from_here}; add rule inet walls doors udp dport != 22 accept");
    let patient = patient.with_script(&rules(&compared));
    patient.diagnose().expect("firewall", "degraded", &["inet walls doors", "cannot be told"]);
}

#[test]
fn names_a_firewall_that_nobody_has_told_of_the_port() {
    let rules = |last: &str| {
        format!(
            "nft add table inet walls; nft 'add chain inet walls doors {{ type filter hook input priority 0; policy accept; }}; \
             add rule inet walls doors iifname lo accept; {last}'"
        )
    };
    // As firewalld ends its chain, and as a careful person does.
    let closes = [
        "add rule inet walls doors reject with icmpx admin-prohibited",
        "add rule inet walls doors meta l4proto udp drop",
    ];
    let Some(mut patient) = Patient::within(&rules("")) else { return };
    patient.diagnose().expect("firewall", "ok", &["no rule that was found"]);
    for last in closes {
        patient = patient.with_script(&rules(last));
        patient.diagnose().expect("firewall", "degraded", &["inet walls doors", "none names UDP port 47800"]);
        patient =
            patient.with_script(&rules(&format!("add rule inet walls doors udp dport 47800 accept; {last}")));
        patient.diagnose().expect("firewall", "ok", &["no rule that was found"]);
    }
    // Who may not read the rules knows who looks after them.
    patient = patient
        .with_script(&format!("{}; mount -t tmpfs tmpfs /run; mkdir /run/firewalld", rules(closes[0])));
    patient.before(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
    patient.diagnose().expect("firewall", "degraded", &["firewalld is on", "--add-port=47800/udp"]);
}

#[test]
fn names_what_keeps_clients_from_finding_the_host() {
    let Some(patient) = Patient::within(WIRE) else { return };
    patient.diagnose().expect("discovery", "ok", &["multicast on wire0, wire1"]);
    let patient = patient
        .with_script(&format!("{WIRE}; ip link set wire0 multicast off; ip link set wire1 multicast off"));
    patient.diagnose().expect("discovery", "degraded", &["multicast on", "told this host's address"]);
    let alone = "import socket,sys,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind((\"\",5353))\n\
                 open(sys.argv[1],\"w\")\ntime.sleep(60)";
    let ready = patient.runtime().join("held").display().to_string();
    let holds = format!("{WIRE}; python3 -c '{alone}' {ready} & while ! [ -e {ready} ]; do sleep 0.02; done");
    let patient = patient.with_script(&holds);
    patient.diagnose().expect("discovery", "broken", &["5353 cannot be shared", "held by python3"]);
}
