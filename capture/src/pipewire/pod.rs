//! Values that another process sent, read by hand.
//!
//! Promises: a read ends within the bytes that came. Refuses nothing: what is no value of the kind that is looked for is
//! left out.
//!
//! By hand, because the library's own reading of any value goes as deep as a value is nested, which is for another
//! process to choose.

use pipewire::spa::sys;

/// A property of an object.
#[derive(Clone, Copy)]
pub(super) struct Property<'a> {
    pub(super) key: u32,
    pub(super) flags: u32,
    pub(super) value: Value<'a>,
}

impl<'a> Property<'a> {
    /// Those of an object of this kind, a pod with its head.
    pub(super) fn all_of(pod: &'a [u8], kind: u32) -> Option<impl Iterator<Item = Self>> {
        let (object, _) = split(pod)?;
        if object.type_ != sys::SPA_TYPE_Object || word(object.body, 0)? != kind {
            return None;
        }
        let mut rest = object.body.get(8..)?;
        Some(std::iter::from_fn(move || {
            let (key, flags) = word(rest, 0).zip(word(rest, 4))?;
            let (value, behind) = split(&rest[8..])?;
            rest = behind;
            Some(Self { key, flags, value })
        }))
    }
}

/// A value: its type and its bytes.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    type_: u32,
    body: &'a [u8],
}

/// The word at `at`.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The value that `bytes` begin with, and what follows it, which begins at a multiple of 8.
fn split(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let size = usize::try_from(word(bytes, 0)?).ok()?;
    let (type_, end) = (word(bytes, 4)?, size.checked_add(8)?);
    let value = Value { type_, body: bytes.get(8..end)? };
    Some((value, bytes.get(end.next_multiple_of(8)..).unwrap_or_default()))
}

impl<'a> Value<'a> {
    /// The single values of type `type_` with `bytes` bytes each that this is or leaves a choice of, the preferred one first.
    pub(super) fn choices(self, type_: u32, bytes: usize) -> impl Iterator<Item = &'a [u8]> {
        let values = if self.type_ == type_ {
            self.body
        } else if self.type_ == sys::SPA_TYPE_Choice
            && word(self.body, 8).is_some_and(|size| size as usize == bytes)
            && word(self.body, 12) == Some(type_)
        {
            self.body.get(16..).unwrap_or_default()
        } else {
            &[]
        };
        values.chunks_exact(bytes)
    }

    /// The long numbers that this is or leaves a choice of.
    pub(super) fn longs(self) -> impl Iterator<Item = i64> {
        self.choices(sys::SPA_TYPE_Long, 8).filter_map(|long| long.try_into().ok().map(i64::from_ne_bytes))
    }

    /// The names that this is or leaves a choice of.
    pub(super) fn ids(self) -> impl Iterator<Item = u32> {
        self.choices(sys::SPA_TYPE_Id, 4).filter_map(|id| word(id, 0))
    }
}
