//! When to restart decoding: the client's requests for an IDR and the host's decision to grant one.
//!
//! [`IdrRequester`] watches what is delivered and lost, says which AUs no decoder could use, and asks until a clean
//! point has come. [`IdrGate`] turns requests into forced IDRs, at most one in its spacing.
//!
//! Promises that a lost reference is asked for until it is replaced, and that a request overtaken by an IDR costs
//! nothing. It refuses to judge codecs: whether AUs refer to each other is told to `new`.

use std::time::{Duration, Instant};

use crate::delivery::LostAu;
use crate::wire::Flags;

/// How often an unanswered request is repeated: several round trips and an encode on any LAN.
pub const REQUEST_INTERVAL: Duration = Duration::from_millis(100);
/// The usual least time between forced IDRs: an IDR of five mean AUs every 100 ms is all that a rate can carry.
pub const IDR_SPACING: Duration = Duration::from_millis(100);

/// What to do with a delivered block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Hand it to the decoder.
    Decode,
    /// It refers to what was lost: drop it, and count it as dropped.
    Drop,
}

/// The client's side.
#[derive(Debug, Clone)]
pub struct IdrRequester {
    references: bool,
    waiting: Option<Waiting>,
    /// A clean point has come since the start or the last loss.
    clean: bool,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// Only an IDR newer than this helps.
    after_au: u32,
    next_request: Instant,
}

impl IdrRequester {
    /// For a codec whose AUs refer to earlier ones (`references`), or one where each stands for itself.
    pub const fn new(references: bool) -> Self {
        Self { references, waiting: None, clean: false }
    }

    /// AUs were lost.
    pub fn handle_lost(&mut self, lost: &LostAu, now: Instant) {
        self.handle_damage(lost.last(), now);
    }

    /// AU `au` cannot be used: the decoder refused it.
    pub fn handle_damage(&mut self, au: u32, now: Instant) {
        if !self.references {
            return;
        }
        let next_request = self.waiting.map_or(now, |waiting| waiting.next_request);
        self.waiting = Some(Waiting { after_au: au, next_request });
        self.clean = false;
    }

    /// A block of AU `au` was delivered: may it be decoded?
    pub fn admit(&mut self, au: u32, flags: Flags, now: Instant) -> Admission {
        if !self.references {
            return Admission::Decode;
        }
        let clean_point = flags.idr() || flags.recovery_point();
        match self.waiting {
            None if self.clean => Admission::Decode,
            // The very first AU needs a clean point too.
            None if clean_point => self.restart(),
            // Nothing was lost before it: the first AU itself is what an IDR has to follow.
            None => {
                self.waiting = Some(Waiting { after_au: au, next_request: now });
                Admission::Drop
            }
            Some(waiting) if clean_point && au > waiting.after_au => self.restart(),
            Some(_) => Admission::Drop,
        }
    }

    /// A request that is due: "send an IDR newer than this AU". The number is that of an AU which was lost, refused or
    /// no clean point where one was needed: 0 means AU 0 and nothing else.
    pub fn poll_request(&mut self, now: Instant) -> Option<u32> {
        let waiting = self.waiting.as_mut().filter(|waiting| waiting.next_request <= now)?;
        waiting.next_request = now + REQUEST_INTERVAL;
        Some(waiting.after_au)
    }

    fn restart(&mut self) -> Admission {
        self.waiting = None;
        self.clean = true;
        Admission::Decode
    }
}

/// The host's side.
#[derive(Debug, Clone)]
pub struct IdrGate {
    spacing: Duration,
    last: Option<LastIdr>,
    /// A request is open.
    wanted: bool,
}

#[derive(Debug, Clone, Copy)]
struct LastIdr {
    au: u32,
    at: Instant,
}

impl IdrGate {
    /// A gate that forces IDRs at most once in `spacing` ([`IDR_SPACING`]).
    pub const fn new(spacing: Duration) -> Self {
        Self { spacing, last: None, wanted: false }
    }

    /// The client asks for an IDR newer than `after_au`. A request that an IDR has overtaken is ignored.
    pub fn handle_request(&mut self, after_au: u32) {
        self.wanted |= self.last.is_none_or(|last| last.au <= after_au);
    }

    /// Shall the next picture be an IDR? The first one is.
    pub fn decide(&self, now: Instant) -> bool {
        match self.last {
            None => true,
            Some(last) => self.wanted && now.saturating_duration_since(last.at) >= self.spacing,
        }
    }

    /// AU `au` was encoded as an IDR, asked for or not.
    pub fn handle_idr(&mut self, au: u32, now: Instant) {
        self.last = Some(LastIdr { au, at: now });
        self.wanted = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(au: u32, count: u32) -> LostAu {
        LostAu { au, count, blocks_delivered: 0, shards_seen: 0, shards_missing: 0 }
    }

    #[test]
    fn asks_until_an_idr_newer_than_the_loss_has_come() {
        let now = Instant::now();
        let mut requester = IdrRequester::new(true);
        assert_eq!(requester.admit(0, Flags::IDR, now), Admission::Decode);
        assert_eq!(requester.admit(1, Flags::NONE, now), Admission::Decode);
        assert_eq!(requester.poll_request(now), None);
        requester.handle_lost(&lost(2, 3), now);
        assert_eq!(requester.poll_request(now), Some(4));
        assert_eq!(requester.poll_request(now + Duration::from_millis(99)), None);
        assert_eq!(requester.admit(5, Flags::NONE, now), Admission::Drop);
        assert_eq!(requester.poll_request(now + Duration::from_millis(100)), Some(4));
        assert_eq!(requester.admit(6, Flags::IDR, now), Admission::Decode);
        assert_eq!(requester.admit(6, Flags::IDR, now), Admission::Decode, "its later blocks too");
        assert_eq!(requester.poll_request(now + Duration::from_secs(9)), None);
    }

    #[test]
    fn a_lost_idr_is_asked_for_again_after_itself() {
        let now = Instant::now();
        let mut requester = IdrRequester::new(true);
        requester.handle_lost(&lost(0, 1), now);
        assert_eq!(requester.poll_request(now), Some(0));
        requester.handle_lost(&lost(7, 1), now);
        assert_eq!(requester.poll_request(now), None, "not before its time");
        assert_eq!(requester.poll_request(now + REQUEST_INTERVAL), Some(7));
    }

    #[test]
    fn a_stream_that_begins_without_an_idr_asks_for_one() {
        let now = Instant::now();
        let mut requester = IdrRequester::new(true);
        assert_eq!(requester.admit(3, Flags::NONE, now), Admission::Drop);
        assert_eq!(requester.poll_request(now), Some(3), "newer than the one that was no clean point");
        assert_eq!(requester.admit(4, Flags::NONE, now), Admission::Drop);
        assert_eq!(requester.poll_request(now + REQUEST_INTERVAL), Some(3));
        assert_eq!(requester.admit(5, Flags::RECOVERY_POINT, now), Admission::Decode);
    }

    #[test]
    fn a_codec_without_references_never_asks() {
        let now = Instant::now();
        let mut requester = IdrRequester::new(false);
        requester.handle_lost(&lost(0, 1), now);
        assert_eq!(requester.admit(1, Flags::NONE, now), Admission::Decode);
        assert_eq!(requester.poll_request(now), None);
    }

    #[test]
    fn the_gate_forces_the_first_and_then_one_a_spacing() {
        let now = Instant::now();
        let mut gate = IdrGate::new(IDR_SPACING);
        assert!(gate.decide(now));
        gate.handle_idr(0, now);
        assert!(!gate.decide(now + Duration::from_secs(9)), "nobody asked");
        gate.handle_request(5);
        assert!(!gate.decide(now + Duration::from_millis(99)));
        assert!(gate.decide(now + Duration::from_millis(100)));
        assert!(gate.decide(now + Duration::from_millis(120)), "asked for until it was encoded");
        gate.handle_idr(9, now + Duration::from_millis(120));
        assert!(!gate.decide(now + Duration::from_secs(9)));
        gate.handle_request(8);
        assert!(!gate.decide(now + Duration::from_secs(9)), "an IDR had overtaken the request");
    }
}
