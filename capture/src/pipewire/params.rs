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
use crate::Mode;
use crate::limits::{
    REFRESH_MHZ_MAX, SIDE_MAX, SIDE_MIN, STREAM_BUFFERS, STREAM_BUFFERS_MAX, STREAM_BUFFERS_MIN,
    STREAM_CURSOR_SIDE_MAX, STREAM_DAMAGE_REGIONS, STREAM_DAMAGE_REGIONS_MAX,
};

/// The formats that are read, the preferred one first. The fourth byte is not looked at.
pub(super) const FORMATS: [VideoFormat; 4] =
    [VideoFormat::BGRx, VideoFormat::BGRA, VideoFormat::RGBx, VideoFormat::RGBA];

/// Where a producer is to put its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory<'a> {
    /// In a file in memory, from which they are read.
    Shared,
    /// In a GPU's memory, laid out as one of these modifiers says. Nothing here imports it yet, so no
    /// connection asks for it.
    #[cfg_attr(not(test), expect(dead_code, reason = "taken once there is an importer of dmabufs"))]
    DmaBuf {
        /// DRM format modifiers, the preferred one first.
        modifiers: &'a [i64],
    },
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

/// The formats that would do, best first: at most `wanted`'s refresh, then any refresh, for a producer that
/// cannot slow down is better than none.
pub(super) fn formats(wanted: Mode, size: Size, memory: Memory<'_>) -> Vec<Param> {
    vec![format(wanted, size, memory, wanted.refresh_mhz()), format(wanted, size, memory, REFRESH_MHZ_MAX)]
}

fn format(wanted: Mode, size: Size, memory: Memory<'_>, refresh_mhz_max: u32) -> Param {
    let id = |value| Value::Id(Id(value));
    let mut properties = vec![
        property(FormatProperties::MediaType, id(MediaType::Video.as_raw())),
        property(FormatProperties::MediaSubtype, id(MediaSubtype::Raw.as_raw())),
        property(
            FormatProperties::VideoFormat,
            Value::Choice(ChoiceValue::Id(choice(ChoiceEnum::Enum {
                default: Id(FORMATS[0].as_raw()),
                alternatives: FORMATS.iter().map(|format| Id(format.as_raw())).collect(),
            }))),
        ),
    ];
    if let Memory::DmaBuf { modifiers } = memory {
        let default = modifiers.first().copied().unwrap_or_default();
        let alternatives = modifiers.to_vec();
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

/// The buffers and the metadata that go with a format that was agreed on.
pub(super) fn buffers() -> Vec<Param> {
    let int = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let memory = 1 << DataType::MemFd.as_raw();
    let count = ChoiceEnum::Range {
        default: int(STREAM_BUFFERS),
        min: int(STREAM_BUFFERS_MIN),
        max: int(STREAM_BUFFERS_MAX),
    };
    let buffers = vec![
        Property::new(sys::SPA_PARAM_BUFFERS_buffers, Value::Choice(ChoiceValue::Int(choice(count)))),
        Property::new(sys::SPA_PARAM_BUFFERS_blocks, Value::Int(1)),
        Property::new(
            sys::SPA_PARAM_BUFFERS_dataType,
            Value::Choice(ChoiceValue::Int(choice(ChoiceEnum::Flags {
                default: memory,
                flags: vec![memory],
            }))),
        ),
    ];
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
    vec![
        Param::of(SpaTypes::ObjectParamBuffers, ParamType::Buffers, buffers),
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
        let asked = formats(wanted, Size::Theirs, Memory::Shared);
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
        let made = properties(&formats(wanted, Size::Wanted, Memory::Shared)[0]);
        let Value::Choice(ChoiceValue::Rectangle(Choice(_, ChoiceEnum::Range { min, max, .. }))) =
            &find(&made, sides).unwrap().value
        else {
            panic!("no range of sizes");
        };
        assert_eq!((min.width, min.height, max.width, max.height), (1280, 720, 1280, 720));
    }

    #[test]
    fn a_modifier_is_mandatory_and_left_open() {
        let wanted = Mode::new(1280, 720, 60_000).unwrap();
        let asked = formats(wanted, Size::Theirs, Memory::DmaBuf { modifiers: &[7, 0] });
        let properties = properties(&asked[0]);
        let modifier = find(&properties, FormatProperties::VideoModifier.as_raw()).unwrap();
        assert!(modifier.flags.contains(PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE));
    }

    #[test]
    fn four_buffers_of_a_file_are_asked_for() {
        let asked = buffers();
        let properties = properties(&asked[0]);
        let Value::Choice(ChoiceValue::Int(Choice(_, ChoiceEnum::Range { default, min, .. }))) =
            &find(&properties, sys::SPA_PARAM_BUFFERS_buffers).unwrap().value
        else {
            panic!("no range of buffers");
        };
        assert_eq!((*default, *min), (4, 2));
        let kinds = asked[1..].iter().map(|param| match &self::properties(param)[0].value {
            Value::Id(Id(kind)) => *kind,
            other => panic!("{other:?}"),
        });
        let wanted = [sys::SPA_META_Header, sys::SPA_META_VideoDamage, sys::SPA_META_Cursor];
        assert_eq!(kinds.collect::<Vec<_>>(), wanted);
    }
}
