//! A picture that is encoded, step by step.

use std::time::Duration;

use super::Session;
use super::life::gone;
use super::traffic::{Encoded, Step};
use crate::error::NvencError;
use crate::live::{Live, Next};
use crate::picture::Wanted;
use crate::sys::NV_ENC_PIC_TYPE_IDR;

/// A picture that is encoded. It is read to its end ([`Step::Done`]) before the next one; one that is dropped before is given
/// up, and the next is an IDR.
#[derive(Debug)]
pub struct InFlight<'a> {
    pub(super) session: &'a mut Session,
}

impl InFlight<'_> {
    /// Whether it is an IDR, as it was handed in.
    #[must_use]
    pub fn is_idr(&self) -> bool {
        self.session.current.is_some_and(|wanted| wanted.is_idr)
    }

    /// What it is built on.
    #[must_use]
    pub fn reference(&self) -> Option<u64> {
        self.session.reference
    }

    /// Whether slices are out, of this picture or one before.
    #[must_use]
    pub fn has_lent(&self) -> bool {
        self.session.live.as_ref().is_some_and(Live::has_lent)
    }

    /// The next finished slice, or what there is instead; waits for `patience` at most, or for the picture's end where the
    /// driver does not say otherwise when that is ([`super::Counts::waits`]).
    ///
    /// # Errors
    /// The driver fails, or answers what cannot be; the picture is lost.
    pub fn next(&mut self, patience: Duration) -> Result<Step, NvencError> {
        self.session.next(patience)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.session.abandon();
    }
}

impl Session {
    /// What there is of the picture that is encoded.
    fn next(&mut self, patience: Duration) -> Result<Step, NvencError> {
        let live = self.live.as_mut().ok_or_else(|| gone("nvEncLockBitstream"))?;
        let next = live.next(patience);
        let is_partial = live.is_partial();
        let next = next.inspect_err(|error| self.judge(error, is_partial))?;
        Ok(match next {
            Next::Slice { slice, is_last } => Step::Slice { slice, is_last },
            Next::Nothing => Step::Nothing,
            Next::Lent => Step::Lent,
            Next::Done { kind, qp, bytes, slices, early, locked } => {
                let wanted = self.current.take().unwrap_or(Wanted { number: 0, is_idr: false, refresh: 0 });
                let is_idr = wanted.is_idr || kind == NV_ENC_PIC_TYPE_IDR;
                self.counts.pictures += 1;
                self.counts.idrs += u64::from(is_idr);
                if let Some(pictures) = &mut self.since_rebuild {
                    *pictures += 1;
                }
                let reference = self.reference.take().filter(|_| !is_idr);
                Step::Done(Encoded {
                    number: wanted.number,
                    is_idr,
                    kind,
                    reference,
                    bytes,
                    slices,
                    early,
                    qp,
                    locked,
                })
            }
        })
    }
}
