//! Where a dmabuf's planes are, as its producer says.
//!
//! Promises: one to four planes with descriptors and rows of a length, or a refusal that says which number is wrong;
//! where the memory's own size is known, planes that begin within it and, laid out row by row, lie within it. Refuses
//! blocks of another kind, too few planes, timelines without points and points without timelines. What a modifier
//! means by a row and a plane is for its driver: what is judged here of other layouts than rows is little, and a GPU's
//! driver judges the rest.
//!
//! The sizes that a producer tells are not looked at: of a dmabuf they may be 0 (PipeWire's "DMA-BUF Sharing").

use std::os::fd::RawFd;

use pipewire::spa::buffer::DataType;

use super::agreed::{Agreed, Block, Kind};
use super::fourcc;
use crate::Diagnosis;
use crate::dmabuf::{MODIFIER_INVALID, MODIFIER_LINEAR};
use crate::limits::{DMABUF_PLANES_MAX, DMABUF_STRIDE_MAX};

/// PipeWire's number for a timeline among a buffer's blocks (`spa/buffer/buffer.h`, since 1.2).
pub(super) const SYNC_OBJECT: u32 = 5;

/// Where a plane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlanePlace {
    pub(super) fd: RawFd,
    pub(super) offset: u32,
    pub(super) stride: u32,
}

/// How a buffer is made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) planes: Vec<PlanePlace>,
    /// Of acquiring and of releasing.
    pub(super) timelines: Option<(RawFd, RawFd)>,
}

fn refuse<T>(why: &str) -> Result<T, Diagnosis> {
    Err(Diagnosis::PictureUnreadable { came: format!("a dmabuf: {why}") })
}

impl Layout {
    /// What `blocks` make up, if that is a buffer of `agreed`: its planes, then the two timelines of one `with_points`.
    pub(super) fn of(
        blocks: &[(RawFd, Block)],
        with_points: bool,
        agreed: &Agreed,
    ) -> Result<Self, Diagnosis> {
        let (planes, timelines) = match blocks {
            [planes @ .., (acquire, first), (release, second)]
                if first.kind == SYNC_OBJECT && second.kind == SYNC_OBJECT =>
            {
                if !with_points {
                    return refuse("it has timelines and says no points on them");
                }
                (planes, Some((*acquire, *release)))
            }
            _ if with_points => return refuse("it says points on timelines that it does not have"),
            planes => (planes, None),
        };
        if let Some((acquire, release)) = timelines
            && (acquire < 0 || release < 0)
        {
            return refuse("a timeline without a descriptor");
        }
        let planes = place_planes(planes, agreed)?;
        Ok(Self { planes, timelines })
    }
}

fn place_planes(blocks: &[(RawFd, Block)], agreed: &Agreed) -> Result<Vec<PlanePlace>, Diagnosis> {
    let Kind::Dmabuf { fourcc, modifier } = agreed.kind else {
        return refuse("memory was agreed on");
    };
    let needed = fourcc::by_fourcc(fourcc).map_or(&[][..], |format| format.planes);
    let most = match modifier {
        // Only a modifier adds planes to those of the pixels.
        MODIFIER_LINEAR | MODIFIER_INVALID => needed.len(),
        _ => DMABUF_PLANES_MAX,
    };
    if blocks.len() < needed.len() || blocks.len() > most {
        let (count, least) = (blocks.len(), needed.len());
        return refuse(&format!("{count} planes where {least} to {most} were agreed on"));
    }
    let place = |(index, (fd, block)): (usize, &(RawFd, Block))| {
        let named = |why: &str| refuse(&format!("plane {index}: {why}"));
        if block.kind != DataType::DmaBuf.as_raw() {
            return named(&format!("memory of kind {}", block.kind));
        }
        if *fd < 0 {
            return named("no descriptor");
        }
        let Some(stride) = u32::try_from(block.stride).ok().filter(|stride| *stride <= DMABUF_STRIDE_MAX)
        else {
            return named(&format!("{} bytes a row", block.stride));
        };
        // Nothing has rows of no length; only of rows in order is the least known.
        let least = needed.get(index).filter(|_| modifier == MODIFIER_LINEAR);
        let least = least.map_or(1, |plane| plane.row_bytes(agreed.width));
        if stride < least {
            return named(&format!("{stride} bytes a row, where {least} are needed"));
        }
        Ok(PlanePlace { fd: *fd, offset: block.offset, stride })
    };
    blocks.iter().enumerate().map(place).collect()
}

/// Refuses a plane that does not lie within memory of so many bytes.
pub(super) fn check_within(
    index: usize,
    plane: &PlanePlace,
    bytes: u64,
    agreed: &Agreed,
) -> Result<(), Diagnosis> {
    let Kind::Dmabuf { fourcc, modifier } = agreed.kind else { return Ok(()) };
    let of_pixels = fourcc::by_fourcc(fourcc).and_then(|format| format.planes.get(index));
    let length = match of_pixels.filter(|_| modifier == MODIFIER_LINEAR) {
        Some(shape) => {
            let rows = u64::from(shape.rows(agreed.height));
            u64::from(plane.stride) * rows.saturating_sub(1) + u64::from(shape.row_bytes(agreed.width))
        }
        None => 1,
    };
    if u64::from(plane.offset) + length > bytes {
        let PlanePlace { offset, stride, .. } = plane;
        return refuse(&format!(
            "plane {index}: {length} bytes at {offset}, {stride} a row, do not lie within {bytes}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;
    use crate::limits::{SIDE_MAX, SIDE_MIN};
    use pipewire::spa::param::video::{VideoFormat, VideoInfoRaw};
    use pipewire::spa::utils::Rectangle;
    use proptest::prelude::*;

    /// A modifier that is neither of the two that everybody knows: Intel's Y tiling.
    const TILED: u64 = 0x0100_0000_0000_0002;

    fn agreed(format: VideoFormat, modifier: u64, width: u32, height: u32) -> Agreed {
        let mut video = VideoInfoRaw::new();
        video.set_format(format);
        video.set_size(Rectangle { width, height });
        let fourcc = fourcc::by_spa(format.as_raw()).unwrap().fourcc;
        let mode = Mode::new(64, 64, 60_000).unwrap();
        Agreed::parse_dmabuf(&video, modifier, &[(fourcc, vec![modifier])], mode).unwrap()
    }

    fn plane(fd: RawFd, offset: u32, stride: i32) -> (RawFd, Block) {
        (fd, Block { kind: DataType::DmaBuf.as_raw(), offset, stride, ..Block::default() })
    }

    fn timeline(fd: RawFd) -> (RawFd, Block) {
        (fd, Block { kind: SYNC_OBJECT, ..Block::default() })
    }

    fn refusal(blocks: &[(RawFd, Block)], with_points: bool, agreed: &Agreed) -> String {
        Layout::of(blocks, with_points, agreed).unwrap_err().to_string()
    }

    #[test]
    fn planes_and_timelines_are_told_apart() {
        let linear = agreed(VideoFormat::BGRx, MODIFIER_LINEAR, 640, 480);
        let layout = Layout::of(&[plane(7, 4096, 2560)], false, &linear).unwrap();
        assert_eq!(layout.planes, [PlanePlace { fd: 7, offset: 4096, stride: 2560 }]);
        assert_eq!(layout.timelines, None);
        let layout = Layout::of(&[plane(7, 0, 2560), timeline(8), timeline(9)], true, &linear).unwrap();
        assert_eq!((layout.planes.len(), layout.timelines), (1, Some((8, 9))));
        let planar = agreed(VideoFormat::NV12, MODIFIER_INVALID, 640, 480);
        assert_eq!(
            Layout::of(&[plane(7, 0, 640), plane(7, 640 * 480, 640)], false, &planar).unwrap().planes.len(),
            2
        );
        // A modifier with planes of its own, whose rows are its own too.
        let tiled = agreed(VideoFormat::BGRA, TILED, 640, 480);
        let compressed = [plane(7, 0, 2560), plane(7, 1 << 20, 8), plane(7, 1 << 21, 64)];
        assert_eq!(Layout::of(&compressed, false, &tiled).unwrap().planes.len(), 3);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let linear = agreed(VideoFormat::BGRx, MODIFIER_LINEAR, 640, 480);
        let good = plane(7, 0, 2560);
        let in_memory = (7, Block { kind: DataType::MemFd.as_raw(), ..good.1 });
        for (blocks, with_points, said) in [
            (vec![], false, "0 planes"),
            (vec![good, good], false, "2 planes"),
            (vec![plane(-1, 0, 2560)], false, "no descriptor"),
            (vec![in_memory], false, "kind 2"),
            (vec![plane(7, 0, 0)], false, "0 bytes a row"),
            (vec![plane(7, 0, 2559)], false, "2560 are needed"),
            (vec![plane(7, 0, -2560)], false, "-2560 bytes a row"),
            (vec![plane(7, 0, i32::MAX)], false, "bytes a row"),
            (vec![good], true, "timelines that it does not have"),
            (vec![good, timeline(8)], true, "timelines that it does not have"),
            (vec![good, timeline(8), timeline(9)], false, "says no points"),
            (vec![good, timeline(8), timeline(-1)], true, "timeline without"),
            (vec![timeline(8), timeline(9)], true, "0 planes"),
            (vec![timeline(8), timeline(9), good], true, "timelines that it does not have"),
        ] {
            let refusal = refusal(&blocks, with_points, &linear);
            assert!(refusal.contains(said), "{said}: {refusal}");
        }
        let tiled = agreed(VideoFormat::BGRA, TILED, 640, 480);
        assert!(refusal(&[good; 5], false, &tiled).contains("5 planes"));
        let planar = agreed(VideoFormat::NV12, MODIFIER_LINEAR, 640, 480);
        assert!(refusal(&[plane(7, 0, 640)], false, &planar).contains("1 planes"));
    }

    #[test]
    fn a_plane_lies_within_its_memory() {
        let linear = agreed(VideoFormat::BGRx, MODIFIER_LINEAR, 641, 481);
        let place = PlanePlace { fd: 7, offset: 100, stride: 2600 };
        let needs = 100 + 2600 * 480 + 641 * 4;
        assert!(check_within(0, &place, needs, &linear).is_ok());
        let refusal = check_within(0, &place, needs - 1, &linear).unwrap_err().to_string();
        assert!(refusal.contains("do not lie within"), "{refusal}");
        let tiled = agreed(VideoFormat::BGRA, TILED, 641, 481);
        assert!(check_within(0, &place, 101, &tiled).is_ok());
        assert!(check_within(0, &place, 100, &tiled).is_err());
    }

    proptest! {
        #[test]
        fn no_numbers_panic_or_lead_outside(
            kinds in proptest::collection::vec(0u32..7, 0..7), fd in -2i32..9, offset: u32, stride: i32,
            with_points: bool, bytes: u64, width in SIDE_MIN..=SIDE_MAX, height in SIDE_MIN..=SIDE_MAX,
            modifier in prop_oneof![Just(MODIFIER_LINEAR), Just(MODIFIER_INVALID), Just(TILED)],
            format in prop_oneof![Just(VideoFormat::BGRx), Just(VideoFormat::NV12), Just(VideoFormat::P010_10LE)],
        ) {
            let agreed = agreed(format, modifier, width, height);
            let blocks: Vec<_> = kinds
                .into_iter()
                .map(|kind| (fd, Block { kind, offset, stride, ..Block::default() }))
                .collect();
            if let Ok(layout) = Layout::of(&blocks, with_points, &agreed) {
                prop_assert!(!layout.planes.is_empty() && layout.planes.len() <= DMABUF_PLANES_MAX);
                prop_assert_eq!(layout.timelines.is_some(), with_points);
                for (index, place) in layout.planes.iter().enumerate() {
                    prop_assert!(place.fd >= 0 && place.stride > 0 && place.stride <= DMABUF_STRIDE_MAX);
                    if check_within(index, place, bytes, &agreed).is_ok() {
                        prop_assert!(u64::from(place.offset) < bytes);
                        if modifier == MODIFIER_LINEAR {
                            let rows = u64::from(height / 2 - 1);
                            prop_assert!(u64::from(place.offset) + u64::from(place.stride) * rows < bytes);
                        }
                    }
                }
            }
        }
    }
}
