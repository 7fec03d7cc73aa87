//! Buffers of our own instead of a producer's.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use pipewire::spa::buffer::DataType;
use pipewire::spa::sys;
use rustix::fs::MemfdFlags;

use super::*;
use crate::dmabuf::DmabufWish;
use crate::exchange::Captured;
use crate::limits::STREAM_PICTURES;
use crate::pipewire::agreed::Block;
use crate::pipewire::loans::{Home, Key};
use crate::pipewire::planes::SYNC_OBJECT;
use crate::pipewire::raw::Points;

mod dmabufs;

const SIDE: u32 = 16;
const BYTES: usize = 16 * 16 * 4;

/// What became of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    GivenBack,
    Held,
}

/// A buffer's fate, as somebody sees it who looks on.
struct Watched(Rc<Cell<Fate>>);

impl Drop for Watched {
    fn drop(&mut self) {
        if self.0.get() == Fate::Taken {
            self.0.set(Fate::GivenBack);
        }
    }
}

/// A picture of one value, and what else is said.
struct Told {
    file: Rc<OwnedFd>,
    key: usize,
    kind: u32,
    /// Where a second plane and more begin in it.
    more_planes: Vec<u32>,
    stride: u32,
    /// The files of two timelines, and points on them.
    timelines: Option<[OwnedFd; 2]>,
    points: Option<Points>,
    fate: Watched,
    size: usize,
    is_marked: bool,
    header: Option<Header>,
    is_damaged: Option<bool>,
    cursor: Option<Vec<u8>>,
}

impl Told {
    fn picture(value: u8) -> Self {
        let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::io::pwrite(&file, &[value; BYTES], 0).unwrap();
        Self {
            file: Rc::new(file),
            key: 1,
            kind: DataType::MemFd.as_raw(),
            more_planes: Vec::new(),
            stride: SIDE * 4,
            timelines: None,
            points: None,
            fate: Watched(Rc::new(Cell::new(Fate::Taken))),
            size: BYTES,
            is_marked: false,
            header: None,
            is_damaged: None,
            cursor: None,
        }
    }

    /// A cursor alone, a white pixel.
    fn cursor(x: u32) -> Self {
        let (cursor, bitmap) = (size_of::<sys::spa_meta_cursor>(), size_of::<sys::spa_meta_bitmap>());
        let format = sys::SPA_VIDEO_FORMAT_BGRA;
        let words = [1, 0, x, 0, 0, 0, cursor as u32, format, 1, 1, 4, bitmap as u32, u32::MAX];
        let meta = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Self { is_marked: true, cursor: Some(meta), ..Self::picture(0) }
    }

    fn damaged(self, is_damaged: bool) -> Self {
        Self { is_damaged: Some(is_damaged), ..self }
    }

    fn stamped(self, pts_ns: i64) -> Self {
        Self { header: Some(Header { pts_ns, is_corrupted: false }), ..self }
    }

    fn corrupted(self) -> Self {
        Self { header: Some(Header { pts_ns: 0, is_corrupted: true }), ..self }
    }

    fn empty(self) -> Self {
        Self { size: 0, ..self }
    }

    /// A picture of twice the height.
    fn high(value: u8) -> Self {
        let told = Self::picture(value);
        rustix::io::pwrite(&told.file, &[value; 2 * BYTES], 0).unwrap();
        Self { size: 2 * BYTES, ..told }
    }

    /// Of fewer bytes than its pixels take.
    fn cut(self) -> Self {
        Self { size: BYTES / 2, ..self }
    }
}

/// The buffer of this number.
pub(super) fn key(number: usize) -> Key {
    NonNull::new(std::ptr::without_provenance_mut(number * 64)).unwrap()
}

impl Buffer for Told {
    fn key(&self) -> Key {
        key(self.key)
    }

    fn block(&self, index: usize) -> Option<(RawFd, Block, bool)> {
        let planes = 1 + self.more_planes.len();
        let block = Block {
            kind: self.kind,
            map_offset: 0,
            bytes_max: BYTES.max(self.size) as u32,
            offset: index.checked_sub(1).and_then(|more| self.more_planes.get(more)).copied().unwrap_or(0),
            size: self.size as u32,
            stride: self.stride as i32,
        };
        if index < planes {
            return Some((self.file.as_raw_fd(), block, self.is_marked));
        }
        let timeline = self.timelines.as_ref()?.get(index - planes)?;
        Some((timeline.as_raw_fd(), Block { kind: SYNC_OBJECT, ..Block::default() }, false))
    }

    fn points(&self) -> Option<Points> {
        self.points
    }

    fn hold(self) {
        self.fate.0.set(Fate::Held);
    }

    fn file(&self, fd: RawFd) -> Option<BorrowedFd<'_>> {
        let mut files = self.timelines.iter().flatten().chain([&*self.file]);
        files.find(|file| file.as_raw_fd() == fd).map(AsFd::as_fd)
    }

    fn header(&self) -> Option<Header> {
        self.header
    }

    fn is_damaged(&self) -> Option<bool> {
        self.is_damaged
    }

    fn cursor<'a>(&self, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        scratch.clear();
        scratch.extend_from_slice(self.cursor.as_ref()?);
        Some(scratch)
    }
}

/// The bytes of a picture in memory.
fn bytes(received: &Received) -> &Vec<u8> {
    match received {
        Received::Copied(copied) => &copied.bytes,
        Received::Dmabuf(lent) => panic!("{lent:?}"),
    }
}

fn video(height: u32) -> VideoInfoRaw {
    let mut video = VideoInfoRaw::new();
    video.set_format(pipewire::spa::param::video::VideoFormat::BGRx);
    video.set_size(pipewire::spa::utils::Rectangle { width: SIDE, height });
    video
}

struct Stage {
    receiver: Receiver,
    lent: Option<Captured<Received>>,
}

impl Stage {
    fn new() -> Self {
        let mut stage = Self::wishing(DmabufWish::default());
        stage.agree(SIDE);
        stage
    }

    /// One that agrees on nothing yet.
    fn wishing(wish: DmabufWish) -> Self {
        let exchange = Arc::new(Exchange::new(STREAM_PICTURES));
        let mode = Mode::new(SIDE, SIDE, 60_000).unwrap();
        let dmabufs = Rc::new(RefCell::new(Dmabufs::new(wish, Home::new().unwrap())));
        Self { receiver: Receiver::new(exchange, Rc::default(), dmabufs, mode), lent: None }
    }

    /// A format of this height is agreed on.
    fn agree(&mut self, height: u32) {
        let agreed = Agreed::parse(&video(height), self.receiver.wanted).unwrap();
        self.receiver.begin(agreed);
    }

    /// The sides that the lent picture's mode has, and its bytes.
    fn lent(&self) -> (u32, u32, usize) {
        let lent = self.lent.as_ref().unwrap();
        (lent.mode.width(), lent.mode.height(), bytes(&lent.buffer).len())
    }

    /// Takes in what came at once; the first two pixels' blue of the picture that this gives.
    fn give(&mut self, buffers: impl IntoIterator<Item = Told>) -> Option<(u8, u8)> {
        let mut buffers: VecDeque<_> = buffers.into_iter().collect();
        // A descriptor's number is used again by the next test's file.
        self.receiver.mappings.clear();
        self.receiver.take_in(|| buffers.pop_front(), || None);
        self.receiver.exchange.take(&mut self.lent).unwrap();
        self.lent.as_ref().map(|captured| (bytes(&captured.buffer)[0], bytes(&captured.buffer)[4]))
    }
}

#[test]
fn of_several_the_newest_with_a_picture_is_read() {
    let mut stage = Stage::new();
    assert_eq!(stage.give([Told::picture(1), Told::picture(2)]), Some((2, 2)));
    assert_eq!(stage.give([Told::picture(3), Told::picture(0).empty()]), Some((3, 3)));
    assert_eq!(stage.give([Told::picture(4), Told::picture(0).corrupted()]), Some((4, 4)));
    assert_eq!(stage.give([Told::picture(5), Told::picture(0).cut()]), Some((5, 5)));
    assert_eq!(stage.give([Told::picture(0).empty()]), None);
    let counters = stage.receiver.exchange.counters();
    assert_eq!((counters.captured, counters.superseded, counters.spoiled), (5, 1, 2));
}

#[test]
fn a_cursor_is_followed_through_every_buffer() {
    let mut stage = Stage::new();
    assert_eq!(stage.give([Told::picture(7), Told::cursor(1)]), Some((7, 255)));
    // The older one moves it, the newer one has nothing at all.
    assert_eq!(stage.give([Told::cursor(0), Told::picture(0).empty()]), Some((255, 7)));
    assert_eq!(stage.give([Told::cursor(1), Told::picture(0).corrupted()]), Some((7, 255)));
    assert_eq!(stage.give([Told::picture(0).empty()]), None);
}

#[test]
fn what_has_no_damage_is_no_picture_once_damage_was_told() {
    let mut stage = Stage::new();
    // One that never tells any may not know how.
    assert_eq!(stage.give([Told::picture(1).damaged(false)]), Some((1, 1)));
    assert_eq!(stage.give([Told::picture(2).damaged(false)]), Some((2, 2)));
    assert_eq!(stage.give([Told::picture(3).damaged(true)]), Some((3, 3)));
    assert_eq!(stage.give([Told::picture(3).damaged(false)]), None);
    assert_eq!(stage.give([Told::picture(4).damaged(true), Told::picture(4).damaged(false)]), Some((4, 4)));
    assert_eq!(stage.give([Told::picture(5)]), Some((5, 5)));
    // After one that could not be read it may hold what that had.
    assert_eq!(stage.give([Told::picture(6).corrupted()]), None);
    assert_eq!(stage.give([Told::picture(6).damaged(false)]), Some((6, 6)));
    // A cursor that comes later needs pixels to be drawn over.
    let shown = Told { cursor: Told::cursor(0).cursor, ..Told::picture(6).damaged(false) };
    assert_eq!(stage.give([shown]), Some((255, 6)));
    assert_eq!(stage.give([Told::picture(6).damaged(false)]), None);
    let agreed = stage.receiver.agreed.unwrap();
    stage.receiver.begin(agreed);
    assert_eq!(stage.give([Told::picture(8).damaged(false)]), Some((255, 8)));
}

#[test]
fn a_cursor_beside_the_pictures_takes_no_more_than_the_pools_memory() {
    let mut stage = Stage::new();
    // The pool's are known by their room; another would be a new one.
    for _ in 0..STREAM_PICTURES {
        stage.receiver.exchange.give_back(Received::Copied(Copied {
            bytes: Vec::with_capacity(BYTES * 4),
            ..Copied::default()
        }));
    }
    stage.give([Told::picture(1), Told::cursor(0)]);
    for turn in 0..50 {
        let value = 2 + turn as u8;
        let told = if turn % 3 == 0 { Told::cursor(2 + turn % 2) } else { Told::picture(value) };
        // While one is lent another one waits, and is superseded.
        for told in [Told::picture(value), told] {
            let mut told = Some(told);
            stage.receiver.mappings.clear();
            stage.receiver.take_in(|| told.take(), || None);
        }
        stage.receiver.exchange.take(&mut stage.lent).unwrap();
        let room = bytes(&stage.lent.as_ref().unwrap().buffer).capacity();
        assert!(room >= BYTES * 4, "a new buffer in turn {turn}");
    }
}

#[test]
fn a_foreign_stamp_is_counted_and_our_clocks_is_not() {
    let now = || {
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        clock.tv_sec * 1_000_000_000 + clock.tv_nsec
    };
    let mut stage = Stage::new();
    stage.give([Told::picture(1).stamped(now() - 5_000_000)]);
    let age = stage.lent.as_ref().unwrap().captured_at.elapsed();
    assert!(age >= Duration::from_millis(5), "{age:?}");
    let counters = stage.receiver.exchange.counters();
    let Received::Copied(copied) = &stage.lent.as_ref().unwrap().buffer else { panic!("it came in memory") };
    assert_eq!((counters.stamped_here, counters.copied_bytes), (0, copied.bytes.len() as u64));
    // None, a running time, one in the future.
    for (count, pts_ns) in [0, 40_000_000, now() + 60_000_000_000].into_iter().enumerate() {
        let mut told = Some(Told::picture(2).stamped(pts_ns));
        stage.receiver.mappings.clear();
        let cycle = (now() - 3_000_000).cast_unsigned();
        stage.receiver.take_in(|| told.take(), || Some(cycle));
        stage.receiver.exchange.take(&mut stage.lent).unwrap();
        let age = stage.lent.as_ref().unwrap().captured_at.elapsed();
        assert!(age >= Duration::from_millis(3), "the cycle's time: {age:?}");
        assert_eq!(stage.receiver.exchange.counters().stamped_here, count as u64 + 1);
    }
}

#[test]
fn another_size_in_mid_stream_is_followed_and_what_is_left_of_the_old_one_is_passed_over() {
    let mut stage = Stage::new();
    assert_eq!(stage.give([Told::picture(1)]), Some((1, 1)));
    assert_eq!(stage.lent(), (SIDE, SIDE, BYTES));
    stage.agree(SIDE);
    assert_eq!(stage.receiver.notes.changed_at.get(), None, "the same again owes nothing");
    stage.agree(2 * SIDE);
    // Filled before the producer heard of it.
    assert_eq!(stage.give([Told::picture(2)]), None);
    assert_eq!(stage.receiver.exchange.counters().spoiled, 1);
    assert!(stage.receiver.notes.changed_at.get().is_some(), "a picture of it is waited for");
    // Of the new size one is read, whatever is said of its damage.
    assert_eq!(stage.give([Told::high(3).damaged(true), Told::high(4).damaged(false)]), Some((3, 3)));
    assert_eq!(stage.lent(), (SIDE, 2 * SIDE, 2 * BYTES));
    assert_eq!(stage.receiver.notes.changed_at.get(), None);
    // Back again, with a cursor that is drawn over pixels of the size that it is now.
    assert_eq!(stage.give([Told::high(5), Told::cursor(1)]), Some((5, 255)));
    stage.agree(SIDE);
    assert_eq!(stage.give([Told::cursor(0)]), None, "there are no pixels of this size yet");
    assert_eq!(stage.give([Told::picture(6)]), Some((255, 6)));
    assert_eq!(stage.lent(), (SIDE, SIDE, BYTES));
    assert!(stage.receiver.notes.fault.borrow().is_none());
}
