//! Y4M files (YUV4MPEG2, 8-bit 4:2:0, progressive) as a source that loops.
//!
//! Promised: the whole file is looked through once at opening, so that a malformed one is named before anything is
//! streamed; picture n of the schedule is picture n modulo their count. Colours are handed on as they are, taken
//! for BT.709 limited range. Refused: interlaced material, other chroma, odd sides, files cut short.

mod flaw;
mod header;

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

pub use flaw::Y4mFlaw;

use crate::limits::{Y4M_FRAME_LINE_BYTES_MAX, Y4M_HEADER_BYTES_MAX, Y4M_PICTURES_MAX};
use crate::schedule::Pace;
use crate::{CaptureError, Counters, Mode, Picture, PixelFormat, Pixels, Source};
use header::Header;

/// A Y4M file, played at its own refresh (or another) in a loop.
#[derive(Debug)]
pub struct Y4m<R> {
    name: String,
    mode: Mode,
    pace: Pace,
    reader: BufReader<R>,
    /// Where each picture's pixels begin.
    places: Vec<u64>,
    bytes: Vec<u8>,
}

impl Y4m<File> {
    /// Opens `path` and checks every picture's place in it. `refresh_mhz` overrules the file's own rate; picture 0
    /// is due at `started`.
    ///
    /// # Errors
    /// [`CaptureError::Read`], [`CaptureError::Y4m`], [`CaptureError::Mode`].
    pub fn open(path: &Path, refresh_mhz: Option<u32>, started: Instant) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let read = |source| CaptureError::Read { name: name.clone(), source };
        // Before the open: a pipe's would wait for a writer.
        if !std::fs::metadata(path).map_err(read)?.is_file() {
            return Err(read(io::Error::new(
                ErrorKind::InvalidInput,
                "no regular file; pass one that holds the pictures",
            )));
        }
        let file = File::open(path).map_err(read)?;
        Self::new(&name, file, refresh_mhz, started)
    }
}

impl<R: Read + Seek + Send> Y4m<R> {
    /// As [`Y4m::open`], from any reader; `name` is for people.
    ///
    /// # Errors
    /// As [`Y4m::open`].
    pub fn new(
        name: &str,
        reader: R,
        refresh_mhz: Option<u32>,
        started: Instant,
    ) -> Result<Self, CaptureError> {
        let mut reader = BufReader::new(reader);
        let (header, places) = look_through(&mut reader).map_err(|trouble| trouble.named(name))?;
        let refresh_mhz = match (refresh_mhz, header.refresh_mhz) {
            (Some(refresh_mhz), _) | (None, Some(refresh_mhz)) => refresh_mhz,
            (None, None) => return Err(Trouble::Flaw(Y4mFlaw::Missing { tag: 'F' }).named(name)),
        };
        let mode = Mode::new(header.width, header.height, refresh_mhz)?;
        Ok(Self {
            name: name.to_owned(),
            mode,
            pace: Pace::new(refresh_mhz, started),
            reader,
            places,
            bytes: vec![0; header.picture_bytes()],
        })
    }

    /// How many pictures the file has.
    pub fn pictures(&self) -> usize {
        self.places.len()
    }

    fn read_picture(&mut self, number: u64) -> Result<(), Trouble> {
        let index = (number % self.places.len() as u64) as usize;
        let place = self.places[index];
        self.reader.seek(SeekFrom::Start(place))?;
        self.reader.read_exact(&mut self.bytes).map_err(|error| match error.kind() {
            // It was whole when it was opened.
            ErrorKind::UnexpectedEof => Trouble::Flaw(Y4mFlaw::Shrunk { picture: index, offset: place }),
            _ => Trouble::Read(error),
        })
    }
}

impl<R: Read + Seek + Send> Source for Y4m<R> {
    fn describe(&self) -> String {
        format!("file {} {}, {} pictures", self.name, self.mode, self.places.len())
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn restart(&mut self, started: Instant) {
        self.pace.restart(started);
    }

    fn wait_picture(&mut self, timeout: Duration) -> Result<bool, CaptureError> {
        Ok(self.pace.schedule().wait(timeout))
    }

    fn take_picture(&mut self) -> Result<Option<Picture<'_>>, CaptureError> {
        let captured_at = Instant::now();
        let Some(number) = self.pace.claim(captured_at) else { return Ok(None) };
        self.read_picture(number).map_err(|trouble| trouble.named(&self.name))?;
        Ok(Some(Picture {
            pixels: Pixels::Memory {
                format: PixelFormat::I420,
                stride: self.mode.width() as usize,
                bytes: &self.bytes,
            },
            width: self.mode.width(),
            height: self.mode.height(),
            captured_at,
            number,
        }))
    }

    fn skip(&mut self) {
        self.pace.skip(Instant::now());
    }

    fn counters(&self) -> Counters {
        self.pace.counters()
    }
}

/// What goes wrong before the file's name is added.
#[derive(Debug)]
enum Trouble {
    Flaw(Y4mFlaw),
    Read(std::io::Error),
}

impl Trouble {
    fn named(self, name: &str) -> CaptureError {
        let name = name.to_owned();
        match self {
            Self::Flaw(flaw) => CaptureError::Y4m { name, flaw },
            Self::Read(source) => CaptureError::Read { name, source },
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<Y4mFlaw> for Trouble {
    fn from(flaw: Y4mFlaw) -> Self {
        Self::Flaw(flaw)
    }
}

/// Reads the header and finds every picture, without reading their pixels.
fn look_through<R: Read + Seek>(reader: &mut BufReader<R>) -> Result<(Header, Vec<u64>), Trouble> {
    let end = reader.seek(SeekFrom::End(0))?;
    reader.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    if !read_line(reader, &mut line, Y4M_HEADER_BYTES_MAX)? {
        return Err(header::without_end(&line).into());
    }
    let header = Header::parse(&line)?;
    let picture_bytes = header.picture_bytes() as u64;
    let (mut places, mut offset) = (Vec::new(), line.len() as u64 + 1);
    while offset < end {
        let picture = places.len();
        let whole = read_line(reader, &mut line, Y4M_FRAME_LINE_BYTES_MAX)?;
        if !whole || !(line == b"FRAME" || line.starts_with(b"FRAME ")) {
            return Err(Y4mFlaw::frame_line(picture, offset, &line).into());
        }
        let place = offset + line.len() as u64 + 1;
        if place + picture_bytes > end {
            let missing_bytes = place + picture_bytes - end;
            return Err(Y4mFlaw::CutShort { picture, offset: place, missing_bytes }.into());
        }
        if picture == Y4M_PICTURES_MAX {
            return Err(Y4mFlaw::TooManyPictures.into());
        }
        places.push(place);
        offset = place + picture_bytes;
        reader.seek_relative(picture_bytes.cast_signed())?;
    }
    if places.is_empty() { Err(Y4mFlaw::NoPictures.into()) } else { Ok((header, places)) }
}

/// Reads up to the next line feed, which is left out; false when none comes within `bytes_max` or before the end.
fn read_line(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<bool, std::io::Error> {
    line.clear();
    reader.by_ref().take(bytes_max as u64).read_until(b'\n', line)?;
    Ok(line.pop_if(|last| *last == b'\n').is_some())
}
