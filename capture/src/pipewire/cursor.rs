//! A cursor that comes beside the picture and not in it.
//!
//! What is it: the producer's cursor metadata, parsed, and the verb that draws it. What does it promise: a cursor
//! that was given a shape stays visible where it was last told to be, until it is hidden or leaves; nothing is
//! written outside of the picture. What does it refuse: bitmaps that contradict themselves, are larger than
//! [`STREAM_CURSOR_SIDE_MAX`], or are not 32 bits of 8-bit colours with alpha.

use std::sync::Arc;

use pipewire::spa::sys;

use crate::dmabuf::Overlay;
use crate::limits::STREAM_CURSOR_SIDE_MAX;

const CURSOR_BYTES: usize = size_of::<sys::spa_meta_cursor>();
const BITMAP_BYTES: usize = size_of::<sys::spa_meta_bitmap>();
const BYTES_PER_PIXEL: usize = 4;

/// Bytes of the metadata for a cursor of `side` × `side` pixels.
pub(super) const fn bytes_of(side: u32) -> usize {
    CURSOR_BYTES + BITMAP_BYTES + side as usize * side as usize * BYTES_PER_PIXEL
}

/// Why a cursor's metadata was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CursorFlaw {
    #[error("the metadata ends within the cursor")]
    Short,
    #[error("its bitmap does not lie within the metadata")]
    Outside,
    #[error("its bitmap is {width}x{height} pixels with {stride} bytes a row")]
    Shape { width: u32, height: u32, stride: i32 },
    #[error("its bitmap is of format {0}")]
    Format(u32),
}

/// A cursor's picture: premultiplied blue, green, red, alpha, without gaps between the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Image {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// A cursor that is to be seen over a dmabuf, for a GPU to draw.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// The image's number.
    number: u64,
    image: Arc<Image>,
    position: (i32, i32),
}

impl Shown {
    pub(super) fn overlay(&self) -> Overlay<'_> {
        let Image { width, height, pixels } = &*self.image;
        // A cursor's sides are far below.
        let side = |side: usize| u32::try_from(side).unwrap_or(0);
        let (x, y) = self.position;
        Overlay { image: self.number, x, y, width: side(*width), height: side(*height), pixels }
    }

    /// Its image's.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether it is this cursor's image.
    pub(super) fn is_of(&self, cursor: &Cursor) -> bool {
        cursor.image.as_ref().is_some_and(|image| Arc::ptr_eq(image, &self.image))
    }
}

/// The cursor as it was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Whether it is over the picture.
    is_shown: bool,
    position: (i32, i32),
    hotspot: (i32, i32),
    image: Option<Arc<Image>>,
}

impl Cursor {
    /// Takes in what one buffer says of the cursor; true where that changes what is seen.
    pub(super) fn update(&mut self, meta: &[u8]) -> Result<bool, CursorFlaw> {
        let before = (self.is_shown, self.position);
        let mut words = Words::of(meta, 0)?;
        // An id of 0: nothing is known of the cursor here, because it is somewhere else.
        let id = words.u32()?;
        let _flags = words.u32()?;
        let position = (words.i32()?, words.i32()?);
        let hotspot = (words.i32()?, words.i32()?);
        let bitmap_offset = words.u32()? as usize;
        if id == 0 {
            self.is_shown = false;
            return Ok(before.0 && self.image.is_some());
        }
        let is_new = bitmap_offset != 0;
        if is_new {
            if bitmap_offset < CURSOR_BYTES {
                return Err(CursorFlaw::Outside);
            }
            self.image = parse_bitmap(meta, bitmap_offset)?.map(Arc::new);
            self.hotspot = hotspot;
        }
        (self.is_shown, self.position) = (true, position);
        Ok(is_new || (before != (true, position) && self.image.is_some()))
    }

    /// Whether there is something to draw.
    pub(super) fn is_visible(&self) -> bool {
        self.is_shown && self.image.is_some()
    }

    /// What is to be seen of it, if anything is; its image has this number.
    pub(super) fn shown(&self, number: u64) -> Option<Shown> {
        let image = self.image.as_ref().filter(|_| self.is_shown)?;
        let [x, y] = [(self.position.0, self.hotspot.0), (self.position.1, self.hotspot.1)]
            .map(|(position, hotspot)| position.saturating_sub(hotspot));
        Some(Shown { number, image: Arc::clone(image), position: (x, y) })
    }

    /// Draws the cursor over a picture of blue, green, red, unused.
    pub(super) fn draw(&self, picture: &mut [u8], stride: usize, width: u32, height: u32) {
        let Some(image) = self.image.as_ref().filter(|_| self.is_shown) else { return };
        let left = i64::from(self.position.0) - i64::from(self.hotspot.0);
        let top = i64::from(self.position.1) - i64::from(self.hotspot.1);
        for (y, row) in image.pixels.chunks_exact(image.width * BYTES_PER_PIXEL).enumerate() {
            let Ok(to_y) = usize::try_from(top + y as i64) else { continue };
            if to_y >= height as usize {
                break;
            }
            let Some(to) = picture.get_mut(to_y * stride..) else { break };
            for (x, source) in row.chunks_exact(BYTES_PER_PIXEL).enumerate() {
                let Ok(to_x) = usize::try_from(left + x as i64) else { continue };
                if to_x >= width as usize {
                    break;
                }
                let at = to_x * BYTES_PER_PIXEL;
                let Some(pixel) = to.get_mut(at..at + BYTES_PER_PIXEL) else { break };
                over(pixel, source);
            }
        }
    }
}

/// Porter and Duff's "over" with a premultiplied source, a colour at a time.
fn over(below: &mut [u8], above: &[u8]) {
    let through = 255 - u32::from(above[3]);
    for (below, above) in below.iter_mut().zip(above).take(3) {
        let sum = u32::from(*above) + (u32::from(*below) * through + 127) / 255;
        *below = u8::try_from(sum).unwrap_or(u8::MAX);
    }
}

/// The bitmap at `offset`; `None` for one that hides the cursor.
fn parse_bitmap(meta: &[u8], offset: usize) -> Result<Option<Image>, CursorFlaw> {
    let mut words = Words::of(meta, offset)?;
    let format = words.u32()?;
    let (width, height, stride) = (words.u32()?, words.u32()?, words.i32()?);
    let pixels_offset = words.u32()? as usize;
    if format == 0 || pixels_offset == 0 || width == 0 || height == 0 {
        return Ok(None);
    }
    let is_red_first = match format {
        sys::SPA_VIDEO_FORMAT_BGRA => false,
        sys::SPA_VIDEO_FORMAT_RGBA => true,
        other => return Err(CursorFlaw::Format(other)),
    };
    let shape = CursorFlaw::Shape { width, height, stride };
    if width > STREAM_CURSOR_SIDE_MAX || height > STREAM_CURSOR_SIDE_MAX {
        return Err(shape);
    }
    let (width, height) = (width as usize, height as usize);
    let row_bytes = width * BYTES_PER_PIXEL;
    let stride = usize::try_from(stride).ok().filter(|stride| *stride >= row_bytes).ok_or(shape)?;
    let start = offset.checked_add(pixels_offset).ok_or(CursorFlaw::Outside)?;
    if pixels_offset < BITMAP_BYTES {
        return Err(CursorFlaw::Outside);
    }
    // No overflow: a stride has 31 bits and a height has 8.
    let end = start.checked_add(stride * (height - 1) + row_bytes).ok_or(CursorFlaw::Outside)?;
    let rows = meta.get(start..end).ok_or(CursorFlaw::Outside)?;
    let mut pixels = Vec::with_capacity(row_bytes * height);
    for row in rows.chunks(stride) {
        pixels.extend_from_slice(&row[..row_bytes]);
    }
    if is_red_first {
        super::picture::swap_red_blue(&mut pixels);
    }
    Ok(Some(Image { width, height, pixels }))
}

/// Native words, one after the other.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn of(bytes: &'a [u8], offset: usize) -> Result<Self, CursorFlaw> {
        bytes.get(offset..).map(Self).ok_or(CursorFlaw::Outside)
    }

    fn u32(&mut self) -> Result<u32, CursorFlaw> {
        let (word, rest) = self.0.split_first_chunk().ok_or(CursorFlaw::Short)?;
        self.0 = rest;
        Ok(u32::from_ne_bytes(*word))
    }

    fn i32(&mut self) -> Result<i32, CursorFlaw> {
        self.u32().map(u32::cast_signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A cursor's metadata with a bitmap of these pixels.
    fn meta(position: (i32, i32), hotspot: (i32, i32), format: u32, width: u32, pixels: &[u8]) -> Vec<u8> {
        let height = pixels.len() as u32 / 4 / width;
        let words = [
            1,
            0,
            position.0 as u32,
            position.1 as u32,
            hotspot.0 as u32,
            hotspot.1 as u32,
            CURSOR_BYTES as u32,
            format,
            width,
            height,
            width * 4,
            BITMAP_BYTES as u32,
        ];
        let mut meta: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        meta.extend_from_slice(pixels);
        meta
    }

    fn moved(position: (i32, i32)) -> Vec<u8> {
        [1, 0, position.0 as u32, position.1 as u32, 0, 0, 0]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect()
    }

    #[test]
    fn is_drawn_where_it_is_and_stays_when_only_its_place_comes() {
        let white = [255, 255, 255, 255];
        let half_red = [0, 0, 128, 128];
        let pixels = [white, half_red].concat();
        let mut cursor = Cursor::default();
        assert_eq!(cursor.update(&meta((3, 2), (1, 1), sys::SPA_VIDEO_FORMAT_BGRA, 2, &pixels)), Ok(true));
        let mut picture = [100; 4 * 4 * 4];
        cursor.draw(&mut picture, 16, 4, 4);
        assert_eq!(picture[16 + 8..16 + 16], [255, 255, 255, 100, 50, 50, 178, 100]);
        assert_eq!(picture.iter().filter(|byte| **byte != 100).count(), 6);

        // The same place again is nothing new; another one is, without a bitmap.
        assert_eq!(cursor.update(&moved((3, 2))), Ok(false));
        assert_eq!(cursor.update(&moved((1, 1))), Ok(true));
        let mut picture = [100; 4 * 4 * 4];
        cursor.draw(&mut picture, 16, 4, 4);
        assert_eq!(picture[..4], [255, 255, 255, 100]);

        // It leaves: the metadata says nothing of a cursor any more.
        assert_eq!(cursor.update(&[0; CURSOR_BYTES]), Ok(true));
        assert!(!cursor.is_visible());
        assert_eq!(cursor.update(&[0; CURSOR_BYTES]), Ok(false));
        assert_eq!(cursor.update(&moved((1, 1))), Ok(true));
        assert!(cursor.is_visible());
    }

    #[test]
    fn red_first_is_turned_and_an_empty_bitmap_hides() {
        let mut cursor = Cursor::default();
        assert_eq!(
            cursor.update(&meta((0, 0), (0, 0), sys::SPA_VIDEO_FORMAT_RGBA, 1, &[1, 2, 3, 255])),
            Ok(true)
        );
        let mut picture = [0; 4];
        cursor.draw(&mut picture, 4, 1, 1);
        assert_eq!(picture, [3, 2, 1, 0]);
        assert_eq!(cursor.update(&meta((0, 0), (0, 0), 0, 1, &[])), Ok(true));
        assert!(!cursor.is_visible());
    }

    #[test]
    fn what_contradicts_itself_is_refused_and_leaves_the_cursor_as_it_was() {
        let good = meta((0, 0), (0, 0), sys::SPA_VIDEO_FORMAT_BGRA, 2, &[7; 16]);
        let mut cursor = Cursor::default();
        cursor.update(&good).unwrap();
        let before = cursor.clone();
        let with = |word: usize, value: u32| {
            let mut bad = good.clone();
            bad[word * 4..word * 4 + 4].copy_from_slice(&value.to_ne_bytes());
            bad
        };
        for (bad, flaw) in [
            (good[..CURSOR_BYTES - 1].to_vec(), CursorFlaw::Short),
            (good[..good.len() - 1].to_vec(), CursorFlaw::Outside),
            (with(6, 4), CursorFlaw::Outside),
            (with(6, u32::MAX), CursorFlaw::Outside),
            (with(7, sys::SPA_VIDEO_FORMAT_NV12), CursorFlaw::Format(sys::SPA_VIDEO_FORMAT_NV12)),
            (with(8, u32::MAX), CursorFlaw::Shape { width: u32::MAX, height: 2, stride: 8 }),
            (with(9, 257), CursorFlaw::Shape { width: 2, height: 257, stride: 8 }),
            (with(10, 7), CursorFlaw::Shape { width: 2, height: 2, stride: 7 }),
            (with(10, u32::MAX), CursorFlaw::Shape { width: 2, height: 2, stride: -1 }),
            (with(10, 0x7fff_ffff), CursorFlaw::Outside),
            (with(11, 4), CursorFlaw::Outside),
            (with(11, u32::MAX), CursorFlaw::Outside),
        ] {
            assert_eq!(cursor.update(&bad), Err(flaw));
            assert_eq!(cursor, before);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_nothing_is_drawn_outside(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
            x in -300i32..300, y in -300i32..300, hot in any::<(i32, i32)>(),
            width in 1u32..9, height in 1u32..9, good: bool,
        ) {
            let mut cursor = Cursor::default();
            if good {
                bytes.truncate(bytes.len() / 4 / width as usize * 4 * width as usize);
                let hotspot = (hot.0 % 20, hot.1 % 20);
                let _ = cursor.update(&meta((x % 20, y % 20), hotspot, sys::SPA_VIDEO_FORMAT_BGRA, width, &bytes));
            } else {
                let _ = cursor.update(&bytes);
            }
            let stride = width as usize * 4 + 4;
            let mut picture = vec![0; stride * height as usize];
            cursor.draw(&mut picture, stride, width, height);
            for row in picture.chunks_exact(stride) {
                prop_assert_eq!(&row[width as usize * 4..], &[0; 4]);
            }
        }

        #[test]
        fn far_away_is_nowhere(position in any::<(i32, i32)>(), hotspot in any::<(i32, i32)>()) {
            let mut cursor = Cursor::default();
            cursor.update(&meta(position, hotspot, sys::SPA_VIDEO_FORMAT_BGRA, 2, &[9; 16])).unwrap();
            cursor.draw(&mut [0; 64], 16, 4, 4);
        }
    }
}
