//! What makes a bitstream of a picture.

use std::ops::Range;

use punktfunk_nvenc::sys::*;
use stand_in_h264::{Chroma, Config, Profile, Request, Source, Writer};

use crate::card::Codec;
use crate::config::Setup;
use crate::marked::{Framing, Mark, Marked};
use crate::references::Kind;
use crate::resource::Layout;
use crate::status::{Answer, Refused};

/// The encoder of one stream.
#[derive(Debug)]
pub(crate) enum Engine {
    H264(Box<Writer>),
    Marked(Marked),
}

/// A picture that is to be written now.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) reference: Option<u64>,
    pub(crate) parameter_sets: bool,
    /// Bits; not said: as many as it takes.
    pub(crate) budget_bits: Option<u64>,
    /// The part of a wave that this picture is: which of how many.
    pub(crate) wave: Option<(u32, u32)>,
    /// Says that the picture is whole after so many more.
    pub(crate) recovery: Option<u32>,
    pub(crate) sum: u64,
}

impl Engine {
    /// An encoder that begins with an IDR; refused where the level does not hold what is asked.
    pub(crate) fn new(setup: &Setup) -> Answer<Self> {
        Ok(match setup.codec {
            Codec::H264 => match Writer::new(h264(setup)) {
                Ok(writer) => Self::H264(Box::new(writer)),
                Err(refusal) => return Refused::breach(NV_ENC_ERR_INVALID_PARAM, refusal.to_string()),
            },
            Codec::Hevc => Self::Marked(Marked::new(Framing::Hevc)),
            Codec::Av1 => Self::Marked(Marked::new(Framing::Av1)),
        })
    }

    /// Goes on as `next`, which begins with an IDR.
    pub(crate) fn replace(&mut self, next: Engine) {
        let next = match (next, &*self) {
            (Self::H264(next), Self::H264(writer)) => Self::H264(Box::new(next.following(writer))),
            (next, _) => next,
        };
        *self = next;
    }

    pub(crate) fn set_slices(&mut self, slices: u32) {
        match self {
            Self::H264(writer) => writer.set_slices(slices),
            Self::Marked(_) => {}
        }
    }

    pub(crate) fn invalidate(&mut self, id: u64) {
        match self {
            Self::H264(writer) => drop(writer.invalidate(id)),
            Self::Marked(_) => {}
        }
    }

    pub(crate) fn parameter_sets(&mut self) -> &[u8] {
        match self {
            Self::H264(writer) => writer.parameter_sets(),
            Self::Marked(marked) => marked.parameter_sets(),
        }
    }

    /// Takes the picture in.
    pub(crate) fn take(&mut self, layout: &Layout, setup: &Setup, memory: &[u8]) -> Answer {
        let Self::H264(writer) = self else { return Ok(()) };
        let chroma = if layout.is_444() { Chroma::Yuv444 } else { Chroma::Yuv420 };
        // Chroma lies behind the luma of the registered height; only equal heights are let through.
        let source = Source::new(chroma, setup.width, setup.height, layout.pitch as usize, memory);
        match source.and_then(|source| writer.take(&source)) {
            Ok(()) => Ok(()),
            Err(refusal) => Refused::world(NV_ENC_ERR_GENERIC, refusal.to_string()),
        }
    }

    /// Writes it; macroblocks written whole, and copied.
    pub(crate) fn write(
        &mut self,
        order: &Order,
        setup: &Setup,
        sink: &mut dyn FnMut(Option<u32>, &[u8]),
    ) -> (u32, u32) {
        match self {
            Self::H264(writer) => {
                let coded = writer.write(&request(order, setup), &mut |part| sink(part.slice, part.bytes));
                debug_assert_eq!(coded.reference, order.reference, "both model the same buffer");
                (coded.whole, coded.skipped)
            }
            Self::Marked(marked) => {
                let mark = Mark {
                    id: order.id,
                    kind: order.kind,
                    reference: order.reference,
                    sum: order.sum,
                    slices: setup.slices(),
                    bytes: order.budget_bits.map_or(0, |bits| (bits / 8) as usize),
                    parameter_sets: order.parameter_sets,
                };
                marked.write(&mark, sink);
                (0, 0)
            }
        }
    }
}

fn request(order: &Order, setup: &Setup) -> Request {
    Request {
        id: order.id,
        idr: order.kind == Kind::Idr,
        parameter_sets: order.parameter_sets,
        delimiter: setup.part.delimiter,
        budget_bits: order.budget_bits,
        refresh_rows: order.wave.map_or(0..0, |wave| wave_rows(wave, setup.rows())),
        recovery_point: order.recovery,
    }
}

/// A wave goes down the picture: the part of it that falls to picture `at` of `count`.
fn wave_rows((at, count): (u32, u32), rows: u32) -> Range<u32> {
    at * rows / count..(at + 1) * rows / count
}

fn h264(setup: &Setup) -> Config {
    let profile = match setup.part.profile {
        _ if setup.part.is_444 => Profile::High444,
        NV_ENC_H264_PROFILE_BASELINE_GUID => Profile::Baseline,
        NV_ENC_H264_PROFILE_MAIN_GUID => Profile::Main,
        _ => Profile::High,
    };
    Config {
        width: setup.width,
        height: setup.height,
        chroma: if setup.part.is_444 { Chroma::Yuv444 } else { Chroma::Yuv420 },
        profile,
        level: (setup.part.level > 0).then_some(setup.part.level as u8),
        references: setup.part.references,
        slices: setup.slices(),
        rate: setup.rate,
        colour: setup.part.colour,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_covers_every_row_once() {
        for (rows, count) in [(23, 5), (4, 9), (68, 68)] {
            let all: Vec<u32> = (0..count).flat_map(|at| wave_rows((at, count), rows)).collect();
            assert_eq!(all, (0..rows).collect::<Vec<_>>());
        }
    }
}
