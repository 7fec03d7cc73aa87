//! Sessions without number: connects, changes, kills of either end; nothing of them is left, and everybody is back soon.
//!
//! Promises: whoever is back has a picture decoded, not only a Welcome; the short course is a part of each run, the long
//! one is the same with other numbers: `cargo xtask soak`.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use crate::support::{
    Client, ClientStart, Host, HostStart, MARGIN, PATIENCE, Place, Program, assert_adds_up, count, look,
    session_turn,
};

/// Whoever comes again has pictures by then: a client from its death on, a host's client from the host's open port on.
const BACK: Duration = Duration::from_secs(1);

/// As long as a session lives so that its loss is no sign of a host that is not well.
const LIVED: Duration = Duration::from_millis(1_100);

/// What a second round of the same may leave of memory. A session has some MiB: if they stayed, even the short course had
/// many of these.
const GROWTH_KIB_MAX: u64 = 1024;

/// What a client keeps of each session that another one has followed: its summary, to be printed at the end.
const SUMMARY_KIB: u64 = 64;

/// One heap for all threads, which gives back what it does not need: otherwise the allocator keeps one for each thread that
/// there was at a time, each as large as its largest moment, and what leaks is lost among them.
const ONE_HEAP: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "65536")];

/// How long what a session had may take to go.
const SETTLE: Duration = Duration::from_secs(10);

/// How often each thing is done, in two rounds where it is the host that must keep nothing.
struct Course {
    connects: usize,
    changes: usize,
    client_kills: usize,
    host_kills: usize,
}

/// What a program has of the machine.
#[derive(Clone, Copy, Debug)]
struct Usage {
    descriptors: usize,
    threads: usize,
    memory_kib: u64,
}

impl Usage {
    fn of(program: &Program) -> Self {
        let folder = format!("/proc/{}", program.id());
        let count = |what: &str| fs::read_dir(format!("{folder}/{what}")).unwrap().count();
        let status = fs::read_to_string(format!("{folder}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory_kib = line.trim_end_matches("kB").trim().parse().unwrap();
        Self { descriptors: count("fd"), threads: count("task"), memory_kib }
    }

    /// Waits until there is no more than this, but for memory.
    fn settles(program: &Program, most: &Self) -> Self {
        let started = Instant::now();
        loop {
            let now = Self::of(program);
            let is_settled = now.descriptors <= most.descriptors && now.threads <= most.threads;
            if is_settled || started.elapsed() > SETTLE {
                assert!(is_settled, "{now} is left, {most} was there before");
                assert!(now.memory_kib <= most.memory_kib + GROWTH_KIB_MAX, "{now} after {most}");
                return now;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptors, threads, memory_kib } = self;
        write!(f, "{descriptors} descriptors, {threads} threads, {memory_kib} KiB")
    }
}

/// The longest and the middle one.
fn said(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let (Some(longest), middle) = (times.last(), times.get(times.len() / 2)) else { return "none".into() };
    format!("{} times, median {middle:.0?}, at most {longest:.0?}", times.len(), middle = middle.unwrap())
}

fn start<'a>(place: &'a Place, port: u16) -> ClientStart<'a> {
    let start =
        ONE_HEAP.iter().fold(ClientStart::new(place, port), |start, (name, value)| start.env(name, value));
    start.args(&["--mode", "320x180@60", "--bitrate", "2000", "--commands"])
}

/// A client that changes its mode so often, and leaves.
fn changing(place: &Place, host: &Host, changes: usize) {
    let line = |turn: usize| ["mode 640x360@60\n", "mode 320x180@30\n", "mode 480x270@60\n"][turn % 3];
    let said: String = (0..changes).map(line).chain(["quit\n"]).collect();
    let ended = start(place, host.port).typing(&said).start().program.wait(PATIENCE * 4);
    ended.expect_code(0);
    let summary = ended.json();
    assert_adds_up(&summary);
    assert_eq!(count(&summary, "/reconfigured/done"), changes as u64, "{summary:#}");
    assert_eq!(count(&summary, "/pictures/dropped/decode_error"), 0, "{summary:#}");
}

/// A client that streams, once it has pictures.
fn streaming(place: &Place, host: &Host) -> Client {
    let client = start(place, host.port).start_telling();
    client.has_pictures(1);
    client
}

/// A client that is killed and started again so often; how long it takes from its death until it has pictures.
fn killing_clients(place: &Place, host: &Host, kills: usize) -> Vec<Duration> {
    let mut client = streaming(place, host);
    let mut back = Vec::new();
    for _ in 0..kills {
        let killed = Instant::now();
        client.program.kill();
        client = streaming(place, host);
        back.push(killed.elapsed());
    }
    client.program.signal("INT");
    client.program.wait(PATIENCE).expect_code(0);
    back
}

/// How long a client that stays is without pictures when its host is killed: from the death on, and from the open port of
/// the host that comes after.
#[derive(Default)]
struct Darkness {
    from_death: Vec<Duration>,
    from_port: Vec<Duration>,
}

/// A host that is killed and started again so often, with a client that stays; gives the last host.
fn killing_hosts(place: &Place, mut host: Host, kills: usize) -> (Host, Darkness) {
    let port = host.port;
    let client = streaming(place, &host);
    let (mut dark, mut before) = (Darkness::default(), None);
    for turn in 0..kills {
        // A session that did not live is looked for more slowly.
        std::thread::sleep(LIVED);
        let killed = Instant::now();
        host.program.kill();
        drop::<Program>(host.program);
        host = self::host(place).listen(&format!("127.0.0.1:{port}")).ready();
        let there = Instant::now();
        client.has_pictures(turn + 2);
        dark.from_death.push(killed.elapsed());
        dark.from_port.push(there.elapsed());
        // What a client has grows with its first session after another, and no more.
        if turn == 1 {
            before = Some(Usage::of(&client.program));
        }
    }
    if let Some(before) = before {
        let summaries = SUMMARY_KIB * (kills as u64 - 2);
        let most = Usage { memory_kib: before.memory_kib + summaries, ..before };
        let after = Usage::settles(&client.program, &most);
        eprintln!("the client had {before} after two hosts' deaths, and {after} after {kills}");
    }
    client.program.signal("INT");
    let ended = client.program.wait(PATIENCE);
    ended.expect_code(0);
    let summary = ended.json();
    assert_eq!(count(&summary, "/reconnects"), kills as u64);
    let earlier = summary["earlier"].as_array().unwrap();
    assert!(
        !earlier.is_empty() && earlier.iter().all(|one| count(one, "/pictures/decoded") > 0),
        "{summary:#}"
    );
    (host, dark)
}

fn host<'a>(place: &'a Place) -> HostStart<'a> {
    ONE_HEAP.iter().fold(HostStart::new(place, "card"), |start, (name, value)| start.env(name, value))
}

/// Half of the course, as far as it is one host's. Gives how long the killed clients took to be back.
fn round(place: &Place, host: &Host, course: &Course) -> Vec<Duration> {
    let began = Instant::now();
    for _ in 0..course.connects / 2 {
        changing(place, host, 0);
    }
    eprintln!("{} connects and disconnects in {:.1?}", course.connects / 2, began.elapsed());
    changing(place, host, course.changes / 2);
    killing_clients(place, host, course.client_kills / 2)
}

fn run(course: &Course) {
    let (_turn, place) = (session_turn(), Place::new());
    let host = host(&place).ready();
    // What comes with the first sessions and stays is no leak.
    for _ in 0..3 {
        changing(&place, &host, 2);
    }
    look("quiet", SETTLE, || (host.events("ended").len() == 3).then_some(()));
    std::thread::sleep(Duration::from_millis(200));
    let before = Usage::of(&host.program);
    let mut back = round(&place, &host, course);
    let once = Usage::of(&host.program);
    back.extend(round(&place, &host, course));
    let after = Usage::settles(&host.program, &Usage { memory_kib: once.memory_kib, ..before });
    eprintln!("the host had {before} before, {once} after half of it, and {after} after all of it");
    let slowest = back.iter().max().copied().unwrap_or_default();
    eprintln!("killed clients had pictures again: {}", said(back));
    assert!(slowest < BACK + MARGIN, "{slowest:?}");

    let (host, Darkness { from_death, from_port }) = killing_hosts(&place, host, course.host_kills);
    let slowest = from_port.iter().max().copied().unwrap_or_default();
    eprintln!("clients of killed hosts had pictures again, from the death on: {}", said(from_death));
    eprintln!("the same from the next host's open port on: {}", said(from_port));
    assert!(slowest < BACK + MARGIN, "{slowest:?}");
    host.stop();
    place.assert_empty(PATIENCE);
}

#[test]
fn sessions_come_and_go_and_leave_nothing() {
    run(&Course { connects: 6, changes: 6, client_kills: 2, host_kills: 3 });
}

#[test]
#[ignore = "takes minutes: cargo xtask soak"]
fn two_hundred_sessions_come_and_go_and_leave_nothing() {
    run(&Course { connects: 200, changes: 100, client_kills: 20, host_kills: 20 });
}
