//! What is asked of a producer: formats, buffers, metadata.
//!
//! Promises: each question is one pod, built once for a connection; the wanted mode stands first in every range.
//! Refuses nothing: what comes back is judged by [`super::agreed`].

use pipewire::spa::buffer::DataType;
use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{FormatProperties, MediaSubtype, MediaType};
use pipewire::spa::param::video::VideoFormat;
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{ChoiceValue, Object, Pod, Property, PropertyFlags, Value};
use pipewire::spa::sys;
use pipewire::spa::utils::{Choice, ChoiceEnum, ChoiceFlags, Fraction, Id, Rectangle, SpaTypes};

use super::cursor;
use super::fourcc::{self, Format};
use super::raw::Points;
use crate::Mode;
use crate::limits::{
    DMABUF_MODIFIERS_MAX, REFRESH_MHZ_MAX, SIDE_MAX, SIDE_MIN, STREAM_BUFFERS, STREAM_BUFFERS_MAX,
    STREAM_BUFFERS_MIN, STREAM_CURSOR_SIDE_MAX, STREAM_DAMAGE_REGIONS, STREAM_DAMAGE_REGIONS_MAX,
    STREAM_DMABUFS,
};

/// The formats that are read, the preferred one first. The fourth byte is not looked at.
pub(super) const FORMATS: [VideoFormat; 4] =
    [VideoFormat::BGRx, VideoFormat::BGRA, VideoFormat::RGBx, VideoFormat::RGBA];

/// Where a producer is to put its pictures.
#[derive(Clone, Copy, Debug)]
enum Memory<'a> {
    /// In a file in memory, from which they are read.
    Shared,
    /// In a GPU's memory, in this format, laid out as one of these modifiers says, the preferred one first.
    DmaBuf { format: &'static Format, modifiers: &'a [u64] },
}

/// How large the pictures are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// As large as the producer's are: the screen exists.
    Theirs,
    /// As large as was wanted: the producer makes a screen of that size.
    Wanted,
}

/// One pod, ready to be sent.
#[derive(Debug)]
pub(super) struct Param(Vec<u8>);

impl Param {
    fn of(type_: SpaTypes, id: ParamType, properties: Vec<Property>) -> Self {
        let object = Object { type_: type_.as_raw(), id: id.as_raw(), properties };
        let bytes = PodSerializer::serialize(std::io::Cursor::new(Vec::new()), &Value::Object(object));
        // Memory takes everything; an empty pod would be refused by the library, by name.
        Self(bytes.map_or_else(|_| Vec::new(), |(cursor, _)| cursor.into_inner()))
    }

    /// As the library takes it.
    pub(super) fn pod(&self) -> Option<&Pod> {
        Pod::from_bytes(&self.0)
    }
}

/// The formats that would do, best first: dmabufs in what is wished for of `dmabufs`, then memory; at most `wanted`'s
/// refresh, then any refresh, for a producer that cannot slow down is better than none.
pub(super) fn formats(wanted: Mode, size: Size, dmabufs: &[(u32, Vec<u64>)]) -> Vec<Param> {
    let known =
        dmabufs.iter().filter(|(_, modifiers)| !modifiers.is_empty()).filter_map(|(fourcc, modifiers)| {
            let modifiers = &modifiers[..modifiers.len().min(DMABUF_MODIFIERS_MAX)];
            fourcc::by_fourcc(*fourcc).map(|format| Memory::DmaBuf { format, modifiers })
        });
    let mut params: Vec<_> = [wanted.refresh_mhz(), REFRESH_MHZ_MAX]
        .into_iter()
        .flat_map(|refresh_mhz| known.clone().map(move |memory| format(wanted, size, memory, refresh_mhz)))
        .collect();
    params
        .extend([wanted.refresh_mhz(), REFRESH_MHZ_MAX].map(|mhz| format(wanted, size, Memory::Shared, mhz)));
    params
}

fn format(wanted: Mode, size: Size, memory: Memory<'_>, refresh_mhz_max: u32) -> Param {
    let id = |value| Value::Id(Id(value));
    let mut properties = vec![
        property(FormatProperties::MediaType, id(MediaType::Video.as_raw())),
        property(FormatProperties::MediaSubtype, id(MediaSubtype::Raw.as_raw())),
        property(
            FormatProperties::VideoFormat,
            match memory {
                Memory::Shared => Value::Choice(ChoiceValue::Id(choice(ChoiceEnum::Enum {
                    default: Id(FORMATS[0].as_raw()),
                    alternatives: FORMATS.iter().map(|format| Id(format.as_raw())).collect(),
                }))),
                // One for each format, because each has modifiers of its own.
                Memory::DmaBuf { format, .. } => id(format.spa),
            },
        ),
    ];
    if let Memory::DmaBuf { modifiers, .. } = memory {
        let alternatives: Vec<_> = modifiers.iter().map(|modifier| modifier.cast_signed()).collect();
        let default = alternatives.first().copied().unwrap_or_default();
        let mut modifier = property(
            FormatProperties::VideoModifier,
            Value::Choice(ChoiceValue::Long(choice(ChoiceEnum::Enum { default, alternatives }))),
        );
        // The producer must know modifiers, and leaves the choice among them to us.
        modifier.flags = PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE;
        properties.push(modifier);
    }
    let side = |side| Rectangle { width: side, height: side };
    let wanted_size = Rectangle { width: wanted.width(), height: wanted.height() };
    let (min, max) = match size {
        Size::Theirs => (side(SIDE_MIN), side(SIDE_MAX)),
        Size::Wanted => (wanted_size, wanted_size),
    };
    let sides = ChoiceEnum::Range { default: wanted_size, min, max };
    properties
        .push(property(FormatProperties::VideoSize, Value::Choice(ChoiceValue::Rectangle(choice(sides)))));
    let rate = Fraction { num: wanted.refresh_mhz(), denom: 1000 };
    let rate_max = Fraction { num: refresh_mhz_max, denom: 1000 };
    let none = Fraction { num: 0, denom: 1 };
    // A screen has no fixed rate, and says so by a rate of 0 and a highest one.
    for (key, max) in [
        (FormatProperties::VideoFramerate, Fraction { num: REFRESH_MHZ_MAX, denom: 1000 }),
        (FormatProperties::VideoMaxFramerate, rate_max),
    ] {
        let range = ChoiceEnum::Range { default: rate, min: none, max };
        properties.push(property(key, Value::Choice(ChoiceValue::Fraction(choice(range)))));
    }
    Param::of(SpaTypes::ObjectParamFormat, ParamType::EnumFormat, properties)
}

/// What the buffers are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buffers {
    /// Files in memory.
    Shared,
    /// Dmabufs, with timelines where the producer has any and they are of use here.
    Dmabufs { with_timelines: bool },
}

/// The buffers and the metadata that go with a format that was agreed on, the preferred ones first.
pub(super) fn buffers(kind: Buffers) -> Vec<Param> {
    let mut params = match kind {
        Buffers::Shared => {
            // Only of memory it is known here how many blocks there are.
            let blocks = Property::new(sys::SPA_PARAM_BUFFERS_blocks, Value::Int(1));
            vec![buffers_of(DataType::MemFd, STREAM_BUFFERS, Some(blocks))]
        }
        Buffers::Dmabufs { with_timelines: false } => {
            vec![buffers_of(DataType::DmaBuf, STREAM_DMABUFS, None)]
        }
        Buffers::Dmabufs { with_timelines: true } => {
            // A layout that only goes with points; a producer without them has the next one.
            let mut points = Property::new(BUFFERS_META_TYPE, Value::Int(1 << Points::KIND));
            points.flags = PropertyFlags::MANDATORY;
            let bytes = i32::try_from(Points::BYTES).unwrap_or(i32::MAX);
            vec![
                buffers_of(DataType::DmaBuf, STREAM_DMABUFS, Some(points)),
                buffers_of(DataType::DmaBuf, STREAM_DMABUFS, None),
                meta(Points::KIND, Value::Int(bytes)),
            ]
        }
    };
    params.extend(metadata());
    params
}

/// Which metadata a layout of buffers goes with: PipeWire's number of the property (`spa/param/buffers.h`, since 0.3.65).
const BUFFERS_META_TYPE: u32 = 7;

fn buffers_of(memory: DataType, count: u32, more: Option<Property>) -> Param {
    let int = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let memory = 1 << memory.as_raw();
    let count =
        ChoiceEnum::Range { default: int(count), min: int(STREAM_BUFFERS_MIN), max: int(STREAM_BUFFERS_MAX) };
    let mut properties = vec![
        Property::new(sys::SPA_PARAM_BUFFERS_buffers, Value::Choice(ChoiceValue::Int(choice(count)))),
        Property::new(
            sys::SPA_PARAM_BUFFERS_dataType,
            Value::Choice(ChoiceValue::Int(choice(ChoiceEnum::Flags {
                default: memory,
                flags: vec![memory],
            }))),
        ),
    ];
    properties.extend(more);
    Param::of(SpaTypes::ObjectParamBuffers, ParamType::Buffers, properties)
}

fn metadata() -> [Param; 3] {
    let int_of = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    let header = Value::Int(int_of(size_of::<sys::spa_meta_header>()));
    let cursor = ChoiceEnum::Range {
        default: int_of(cursor::bytes_of(64)),
        min: int_of(cursor::bytes_of(1)),
        max: int_of(cursor::bytes_of(STREAM_CURSOR_SIDE_MAX)),
    };
    let region = size_of::<sys::spa_meta_region>();
    let damage = ChoiceEnum::Range {
        default: int_of(region * STREAM_DAMAGE_REGIONS),
        min: int_of(region),
        max: int_of(region * STREAM_DAMAGE_REGIONS_MAX),
    };
    [
        meta(sys::SPA_META_Header, header),
        meta(sys::SPA_META_VideoDamage, Value::Choice(ChoiceValue::Int(choice(damage)))),
        meta(sys::SPA_META_Cursor, Value::Choice(ChoiceValue::Int(choice(cursor)))),
    ]
}

fn meta(kind: u32, size: Value) -> Param {
    let properties = vec![
        Property::new(sys::SPA_PARAM_META_type, Value::Id(Id(kind))),
        Property::new(sys::SPA_PARAM_META_size, size),
    ];
    Param::of(SpaTypes::ObjectParamMeta, ParamType::Meta, properties)
}

fn property(key: FormatProperties, value: Value) -> Property {
    Property::new(key.as_raw(), value)
}

fn choice<T: pipewire::spa::pod::CanonicalFixedSizedPod>(choice: ChoiceEnum<T>) -> Choice<T> {
    Choice(ChoiceFlags::empty(), choice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipewire::spa::pod::deserialize::PodDeserializer;

    fn properties(param: &Param) -> Vec<Property> {
        assert!(param.pod().is_some());
        match PodDeserializer::deserialize_any_from(&param.0).unwrap().1 {
            Value::Object(object) => object.properties,
            other => panic!("{other:?}"),
        }
    }

    fn find(properties: &[Property], key: u32) -> Option<&Property> {
        properties.iter().find(|property| property.key == key)
    }

    #[test]
    fn the_wanted_mode_is_asked_for_first() {
        let wanted = Mode::new(1280, 720, 59_940).unwrap();
        let asked = formats(wanted, Size::Theirs, &[]);
        assert_eq!(asked.len(), 2);
        let sides = FormatProperties::VideoSize.as_raw();
        let rate_max = FormatProperties::VideoMaxFramerate.as_raw();
        for (param, max_mhz) in asked.iter().zip([59_940, REFRESH_MHZ_MAX]) {
            let properties = properties(param);
            // A modifier would ask for GPU memory.
            assert!(find(&properties, FormatProperties::VideoModifier.as_raw()).is_none());
            let Value::Choice(ChoiceValue::Rectangle(Choice(_, ChoiceEnum::Range { default, min, max }))) =
                &find(&properties, sides).unwrap().value
            else {
                panic!("no range of sizes");
            };
            assert_eq!((default.width, default.height), (1280, 720));
            assert_eq!((min.width, max.height), (SIDE_MIN, SIDE_MAX));
            let Value::Choice(ChoiceValue::Fraction(Choice(_, ChoiceEnum::Range { max, .. }))) =
                &find(&properties, rate_max).unwrap().value
            else {
                panic!("no range of rates");
            };
            assert_eq!((max.num, max.denom), (max_mhz, 1000));
        }
        let made = properties(&formats(wanted, Size::Wanted, &[])[0]);
        let Value::Choice(ChoiceValue::Rectangle(Choice(_, ChoiceEnum::Range { min, max, .. }))) =
            &find(&made, sides).unwrap().value
        else {
            panic!("no range of sizes");
        };
        assert_eq!((min.width, min.height, max.width, max.height), (1280, 720, 1280, 720));
    }

    #[test]
    fn a_modifier_is_mandatory_and_left_open_and_memory_comes_last() {
        let wanted = Mode::new(1280, 720, 60_000).unwrap();
        let [xr24, ab24, unknown] = [*b"XR24", *b"AB24", *b"????"].map(u32::from_le_bytes);
        let wish = [(xr24, vec![7, 0]), (unknown, vec![0]), (ab24, vec![u64::MAX]), (xr24, vec![])];
        let asked = formats(wanted, Size::Theirs, &wish);
        let said: Vec<_> = asked
            .iter()
            .map(|param| {
                let properties = properties(param);
                let modifier = find(&properties, FormatProperties::VideoModifier.as_raw())?;
                assert!(modifier.flags.contains(PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE));
                let Value::Choice(ChoiceValue::Long(Choice(_, ChoiceEnum::Enum { default, alternatives }))) =
                    &modifier.value
                else {
                    panic!("no choice of modifiers");
                };
                assert_eq!(*default, alternatives[0]);
                let format = &find(&properties, FormatProperties::VideoFormat.as_raw()).unwrap().value;
                let Value::Id(Id(format)) = format else { panic!("no format") };
                Some((*format, alternatives.clone()))
            })
            .collect();
        let [bgrx, rgba] = [VideoFormat::BGRx, VideoFormat::RGBA].map(|format| format.as_raw());
        let dmabufs = [Some((bgrx, vec![7, 0])), Some((rgba, vec![-1]))];
        assert_eq!(said, [&dmabufs[..], &dmabufs[..], &[None, None]].concat());
    }

    fn kinds(asked: &[Param]) -> Vec<u32> {
        let kind = |param| match &properties(param)[0].value {
            Value::Id(Id(kind)) => *kind,
            other => panic!("{other:?}"),
        };
        asked.iter().map(kind).collect()
    }

    #[test]
    fn four_buffers_of_a_file_are_asked_for_and_more_dmabufs() {
        let count_and_memory = |param: &Param| {
            let properties = properties(param);
            let Value::Choice(ChoiceValue::Int(Choice(_, ChoiceEnum::Range { default, min, .. }))) =
                &find(&properties, sys::SPA_PARAM_BUFFERS_buffers).unwrap().value
            else {
                panic!("no range of buffers");
            };
            let Value::Choice(ChoiceValue::Int(Choice(_, ChoiceEnum::Flags { default: memory, .. }))) =
                &find(&properties, sys::SPA_PARAM_BUFFERS_dataType).unwrap().value
            else {
                panic!("no kinds of memory");
            };
            (*default, *min, *memory)
        };
        let shared = buffers(Buffers::Shared);
        assert_eq!(count_and_memory(&shared[0]), (4, 2, 1 << DataType::MemFd.as_raw()));
        let metas = [sys::SPA_META_Header, sys::SPA_META_VideoDamage, sys::SPA_META_Cursor];
        assert_eq!(kinds(&shared[1..]), metas);

        let dmabuf = (5, 2, 1 << DataType::DmaBuf.as_raw());
        let dmabufs = buffers(Buffers::Dmabufs { with_timelines: false });
        assert_eq!(count_and_memory(&dmabufs[0]), dmabuf);
        assert_eq!(kinds(&dmabufs[1..]), metas);
        let timed = buffers(Buffers::Dmabufs { with_timelines: true });
        assert_eq!([&timed[0], &timed[1]].map(count_and_memory), [dmabuf; 2]);
        let points = |param| find(&properties(param), BUFFERS_META_TYPE).map(|found| found.flags);
        assert_eq!([points(&timed[0]), points(&timed[1])], [Some(PropertyFlags::MANDATORY), None]);
        assert_eq!(kinds(&timed[2..]), [&[Points::KIND][..], &metas[..]].concat());
    }
}
