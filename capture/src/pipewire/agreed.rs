//! The format that both sides agreed on, and where in a buffer's memory its picture lies.
//!
//! Promises: a format whose picture can be read, or that was wished for as dmabufs, or a refusal that names what came; a
//! place that lies within the memory that the producer says it has. Refuses pixels in memory that are not 32 bits of 8-bit
//! colours, sides out of [`crate::limits`], and every number of a chunk that contradicts another one: they come from
//! another process. A dmabuf's own numbers are for [`super::planes`] to judge.

use pipewire::spa::buffer::DataType;
use pipewire::spa::param::video::{VideoFormat, VideoInfoRaw};
use pipewire::spa::sys;
use pipewire::spa::utils::Fraction;

use super::fourcc;
use super::params::FORMATS;
use super::pod::Property;
use crate::dmabuf::fourcc_name;
use crate::limits::{REFRESH_MHZ_MAX, REFRESH_MHZ_MIN, SIDE_MAX, SIDE_MIN};
use crate::{Diagnosis, Mode};

const BYTES_PER_PIXEL: u32 = 4;

/// The orders of bytes that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    /// Blue first.
    Bgrx,
    /// Red first; turned to blue first when it is read.
    Rgbx,
}

/// Where the pictures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// In memory, of which they are read.
    Memory(ByteOrder),
    /// In dmabufs, which are lent as they are. By DRM's names.
    Dmabuf { fourcc: u32, modifier: u64 },
}

/// What a format says of its modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modifier {
    /// Nothing: pictures in memory.
    None,
    /// Several, among which the producer has yet to choose; it says so by another format.
    Open,
    /// This one.
    One(u64),
    /// What is no modifier.
    Malformed,
}

impl Modifier {
    /// What the `Format` parameter says, a pod with its head.
    pub(super) fn of(format: &[u8]) -> Self {
        let properties = Property::all_of(format, sys::SPA_TYPE_OBJECT_Format);
        let is_modifier = |property: &Property<'_>| property.key == sys::SPA_FORMAT_VIDEO_modifier;
        let Some(property) = properties.and_then(|mut properties| properties.find(is_modifier)) else {
            return Self::None;
        };
        if property.flags & sys::SPA_POD_PROP_FLAG_DONT_FIXATE != 0 {
            return Self::Open;
        }
        let mut modifiers = property.value.longs();
        match modifiers.next() {
            // The first of a choice is named among the others once more.
            Some(first) if modifiers.all(|other| other == first) => Self::One(first.cast_unsigned()),
            Some(_) => Self::Open,
            None => Self::Malformed,
        }
    }
}

/// A format that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) format: VideoFormat,
    pub(super) kind: Kind,
    /// Sides of what lies in memory; a mode's are even.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) mode: Mode,
}

impl Agreed {
    /// What a `Format` parameter says of pictures in memory. `wanted` names the refresh where the producer names none.
    pub(super) fn parse(video: &VideoInfoRaw, wanted: Mode) -> Result<Self, Diagnosis> {
        let order = match video.format() {
            VideoFormat::BGRx | VideoFormat::BGRA => ByteOrder::Bgrx,
            VideoFormat::RGBx | VideoFormat::RGBA => ByteOrder::Rgbx,
            _ => return refuse(video, &format!("only {FORMATS:?} are read")),
        };
        Self::sized(video, Kind::Memory(order), wanted)
    }

    /// What it says of dmabufs with this modifier, of which `formats` can be taken.
    pub(super) fn parse_dmabuf(
        video: &VideoInfoRaw,
        modifier: u64,
        formats: &[(u32, Vec<u64>)],
        wanted: Mode,
    ) -> Result<Self, Diagnosis> {
        let known = fourcc::by_spa(video.format().as_raw()).map(|format| format.fourcc);
        let is_wished =
            |(fourcc, modifiers): &(u32, Vec<u64>)| Some(*fourcc) == known && modifiers.contains(&modifier);
        match known {
            Some(fourcc) if formats.iter().any(is_wished) => {
                Self::sized(video, Kind::Dmabuf { fourcc, modifier }, wanted)
            }
            known => {
                let name = known.map(fourcc_name).unwrap_or_default();
                refuse(video, &format!("dmabufs {name} with modifier {modifier:#x} were not wished for"))
            }
        }
    }

    fn sized(video: &VideoInfoRaw, kind: Kind, wanted: Mode) -> Result<Self, Diagnosis> {
        let (format, size) = (video.format(), video.size());
        let refuse = |why: &str| refuse(video, why);
        let sides = SIDE_MIN..=SIDE_MAX;
        if !sides.contains(&size.width) || !sides.contains(&size.height) {
            return refuse(&format!("sides must be {SIDE_MIN} to {SIDE_MAX} pixels"));
        }
        let refresh_mhz = millihertz(video.framerate())
            .or_else(|| millihertz(video.max_framerate()))
            .unwrap_or(wanted.refresh_mhz());
        match Mode::new(size.width & !1, size.height & !1, refresh_mhz) {
            Ok(mode) => Ok(Self { format, kind, width: size.width, height: size.height, mode }),
            Err(error) => refuse(&error.to_string()),
        }
    }

    /// The format's name, without the library's prefix.
    pub(super) fn format_name(&self) -> &'static str {
        fourcc::by_spa(self.format.as_raw()).map_or("unknown", |format| format.name)
    }
}

fn refuse<T>(video: &VideoInfoRaw, why: &str) -> Result<T, Diagnosis> {
    let (format, size) = (video.format(), video.size());
    let offered = format!("{}x{} {format:?}: {why}", size.width, size.height);
    Err(Diagnosis::FormatRefused { offered })
}

/// A fraction in millihertz, within what a mode can have; `None` for none.
fn millihertz(rate: Fraction) -> Option<u32> {
    if rate.num == 0 || rate.denom == 0 {
        return None;
    }
    let refresh_mhz = u64::from(rate.num) * 1000 / u64::from(rate.denom);
    let refresh_mhz = refresh_mhz.clamp(REFRESH_MHZ_MIN.into(), REFRESH_MHZ_MAX.into());
    u32::try_from(refresh_mhz).ok()
}

/// A block of a producer's memory as the producer describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// What kind of memory, by the library's number.
    pub(super) kind: u32,
    /// Where the block begins in its file.
    pub(super) map_offset: u32,
    /// Bytes of the block.
    pub(super) bytes_max: u32,
    /// Where the picture begins in the block.
    pub(super) offset: u32,
    /// Bytes of the picture.
    pub(super) size: u32,
    /// Bytes from row to row; 0: as many as a row has.
    pub(super) stride: i32,
}

/// Where a picture lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Of its first byte.
    pub(super) file_offset: u64,
    /// Bytes from row to row.
    pub(super) stride: usize,
    /// From its first byte to its last one.
    pub(super) bytes: usize,
}

impl Block {
    /// Where this block's picture lies, if it is one of `agreed`.
    pub(super) fn place(&self, agreed: &Agreed) -> Result<Place, Diagnosis> {
        let refuse = |why: &str| {
            let Self { kind, map_offset, bytes_max, offset, size, stride } = self;
            let came = format!(
                "memory of kind {kind}, {bytes_max} bytes at {map_offset}, with {size} bytes at {offset}, \
                 {stride} a row, for {}x{}: {why}",
                agreed.width, agreed.height
            );
            Err(Diagnosis::PictureUnreadable { came })
        };
        if self.kind != DataType::MemFd.as_raw() {
            return refuse("only files in memory are read");
        }
        let row_bytes = agreed.width * BYTES_PER_PIXEL;
        let stride = match u32::try_from(self.stride) {
            Ok(0) => row_bytes,
            Ok(stride) => stride,
            Err(_) => return refuse("rows from the bottom up are not read"),
        };
        if stride < row_bytes || stride > 2 * row_bytes + 4096 || !stride.is_multiple_of(BYTES_PER_PIXEL) {
            return refuse("the row length does not fit the width");
        }
        // No overflow: a stride is below 2^18 and a height at most 2^14.
        let bytes = u64::from(stride) * u64::from(agreed.height - 1) + u64::from(row_bytes);
        if bytes > self.size.into() {
            return refuse("the picture is larger than what was written of it");
        }
        if u64::from(self.offset) + bytes > self.bytes_max.into() {
            return refuse("the picture does not lie within its memory");
        }
        Ok(Place {
            file_offset: u64::from(self.map_offset) + u64::from(self.offset),
            stride: stride as usize,
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipewire::spa::utils::Rectangle;
    use proptest::prelude::*;

    fn wanted() -> Mode {
        Mode::new(1920, 1080, 60_000).unwrap()
    }

    fn video(
        format: VideoFormat,
        width: u32,
        height: u32,
        rate: (u32, u32),
        max: (u32, u32),
    ) -> VideoInfoRaw {
        let mut video = VideoInfoRaw::new();
        video.set_format(format);
        video.set_size(Rectangle { width, height });
        video.set_framerate(Fraction { num: rate.0, denom: rate.1 });
        video.set_max_framerate(Fraction { num: max.0, denom: max.1 });
        video
    }

    fn parse(format: VideoFormat, width: u32, height: u32) -> Result<Agreed, String> {
        Agreed::parse(&video(format, width, height, (0, 1), (0, 1)), wanted())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_four_are_taken_and_the_rest_is_named() {
        for (format, order) in
            FORMATS.into_iter().zip([ByteOrder::Bgrx, ByteOrder::Bgrx, ByteOrder::Rgbx, ByteOrder::Rgbx])
        {
            let agreed = parse(format, 801, 601).unwrap();
            assert_eq!((agreed.kind, agreed.width, agreed.height), (Kind::Memory(order), 801, 601));
            assert_eq!(agreed.mode.to_string(), "800x600@60");
        }
        assert!(parse(VideoFormat::NV12, 640, 480).unwrap_err().contains("NV12"));
        for (width, height) in [(0, 0), (15, 480), (640, 16_385), (u32::MAX, u32::MAX)] {
            assert!(parse(VideoFormat::BGRx, width, height).unwrap_err().contains("sides"), "{width}");
        }
    }

    /// A format with a modifier that this is said of.
    fn with_modifier(flags: u32, value: &[u32]) -> Vec<u8> {
        let property = [&[sys::SPA_FORMAT_VIDEO_modifier, flags], value].concat();
        let size = 8 + property.len() as u32 * 4;
        let head = [size, sys::SPA_TYPE_Object, sys::SPA_TYPE_OBJECT_Format, 4];
        head.into_iter().chain(property).flat_map(u32::to_ne_bytes).collect()
    }

    fn choice(modifiers: &[u64]) -> Vec<u32> {
        let head = [
            16 + 8 * modifiers.len() as u32,
            sys::SPA_TYPE_Choice,
            sys::SPA_CHOICE_Enum,
            0,
            8,
            sys::SPA_TYPE_Long,
        ];
        let halves = modifiers.iter().flat_map(|modifier| {
            modifier
                .to_ne_bytes()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|half| u32::from_ne_bytes(*half))
                .collect::<Vec<_>>()
        });
        head.into_iter().chain(halves).collect()
    }

    #[test]
    fn a_modifier_is_the_one_or_yet_to_be_chosen() {
        let open = sys::SPA_POD_PROP_FLAG_DONT_FIXATE;
        let long = [8, sys::SPA_TYPE_Long, 7, 1];
        for (flags, value, is) in [
            (0, long.to_vec(), Modifier::One(0x1_0000_0007)),
            (sys::SPA_POD_PROP_FLAG_MANDATORY, choice(&[5]), Modifier::One(5)),
            (0, choice(&[u64::MAX, u64::MAX]), Modifier::One(u64::MAX)),
            (0, choice(&[5, 6]), Modifier::Open),
            (open, choice(&[5, 5]), Modifier::Open),
            (open, long.to_vec(), Modifier::Open),
            (0, choice(&[]), Modifier::Malformed),
            (0, vec![4, sys::SPA_TYPE_Id, 7, 0], Modifier::Malformed),
        ] {
            assert_eq!(Modifier::of(&with_modifier(flags, &value)), is, "{flags} {value:?}");
        }
        let mut other = with_modifier(0, &long);
        other[16..20].copy_from_slice(&sys::SPA_FORMAT_VIDEO_size.to_ne_bytes());
        assert_eq!(Modifier::of(&other), Modifier::None);
        assert_eq!(Modifier::of(&[]), Modifier::None);
    }

    #[test]
    fn dmabufs_are_agreed_on_as_they_were_wished_for() {
        let [xr24, nv12] = [*b"XR24", *b"NV12"].map(u32::from_le_bytes);
        let wish = [(xr24, vec![0, 7]), (nv12, vec![0])];
        let parse = |format, modifier| {
            let video = video(format, 801, 601, (60, 1), (0, 1));
            Agreed::parse_dmabuf(&video, modifier, &wish, wanted())
        };
        let agreed = parse(VideoFormat::BGRx, 7).unwrap();
        assert_eq!(agreed.kind, Kind::Dmabuf { fourcc: xr24, modifier: 7 });
        assert_eq!((agreed.width, agreed.mode.to_string().as_str()), (801, "800x600@60"));
        assert_eq!(parse(VideoFormat::NV12, 0).unwrap().format_name(), "NV12");
        for (format, modifier) in
            [(VideoFormat::BGRx, 8), (VideoFormat::NV12, 7), (VideoFormat::RGBA, 0), (VideoFormat::I420, 0)]
        {
            let refusal = parse(format, modifier).unwrap_err().to_string();
            assert!(
                refusal.contains("not wished for") && refusal.contains(&format!("{modifier:#x}")),
                "{refusal}"
            );
        }
    }

    #[test]
    fn the_refresh_is_the_rate_or_the_highest_or_the_wanted_one() {
        for (rate, max, is) in [
            ((60, 1), (0, 1), 60_000),
            ((60_000, 1001), (120, 1), 59_940),
            ((0, 1), (40, 1), 40_000),
            ((0, 1), (0, 0), 60_000),
            ((u32::MAX, 1), (0, 1), REFRESH_MHZ_MAX),
            ((1, u32::MAX), (0, 1), REFRESH_MHZ_MIN),
        ] {
            let video = video(VideoFormat::BGRx, 640, 480, rate, max);
            assert_eq!(Agreed::parse(&video, wanted()).unwrap().mode.refresh_mhz(), is, "{rate:?} {max:?}");
        }
    }

    #[test]
    fn a_place_lies_within_or_the_contradiction_is_named() {
        let agreed = parse(VideoFormat::BGRx, 640, 480).unwrap();
        let good = Block {
            kind: DataType::MemFd.as_raw(),
            map_offset: 4096,
            bytes_max: 640 * 480 * 4,
            offset: 0,
            size: 640 * 480 * 4,
            stride: 2560,
        };
        let place = good.place(&agreed).unwrap();
        assert_eq!(place, Place { file_offset: 4096, stride: 2560, bytes: 640 * 480 * 4 });
        assert_eq!(Block { stride: 0, ..good }.place(&agreed).unwrap(), place);
        for (bad, said) in [
            (Block { kind: DataType::DmaBuf.as_raw(), ..good }, "only files"),
            (Block { stride: -2560, ..good }, "bottom up"),
            (Block { stride: i32::MIN, ..good }, "bottom up"),
            (Block { stride: 2556, ..good }, "row length"),
            (Block { stride: 2562, ..good }, "row length"),
            (Block { stride: i32::MAX, ..good }, "row length"),
            (Block { size: good.size - 1, ..good }, "larger than what was written"),
            (Block { size: 0, ..good }, "larger than what was written"),
            (Block { offset: 1, ..good }, "within its memory"),
            (Block { offset: u32::MAX, ..good }, "within its memory"),
            (Block { bytes_max: 0, ..good }, "within its memory"),
        ] {
            let error = bad.place(&agreed).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_format_has_a_modifier_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64), at in 0usize..64, byte: u8) {
            let _ = Modifier::of(&bytes);
            let mut format = with_modifier(0, &choice(&[5, 6]));
            let at = at % format.len();
            format[at] = byte;
            let _ = Modifier::of(&format);
        }

        #[test]
        fn no_numbers_panic_or_lead_outside(
            width in SIDE_MIN..=SIDE_MAX, height in SIDE_MIN..=SIDE_MAX,
            map_offset: u32, bytes_max: u32, offset in 0u32..9000, size: u32, extra in -9i32..20_000,
        ) {
            let agreed = parse(VideoFormat::RGBA, width, height).unwrap();
            let stride = i32::try_from(width * 4).unwrap() + extra;
            let block = Block { kind: DataType::MemFd.as_raw(), map_offset, bytes_max, offset, size, stride };
            if let Ok(place) = block.place(&agreed) {
                prop_assert!(place.file_offset >= u64::from(map_offset));
                prop_assert!(place.file_offset + place.bytes as u64 <= u64::from(map_offset) + u64::from(bytes_max));
                prop_assert!(place.bytes <= size as usize);
                prop_assert!(place.bytes >= (width * 4 * (height - 1)) as usize);
            }
        }

        #[test]
        fn any_block_is_judged(kind: u32, map_offset: u32, bytes_max: u32, offset: u32, size: u32, stride: i32) {
            let agreed = parse(VideoFormat::BGRx, 640, 480).unwrap();
            let _ = Block { kind, map_offset, bytes_max, offset, size, stride }.place(&agreed);
        }
    }
}
