//! What a producer offers, and what it reads of what was agreed on.

use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{FormatProperties, MediaSubtype, MediaType};
use pipewire::spa::pod::deserialize::PodDeserializer;
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{ChoiceValue, Object, Pod, Property, PropertyFlags, Value};
use pipewire::spa::sys;
use pipewire::spa::utils::{Choice, ChoiceEnum, ChoiceFlags, Fraction, Id, Rectangle, SpaTypes};

pub const SYNC_TIMELINE: u32 = 9;
pub const META_TYPE: u32 = 7;

/// A modifier as a producer offers it.
#[derive(Clone, Debug)]
pub enum Offered {
    /// None: pictures in memory.
    Memory,
    /// Some of these, to be chosen from when it is known what the other side takes.
    Open(Vec<u64>),
    /// This one.
    Fixed(u64),
}

fn pod(type_: SpaTypes, id: ParamType, properties: Vec<Property>) -> Vec<u8> {
    let object = Object { type_: type_.as_raw(), id: id.as_raw(), properties };
    PodSerializer::serialize(std::io::Cursor::new(Vec::new()), &Value::Object(object)).unwrap().0.into_inner()
}

fn flagged(key: u32, flags: PropertyFlags, value: Value) -> Property {
    Property { key, flags, value }
}

fn longs(modifiers: &[u64]) -> Value {
    let alternatives: Vec<_> = modifiers.iter().map(|modifier| modifier.cast_signed()).collect();
    let choice = ChoiceEnum::Enum { default: alternatives[0], alternatives };
    Value::Choice(ChoiceValue::Long(Choice(ChoiceFlags::empty(), choice)))
}

pub fn format(format: u32, (width, height): (u32, u32), offered: &Offered) -> Vec<u8> {
    let id = |value| Value::Id(Id(value));
    let mut properties = vec![
        Property::new(FormatProperties::MediaType.as_raw(), id(MediaType::Video.as_raw())),
        Property::new(FormatProperties::MediaSubtype.as_raw(), id(MediaSubtype::Raw.as_raw())),
        Property::new(FormatProperties::VideoFormat.as_raw(), id(format)),
    ];
    let modifier = FormatProperties::VideoModifier.as_raw();
    match offered {
        Offered::Memory => {}
        Offered::Open(modifiers) => {
            let flags = PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE;
            properties.push(flagged(modifier, flags, longs(modifiers)));
        }
        Offered::Fixed(one) => properties.push(flagged(modifier, PropertyFlags::MANDATORY, longs(&[*one]))),
    }
    properties.push(Property::new(
        FormatProperties::VideoSize.as_raw(),
        Value::Rectangle(Rectangle { width, height }),
    ));
    let rate = |num| Fraction { num, denom: 1 };
    properties.push(Property::new(FormatProperties::VideoFramerate.as_raw(), Value::Fraction(rate(0))));
    properties.push(Property::new(FormatProperties::VideoMaxFramerate.as_raw(), Value::Fraction(rate(60))));
    pod(SpaTypes::ObjectParamFormat, ParamType::EnumFormat, properties)
}

/// Buffers of this kind of memory, so many and at most, with so many blocks.
pub fn buffers(
    kind: u32,
    (count, max): (i32, i32),
    blocks: i32,
    [stride, size]: [i32; 2],
    needs_points: bool,
) -> Vec<u8> {
    let count = ChoiceEnum::Range { default: count, min: 2, max };
    let memory = ChoiceEnum::Flags { default: 1 << kind, flags: vec![1 << kind] };
    let choice = |choice| Value::Choice(ChoiceValue::Int(Choice(ChoiceFlags::empty(), choice)));
    let mut properties = vec![
        Property::new(sys::SPA_PARAM_BUFFERS_buffers, choice(count)),
        Property::new(sys::SPA_PARAM_BUFFERS_blocks, Value::Int(blocks)),
        Property::new(sys::SPA_PARAM_BUFFERS_size, Value::Int(size)),
        Property::new(sys::SPA_PARAM_BUFFERS_stride, Value::Int(stride)),
        Property::new(sys::SPA_PARAM_BUFFERS_dataType, choice(memory)),
    ];
    if needs_points {
        properties.push(flagged(META_TYPE, PropertyFlags::MANDATORY, Value::Int(1 << SYNC_TIMELINE)));
    }
    pod(SpaTypes::ObjectParamBuffers, ParamType::Buffers, properties)
}

pub fn meta(kind: u32, size: i32) -> Vec<u8> {
    let properties = vec![
        Property::new(sys::SPA_PARAM_META_type, Value::Id(Id(kind))),
        Property::new(sys::SPA_PARAM_META_size, Value::Int(size)),
    ];
    pod(SpaTypes::ObjectParamMeta, ParamType::Meta, properties)
}

/// The modifiers of a format that was agreed on, and whether they are yet to be chosen from.
pub fn modifiers(format: &Pod) -> Option<(Vec<u64>, bool)> {
    let Value::Object(object) = PodDeserializer::deserialize_any_from(format.as_bytes()).unwrap().1 else {
        panic!("no object");
    };
    let key = FormatProperties::VideoModifier.as_raw();
    let property = object.properties.into_iter().find(|property| property.key == key)?;
    let is_open = property.flags.contains(PropertyFlags::DONT_FIXATE);
    let modifiers = match property.value {
        Value::Long(one) => vec![one],
        Value::Choice(ChoiceValue::Long(Choice(_, ChoiceEnum::None(one)))) => vec![one],
        Value::Choice(ChoiceValue::Long(Choice(_, ChoiceEnum::Enum { alternatives, .. }))) => alternatives,
        other => panic!("{other:?}"),
    };
    Some((modifiers.into_iter().map(i64::cast_unsigned).collect(), is_open))
}
