//! Dmabufs: files in memory stand in for a GPU's, which nobody here looks into.

use std::io;
use std::sync::Mutex;

use proptest::prelude::*;
use rustix::fs::fstat;

use super::*;
use crate::Pixels;
use crate::dmabuf::{Dmabuf, MODIFIER_LINEAR, Numbers, Timelines};
use crate::threaded::Holds;

const XR24: u32 = u32::from_le_bytes(*b"XR24");

/// What was signalled: the timeline's file, and the point.
#[derive(Debug, Default)]
struct Signalled(Mutex<Vec<(u64, u64)>>);

impl Timelines for Signalled {
    fn signal(&self, syncobj: BorrowedFd<'_>, point: u64) -> io::Result<()> {
        self.0.lock().unwrap().push((inode(syncobj), point));
        Ok(())
    }
}

/// Which file it is, whatever its descriptor.
fn inode(file: impl AsFd) -> u64 {
    fstat(file).unwrap().st_ino
}

impl Told {
    /// The picture in buffer `number`, in rows without gaps.
    fn dmabuf(number: usize) -> Self {
        Self { key: number, kind: DataType::DmaBuf.as_raw(), ..Self::picture(0) }
    }

    fn timed(mut self, points: Points) -> Self {
        self.timelines = Some([(); 2].map(|()| Self::picture(0).file.try_clone().unwrap()));
        self.points = Some(points);
        self
    }
}

fn linear(timelines: Option<Arc<dyn Timelines>>) -> DmabufWish {
    DmabufWish { formats: vec![(XR24, vec![MODIFIER_LINEAR])], timelines, numbers: Numbers::default() }
}

impl Stage {
    /// One with so many dmabufs, which are agreed on.
    fn with_dmabufs(buffers: usize, timelines: Option<Arc<dyn Timelines>>) -> Self {
        let mut stage = Self::wishing(linear(timelines));
        (1..=buffers).for_each(|number| stage.dmabufs().add(key(number)));
        stage.agree_on_dmabufs(SIDE);
        stage
    }

    fn agree_on_dmabufs(&mut self, height: u32) {
        let formats = self.dmabufs().formats().to_vec();
        let agreed =
            Agreed::parse_dmabuf(&video(height), MODIFIER_LINEAR, &formats, self.receiver.wanted).unwrap();
        self.receiver.begin(agreed);
    }

    fn dmabufs(&self) -> std::cell::RefMut<'_, Dmabufs> {
        self.receiver.dmabufs.borrow_mut()
    }

    /// Takes in what came at once and lends the picture that this gives.
    fn lend(&mut self, buffers: impl IntoIterator<Item = Told>) -> Option<Dmabuf<'_>> {
        let mut buffers: VecDeque<_> = buffers.into_iter().collect();
        self.receiver.take_in(|| buffers.pop_front(), || None);
        self.receiver.exchange.take(&mut self.lent).unwrap();
        match self.lent.as_ref()?.buffer.pixels() {
            Pixels::Dmabuf(dmabuf) => Some(dmabuf),
            pixels @ Pixels::Memory { .. } => panic!("{pixels:?}"),
        }
    }

    /// What comes home now.
    fn home(&self) -> Vec<Key> {
        self.dmabufs().bring_home()
    }

    fn give_back(&mut self) {
        self.receiver.exchange.take_back(&mut self.lent);
    }
}

#[test]
fn a_dmabuf_is_lent_with_descriptors_of_our_own_and_comes_home_once() {
    let mut stage = Stage::with_dmabufs(4, None);
    let told = Told::dmabuf(1);
    let (fate, file, theirs) = (Rc::clone(&told.fate.0), inode(&told.file), told.file.as_raw_fd());
    let dmabuf = stage.lend([told]).unwrap();
    assert_eq!((dmabuf.buffer, dmabuf.fourcc, dmabuf.modifier), (0, XR24, MODIFIER_LINEAR));
    let [plane] = dmabuf.planes else { panic!("{dmabuf:?}") };
    assert_eq!((plane.offset, plane.stride), (0, SIDE * 4));
    // The producer's descriptor is closed by now.
    assert!(inode(&plane.fd) == file && plane.fd.as_raw_fd() != theirs);
    assert!(dmabuf.acquire.is_none() && dmabuf.release.is_none() && dmabuf.cursor.is_none());
    assert_eq!(fate.get(), Fate::Held);
    assert_eq!(stage.home(), []);
    stage.give_back();
    assert_eq!(stage.home(), [key(1)]);
    assert_eq!(stage.home(), []);
    let counters = stage.receiver.exchange.counters();
    assert_eq!((counters.captured, counters.dmabufs, counters.memory_falls), (1, 1, 0));
}

#[test]
fn the_newest_wins_and_what_nobody_took_is_home_at_once() {
    let mut stage = Stage::with_dmabufs(4, None);
    assert_eq!(stage.lend([Told::dmabuf(1), Told::dmabuf(2)]).unwrap().buffer, 1);
    assert_eq!(stage.home(), [key(1)]);
    // One waits while one is lent, and a newer one takes its place.
    for number in [3, 4] {
        let mut told = Some(Told::dmabuf(number));
        stage.receiver.take_in(|| told.take(), || None);
    }
    assert_eq!(stage.home(), [key(3)]);
    assert_eq!(stage.lend([]).unwrap().buffer, 3);
    assert_eq!(stage.home(), [key(2)]);
    stage.receiver.exchange.skip();
    assert_eq!(stage.home(), []);
    let counters = stage.receiver.exchange.counters();
    assert_eq!((counters.captured, counters.superseded, counters.dmabufs), (4, 2, 3));
}

#[test]
fn a_number_is_one_memorys_with_one_layout() {
    let mut stage = Stage::with_dmabufs(4, None);
    let file = Told::high(0).file;
    let filled = |number| Told { file: Rc::clone(&file), ..Told::dmabuf(number) };
    let mut number = |told| stage.lend([told]).unwrap().buffer;
    assert_eq!([1, 2, 1, 2].map(|buffer| number(filled(buffer))), [0, 1, 0, 1]);
    // What lies in the memory otherwise is something else to whoever has imported it.
    let wide = || Told { stride: SIDE * 4 + 64, ..filled(1) };
    assert_eq!([number(wide()), number(wide()), number(filled(1))], [2, 2, 3]);
    // Nor is it what it was once the stream has taken it away and has another one in its place.
    stage.dmabufs().remove(key(2));
    stage.dmabufs().add(key(2));
    assert_eq!(stage.lend([filled(2)]).unwrap().buffer, 4);
}

#[test]
fn what_is_out_stays_as_it_is_when_its_producer_takes_it_away() {
    let mut stage = Stage::with_dmabufs(4, None);
    let told = Told::dmabuf(1);
    let file = inode(&told.file);
    stage.lend([told]).unwrap();
    // Another size: its buffers are others.
    (1..=4).for_each(|number| stage.dmabufs().remove(key(number)));
    stage.agree_on_dmabufs(2 * SIDE);
    (1..=4).for_each(|number| stage.dmabufs().add(key(number)));
    let Pixels::Dmabuf(dmabuf) = stage.lent.as_ref().unwrap().buffer.pixels() else { panic!("memory") };
    assert_eq!(inode(&dmabuf.planes[0].fd), file);
    let high = Told { key: 1, kind: DataType::DmaBuf.as_raw(), ..Told::high(0) };
    assert_eq!(stage.lend([high]).unwrap().buffer, 1);
    assert_eq!(stage.home(), [], "the stream has another buffer by that name, which is out");
    stage.give_back();
    assert_eq!(stage.home(), [key(1)]);
}

#[test]
fn the_loop_is_woken_when_something_comes_home() {
    let mut stage = Stage::with_dmabufs(4, None);
    let home = stage.dmabufs().home();
    let is_woken = || {
        let mut fds = [rustix::event::PollFd::from_borrowed_fd(home.wakes(), rustix::event::PollFlags::IN)];
        let woken = rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default())).unwrap() == 1;
        home.awake();
        woken
    };
    stage.lend([Told::dmabuf(1)]).unwrap();
    assert!(!is_woken());
    stage.give_back();
    assert!(is_woken() && !is_woken());
    home.decline(XR24, MODIFIER_LINEAR);
    assert!(is_woken() && !is_woken());
    home.decline_all();
    assert!(is_woken() && !is_woken());
}

#[test]
fn all_of_a_wish_are_declined_at_once_and_memory_takes_their_place() {
    let wish = DmabufWish { formats: vec![(XR24, vec![7, MODIFIER_LINEAR]), (7, vec![9])], ..linear(None) };
    let mut stage = Stage::wishing(wish);
    stage.dmabufs().add(key(1));
    stage.agree_on_dmabufs(SIDE);
    stage.lend([Told::dmabuf(1)]).unwrap();
    stage.dmabufs().home().decline(7, 9);
    stage.dmabufs().home().decline_all();
    assert!(stage.dmabufs().take_declined());
    assert!(stage.dmabufs().formats().is_empty() && !stage.dmabufs().is_wished(XR24, MODIFIER_LINEAR));
    // What is out still comes home.
    stage.give_back();
    assert_eq!(stage.home(), [key(1)]);
    stage.agree(SIDE);
    assert_eq!(stage.give([Told::picture(7)]), Some((7, 7)));
    assert_eq!(stage.receiver.exchange.counters().memory_falls, 1);
    // Once is enough.
    stage.dmabufs().home().decline_all();
    assert!(!stage.dmabufs().take_declined());
}

#[test]
fn points_are_told_and_what_comes_home_is_released_at_its_own() {
    let signalled = Arc::new(Signalled::default());
    let mut stage = Stage::with_dmabufs(4, Some(signalled.clone()));
    let told = Told::dmabuf(1).timed(Points { acquire: 7, release: 8 });
    let [acquire, release] = told.timelines.as_ref().unwrap().each_ref().map(inode);
    let dmabuf = stage.lend([told]).unwrap();
    let said = |point: crate::SyncPoint<'_>| (inode(point.syncobj), point.point);
    assert_eq!(dmabuf.acquire.map(said), Some((acquire, 7)));
    assert_eq!(dmabuf.release.map(said), Some((release, 8)));
    assert_eq!(stage.home(), []);
    assert!(signalled.0.lock().unwrap().is_empty());
    stage.give_back();
    assert_eq!(stage.home(), [key(1)]);
    assert_eq!(*signalled.0.lock().unwrap(), [(release, 8)]);

    // One that is passed over, one with nothing in it, and one that is corrupted are released too; a point of 0 is none.
    let timed = |number, release| Told::dmabuf(number).timed(Points { acquire: 0, release });
    let empty = Told { is_marked: true, ..timed(2, 10) };
    let dmabuf = stage.lend([timed(1, 9), empty, timed(3, 11).corrupted(), timed(4, 0)]).unwrap();
    assert!(dmabuf.acquire.is_none() && dmabuf.release.is_none());
    assert_eq!(stage.home(), [2, 3, 1].map(key));
    let points = || signalled.0.lock().unwrap().iter().map(|(_, point)| *point).collect::<Vec<_>>();
    assert_eq!(points(), [8, 10, 11, 9]);
    stage.give_back();
    assert_eq!((stage.home(), points().len()), (vec![key(4)], 4));
}

#[test]
fn dmabufs_of_no_use_are_declined_and_then_the_end() {
    let mut stage = Stage::with_dmabufs(4, None);
    let refused = [
        Told { stride: SIDE * 4 - 1, ..Told::dmabuf(1) },
        Told { more_planes: vec![0], ..Told::dmabuf(1) },
        Told { kind: DataType::MemFd.as_raw(), ..Told::dmabuf(1) },
        Told { stride: SIDE * 400, ..Told::dmabuf(1) },
        Told { points: Some(Points::default()), ..Told::dmabuf(1) },
        Told { key: 5, ..Told::dmabuf(1) },
    ];
    for told in refused {
        let fate = Rc::clone(&told.fate.0);
        assert!(stage.lend([told]).is_none());
        assert_eq!(fate.get(), Fate::GivenBack);
    }
    let spoiled = |stage: &Stage| stage.receiver.exchange.counters().spoiled;
    assert_eq!(spoiled(&stage), 6);
    let refused = || Told { stride: 1, ..Told::dmabuf(1) };
    while !stage.dmabufs().take_declined() {
        assert!(stage.lend([refused()]).is_none() && spoiled(&stage) < 100);
    }
    assert_eq!(spoiled(&stage), u64::from(STREAM_SPOILED_MAX) + 1);
    assert!(stage.receiver.notes.fault.borrow().is_none());
    assert!(stage.dmabufs().formats().iter().all(|(_, modifiers)| modifiers.is_empty()));
    // The producer goes on all the same.
    while stage.receiver.notes.fault.borrow().is_none() {
        assert!(stage.lend([refused()]).is_none() && spoiled(&stage) < 100);
    }
    // Or it follows, which is counted.
    stage.agree(SIDE);
    assert_eq!(stage.give([Told::picture(7)]), Some((7, 7)));
    stage.agree(SIDE);
    let counters = stage.receiver.exchange.counters();
    assert_eq!((counters.captured, counters.dmabufs, counters.memory_falls), (1, 0, 1));
}

#[test]
fn what_was_wished_for_and_never_came_is_counted_and_what_was_not_is_not() {
    let mut stage = Stage::wishing(linear(None));
    stage.agree(SIDE);
    assert_eq!(stage.receiver.exchange.counters().memory_falls, 1);
    assert_eq!(stage.give([Told::picture(7)]), Some((7, 7)));
    let stage = Stage::new();
    assert_eq!(stage.receiver.exchange.counters().memory_falls, 0);
}

#[test]
fn a_cursor_goes_beside_a_dmabuf_with_one_number_for_one_image() {
    let mut stage = Stage::with_dmabufs(4, None);
    let with_cursor = |number, x| Told { cursor: Told::cursor(x).cursor, ..Told::dmabuf(number) };
    let cursor = stage.lend([with_cursor(1, 3)]).unwrap().cursor.unwrap();
    assert_eq!((cursor.x, cursor.y, cursor.width, cursor.height, cursor.pixels), (3, 0, 1, 1, &[255; 4][..]));
    let image = cursor.image;
    // The next picture without a word of it: it is where it was.
    let cursor = stage.lend([Told::dmabuf(2)]).unwrap().cursor.unwrap();
    assert_eq!((cursor.x, cursor.image), (3, image));
    assert_eq!(stage.home(), [key(1)]);
    // It moves alone, over the same memory, with an image that is said anew.
    let moved = Told { key: 3, kind: DataType::DmaBuf.as_raw(), ..Told::cursor(5) };
    let dmabuf = stage.lend([moved]).unwrap();
    let cursor = dmabuf.cursor.unwrap();
    assert!(cursor.x == 5 && cursor.image != image, "{cursor:?}");
    assert_eq!(stage.home(), [key(3)]);
    stage.give_back();
    assert_eq!(stage.home(), [], "the cursor may move over it once more");
    stage.lend([Told::dmabuf(4)]).unwrap();
    assert_eq!(stage.home(), [key(2)]);
}

#[test]
fn a_size_of_nothing_is_no_picture_once_sizes_were_told() {
    let mut stage = Stage::with_dmabufs(4, None);
    // PipeWire leaves it to a producer whether a dmabuf has any.
    assert!(stage.lend([Told::dmabuf(1).empty()]).is_some());
    assert!(stage.lend([Told::dmabuf(2)]).is_some());
    assert!(stage.lend([Told::dmabuf(3).empty()]).is_none());
    assert!(stage.lend([Told { is_marked: true, ..Told::dmabuf(4) }]).is_none());
}

/// What somebody does: the producer, or the encode stage.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Fills so many buffers at once, as far as there are any.
    Fill(usize),
    /// Fills one with nothing new in it.
    FillEmpty,
    /// Fills one with what is no picture.
    FillFlawed,
    Take,
    Skip,
    GiveBack,
    /// Takes all buffers away and has as many others.
    Change,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1_usize..4).prop_map(Act::Fill),
        1 => Just(Act::FillEmpty),
        1 => Just(Act::FillFlawed),
        4 => Just(Act::Take),
        1 => Just(Act::Skip),
        2 => Just(Act::GiveBack),
        1 => Just(Act::Change),
    ];
    proptest::collection::vec(act, 0..80)
}

/// A producer's side of it.
struct Theirs {
    buffers: usize,
    generation: usize,
    /// Those that it may write to.
    free: VecDeque<usize>,
    fates: Vec<Rc<Cell<Fate>>>,
}

impl Theirs {
    /// Has others from now on; the stream tells of each.
    fn change(&mut self, stage: &Stage) {
        let number = |generation: usize, index: usize| 1 + generation * 8 + index;
        for index in (0..self.buffers).filter(|_| self.generation > 0) {
            // The same place in memory, as an allocator gives it.
            stage.dmabufs().remove(key(number(self.generation % 2, index)));
        }
        self.generation += 1;
        self.free = (0..self.buffers).map(|index| number(self.generation % 2, index)).collect();
        self.free.iter().for_each(|number| stage.dmabufs().add(key(*number)));
    }

    fn fill(&mut self) -> Option<Told> {
        let number = self.free.pop_front()?;
        let told = Told::dmabuf(number);
        self.fates.push(Rc::clone(&told.fate.0));
        Some(told)
    }

    /// What was filled is out, or was given back by being dropped; what came home is free again.
    fn settle(&mut self, filled: &[usize], stage: &Stage) {
        let fates = self.fates.drain(..);
        let back = filled.iter().zip(fates).filter(|(_, fate)| fate.get() == Fate::GivenBack);
        self.free.extend(back.map(|(number, _)| *number));
        for key in stage.home() {
            let number = key.addr().get() / 64;
            assert!(!self.free.contains(&number), "{number} came home twice");
            assert_eq!((number - 1) / 8, self.generation % 2, "{number} was taken away");
            self.free.push_back(number);
        }
        assert!(!self.free.is_empty(), "the producer has nothing to write to");
    }
}

proptest! {
    #[test]
    fn each_buffer_comes_home_once_and_the_producer_always_has_one(buffers in 3_usize..7, acts in acts()) {
        let mut stage = Stage::with_dmabufs(0, None);
        let mut theirs =
            Theirs { buffers, generation: 0, free: VecDeque::new(), fates: Vec::new() };
        theirs.change(&stage);
        for act in acts {
            let mut filled = Vec::new();
            match act {
                Act::Fill(count) => filled.extend((0..count).filter_map(|_| theirs.fill())),
                Act::FillEmpty => filled.extend(theirs.fill().map(|told| Told { is_marked: true, ..told })),
                Act::FillFlawed => filled.extend(theirs.fill().map(|told| Told { stride: 1, ..told })),
                Act::Take => stage.receiver.exchange.take(&mut stage.lent).unwrap(),
                Act::Skip => stage.receiver.exchange.skip(),
                Act::GiveBack => stage.give_back(),
                Act::Change => theirs.change(&stage),
            }
            let numbers: Vec<_> = filled.iter().map(|told| told.key).collect();
            let mut filled = VecDeque::from(filled);
            stage.receiver.spoiled_in_a_row = 0;
            stage.receiver.take_in(|| filled.pop_front(), || None);
            theirs.settle(&numbers, &stage);
        }
        stage.give_back();
        stage.receiver.exchange.skip();
        theirs.settle(&[], &stage);
        prop_assert_eq!(theirs.free.len(), buffers, "some are out for good");
    }
}
