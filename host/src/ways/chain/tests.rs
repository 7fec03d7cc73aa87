//! A chain of stand-in ways, whose ends and answers the test decides on.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use punktfunk_capture::{Diagnosis, PixelFormat, Pixels};
use punktfunk_control::Codec;

use super::*;
use crate::encode::{CodingWish, WireRate};
use crate::ways::{Doors, OPENING_MAX};

/// What a stand-in way does when it is opened.
enum Act {
    /// Gives this many pictures and ends.
    Pictures(u64),
    /// The same, in another mode after the first one.
    Changes(u64, Mode),
    /// Cannot be had.
    Refuse,
    /// Cannot be had, after this long.
    RefuseLate(Duration),
    /// Takes this long over it, and then gives pictures without end.
    Late(Duration),
    /// As this machine's own ways.
    Real(Doors),
}

/// Ways that do what they are told, in the order in which they are opened.
struct Script {
    acts: Mutex<VecDeque<(Way, Act)>>,
    /// Sources that are there.
    open: Arc<AtomicUsize>,
    /// How often one was told to give no dmabufs.
    declined: Arc<AtomicUsize>,
}

struct Pictures {
    left: u64,
    /// Its mode, and the one of the pictures from number two on.
    modes: [Mode; 2],
    counters: Counters,
    pixels: Vec<u8>,
    open: Arc<AtomicUsize>,
    /// Sources that were told to give no dmabufs.
    declined: Arc<AtomicUsize>,
}

impl Drop for Pictures {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

const MODE: (u32, u32, u32) = (16, 16, 60_000);

fn mode() -> Mode {
    Mode::new(MODE.0, MODE.1, MODE.2).unwrap()
}

/// H.264 in software.
fn codings() -> Codings {
    let wire = WireRate { kbps: 20_000, redundancy_per_mille: 100, shard_bytes: 1152 };
    Codings::new(Arc::default(), CodingWish::only(Coding::usual(Codec::H264)), wire)
}

fn ended() -> CaptureError {
    CaptureError::Ended { diagnosis: Diagnosis::Disconnected { cause: "the test ends it".into() } }
}

impl Source for Pictures {
    fn describe(&self) -> String {
        "stand-in".into()
    }

    fn mode(&self) -> Mode {
        self.modes[usize::from(self.counters.captured > 1)]
    }

    fn wait_picture(&mut self, _: Duration) -> Result<bool, CaptureError> {
        if self.left == 0 { Err(ended()) } else { Ok(true) }
    }

    fn take_picture(&mut self) -> Result<Option<Picture<'_>>, CaptureError> {
        self.left = self.left.checked_sub(1).ok_or_else(ended)?;
        let number = self.counters.captured;
        self.counters.captured += 1;
        Ok(Some(Picture {
            pixels: Pixels::Memory { format: PixelFormat::Bgrx, stride: 64, bytes: &self.pixels },
            width: MODE.0,
            height: MODE.1,
            captured_at: Instant::now(),
            number,
        }))
    }

    fn decline_all(&mut self) {
        self.declined.fetch_add(1, Ordering::SeqCst);
    }

    fn skip(&mut self) {}

    fn counters(&self) -> Counters {
        self.counters
    }
}

impl Open for Script {
    fn open(
        &self,
        way: &Way,
        mode: Mode,
        codings: &Codings,
        patience: &Patience,
    ) -> Result<WayOpened, Refused> {
        let (expected, act) = self.acts.lock().unwrap().pop_front().expect("a way more than was expected");
        assert_eq!(*way, expected);
        let mut modes = [mode; 2];
        let left = match act {
            Act::Pictures(count) => count,
            Act::Changes(count, to) => {
                modes[1] = to;
                count
            }
            Act::Refuse => return Err(HostError::NoDesktop(format!("{way} is refused")).into()),
            Act::Late(time) => {
                let began = Instant::now();
                while began.elapsed() < time && !patience.is_given_up() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                u64::MAX
            }
            Act::RefuseLate(time) => {
                std::thread::sleep(time);
                return Err(HostError::NoDesktop(format!("{way} is refused late")).into());
            }
            Act::Real(doors) => return doors.open(way, mode, codings, patience),
        };
        self.open.fetch_add(1, Ordering::SeqCst);
        let (counters, open) = (Counters::default(), Arc::clone(&self.open));
        let declined = Arc::clone(&self.declined);
        let source = Box::new(Pictures { left, modes, counters, pixels: vec![0; 1024], open, declined });
        Ok(WayOpened { source, desktop: None, text: way.to_string() })
    }
}

fn script(acts: Vec<(Way, Act)>) -> (Arc<Script>, Arc<AtomicUsize>) {
    let open = Arc::new(AtomicUsize::new(0));
    let acts = Mutex::new(acts.into());
    let declined = Arc::default();
    (Arc::new(Script { acts, open: Arc::clone(&open), declined }), open)
}

fn patience() -> Patience {
    Patience::until(Instant::now() + OPENING_MAX)
}

fn begin(ways: Vec<Way>, script: Arc<Script>) -> Result<Begun, HostError> {
    Chain::begin(ways, mode(), (script, codings()), &patience(), |_| ())
}

/// Takes pictures until one comes from elsewhere; how long that took, and the longest verb.
fn until_changed(chain: &mut Chain) -> (Duration, Duration) {
    let (began, before, mut longest) = (Instant::now(), chain.changes(), Duration::ZERO);
    loop {
        let verb = Instant::now();
        let is_there = chain.wait_picture(Duration::from_millis(20)).unwrap();
        longest = longest.max(verb.elapsed());
        if is_there && chain.take_picture().unwrap().is_some() && chain.changes() != before {
            return (began.elapsed(), longest);
        }
    }
}

/// Takes pictures until there are no more.
fn until_over(chain: &mut Chain) -> CaptureError {
    loop {
        match chain.wait_picture(Duration::from_millis(20)) {
            Ok(true) => drop(chain.take_picture().unwrap()),
            Ok(false) => {}
            Err(error) => break error,
        }
    }
}

#[test]
fn pictures_numbers_and_counters_go_on_over_a_change() {
    let ways = vec![Way::PipeWire(None), Way::Wayland(None)];
    let (doors, open) =
        script(vec![(ways[0].clone(), Act::Pictures(3)), (ways[1].clone(), Act::Pictures(4))]);
    let Begun { mut chain, text, news, .. } = begin(ways, doors).unwrap();
    assert_eq!(text, "the desktop through PipeWire");
    let mut numbers = Vec::new();
    while numbers.len() < 7 {
        if chain.wait_picture(Duration::from_millis(50)).unwrap()
            && let Some(picture) = chain.take_picture().unwrap()
        {
            numbers.push(picture.number);
        }
    }
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(chain.counters().captured, 7);
    let told: Vec<_> = news.try_iter().map(|news| (news.source, news.why)).collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].0.is_none() && told[0].1.contains("the test ends it"), "{told:?}");
    assert_eq!(told[1].0.as_deref(), Some("the desktop by Wayland"));
    assert_eq!(chain.falls()[0].reason, "ended");
    drop(chain);
    assert_eq!(open.load(Ordering::SeqCst), 0);
}

#[test]
fn what_reads_no_dmabufs_has_none_of_the_ways_that_come_after_either() {
    let ways = vec![Way::PipeWire(None), Way::Wayland(None)];
    let (doors, _open) =
        script(vec![(ways[0].clone(), Act::Pictures(3)), (ways[1].clone(), Act::Pictures(4))]);
    let declined = Arc::clone(&doors.declined);
    let Begun { mut chain, .. } = begin(ways, doors).unwrap();
    assert_eq!(declined.load(Ordering::SeqCst), 0);
    chain.decline_all();
    assert_eq!(declined.load(Ordering::SeqCst), 1);
    until_changed(&mut chain);
    assert_eq!(declined.load(Ordering::SeqCst), 2);
}

#[test]
fn a_mode_that_changes_is_told_with_its_refresh_and_is_the_next_ways() {
    let ways = vec![Way::Wayland(None), Way::Own];
    let slower = Mode::new(16, 16, 30_000).unwrap();
    let (doors, _) = script(vec![
        (ways[0].clone(), Act::Changes(3, slower)),
        (ways[0].clone(), Act::Refuse),
        (ways[1].clone(), Act::Pictures(9)),
    ]);
    let Begun { mut chain, news, .. } = begin(ways, doors).unwrap();
    assert_eq!(chain.mode(), mode());
    while chain.counters().captured < 2 {
        chain.wait_picture(Duration::from_millis(20)).unwrap();
        let _ = chain.take_picture().unwrap();
    }
    assert_eq!(chain.mode(), slower);
    until_changed(&mut chain);
    assert_eq!(chain.mode(), slower);
    assert!(news.try_iter().all(|news| news.mode == slower));
}

#[test]
fn a_way_that_hangs_blocks_no_verb_and_is_closed_when_it_comes_too_late() {
    let ways = vec![Way::Wayland(None), Way::PipeWire(None), Way::Card];
    let (doors, open) = script(vec![
        (ways[0].clone(), Act::Pictures(1)),
        (ways[1].clone(), Act::Late(Duration::from_millis(2_500))),
        (ways[0].clone(), Act::Refuse),
        (ways[2].clone(), Act::Late(Duration::ZERO)),
    ]);
    let Begun { mut chain, .. } = begin(ways, doors).unwrap();
    let (took, longest) = until_changed(&mut chain);
    eprintln!("recovered after {took:?}; the longest verb took {longest:?}");
    assert!(took < Duration::from_secs(2) + Duration::from_millis(500), "{took:?}");
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    assert_eq!(chain.falls().len(), 3, "{:?}", chain.falls());
    drop(chain);
    assert_eq!(open.load(Ordering::SeqCst), 0, "the late one is gone, too");
}

#[test]
fn without_another_way_the_end_names_each_of_them() {
    let ways = vec![Way::Wayland(None), Way::PipeWire(None)];
    let (doors, _) = script(vec![
        (ways[0].clone(), Act::Pictures(1)),
        (ways[1].clone(), Act::Refuse),
        (ways[0].clone(), Act::Refuse),
    ]);
    let Begun { mut chain, news, .. } = begin(ways, doors).unwrap();
    let began = Instant::now();
    let error = until_over(&mut chain);
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
    let said = error.to_string();
    for part in ["the test ends it", "through PipeWire is refused", "by Wayland is refused"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert_eq!(news.try_iter().last().unwrap().why, said);
}

#[test]
fn a_start_without_any_way_gives_the_last_ones_error_and_all_their_words() {
    let ways = vec![Way::Wayland(None), Way::Own];
    let (doors, _) = script(vec![(ways[0].clone(), Act::Refuse), (ways[1].clone(), Act::Refuse)]);
    let error = begin(ways, doors).err().expect("none can be had");
    assert_eq!(error.exit_code(), 8);
    let said = error.to_string();
    assert!(said.contains("by Wayland is refused") && said.contains("of our own is refused"), "{said}");
    let (doors, _) = script(vec![(Way::Own, Act::Refuse)]);
    let error = begin(vec![Way::Own], doors).err().expect("none can be had");
    assert!(matches!(error, HostError::NoDesktop(_)), "its own error: {error}");
}

#[test]
fn a_compositor_that_does_not_answer_is_named_in_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("wayland-9");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let ways = vec![Way::Card, Way::Wayland(Some("DP-1".into()))];
    let doors = Doors { socket: Some(socket), ..Doors::default() };
    let (doors, _) = script(vec![
        (ways[0].clone(), Act::Pictures(1)),
        (ways[0].clone(), Act::Refuse),
        (ways[1].clone(), Act::Real(doors)),
    ]);
    let Begun { mut chain, .. } = begin(ways, doors).unwrap();
    let began = Instant::now();
    let error = until_over(&mut chain);
    assert!(began.elapsed() < Duration::from_millis(2_200), "{:?}", began.elapsed());
    let said = error.to_string();
    assert!(said.contains(&Diagnosis::NoAnswer { request: "wl_display.sync" }.to_string()), "{said}");
    assert!(chain.falls().iter().all(|fall| fall.reason != "unusable"), "{:?}", chain.falls());
}

#[test]
fn a_way_alone_that_comes_too_late_is_named_as_that() {
    let (doors, open) = script(vec![(Way::Card, Act::Late(Duration::from_millis(400)))]);
    let patience = Patience::until(Instant::now() + Duration::from_millis(200));
    let error =
        Chain::begin(vec![Way::Card], mode(), (doors, codings()), &patience, |_| ()).err().expect("too late");
    assert_eq!(open.load(Ordering::SeqCst), 0, "it is closed again");
    assert!(matches!(error, HostError::Late(_)) && error.exit_code() == 10, "{error}");
    assert!(error.to_string().contains("test card was not ready"), "{error}");
}

#[test]
fn a_start_that_takes_its_time_tells_what_it_waits_for() {
    let ways = vec![Way::PipeWire(None), Way::Wayland(None)];
    let (doors, _) = script(vec![
        (ways[0].clone(), Act::RefuseLate(SILENCE_MAX + Duration::from_millis(400))),
        (ways[1].clone(), Act::Late(SILENCE_MAX + Duration::from_millis(400))),
    ]);
    let mut told = Vec::new();
    let begun =
        Chain::begin(ways, mode(), (doors, codings()), &patience(), |text| told.push(text.to_owned()))
            .unwrap();
    assert!(begun.text.contains("the desktop by Wayland"), "{}", begun.text);
    assert!(told.len() == 2 && told[0].contains("permission dialog"), "{told:?}");
    assert!(told[1].contains("compositor"), "{told:?}");
}
