//! Clients whose address changes in mid-stream, and somebody else who would like to be taken for one.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use punktfunk_proto::is_media;
use serde_json::Value;

use crate::support::{
    Between, ClientStart, HostStart, Meddler, Namespace, PATIENCE, Place, assert_adds_up, count,
    machine_kept_up, not_run, session_turn,
};

/// Pictures at 60 Hz, every byte checked.
const MEDIA: &str = "bitstream:rate=20M,fps=60,slices=2";

/// Pictures that a change of address may cost.
const LOST_MAX: u64 = 2;

/// Pictures lost for good, of a session that followed its client so many times and refused nobody.
fn assert_followed(summary: &Value, changes: u64) {
    let of = |pointer: &str| count(summary, pointer);
    eprintln!("{} {}", summary["pictures"], summary["path"]);
    assert_adds_up(summary);
    assert_eq!(of("/verified/wrong"), 0, "{summary:#}");
    assert_eq!(of("/path/changed"), changes, "{summary:#}");
    if machine_kept_up(summary, "what a change of address costs") {
        let lost = of("/pictures/lost") + of("/pictures/late");
        assert!(lost <= LOST_MAX * changes, "{lost} pictures lost: {summary:#}");
        // Found out anew.
        assert_eq!(of("/path/shard_bytes"), 1_408, "{summary:#}");
    }
}

fn hand_on() -> Meddler {
    Box::new(|datagram, send| send(datagram))
}

/// A NAT that gives its client another port, and then another address.
#[test]
fn a_nat_that_forgets_costs_two_pictures_at_most() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, MEDIA).args(&["--once"]).listen("0.0.0.0:0").ready();
    let mut between = Between::start(host.port, hand_on(), hand_on());
    let client = ClientStart::new(&place, between.port()).args(&["--seconds", "4"]).start();
    host.event("welcome", 0, PATIENCE);
    for (index, ip) in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)].into_iter().enumerate() {
        sleep(Duration::from_millis(1_200));
        between.rebind(ip, hand_on());
        let moved = host.event("moved", index, PATIENCE);
        assert!(moved["remote"].as_str().unwrap().starts_with(&format!("{ip}:")), "{moved}");
    }
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0);
    host.ends();
    assert_followed(&ended.json(), 2);
}

/// Each by itself, and both at once.
#[test]
fn two_sessions_are_followed_each_to_its_own_place() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, MEDIA).args(&["--sessions", "2"]).listen("0.0.0.0:0").ready();
    let mut sessions = ["one", "two"].map(|identity| {
        let between = Between::start(host.port, hand_on(), hand_on());
        let client = ClientStart::new(&place, between.port()).identity(identity).args(&["--seconds", "6"]);
        (between, client.start())
    });
    let session = |index: usize| host.event("welcome", index, PATIENCE)["session"].as_u64().unwrap();
    assert_ne!(session(0), session(1));
    let [(one, _), (two, _)] = &mut sessions;
    let (home, away) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2));
    sleep(Duration::from_millis(1_200));
    one.rebind(away, hand_on());
    let first = host.event("moved", 0, PATIENCE);
    assert!(first["remote"].as_str().unwrap().starts_with("127.0.0.2:"), "{first}");
    sleep(Duration::from_millis(300));
    assert_eq!(host.events("moved").len(), 1, "the other one stays");
    sleep(Duration::from_millis(900));
    one.rebind(home, hand_on());
    two.rebind(away, hand_on());
    host.event("moved", 2, PATIENCE);
    let moved = host.events("moved");
    let of = |of: &Value| moved.iter().filter(|event| event["session"] == *of).count();
    assert_eq!(of(&first["session"]), 2, "{moved:?}");
    for ((_, client), changes) in sessions.into_iter().zip([2, 1]) {
        let ended = client.program.wait(PATIENCE);
        ended.expect_code(0);
        assert_followed(&ended.json(), changes);
    }
    host.stop();
    place.assert_empty(PATIENCE);
}

/// Two namespaces and a wire.
struct Wire {
    host: Namespace,
    client: Namespace,
}

impl Wire {
    fn new() -> Result<Self, String> {
        let (host, client) = (Namespace::new()?, Namespace::new()?);
        host.run(&format!(
            "ip link add va type veth peer name vb
             ip link set vb netns {}
             ip addr add 10.9.0.1/16 dev va
             ip addr add fd99::1/64 dev va nodad
             ip link set va up",
            client.id()
        ))?;
        client.run(
            "ip addr add 10.9.0.2/16 dev vb
             ip addr add fd99::2/64 dev vb nodad
             ip link set vb up",
        )?;
        Ok(Self { host, client })
    }

    /// Streams for four seconds; `change` is run beside it.
    fn stream(&self, place: &Place, host_ip: &str, change: &str) -> Value {
        let host = HostStart::new(place, MEDIA).args(&["--once"]).listen(&format!("{host_ip}:0"));
        let host = host.within(&self.host).ready();
        let client = ClientStart::new(place, host.port).within(&self.client, host_ip);
        let client = client.args(&["--seconds", "4"]).start();
        host.event("welcome", 0, PATIENCE);
        sleep(Duration::from_millis(1_500));
        self.client.run(change).unwrap();
        host.event("moved", 0, PATIENCE);
        let ended = client.program.wait(PATIENCE);
        ended.expect_code(0);
        host.ends();
        ended.json()
    }
}

#[test]
fn another_address_of_the_clients_costs_two_pictures_at_most() {
    let (_turn, place) = (session_turn(), Place::new());
    let wire = match Wire::new() {
        Ok(wire) => wire,
        Err(cause) => return not_run("a client's change of address", &cause),
    };
    let batch = place.write("v4", b"addr del 10.9.0.2/16 dev vb\naddr add 10.9.7.7/16 dev vb\n");
    let summary = wire.stream(&place, "10.9.0.1", &format!("ip -batch {}", batch.display()));
    assert_followed(&summary, 1);
    let batch = place.write("v6", b"addr add fd99::77/64 dev vb nodad\naddr del fd99::2/64 dev vb\n");
    let summary = wire.stream(&place, "[fd99::1]", &format!("ip -6 -batch {}", batch.display()));
    assert_followed(&summary, 1);
    // From one network to the next with none between: the session is what must go on.
    let summary = wire.stream(
        &place,
        "10.9.0.1",
        "ip addr flush dev vb
         sleep 0.4
         ip addr add 10.9.8.8/16 dev vb",
    );
    assert_eq!(count(&summary, "/path/changed"), 1, "{summary:#}");
    let (sent, lost) = (count(&summary, "/pictures/sent"), count(&summary, "/pictures/lost"));
    assert!(lost > 0 && lost < sent / 2, "{summary:#}");
}

/// What somebody got who sent a client's datagrams from an address of his own.
struct Thief {
    socket: UdpSocket,
    stop: Arc<AtomicBool>,
    counter: thread::JoinHandle<(u64, u64)>,
}

impl Thief {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.3:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (ears, stop) = (socket.try_clone().unwrap(), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&stop);
        let counter = thread::spawn(move || {
            let (mut media, mut quic_bytes) = (0, 0);
            let mut bytes = [0; 65_536];
            while !is_over.load(Ordering::Relaxed) {
                match ears.recv(&mut bytes) {
                    Ok(len) if len > 0 && is_media(bytes[0]) => media += 1,
                    Ok(len) => quic_bytes += len as u64,
                    Err(_) => {}
                }
            }
            (media, quic_bytes)
        });
        Self { socket, stop, counter }
    }

    /// Media datagrams, and bytes of QUIC's.
    fn got(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.counter.join().unwrap()
    }
}

/// What the thief does with what goes to the host.
#[derive(Default)]
struct Theft {
    /// Sends it from his own address, before the original and once more with the next.
    copies: AtomicBool,
    /// And keeps the original.
    steals: AtomicBool,
    /// Bytes that he has sent.
    sent: AtomicU64,
}

fn copier(thief: &Thief, host: SocketAddr, theft: &Arc<Theft>) -> Meddler {
    let (socket, theft) = (thief.socket.try_clone().unwrap(), Arc::clone(theft));
    let mut old: Option<Vec<u8>> = None;
    Box::new(move |datagram, send| {
        if theft.copies.load(Ordering::Relaxed) {
            for bytes in [old.replace(datagram.to_vec()).as_deref(), Some(datagram)].into_iter().flatten() {
                socket.send_to(bytes, host).unwrap();
                theft.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
        }
        if !theft.steals.load(Ordering::Relaxed) {
            send(datagram);
        }
    })
}

#[test]
fn a_spoofed_source_draws_no_media_and_changes_nothing() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, MEDIA).args(&["--once"]).listen("0.0.0.0:0").ready();
    let (thief, theft) = (Thief::new(), Arc::<Theft>::default());
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, host.port));
    let between = Between::start(host.port, copier(&thief, to, &theft), hand_on());
    let client = ClientStart::new(&place, between.port()).args(&["--seconds", "4"]).start();
    host.event("welcome", 0, PATIENCE);
    // Who overtakes a handshake has it; there is no session yet to be kept from him.
    sleep(Duration::from_millis(500));
    theft.copies.store(true, Ordering::Relaxed);
    sleep(Duration::from_millis(1_500));
    // He also makes away with what the client says, for less than it takes to be given up.
    for _ in 0..3 {
        theft.steals.store(true, Ordering::Relaxed);
        sleep(Duration::from_millis(150));
        theft.steals.store(false, Ordering::Relaxed);
        sleep(Duration::from_millis(300));
    }
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0);
    assert_eq!(host.events("moved"), Vec::<Value>::new());
    host.ends();
    let (media, quic_bytes) = thief.got();
    let sent = theft.sent.load(Ordering::Relaxed);
    assert!(sent > 10_000, "{sent} bytes are no theft");
    eprintln!("the thief sent {sent} bytes, and got {media} media datagrams and {quic_bytes} bytes of QUIC");
    assert_eq!(media, 0);
    assert!(quic_bytes <= 3 * sent, "{quic_bytes} bytes for {sent}");
    let summary = ended.json();
    eprintln!("{} {}", summary["pictures"], summary["path"]);
    assert_adds_up(&summary);
    assert_eq!((count(&summary, "/path/changed"), count(&summary, "/verified/wrong")), (0, 0), "{summary:#}");
    let what = "that no picture got lost";
    if between.kept_up(what) && machine_kept_up(&summary, what) {
        assert_eq!(count(&summary, "/pictures/lost"), 0, "{summary:#}");
    }
}
