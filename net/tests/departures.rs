//! Departure times over a virtual wire: kept by `fq`, and seen not to be by anything else.
//!
//! What keeps them needs a kernel with `fq`; `cargo xtask vm` boots one, and there everything must run. On another
//! kernel what it lacks is said in one line, and the rest is tested.

mod common;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::stamps::{Arrival, Stamped, spread};
use common::wire::{Namespace, Wire, on_a_wire};
use common::{WAIT, backends, exchange};
use punktfunk_net::limits::{DEPARTURE_AHEAD_MAX, ROUTE_BELIEVED};
use punktfunk_net::{Arena, Backend, SendReport, Sender, Socket, SocketConfig};

const SEGMENT: usize = 1_400;

/// How late the better half of all trains may be, and nearly all: an emulated machine beside a busy one.
const LATE_P50: Duration = Duration::from_millis(3);
const LATE_P90: Duration = Duration::from_millis(20);

/// Puts `qdisc` at the wire's sending end; whether this kernel has it.
fn has_queue(wire: &Wire, qdisc: &str) -> bool {
    let Err(cause) = wire.a.commands(&format!("tc qdisc replace dev va root {qdisc}")) else { return true };
    let line = format!("punktfunk-net: not run: departures by {qdisc} ({cause}); cargo xtask vm has it\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert!(std::env::var("PUNKTFUNK_VM").as_deref() != Ok("1"), "{line}");
    false
}

/// Trains that are told when to leave: `count` of them, `apart` from each other, the first after `lead`.
struct Plan {
    count: u32,
    segments: usize,
    lead: Duration,
    apart: Duration,
}

impl Plan {
    fn datagrams(&self) -> usize {
        self.count as usize * self.segments
    }

    /// Sends all trains, and says when each is to leave. Each datagram begins with its train's number.
    fn send(&self, sender: &mut Sender, dest: SocketAddr) -> (Vec<Instant>, SendReport) {
        let bytes = self.segments * SEGMENT;
        let mut arena = Arena::new(self.count as usize * bytes.next_multiple_of(64)).expect("an arena");
        sender.attach(&arena);
        let leases: Vec<_> = (0..self.count)
            .map(|train| {
                let lease = arena.lease(bytes).expect("room for all");
                let datagrams = arena.bytes_mut(&lease).chunks_mut(SEGMENT);
                datagrams.for_each(|datagram| datagram[..4].copy_from_slice(&train.to_ne_bytes()));
                lease
            })
            .collect();
        let first = Instant::now() + self.lead;
        let mut report = SendReport::default();
        let departures: Vec<_> = (0..self.count).map(|train| first + self.apart * train).collect();
        for (lease, departure) in leases.iter().zip(&departures) {
            let sent = sender.send_at(dest, arena.bytes(lease), SEGMENT, WAIT, *departure);
            report.sent += sent.sent;
            report.dropped += sent.dropped;
        }
        leases.into_iter().for_each(|lease| arena.release(lease));
        (departures, report)
    }
}

/// How long after its departure each datagram came; none where one came before.
fn lateness(departures: &[Instant], came: &[Arrival]) -> Vec<Option<Duration>> {
    let departure = |arrival: &Arrival| {
        departures[u32::from_ne_bytes(*arrival.head.first_chunk().expect("sixteen bytes")) as usize]
    };
    came.iter().map(|arrival| arrival.at.checked_duration_since(departure(arrival))).collect()
}

/// A sender in a that has sent once, so that it knows its route, and the datagram has come.
fn sender(wire: &Wire, backend: Backend, to: &Stamped, dest: SocketAddr) -> Sender {
    let mut sender = Sender::new(wire.socket_a("[::]:0", backend, 8 << 20));
    assert!(!sender.honours_departure(), "nothing is known before the first send");
    assert_eq!(sender.send(dest, &[0; SEGMENT], SEGMENT, WAIT).sent, 1);
    assert_eq!(to.collect(1, WAIT).len(), 1, "{backend} to {dest}");
    sender
}

fn stamped(wire: &Wire) -> (Stamped, [SocketAddr; 2]) {
    let to = wire.b.run(|| Stamped::bind("[::]:0"));
    let dests = ["10.9.0.2", "fd09::2"].map(|ip| to.address(ip));
    (to, dests)
}

fn print(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

#[test]
fn fq_keeps_trains_until_they_are_told_to_leave() {
    on_a_wire("departures by fq", 1500, |wire| {
        if !has_queue(wire, "fq") {
            return Ok(());
        }
        let (to, dests) = stamped(wire);
        for backend in backends() {
            for dest in dests {
                keeps(wire, backend, &to, dest);
            }
        }
        Ok(())
    });
}

/// All trains are handed in at once, and each leaves at its time.
fn keeps(wire: &Wire, backend: Backend, to: &Stamped, dest: SocketAddr) {
    // Fewer datagrams than fq keeps of one flow (100), so that single ones fit as well.
    let plan =
        Plan { count: 9, segments: 10, lead: Duration::from_millis(40), apart: Duration::from_millis(4) };
    let mut sender = sender(wire, backend, to, dest);
    assert!(sender.honours_departure(), "{backend} to {dest}");
    let (departures, report) = plan.send(&mut sender, dest);
    let handed = Instant::now();
    let came = to.collect(plan.datagrams(), WAIT);
    assert_eq!((report.sent, report.dropped), (90, 0), "{backend} to {dest}");
    assert_eq!(came.len(), 90, "{backend} to {dest}");
    assert!(sender.settle(WAIT), "what has left is lent no more");
    let counters = sender.counters();
    assert_eq!((counters.departures, counters.fallbacks()), (90, 0), "{counters:?}");
    let late = lateness(&departures, &came);
    assert!(late.iter().all(Option::is_some), "{backend} to {dest}: before its time: {late:?}");
    let mut late: Vec<_> = late.into_iter().flatten().collect();
    let waited = departures.iter().filter(|departure| **departure > handed).count();
    let loans = counters.loans_read + counters.loans_copied;
    print(&format!(
        "fq, {backend} to {dest}: {} after the departure; {waited} of 9 trains were in time; {loans} lent",
        spread(&mut late)
    ));
    assert!(waited > 0, "{backend} to {dest}: nothing was handed in before its time");
    assert!(late[late.len() / 2] <= LATE_P50 && late[late.len() * 9 / 10] <= LATE_P90, "{late:?}");
    assert_eq!(loans > 0, backend == Backend::Uring, "{counters:?}");
}

#[test]
fn a_queue_that_keeps_no_times_is_told_none_and_its_trains_come_at_once() {
    on_a_wire("departures by others", 1500, |wire| {
        let (to, dests) = stamped(wire);
        // veth has no queue by itself.
        for dest in dests {
            keeps_none(wire, "noqueue", &to, dest);
        }
        for qdisc in
            ["pfifo limit 1000", "tbf rate 1gbit burst 256kb limit 4mb", "fq_codel", "netem limit 1000"]
        {
            if has_queue(wire, qdisc) {
                dests.into_iter().for_each(|dest| keeps_none(wire, qdisc, &to, dest));
            }
        }
        Ok(())
    });
}

fn keeps_none(wire: &Wire, qdisc: &str, to: &Stamped, dest: SocketAddr) {
    let plan =
        Plan { count: 10, segments: 10, lead: Duration::from_millis(300), apart: Duration::from_millis(5) };
    let mut sender = sender(wire, Backend::Gso, to, dest);
    assert!(!sender.honours_departure(), "{qdisc} to {dest}");
    let (departures, report) = plan.send(&mut sender, dest);
    let came = to.collect(plan.datagrams(), WAIT);
    assert_eq!((report.sent, came.len()), (100, 100), "{qdisc} to {dest}");
    let counters = sender.counters();
    assert_eq!((counters.departures, counters.departures_unkept), (0, 100), "{counters:?}");
    let early = lateness(&departures, &came).iter().filter(|late| late.is_none()).count();
    print(&format!("{qdisc} to {dest}: {early} of 100 datagrams came before their departure"));
    assert!(early >= 90, "{qdisc} to {dest}: {early}");
}

#[test]
fn a_departure_that_is_past_is_now_and_one_too_far_ahead_is_brought_nearer_and_counted() {
    on_a_wire("departures out of reach", 1500, |wire| {
        if !has_queue(wire, "fq") {
            return Ok(());
        }
        let (to, dests) = stamped(wire);
        for dest in dests {
            let mut sender = sender(wire, Backend::Gso, &to, dest);
            let start = Instant::now();
            let past = start.checked_sub(Duration::from_secs(1)).expect("the machine is up");
            assert_eq!(sender.send_at(dest, &[0; 3 * SEGMENT], SEGMENT, WAIT, past).sent, 3);
            let came = to.collect(3, WAIT);
            assert!(came.len() == 3 && came[2].at < start + DEPARTURE_AHEAD_MAX / 2, "{came:?}");
            assert_eq!((sender.counters().departures, sender.counters().fallbacks()), (0, 0));
            // Beyond fq's horizon of 10 s, where fq drops.
            let start = Instant::now();
            let far = start + Duration::from_secs(60);
            let report = sender.send_at(dest, &[0; 3 * SEGMENT], SEGMENT, WAIT, far);
            assert_eq!((report.sent, report.dropped), (3, 0));
            let came = to.collect(3, 2 * WAIT);
            let took = came.last().expect("it comes").at - start;
            print(&format!("fq to {dest}: told to leave in 60 s, it came after {} ms", took.as_millis()));
            assert!(took >= DEPARTURE_AHEAD_MAX && took < DEPARTURE_AHEAD_MAX + WAIT, "{took:?}");
            let counters = sender.counters();
            assert_eq!((counters.departures, counters.departures_bounded), (3, 3), "{counters:?}");
            assert_eq!(counters.fallbacks(), 3);
        }
        Ok(())
    });
}

#[test]
fn etf_keeps_times_of_another_clock_so_it_is_given_none_and_what_it_drops_is_counted() {
    on_a_wire("departures by etf", 1500, |wire| {
        let (to, [dest, _]) = stamped(wire);
        let mut sender = sender(wire, Backend::Gso, &to, dest);
        if !has_queue(wire, "etf clockid CLOCK_TAI delta 300000") {
            return Ok(());
        }
        assert!(!sender.honours_departure());
        let later = Instant::now() + Duration::from_millis(50);
        let report = sender.send_at(dest, &[0; 10 * SEGMENT], SEGMENT, Duration::ZERO, later);
        let counters = sender.counters();
        assert_eq!((report.sent + report.dropped, counters.departures), (10, 0), "{counters:?}");
        assert_eq!(counters.packets_send_dropped, 10, "etf takes nothing without a time: {counters:?}");
        assert!(to.collect(1, Duration::from_millis(50)).is_empty());
        Ok(())
    });
}

#[test]
fn a_queue_that_goes_is_noticed() {
    on_a_wire("departures by a queue that goes", 1500, |wire| {
        if !has_queue(wire, "fq") {
            return Ok(());
        }
        let (to, [dest, _]) = stamped(wire);
        let mut sender = sender(wire, Backend::Gso, &to, dest);
        assert!(sender.honours_departure());
        assert!(has_queue(wire, "pfifo"));
        let start = Instant::now();
        while sender.honours_departure() {
            assert!(start.elapsed() < ROUTE_BELIEVED + WAIT, "there is no fq any more");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
}

#[test]
fn many_hardware_queues_keep_times_if_each_does() {
    on_a_wire("departures by several queues", 1500, |wire| {
        wire.a.commands(
            "ip link add vx numtxqueues 2 numrxqueues 2 type veth peer name vy
             ip addr add 10.8.0.1/24 dev vx
             ip link set vy up
             ip link set vx up
             tc qdisc replace dev vx root handle 1: mq",
        )?;
        let dest = "10.8.0.2:9".parse().expect("an address");
        let keeps = |first: &str, second: &str| {
            for (queue, qdisc) in [(1, first), (2, second)] {
                let set = wire.a.commands(&format!("tc qdisc replace dev vx parent 1:{queue} {qdisc}"));
                if let Err(cause) = set {
                    print(&format!(
                        "punktfunk-net: not run: {qdisc} below mq ({cause}); cargo xtask vm has it"
                    ));
                    assert!(std::env::var("PUNKTFUNK_VM").as_deref() != Ok("1"), "{cause}");
                    return None;
                }
            }
            let mut sender = Sender::new(wire.socket_a("0.0.0.0:0", Backend::Gso, 1 << 20));
            sender.send(dest, &[0; 100], 100, Duration::ZERO);
            Some(sender.honours_departure())
        };
        assert_eq!(keeps("pfifo", "pfifo"), Some(false));
        assert!(matches!(keeps("fq", "fq"), Some(true) | None));
        assert!(matches!(keeps("fq", "pfifo"), Some(false) | None));
        Ok(())
    });
}

#[test]
fn more_than_a_flows_share_of_the_queue_is_waited_for() {
    on_a_wire("more departures than a flow may have", 1500, |wire| {
        if !has_queue(wire, "fq flow_limit 20") {
            return Ok(());
        }
        let (mut receiver, dests) = wire.receiver();
        for dest in dests {
            let mut sender = Sender::new(wire.socket_a("[::]:0", Backend::Sendmmsg, 8 << 20));
            sender.send(dest, &[0; 100], 100, WAIT);
            assert!(sender.honours_departure());
            common::drain(&mut receiver);
            let got = exchange(&mut receiver, 60, || {
                let start = Instant::now();
                for train in 0..6 {
                    let departure = start + Duration::from_millis(5) * train;
                    let report = sender.send_at(dest, &[1; 10 * SEGMENT], SEGMENT, WAIT, departure);
                    assert_eq!((report.sent, report.dropped), (10, 0));
                }
            });
            assert_eq!(got.len(), 60);
            let counters = sender.counters();
            assert!(counters.enobufs > 0 && counters.waits_full > 0, "{counters:?}");
            assert_eq!(counters.packets_send_dropped, 0);
        }
        Ok(())
    });
}

/// Two wires and a router between them, whose far end delays, loses and changes the order of what it passes on.
struct Routed {
    a: Namespace,
    _router: Namespace,
    b: Namespace,
}

impl Routed {
    const DELAY: Duration = Duration::from_millis(20);

    fn new(netem: &str) -> Result<Self, String> {
        let [a, router, b] = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
        for (end, net, name) in [(&a, 1, "va"), (&b, 2, "vb")] {
            router.commands(&format!(
                "ip link add r{name} type veth peer name {name}
                 ip link set {name} netns {}
                 ip addr add 10.9.{net}.254/24 dev r{name}
                 ip -6 addr add fd09:{net}::fe/64 dev r{name} nodad
                 ip link set r{name} up",
                end.tid()
            ))?;
            end.commands(&format!(
                "ip addr add 10.9.{net}.1/24 dev {name}
                 ip -6 addr add fd09:{net}::1/64 dev {name} nodad
                 ip link set {name} up
                 ip route add default via 10.9.{net}.254
                 ip -6 route add default via fd09:{net}::fe"
            ))?;
        }
        let set = router.run(|| {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
        });
        set.map_err(|error| format!("forwarding: {error}"))?;
        router.commands(&format!("tc qdisc add dev rvb root netem {netem}"))?;
        Ok(Self { a, _router: router, b })
    }
}

#[test]
fn a_path_that_delays_loses_and_reorders_gets_each_train_at_its_time() {
    let tier = "departures over netem";
    let missing = Routed::new("delay 20ms loss 20% reorder 20% limit 10000").and_then(|path| {
        path.a.commands("tc qdisc replace dev va root fq")?;
        let to = path.b.run(|| Stamped::bind("[::]:0"));
        ["10.9.2.1", "fd09:2::1"].into_iter().for_each(|ip| arrives_through(&path, &to, to.address(ip)));
        Ok(())
    });
    if let Err(cause) = missing {
        print(&format!("punktfunk-net: not run: {tier} ({cause}); cargo xtask vm has it"));
        assert!(std::env::var("PUNKTFUNK_VM").as_deref() != Ok("1"), "{cause}");
    }
}

fn arrives_through(path: &Routed, to: &Stamped, dest: SocketAddr) {
    let config = SocketConfig {
        backend: Some(Backend::Gso),
        ..SocketConfig::new("[::]:0".parse().expect("an address"))
    };
    let mut sender = Sender::new(path.a.run(move || Arc::new(Socket::open(&config).expect("a socket"))));
    // Neighbours are looked up, on a path that loses the questions too; and the route becomes known.
    let start = Instant::now();
    loop {
        sender.send(dest, &[0xFF; SEGMENT], SEGMENT, WAIT);
        if !to.collect(1, Duration::from_millis(100)).is_empty() {
            break;
        }
        assert!(start.elapsed() < 10 * WAIT, "nothing comes through to {dest}");
    }
    to.collect(100, Duration::from_millis(300));
    assert!(sender.honours_departure(), "fq to {dest}");
    let plan =
        Plan { count: 60, segments: 10, lead: Duration::from_millis(40), apart: Duration::from_millis(3) };
    let (departures, report) = plan.send(&mut sender, dest);
    assert_eq!((report.sent, report.dropped), (600, 0));
    let mut came = to.collect(plan.datagrams(), Duration::from_millis(500));
    // A question that was answered late.
    came.retain(|arrival| arrival.head[..4] != [0xFF; 4]);
    let late = lateness(&departures, &came);
    assert!(late.iter().all(Option::is_some), "before its time to {dest}: {late:?}");
    let mut late: Vec<_> = late.into_iter().flatten().collect();
    let overtook = late.iter().filter(|late| **late < Routed::DELAY).count();
    print(&format!(
        "fq and netem to {dest}: {} of 600 came, {overtook} of them without the 20 ms: {}",
        came.len(),
        spread(&mut late)
    ));
    // A train is one packet to netem: each of 60 is kept, lost or sent ahead.
    assert!((200..600).contains(&came.len()) && overtook > 0 && overtook < came.len(), "{}", came.len());
}
