//! What goes into a session, and what comes out of it.

use std::time::Duration;

use crate::config::Rate;
use crate::home::Slice;
use crate::sys::NV_ENC_PIC_TYPE;

/// What one picture shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PictureRequest {
    /// Its number, by which a loss is told. Numbers rise; gaps are allowed.
    pub number: u64,
    /// An IDR, with its parameter sets.
    pub idr: bool,
    /// An intra refresh that begins here and takes so many pictures; 0 for none. Only in a session whose plan has one.
    pub refresh: u32,
}

/// What came of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// Its number.
    pub number: u64,
    /// Whether it is an IDR.
    pub is_idr: bool,
    /// What the driver calls it.
    pub kind: NV_ENC_PIC_TYPE,
    /// What it is built on; none for an IDR.
    pub reference: Option<u64>,
    /// Bytes of the access unit.
    pub bytes: u32,
    /// Slices that were lent.
    pub slices: u32,
    /// Those among them that were lent while the rest was still being encoded.
    pub early: u32,
    /// The average quantiser, by which one sees what the bitrate does.
    pub qp: u32,
    /// How long output memory was locked, in all locks that ended since the picture before was done. A picture's last lock ends
    /// when its last slice is home, which may be with the next picture.
    pub locked: Duration,
}

/// What there is of a picture that is encoded.
#[derive(Debug)]
pub enum Step {
    /// A finished slice, the next in order; the first has the parameter sets before it.
    Slice {
        /// Its bytes.
        slice: Slice,
        /// Whether none comes behind it: known with the slice where the driver keeps to a number of them.
        is_last: bool,
    },
    /// None yet.
    Nothing,
    /// The driver wants back what was lent before it gives more: drop those slices.
    Lent,
    /// It is done; there is no more.
    Done(Encoded),
}

/// What shall be different from now on. What is none stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// The bitrate, and with it the VBV.
    pub bitrate_kbps: Option<u32>,
    /// The picture rate, and with it the VBV.
    pub rate: Option<Rate>,
    /// Width and height; the next picture is an IDR.
    pub size: Option<(u32, u32)>,
}

/// What was done, since the session was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Pictures that were encoded.
    pub pictures: u64,
    /// IDRs among them.
    pub idrs: u64,
    /// Losses that were answered by a reference.
    pub recoveries: u64,
    /// Losses that took an IDR.
    pub recoveries_by_idr: u64,
    /// Changes that needed no new session.
    pub changes: u64,
    /// Inputs that were registered.
    pub inputs_registered: u64,
    /// Inputs that were found registered.
    pub inputs_found: u64,
    /// Inputs that were let go: to make room, or since the session encodes another size.
    pub inputs_evicted: u64,
    /// Times that the encoder was busy and asked again.
    pub busy: u64,
    /// Pictures that were given up in their midst.
    pub abandoned: u64,
    /// Times that a dead session was made anew.
    pub rebuilds: u64,
    /// 1 where the driver called slices finished that were not, or miscounted: the newest waits for the next since.
    pub holds_back: u64,
    /// 1 where the driver said what cannot be of a picture whose slices were given before it was done: whole pictures are
    /// read since.
    pub reads_whole: u64,
    /// Pictures that were given in one piece, since what the driver said of their slices cannot be.
    pub uncut: u64,
    /// 1 where the driver does not say by itself when a whole picture is done: it is waited for, without a bound.
    pub waits: u64,
}
