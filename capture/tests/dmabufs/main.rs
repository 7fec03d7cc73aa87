//! Dmabufs of a real producer, through a real PipeWire: what is agreed on, lent, given back and fallen back to.
//!
//! Where there is `/dev/udmabuf` the memory is a dmabuf; elsewhere it is a file that is called one, which shows the same
//! of the way through PipeWire and of the buffers' comings and goings, and nothing of what a GPU makes of them.
//! `cargo xtask userland` runs this among the programs of a newer Debian.

#![cfg(feature = "pipewire")]
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod memory;
mod pods;
mod producer;
#[allow(dead_code)] // of the session's programs only PipeWire's own are of use here
#[path = "../pipewire/session.rs"]
mod session;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pods::Offered;
use producer::{Command, Flaw, Plan, Producer};
use punktfunk_capture::dmabuf::{MODIFIER_INVALID, MODIFIER_LINEAR, Numbers, Timelines};
use punktfunk_capture::pipewire::{Door, NodeRef, PipeWireSource, Wanted};
use punktfunk_capture::{CaptureError, Diagnosis, Dmabuf, DmabufWish, Mode, Picture, Pixels, Source};
use session::{DEADLINE, Session};

const XR24: u32 = u32::from_le_bytes(*b"XR24");

/// Some layout that only its driver knows.
const TILED: u64 = 0x0100_0000_0000_0002;

const SIZE: (u32, u32) = (640, 480);

/// Timelines that are files which begin with the last point that was signalled.
#[derive(Debug)]
struct InFiles;

impl Timelines for InFiles {
    fn signal(&self, syncobj: BorrowedFd<'_>, point: u64) -> io::Result<()> {
        rustix::io::pwrite(syncobj, &point.to_ne_bytes(), 0)?;
        Ok(())
    }
}

fn wish(modifiers: &[u64], timelines: Option<Arc<dyn Timelines>>) -> DmabufWish {
    DmabufWish { formats: vec![(XR24, modifiers.to_vec())], timelines, numbers: Numbers::default() }
}

fn plan(offers: &[Offered]) -> Plan {
    Plan {
        name: "dmabufs".to_owned(),
        size: SIZE,
        offers: offers.to_vec(),
        buffers: (8, 16),
        with_timelines: false,
        flaw: Flaw::None,
        interval: Duration::from_micros(16_666),
    }
}

/// Whether this is the virtual machine, where everything takes its time.
fn is_emulated() -> bool {
    std::env::var_os("PUNKTFUNK_VM").is_some()
}

/// A producer, and what captures it.
struct Stage {
    // In this order they end.
    source: PipeWireSource,
    producer: Producer,
    session: Session,
}

impl Stage {
    fn start(plan: Plan, dmabufs: DmabufWish) -> Self {
        let session = Session::start();
        let producer = Producer::start(session.dir().join("pipewire-0"), plan);
        let mode = Mode::new(SIZE.0, SIZE.1, 60_000).unwrap();
        let door = Door::Node(NodeRef::Name("dmabufs".to_owned()));
        let source = session.connect(&door, Wanted { mode, dmabufs });
        Self { source, producer, session }
    }

    fn next(&mut self) -> Picture<'_> {
        match self.source.next_picture(DEADLINE) {
            Ok(Some(picture)) => picture,
            other => panic!("{other:?}\n{:?}\n{}", self.producer.seen(), self.session.logs()),
        }
    }

    /// Takes pictures until `is_it`.
    fn until(&mut self, what: &str, is_it: impl Fn(&Picture<'_>) -> bool) {
        let started = Instant::now();
        while !is_it(&self.next()) {
            assert!(started.elapsed() < DEADLINE, "{what}: {:?}", self.producer.seen());
        }
    }
}

fn dmabuf<'a>(picture: &Picture<'a>) -> Dmabuf<'a> {
    match picture.pixels {
        Pixels::Dmabuf(dmabuf) => dmabuf,
        Pixels::Memory { .. } => panic!("{picture:?}"),
    }
}

fn is_dmabuf(picture: &Picture<'_>) -> bool {
    matches!(picture.pixels, Pixels::Dmabuf(_))
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn dmabufs_come_at_the_producers_rate_without_a_copy_and_go_back() {
    let offers = [Offered::Open(vec![TILED, MODIFIER_LINEAR, MODIFIER_INVALID]), Offered::Memory];
    let mut stage = Stage::start(plan(&offers), wish(&[MODIFIER_LINEAR, 7], None));
    stage.next();
    let (started, before) = (Instant::now(), stage.source.counters().captured);
    let (mut last, mut buffers) = (0, Vec::new());
    while started.elapsed() < Duration::from_secs(3) {
        let Some(picture) = stage.source.next_picture(DEADLINE).unwrap() else { panic!("no picture") };
        let dmabuf = dmabuf(&picture);
        assert_eq!((dmabuf.fourcc, dmabuf.modifier, dmabuf.planes.len()), (XR24, MODIFIER_LINEAR, 1));
        assert_eq!((picture.width, picture.height, dmabuf.planes[0].stride), (640, 480, 2560));
        assert!(dmabuf.acquire.is_none() && dmabuf.release.is_none());
        let number = memory::read(dmabuf.planes[0].fd.as_fd());
        assert!(number > last, "{number} after {last}");
        last = number;
        if !buffers.contains(&dmabuf.buffer) {
            buffers.push(dmabuf.buffer);
        }
    }
    let (counters, seen) = (stage.source.counters(), stage.producer.seen());
    let rate = (counters.captured - before) as f64 / started.elapsed().as_secs_f64();
    eprintln!(
        "{}: {rate:.1} pictures/s, buffers {buffers:?}, {counters:?}, {seen:?}",
        stage.source.describe()
    );
    assert_eq!(counters.dmabufs, counters.captured);
    assert_eq!((counters.memory_falls, counters.spoiled), (0, 0));
    assert_eq!(seen.agreed, [Some(MODIFIER_LINEAR)]);
    assert!(buffers.len() <= seen.buffers && seen.buffers >= 5, "{buffers:?} of {}", seen.buffers);
    let (starved_most, rate_least) = if is_emulated() { (30, 25.0) } else { (3, 50.0) };
    assert!(seen.starved <= starved_most, "the producer had nothing to write to");
    assert!(rate >= rate_least, "{rate:.1} pictures/s");
    assert!(stage.source.describe().contains("as dmabufs, BGRx"), "{}", stage.source.describe());
}

/// What the capture's thread has had of a CPU.
fn captures_cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    let is_it = |task: &std::path::PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "capture")
    };
    let task = tasks.into_iter().find(is_it).expect("it has a thread of its own");
    let schedule = std::fs::read_to_string(task.join("schedstat")).unwrap();
    Duration::from_nanos(schedule.split(' ').next().unwrap().parse().unwrap())
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_dmabuf_costs_the_cpu_the_same_at_every_size_and_a_copy_does_not() {
    if is_emulated() {
        return eprintln!("an emulated CPU tells nothing of a real one, and cannot copy so much in time");
    }
    let mut costs = Vec::new();
    for (size, offered) in [(1920, 1080), (3840, 2160)]
        .into_iter()
        .flat_map(|size| [(size, Offered::Memory), (size, Offered::Open(vec![MODIFIER_LINEAR]))])
    {
        let plan = Plan { size, buffers: (5, 5), ..plan(std::slice::from_ref(&offered)) };
        let mut stage = Stage::start(plan, wish(&[MODIFIER_LINEAR], None));
        for _ in 0..30 {
            stage.next();
        }
        let (before, cpu) = (stage.source.counters().captured, captures_cpu_time());
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(2) {
            stage.next();
        }
        let pictures = stage.source.counters().captured - before;
        let cost = (captures_cpu_time() - cpu) / u32::try_from(pictures).unwrap();
        let way = if is_dmabuf(&stage.next()) { "as dmabufs" } else { "in memory" };
        eprintln!("{}x{} {way}: {pictures} pictures, {cost:?} of a CPU each", size.0, size.1);
        costs.push(cost);
    }
    let [_, _, copied, lent] = costs[..] else { panic!("{costs:?}") };
    assert!(lent * 10 < copied, "{lent:?} against {copied:?}");
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn of_few_buffers_each_goes_back_at_once() {
    for (buffers, rate_least) in [(2, 40.0), (3, 50.0)] {
        let offers = [Offered::Open(vec![MODIFIER_LINEAR])];
        let plan = Plan { buffers: (buffers, buffers), ..plan(&offers) };
        let mut stage = Stage::start(plan, wish(&[MODIFIER_LINEAR], None));
        stage.next();
        let (started, mut taken) = (Instant::now(), 0);
        while started.elapsed() < Duration::from_secs(2) {
            assert!(is_dmabuf(&stage.next()));
            stage.source.give_back();
            taken += 1;
        }
        let (rate, seen) = (f64::from(taken) / started.elapsed().as_secs_f64(), stage.producer.seen());
        eprintln!("{buffers} buffers: {rate:.1} pictures/s, {seen:?}");
        assert!(rate >= rate_least, "{rate:.1} pictures/s");
    }
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn points_are_said_and_no_buffer_goes_back_before_it_is_released() {
    let offers = [Offered::Fixed(MODIFIER_LINEAR), Offered::Memory];
    let plan = Plan { with_timelines: true, ..plan(&offers) };
    let mut stage = Stage::start(plan.clone(), wish(&[MODIFIER_LINEAR], Some(Arc::new(InFiles))));
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        let picture = stage.next();
        let dmabuf = dmabuf(&picture);
        let (acquire, release) = (dmabuf.acquire.unwrap(), dmabuf.release.unwrap());
        let number = memory::read(dmabuf.planes[0].fd.as_fd());
        assert_eq!((acquire.point, release.point), (number, number));
        assert_eq!(memory::read(acquire.syncobj), number);
        assert!(memory::read(release.syncobj) < number);
    }
    let counters = stage.source.counters();
    let seen = stage.producer.seen();
    eprintln!("with timelines: {seen:?}, {counters:?}");
    // PipeWire may give one back that nobody was shown, on a busy machine and at the start.
    let unseen = seen.written - counters.captured;
    assert!(seen.early <= unseen && seen.released > 30, "{seen:?}, {unseen} of them unseen");
    drop(stage);

    // Nobody here can signal them: the same producer's buffers come without.
    let mut stage = Stage::start(plan, wish(&[MODIFIER_LINEAR], None));
    for _ in 0..30 {
        assert!(dmabuf(&stage.next()).acquire.is_none());
    }
    assert_eq!(stage.producer.seen().released, 0);
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn another_size_takes_the_buffers_away_and_others_come_by_other_numbers() {
    let offers = [Offered::Open(vec![MODIFIER_LINEAR]), Offered::Memory];
    let mut stage = Stage::start(plan(&offers), wish(&[MODIFIER_LINEAR], None));
    stage.until("a first picture", is_dmabuf);
    let picture = stage.next();
    let before = dmabuf(&picture).buffer;
    let changed = Instant::now();
    stage.producer.tell(Command::Resize(1280, 720));
    stage.until("the other size", |picture| (picture.width, picture.height) == (1280, 720));
    eprintln!("another size after {:?}", changed.elapsed());
    for _ in 0..30 {
        let picture = stage.next();
        let dmabuf = dmabuf(&picture);
        assert!(dmabuf.buffer > before, "a number for other memory");
        assert_eq!(dmabuf.planes[0].stride, 1280 * 4);
    }
    let removed = stage.producer.seen().removed;
    assert!(removed >= 5, "{removed}");
    assert_eq!(stage.source.mode().to_string(), "1280x720@60");
    assert_eq!(stage.source.counters().memory_falls, 0);
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn memory_comes_where_there_are_no_dmabufs_or_none_that_can_be_taken() {
    let open = Offered::Open(vec![TILED, MODIFIER_LINEAR]);
    for (what, offers, wished) in [
        ("a producer without dmabufs", vec![Offered::Memory], vec![MODIFIER_LINEAR]),
        ("no modifier in common", vec![open.clone(), Offered::Memory], vec![7]),
        ("one's own fixed choice", vec![Offered::Fixed(TILED), Offered::Memory], vec![MODIFIER_LINEAR]),
        ("nothing wished for", vec![open.clone(), Offered::Memory], vec![]),
    ] {
        let is_wished = !wished.is_empty();
        let mut stage = Stage::start(plan(&offers), wish(&wished, None));
        assert!(!is_dmabuf(&stage.next()), "{what}");
        let counters = stage.source.counters();
        eprintln!("{what}: {counters:?}");
        assert_eq!((counters.memory_falls, counters.dmabufs), (u64::from(is_wished), 0), "{what}");
    }

    // A modifier that turns out not to be importable, then the other one too.
    let mut stage =
        Stage::start(plan(&[open.clone(), Offered::Memory]), wish(&[TILED, MODIFIER_LINEAR], None));
    stage.until("the one that was wished for first", |picture| dmabuf(picture).modifier == TILED);
    let declined = Instant::now();
    stage.source.decline(XR24, TILED);
    stage.until("the other one", |picture| dmabuf(picture).modifier == MODIFIER_LINEAR);
    eprintln!("another modifier after {:?}", declined.elapsed());
    let declined = Instant::now();
    stage.source.decline(XR24, MODIFIER_LINEAR);
    stage.until("memory", |picture| !is_dmabuf(picture));
    eprintln!("memory after {:?}", declined.elapsed());
    for _ in 0..30 {
        assert!(!is_dmabuf(&stage.next()));
    }
    assert_eq!(stage.source.counters().memory_falls, 1);
    assert_eq!(stage.producer.seen().agreed, [Some(TILED), Some(MODIFIER_LINEAR), None]);
    drop(stage);

    // All of them at once, without the other one in between.
    let mut stage = Stage::start(plan(&[open, Offered::Memory]), wish(&[TILED, MODIFIER_LINEAR], None));
    stage.until("the one that was wished for first", |picture| dmabuf(picture).modifier == TILED);
    stage.source.decline_all();
    stage.until("memory", |picture| !is_dmabuf(picture));
    assert_eq!(stage.producer.seen().agreed, [Some(TILED), None]);
}

#[test]
#[ignore = "needs a newer userland; cargo xtask userland"]
fn a_producer_of_nonsense_is_fallen_back_from_or_named() {
    for flaw in [Flaw::Rows, Flaw::Beyond] {
        let offers = [Offered::Open(vec![MODIFIER_LINEAR]), Offered::Memory];
        let plan = Plan { flaw, ..plan(&offers) };
        let session = Session::start();
        let producer = Producer::start(session.dir().join("pipewire-0"), plan);
        let mode = Mode::new(SIZE.0, SIZE.1, 60_000).unwrap();
        let door = Door::Node(NodeRef::Name("dmabufs".to_owned()));
        let mut source = session.connect(&door, Wanted { mode, dmabufs: wish(&[MODIFIER_LINEAR], None) });
        // In memory it is nonsense as well, which ends it.
        let error = loop {
            match source.next_picture(DEADLINE) {
                Ok(Some(picture)) => assert!(!is_dmabuf(&picture), "{picture:?}"),
                Ok(None) => panic!("neither a picture nor an end: {:?}", producer.seen()),
                Err(error) => break error,
            }
        };
        let (counters, seen) = (source.counters(), producer.seen());
        eprintln!("{flaw:?}: {error}, {counters:?}, {seen:?}");
        assert!(error.to_string().contains("pictures that cannot be read"), "{error}");
        assert_eq!((counters.memory_falls, counters.captured), (1, 0));
        assert_eq!(seen.agreed, [Some(MODIFIER_LINEAR), None]);
    }

    // One whose buffers are none that dmabufs could be: no stream comes about, and another one does in memory.
    let offers = [Offered::Open(vec![MODIFIER_LINEAR]), Offered::Memory];
    let plan_of = Plan { flaw: Flaw::NoBuffers, ..plan(&offers) };
    let mut stage = Stage::start(plan_of, wish(&[MODIFIER_LINEAR], None));
    for _ in 0..30 {
        assert!(!is_dmabuf(&stage.next()));
    }
    eprintln!("no buffers: {:?}, {:?}", stage.source.counters(), stage.producer.seen());
    assert_eq!(stage.source.counters().memory_falls, 1);
    drop(stage);

    // One that has nothing else, for somebody who wished for nothing.
    let session = Session::start();
    let _producer =
        Producer::start(session.dir().join("pipewire-0"), plan(&[Offered::Open(vec![MODIFIER_LINEAR])]));
    let mode = Mode::new(SIZE.0, SIZE.1, 60_000).unwrap();
    let started = Instant::now();
    let error = loop {
        let door = Door::Node(NodeRef::Name("dmabufs".to_owned()));
        let deadline = Duration::from_secs(5);
        match PipeWireSource::connect_in(&session.surroundings(), door, mode, deadline) {
            Err(CaptureError::Unusable { diagnosis: Diagnosis::NodeMissing { .. } })
                if started.elapsed() < DEADLINE => {}
            outcome => break outcome.unwrap_err(),
        }
    };
    eprintln!("dmabufs alone: {error}");
    let said = error.to_string();
    assert!(said.contains("BGRx 640x480 in a GPU's memory"), "{said}");
}
