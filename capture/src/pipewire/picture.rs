//! Pictures in memory of our own.
//!
//! What is it: a buffer that goes through the exchange, as a lent dmabuf does. What does it promise: a picture is copied once, out of a
//! mapping that cannot be shortened or by a call that can be, so that a producer that shortens its file spoils a
//! picture and not this program; the producer has its buffer back at once. What does it refuse: a file that is
//! shorter than its producer says.

use std::os::fd::BorrowedFd;

use super::agreed::{Agreed, ByteOrder, Kind, Place};
use super::cursor::Cursor;
use super::loans::Lent;
use crate::threaded::Holds;
use crate::{Diagnosis, PixelFormat, Pixels};

/// One picture of blue, green, red, unused.
#[derive(Debug, Default)]
pub struct Copied {
    pub(super) bytes: Vec<u8>,
    pub(super) stride: usize,
    /// The format that it came in, for people.
    pub(super) format_name: &'static str,
}

/// A picture as it goes through the exchange.
#[derive(Debug)]
pub enum Received {
    /// Out of a producer's memory, into ours.
    Copied(Copied),
    /// In a dmabuf, which its producer has back afterwards.
    Dmabuf(Lent),
}

impl Holds for Received {
    fn pixels(&self) -> Pixels<'_> {
        match self {
            Self::Copied(copied) => {
                Pixels::Memory { format: PixelFormat::Bgrx, stride: copied.stride, bytes: &copied.bytes }
            }
            Self::Dmabuf(lent) => lent.pixels(),
        }
    }

    fn format_name(&self) -> &'static str {
        match self {
            Self::Copied(copied) => copied.format_name,
            Self::Dmabuf(lent) => lent.format_name,
        }
    }

    fn is_ours(&self) -> bool {
        matches!(self, Self::Copied(_))
    }

    fn copied_bytes(&self) -> u64 {
        match self {
            Self::Copied(copied) => copied.bytes.len() as u64,
            Self::Dmabuf(_) => 0,
        }
    }
}

impl Copied {
    /// Takes the picture that is in `source`.
    pub(super) fn copy(&mut self, source: &[u8], place: Place, agreed: &Agreed) {
        self.shape(place, agreed);
        self.bytes[..place.bytes].copy_from_slice(source);
        self.order(agreed);
    }

    /// Reads the picture at `place` of a producer's file, by a call.
    pub(super) fn read(
        &mut self,
        file: BorrowedFd<'_>,
        place: Place,
        agreed: &Agreed,
    ) -> Result<(), Diagnosis> {
        self.shape(place, agreed);
        let mut read = 0;
        while read < place.bytes {
            let at = place.file_offset + read as u64;
            match rustix::io::pread(file, &mut self.bytes[read..place.bytes], at) {
                Ok(0) => return Err(short(place, "it is shorter")),
                Ok(count) => read += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(short(place, &error.to_string())),
            }
        }
        self.order(agreed);
        Ok(())
    }

    fn shape(&mut self, place: Place, agreed: &Agreed) {
        // Whole rows, so that every one of them can be taken as one.
        let bytes = place.stride * agreed.height as usize;
        if self.bytes.len() != bytes {
            self.bytes.clear();
            self.bytes.resize(bytes, 0);
        }
        self.stride = place.stride;
        self.format_name = agreed.format_name();
    }

    fn order(&mut self, agreed: &Agreed) {
        match agreed.kind {
            Kind::Memory(ByteOrder::Rgbx) => swap_red_blue(&mut self.bytes),
            Kind::Memory(ByteOrder::Bgrx) | Kind::Dmabuf { .. } => {}
        }
    }

    /// Becomes `clean` with a cursor over it.
    pub(super) fn compose(&mut self, clean: &Self, cursor: &Cursor, agreed: &Agreed) {
        self.bytes.clone_from(&clean.bytes);
        (self.stride, self.format_name) = (clean.stride, clean.format_name);
        cursor.draw(&mut self.bytes, self.stride, agreed.width, agreed.height);
    }
}

fn short(place: Place, why: &str) -> Diagnosis {
    let came = format!("a file with a picture of {} bytes at {}: {why}", place.bytes, place.file_offset);
    Diagnosis::PictureUnreadable { came }
}

/// Red first to blue first and back, in place.
pub(super) fn swap_red_blue(bytes: &mut [u8]) {
    for pixel in bytes.chunks_exact_mut(4) {
        pixel.swap(0, 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;
    use pipewire::spa::param::video::{VideoFormat, VideoInfoRaw};
    use pipewire::spa::utils::Rectangle;
    use std::io::Write;
    use std::os::fd::AsFd;

    fn agreed(format: VideoFormat) -> Agreed {
        let mut video = VideoInfoRaw::new();
        video.set_format(format);
        video.set_size(Rectangle { width: 16, height: 16 });
        Agreed::parse(&video, Mode::new(16, 16, 60_000).unwrap()).unwrap()
    }

    #[test]
    fn a_picture_is_read_from_its_place_and_a_short_file_is_named() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..=255).cycle().take(8 + 80 * 15 + 64).collect();
        file.write_all(&content).unwrap();
        let place = Place { file_offset: 8, stride: 80, bytes: 80 * 15 + 64 };
        let mut pixels = Copied::default();
        pixels.read(file.as_fd(), place, &agreed(VideoFormat::BGRx)).unwrap();
        assert_eq!(pixels.bytes.len(), 80 * 16);
        assert_eq!(pixels.bytes[..place.bytes], content[8..]);
        pixels.read(file.as_fd(), place, &agreed(VideoFormat::RGBA)).unwrap();
        assert_eq!(pixels.bytes[..4], [content[10], content[9], content[8], content[11]]);

        let mut copied = Copied::default();
        copied.copy(&content[8..], place, &agreed(VideoFormat::RGBA));
        assert_eq!(copied.bytes, pixels.bytes);

        file.set_len(8 + 80 * 15 + 63).unwrap();
        let error = pixels.read(file.as_fd(), place, &agreed(VideoFormat::BGRx)).unwrap_err();
        assert!(error.to_string().contains("shorter"), "{error}");
        let beyond = Place { file_offset: u64::MAX, ..place };
        assert!(pixels.read(file.as_fd(), beyond, &agreed(VideoFormat::BGRx)).is_err());
    }
}
