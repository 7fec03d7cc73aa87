//! Bounded pieces of messages: texts, lists and numbers that stand for words.
//!
//! Promises: nothing longer than its limit is ever kept; what our own side hands in is cut to the
//! limit, what a peer sends beyond it is an error; a peer's text is fit for a terminal. Refuses: nothing
//! else; unknown numbers in a list are skipped, so that an old end can meet a new one.

use minicbor::{
    Decode, Decoder, Encode, Encoder,
    decode::{self, ArrayIterWithCtx},
    encode::{self, Write},
};

use crate::limits::{LIST_LENGTH_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use crate::printable::printable;

/// A word that travels as a number.
pub(crate) trait WireNumber: Sized {
    /// The word's number.
    fn number(&self) -> u16;
    /// The number's word, if this end knows it.
    fn from_number(number: u16) -> Option<Self>;
}

/// The longest prefix of `text` that is at most `bytes_max` long and ends between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

fn decode_text(decoder: &mut Decoder<'_>, bytes_max: usize) -> Result<String, decode::Error> {
    let at = decoder.position();
    let text = decoder.str()?;
    if text.len() > bytes_max {
        return Err(decode::Error::message("a text is longer than its limit").at(at));
    }
    Ok(printable(text))
}

/// A required text of at most `TEXT_BYTES_MAX`.
pub(crate) mod text {
    use super::*;

    #[allow(clippy::ptr_arg)] // the derive hands in the field as it is
    pub(crate) fn encode<C, W: Write>(
        text: &String,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(cut(text, TEXT_BYTES_MAX))?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<String, decode::Error> {
        decode_text(d, TEXT_BYTES_MAX)
    }
}

/// A required name of at most `NAME_BYTES_MAX`.
pub(crate) mod name {
    use super::*;

    #[allow(clippy::ptr_arg)] // the derive hands in the field as it is
    pub(crate) fn encode<C, W: Write>(
        name: &String,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(cut(name, NAME_BYTES_MAX))?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<String, decode::Error> {
        decode_text(d, NAME_BYTES_MAX)
    }
}

/// A name that may be absent.
pub(crate) mod optional_name {
    use super::*;

    pub(crate) fn encode<C, W: Write>(
        name: &Option<String>,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match name {
            Some(name) => e.str(cut(name, NAME_BYTES_MAX))?.ok(),
            None => e.null()?.ok(),
        }
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Option<String>, decode::Error> {
        if d.datatype()? == minicbor::data::Type::Null {
            d.skip()?;
            return Ok(None);
        }
        decode_text(d, NAME_BYTES_MAX).map(Some)
    }

    pub(crate) fn nil() -> Option<Option<String>> {
        Some(None)
    }

    pub(crate) fn is_nil(name: &Option<String>) -> bool {
        name.is_none()
    }
}

/// A required word from a closed set; an unknown number is an error.
pub(crate) mod number {
    use super::*;

    pub(crate) fn encode<C, W: Write, T: WireNumber>(
        word: &T,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.u16(word.number())?.ok()
    }

    pub(crate) fn decode<C, T: WireNumber>(d: &mut Decoder<'_>, _: &mut C) -> Result<T, decode::Error> {
        let at = d.position();
        T::from_number(d.u16()?)
            .ok_or_else(|| decode::Error::message("a number that stands for no word this end knows").at(at))
    }
}

/// A word that is told where it is not the usual one; an unknown number is an error.
pub(crate) mod unusual {
    use super::*;

    pub(crate) fn encode<C, W: Write, T: WireNumber>(
        word: &T,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        number::encode(word, e, ctx)
    }

    pub(crate) fn decode<C, T: WireNumber + Default>(
        d: &mut Decoder<'_>,
        ctx: &mut C,
    ) -> Result<T, decode::Error> {
        if d.datatype()? == minicbor::data::Type::Null {
            d.skip()?;
            return Ok(T::default());
        }
        number::decode(d, ctx)
    }

    pub(crate) fn nil<T: Default>() -> Option<T> {
        Some(T::default())
    }

    pub(crate) fn is_nil<T: Default + PartialEq>(word: &T) -> bool {
        *word == T::default()
    }
}

/// A list of words; those that this end does not know are skipped.
pub(crate) mod known_list {
    use super::*;

    #[allow(clippy::ptr_arg)] // the derive hands in the field as it is
    pub(crate) fn encode<C, W: Write, T: WireNumber>(
        words: &Vec<T>,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let words = &words[..words.len().min(LIST_LENGTH_MAX)];
        e.array(words.len() as u64)?;
        for word in words {
            e.u16(word.number())?;
        }
        Ok(())
    }

    pub(crate) fn decode<C, T: WireNumber>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<T>, decode::Error> {
        let at = d.position();
        let mut words = Vec::new();
        for (index, number) in d.array_iter::<u16>()?.enumerate() {
            if index == LIST_LENGTH_MAX {
                return Err(decode::Error::message("a list is longer than its limit").at(at));
            }
            words.extend(T::from_number(number?));
        }
        Ok(words)
    }
}

/// A list of structures.
pub(crate) mod list {
    use super::*;

    #[allow(clippy::ptr_arg)] // the derive hands in the field as it is
    pub(crate) fn encode<C, W: Write, T: Encode<C>>(
        entries: &Vec<T>,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let entries = &entries[..entries.len().min(LIST_LENGTH_MAX)];
        e.array(entries.len() as u64)?;
        for entry in entries {
            entry.encode(e, ctx)?;
        }
        Ok(())
    }

    pub(crate) fn decode<'b, C, T: Decode<'b, C>>(
        d: &mut Decoder<'b>,
        ctx: &mut C,
    ) -> Result<Vec<T>, decode::Error> {
        let at = d.position();
        let mut entries = Vec::new();
        let iter: ArrayIterWithCtx<'_, 'b, C, T> = d.array_iter_with(ctx)?;
        for entry in iter {
            if entries.len() == LIST_LENGTH_MAX {
                return Err(decode::Error::message("a list is longer than its limit").at(at));
            }
            entries.push(entry?);
        }
        Ok(entries)
    }
}
