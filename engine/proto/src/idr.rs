//! When decoding starts anew: what the client says that it misses, and how the host answers.
//!
//! [`IdrRequester`] watches what is delivered and lost, says which AUs no decoder could use, and tells what is missing
//! until a clean point has come. [`IdrGate`] makes an order to the encoder of that: a recovery point where the encoder
//! may still have a reference that the client has, else an IDR, at most one in its spacing.
//!
//! A recovery point is a picture that refers to no AU which the client has said it misses, nor to any from that one up
//! to itself. The client names the *oldest* AU that it misses since its last good state, and losses are told in order;
//! so a recovery point that answers any of its reports refers to nothing that it lacks, whichever it answers.
//!
//! Promises that a lost reference is told until it is replaced; that what was answered is not answered twice, and what
//! was answered by a recovery point that was lost itself is answered anew, from the same AU. It refuses to judge codecs:
//! whether AUs refer to each other, and whether an encoder can leave references out, is told.

use std::time::{Duration, Instant};

use crate::delivery::LostAu;
use crate::wire::Flags;

/// How often an unanswered request is repeated: several round trips and an encode on any LAN.
pub const REQUEST_INTERVAL: Duration = Duration::from_millis(100);
/// The usual least time between forced IDRs: an IDR of five mean AUs every 100 ms is all that a rate can carry.
pub const IDR_SPACING: Duration = Duration::from_millis(100);

/// What a client misses: of the AUs `from_au..=to_au` it has no picture that could be referred to, nor of any that came
/// since, because those refer to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lost {
    /// The oldest AU that is missing since the client's last good state. 0: nothing before is known to be there, so
    /// that only an IDR helps.
    pub from_au: u32,
    /// The newest that is; only a clean point above it helps.
    pub to_au: u32,
}

impl Lost {
    /// What a report says: from the AU that it names, or where it names none, from the session's beginning on.
    pub fn reported(from_au: Option<u32>, to_au: u32) -> Self {
        Self { from_au: from_au.unwrap_or(0).min(to_au), to_au }
    }

    /// Whatever there was up to `to_au`: only an IDR above it helps.
    pub const fn all_up_to(to_au: u32) -> Self {
        Self { from_au: 0, to_au }
    }

    /// All that either names.
    pub fn and(self, other: Self) -> Self {
        Self { from_au: self.from_au.min(other.from_au), to_au: self.to_au.max(other.to_au) }
    }
}

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
    /// One has ever come.
    begun: bool,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    lost: Lost,
    next_request: Instant,
}

impl IdrRequester {
    /// For a codec whose AUs refer to earlier ones (`references`), or one where each stands for itself.
    pub const fn new(references: bool) -> Self {
        Self { references, waiting: None, clean: false, begun: false }
    }

    /// AUs were lost. Each loss is told at once, because what was lost may have been the answer to the one before.
    pub fn handle_lost(&mut self, lost: &LostAu, now: Instant) {
        self.handle_damage(lost.au, lost.last(), now);
    }

    /// None of the AUs `from_au..=to_au` can be used: they were lost, or refused by the decoder.
    pub fn handle_damage(&mut self, from_au: u32, to_au: u32, now: Instant) {
        if !self.references {
            return;
        }
        let from_au = if self.begun { from_au } else { 0 };
        let lost = Lost { from_au, to_au };
        let waiting = Waiting { lost, next_request: now };
        self.waiting =
            Some(self.waiting.map_or(waiting, |old| Waiting { lost: old.lost.and(lost), ..waiting }));
        self.clean = false;
    }

    /// Whether the newest AU has, as far as is known, all that it refers to.
    pub const fn is_clean(&self) -> bool {
        self.clean || !self.references
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
                self.waiting = Some(Waiting { lost: Lost::all_up_to(au), next_request: now });
                Admission::Drop
            }
            Some(waiting) if clean_point && au > waiting.lost.to_au => self.restart(),
            Some(_) => Admission::Drop,
        }
    }

    /// A request that is due: "I miss this; send a clean point newer than it". Its numbers are those of AUs which were
    /// lost, refused or no clean point where one was needed: 0 means AU 0 and nothing else.
    pub fn poll_request(&mut self, now: Instant) -> Option<Lost> {
        let waiting = self.waiting.as_mut().filter(|waiting| waiting.next_request <= now)?;
        waiting.next_request = now + REQUEST_INTERVAL;
        Some(waiting.lost)
    }

    fn restart(&mut self) -> Admission {
        self.waiting = None;
        (self.clean, self.begun) = (true, true);
        Admission::Decode
    }
}

/// How the next picture shall be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As usual.
    Usual,
    /// So that it refers to nothing that is missing: a recovery point, or an IDR where no reference is left.
    Recover(Lost),
    /// As an IDR.
    Idr,
}

/// The host's side.
#[derive(Debug, Clone)]
pub struct IdrGate {
    spacing: Duration,
    last_idr: Option<LastIdr>,
    /// The newest recovery point since the last IDR, and what it answered.
    answer: Option<Answer>,
    /// What is not answered yet.
    open: Option<Lost>,
    /// How many AUs back the encoder had no reference any more.
    reach: u32,
}

#[derive(Debug, Clone, Copy)]
struct LastIdr {
    au: u32,
    at: Instant,
}

/// AU `au` refers to none of `from_au..au`.
#[derive(Debug, Clone, Copy)]
struct Answer {
    from_au: u32,
    au: u32,
}

impl IdrGate {
    /// A gate that forces IDRs at most once in `spacing` ([`IDR_SPACING`]).
    pub const fn new(spacing: Duration) -> Self {
        Self { spacing, last_idr: None, answer: None, open: None, reach: u32::MAX }
    }

    /// The client misses `lost`; `next_au` is the AU that will be encoded next. What an IDR or a recovery point has
    /// answered is ignored.
    pub fn handle_request(&mut self, lost: Lost, next_au: u32) {
        let Some(newest_au) = next_au.checked_sub(1) else { return };
        // Nobody misses what was not encoded; so whatever answers this is above it.
        let lost = Lost::reported(Some(lost.from_au), lost.to_au.min(newest_au));
        if !self.is_answered(lost) {
            self.open = Some(self.open.map_or(lost, |open| open.and(lost)));
        }
    }

    /// How shall `next_au` be encoded, by an encoder that can leave references out or (`heals` false) cannot? The first
    /// one is an IDR. What is open is ordered with each picture until it is answered.
    pub fn decide(&self, next_au: u32, heals: bool, now: Instant) -> Order {
        let Some(last) = self.last_idr else { return Order::Idr };
        let Some(open) = self.open else { return Order::Usual };
        let is_spaced = now.saturating_duration_since(last.at) >= self.spacing;
        if !heals || open.from_au <= last.au {
            return if is_spaced { Order::Idr } else { Order::Usual };
        }
        // That far back the encoder has made an IDR of it before.
        let is_far = next_au.saturating_sub(open.from_au) >= self.reach;
        if is_far && !is_spaced { Order::Usual } else { Order::Recover(open) }
    }

    /// AU `au` was encoded as an IDR, asked for or not; returns what it answered.
    pub fn handle_idr(&mut self, au: u32, now: Instant) -> Option<Lost> {
        let open = self.open.take();
        // Whether the encoder had no reference or another reason, it is the next loss so far back that will show it.
        if let (Some(open), Some(last)) = (open, self.last_idr)
            && open.from_au > last.au
        {
            self.reach = self.reach.min(au.saturating_sub(open.from_au));
        }
        self.last_idr = Some(LastIdr { au, at: now });
        self.answer = None;
        open
    }

    /// AU `au` was encoded as a recovery point for what was ordered; returns how many AUs are no reference any more
    /// because of it.
    pub fn handle_recovery_point(&mut self, au: u32) -> u32 {
        let Some(Lost { from_au, .. }) = self.open.take() else { return 0 };
        self.reach = self.reach.max(au.saturating_sub(from_au).saturating_add(1));
        let before = self.answer.replace(Answer { from_au, au });
        match before {
            // What the one before has put out of reference is counted.
            Some(before) if from_au < before.au => au - before.au + before.from_au.saturating_sub(from_au),
            Some(_) | None => au - from_au,
        }
    }

    fn is_answered(&self, lost: Lost) -> bool {
        self.last_idr.is_some_and(|idr| idr.au > lost.to_au)
            || self.answer.is_some_and(|answer| answer.au > lost.to_au && answer.from_au <= lost.from_au)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(au: u32, count: u32) -> LostAu {
        LostAu { au, count, blocks_delivered: 0, shards_seen: 0, shards_missing: 0 }
    }

    #[test]
    fn asks_until_a_clean_point_newer_than_the_loss_has_come() {
        let now = Instant::now();
        let mut requester = IdrRequester::new(true);
        assert_eq!(requester.admit(0, Flags::IDR, now), Admission::Decode);
        assert_eq!(requester.admit(1, Flags::NONE, now), Admission::Decode);
        assert_eq!(requester.poll_request(now), None);
        requester.handle_lost(&lost(2, 3), now);
        assert_eq!(requester.poll_request(now), Some(Lost { from_au: 2, to_au: 4 }));
        assert_eq!(requester.poll_request(now + Duration::from_millis(99)), None);
        assert_eq!(requester.admit(5, Flags::NONE, now), Admission::Drop);
        let again = requester.poll_request(now + Duration::from_millis(100));
        assert_eq!(again, Some(Lost { from_au: 2, to_au: 4 }));
        assert_eq!(requester.admit(6, Flags::RECOVERY_POINT, now), Admission::Decode);
        assert_eq!(requester.admit(6, Flags::RECOVERY_POINT, now), Admission::Decode, "its later blocks too");
        assert_eq!(requester.poll_request(now + Duration::from_secs(9)), None);
    }

    #[test]
    fn an_answer_that_was_lost_is_asked_for_again_at_once_from_the_same_au() {
        let now = Instant::now();
        let mut requester = IdrRequester::new(true);
        requester.admit(0, Flags::IDR, now);
        requester.handle_lost(&lost(5, 1), now);
        assert_eq!(requester.poll_request(now), Some(Lost { from_au: 5, to_au: 5 }));
        requester.handle_lost(&lost(7, 1), now);
        assert_eq!(requester.poll_request(now), Some(Lost { from_au: 5, to_au: 7 }));
        assert_eq!(requester.admit(7, Flags::RECOVERY_POINT, now), Admission::Drop, "the loss is newer");
    }

    #[test]
    fn before_the_first_clean_point_nothing_can_be_referred_to() {
        let now = Instant::now();
        let mut requester = IdrRequester::new(true);
        assert_eq!(requester.admit(3, Flags::NONE, now), Admission::Drop);
        assert_eq!(requester.poll_request(now), Some(Lost::all_up_to(3)), "no clean point itself");
        assert_eq!(requester.admit(4, Flags::NONE, now), Admission::Drop);
        requester.handle_lost(&lost(5, 1), now);
        assert_eq!(requester.poll_request(now), Some(Lost::all_up_to(5)));
        assert_eq!(requester.admit(6, Flags::IDR, now), Admission::Decode);
        requester.handle_damage(7, 7, now);
        assert_eq!(requester.poll_request(now), Some(Lost { from_au: 7, to_au: 7 }));
    }

    #[test]
    fn a_codec_without_references_never_asks() {
        let now = Instant::now();
        let mut requester = IdrRequester::new(false);
        requester.handle_lost(&lost(0, 1), now);
        assert_eq!(requester.admit(1, Flags::NONE, now), Admission::Decode);
        assert_eq!(requester.poll_request(now), None);
    }

    fn missing(from_au: u32, to_au: u32) -> Lost {
        Lost { from_au, to_au }
    }

    #[test]
    fn without_recovery_points_the_gate_forces_the_first_idr_and_then_one_a_spacing() {
        let now = Instant::now();
        let mut gate = IdrGate::new(IDR_SPACING);
        assert_eq!(gate.decide(0, false, now), Order::Idr);
        gate.handle_idr(0, now);
        assert_eq!(gate.decide(7, false, now + Duration::from_secs(9)), Order::Usual, "nobody asked");
        gate.handle_request(missing(5, 5), 7);
        assert_eq!(gate.decide(7, false, now + Duration::from_millis(99)), Order::Usual);
        assert_eq!(gate.decide(8, false, now + Duration::from_millis(100)), Order::Idr);
        assert_eq!(
            gate.decide(9, false, now + Duration::from_millis(120)),
            Order::Idr,
            "until it was encoded"
        );
        assert_eq!(gate.handle_idr(9, now + Duration::from_millis(120)), Some(missing(5, 5)));
        gate.handle_request(missing(5, 8), 10);
        assert_eq!(
            gate.decide(10, false, now + Duration::from_secs(9)),
            Order::Usual,
            "an IDR had overtaken it"
        );
    }

    #[test]
    fn a_recovery_point_answers_once_and_its_own_loss_is_answered_anew() {
        let now = Instant::now();
        let mut gate = IdrGate::new(IDR_SPACING);
        gate.handle_idr(0, now);
        gate.handle_request(missing(5, 5), 8);
        assert_eq!(
            gate.decide(8, true, now),
            Order::Recover(missing(5, 5)),
            "no spacing for what costs little"
        );
        assert_eq!(gate.decide(8, true, now), Order::Recover(missing(5, 5)), "until it was encoded");
        assert_eq!(gate.handle_recovery_point(8), 3);
        gate.handle_request(missing(5, 7), 10);
        assert_eq!(gate.decide(10, true, now), Order::Usual, "that one comes before the answer");
        gate.handle_request(missing(5, 8), 10);
        assert_eq!(gate.decide(10, true, now), Order::Recover(missing(5, 8)));
        assert_eq!(gate.handle_recovery_point(10), 2, "5, 6 and 7 were put out of reference before");
        gate.handle_request(missing(12, 12), 14);
        assert_eq!(gate.decide(14, true, now), Order::Recover(missing(12, 12)));
        assert_eq!(gate.handle_recovery_point(14), 2);
        gate.handle_request(missing(11, 12), 15);
        assert_eq!(gate.decide(15, true, now), Order::Recover(missing(11, 12)), "it may have referred to 11");
    }

    #[test]
    fn where_no_reference_can_be_left_an_idr_is_made_and_spaced() {
        let now = Instant::now();
        let later = now + IDR_SPACING;
        let mut gate = IdrGate::new(IDR_SPACING);
        gate.handle_idr(10, now);
        gate.handle_request(missing(10, 10), 12);
        assert_eq!(gate.decide(12, true, now), Order::Usual, "nothing before an IDR is a reference");
        assert_eq!(gate.decide(12, true, later), Order::Idr);
        gate.handle_idr(12, later);
        gate.handle_request(missing(13, 13), 20);
        assert_eq!(gate.decide(20, true, later), Order::Recover(missing(13, 13)));
        assert_eq!(gate.handle_idr(20, later), Some(missing(13, 13)), "the encoder had none");
        gate.handle_request(missing(21, 21), 28);
        assert_eq!(gate.decide(28, true, later), Order::Usual, "as far back: it would be an IDR again");
        assert_eq!(gate.decide(28, true, later + IDR_SPACING), Order::Recover(missing(21, 21)));
        gate.handle_recovery_point(28);
        gate.handle_request(missing(29, 29), 36);
        assert_eq!(
            gate.decide(36, true, later),
            Order::Recover(missing(29, 29)),
            "it reaches that far after all"
        );
    }

    #[test]
    fn nobody_misses_what_was_not_encoded() {
        let now = Instant::now();
        let mut gate = IdrGate::new(IDR_SPACING);
        gate.handle_request(missing(0, u32::MAX), 0);
        assert_eq!(gate.decide(0, true, now), Order::Idr);
        assert_eq!(gate.handle_idr(0, now), None);
        gate.handle_request(missing(u32::MAX, u32::MAX), 3);
        assert_eq!(gate.decide(3, true, now), Order::Recover(missing(2, 2)));
        assert_eq!(Lost::reported(None, 7), Lost::all_up_to(7));
        assert_eq!(Lost::reported(Some(9), 7), missing(7, 7));
    }
}
