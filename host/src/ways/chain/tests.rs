//! A chain of stand-in ways, whose ends and answers the test decides on.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use punktfunk_capture::{Diagnosis, PixelFormat};

use super::*;

/// What a stand-in way does when it is opened.
enum Act {
    /// Gives this many pictures and ends.
    Pictures(u64),
    /// Cannot be had.
    Refuse,
    /// Takes this long over it, and then gives pictures without end.
    Late(Duration),
}

/// Ways that do what they are told, in the order in which they are opened.
struct Script {
    acts: Mutex<VecDeque<(Way, Act)>>,
    /// Sources that are there.
    open: Arc<AtomicUsize>,
}

struct Pictures {
    left: u64,
    counters: Counters,
    pixels: Vec<u8>,
    open: Arc<AtomicUsize>,
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

fn ended() -> CaptureError {
    CaptureError::Ended { diagnosis: Diagnosis::Disconnected { cause: "the test ends it".into() } }
}

impl Source for Pictures {
    fn describe(&self) -> String {
        "stand-in".into()
    }

    fn mode(&self) -> Mode {
        mode()
    }

    fn wait_picture(&mut self, _: Duration) -> Result<bool, CaptureError> {
        if self.left == 0 { Err(ended()) } else { Ok(true) }
    }

    fn take_picture(&mut self) -> Result<Option<Picture<'_>>, CaptureError> {
        self.left = self.left.checked_sub(1).ok_or_else(ended)?;
        let number = self.counters.captured;
        self.counters.captured += 1;
        Ok(Some(Picture {
            format: PixelFormat::Bgrx,
            width: MODE.0,
            height: MODE.1,
            stride: 64,
            bytes: &self.pixels,
            captured_at: Instant::now(),
            number,
        }))
    }

    fn skip(&mut self) {}

    fn counters(&self) -> Counters {
        self.counters
    }
}

impl Open for Script {
    fn open(&self, way: &Way, _: Mode, _: Instant) -> Result<WayOpened, HostError> {
        let (expected, act) = self.acts.lock().unwrap().pop_front().expect("a way more than was expected");
        assert_eq!(*way, expected);
        let left = match act {
            Act::Pictures(count) => count,
            Act::Refuse => return Err(HostError::NoDesktop(format!("{way} is refused"))),
            Act::Late(time) => {
                std::thread::sleep(time);
                u64::MAX
            }
        };
        self.open.fetch_add(1, Ordering::SeqCst);
        let (counters, open) = (Counters::default(), Arc::clone(&self.open));
        let source = Box::new(Pictures { left, counters, pixels: vec![0; 1024], open });
        Ok(WayOpened { source, desktop: None, text: way.to_string() })
    }
}

fn script(acts: Vec<(Way, Act)>) -> (Arc<Script>, Arc<AtomicUsize>) {
    let open = Arc::new(AtomicUsize::new(0));
    let acts = Mutex::new(acts.into());
    (Arc::new(Script { acts, open: Arc::clone(&open) }), open)
}

fn begin(ways: Vec<Way>, script: Arc<Script>) -> Result<Begun, HostError> {
    Chain::begin(ways, mode(), script, |_| ())
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
    let error = loop {
        match chain.wait_picture(Duration::from_millis(20)) {
            Ok(true) => drop(chain.take_picture().unwrap()),
            Ok(false) => {}
            Err(error) => break error,
        }
    };
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
fn a_start_that_takes_its_time_tells_what_it_waits_for() {
    let (doors, _) = script(vec![(Way::PipeWire(None), Act::Late(SILENCE_MAX + Duration::from_millis(400)))]);
    let mut told = Vec::new();
    let begun =
        Chain::begin(vec![Way::PipeWire(None)], mode(), doors, |text| told.push(text.to_owned())).unwrap();
    assert_eq!(begun.text, "the desktop through PipeWire");
    assert!(told.len() == 1 && told[0].contains("permission dialog"), "{told:?}");
}
