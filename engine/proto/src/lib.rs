//! The protocol core: wire format, packetize, reassemble, redundancy, recovery, pacer.
//!
//! Bytes and `now` come in; bytes, events and deadlines go out. Every verb is deterministic: the same calls with
//! the same times give the same results.
//!
//! It promises that nothing is believed before its tag was checked, that memory stays within [`limits`], and that
//! the hot verbs allocate nothing once warm.
//!
//! It refuses sockets, clocks, threads, async and `unsafe`: all of those belong to its drivers.
#![forbid(unsafe_code)]

pub mod arrivals;
mod asking;
pub mod bitrate;
mod block;
pub mod clock;
mod delivery;
pub mod feedback;
pub mod geometry;
mod given_up;
pub mod idr;
pub mod limits;
pub mod link_rate;
mod loss;
pub mod pacer;
pub mod packetize;
pub mod path_watch;
pub mod reassemble;
pub mod redundancy;
pub mod resend;
mod shard_length;
mod span;
pub mod speed;
mod window;
pub mod wire;

pub use arrivals::AuArrivals;
pub use bitrate::{BitrateChange, BitrateControl, BitrateCounters, BitratePolicy, BitrateReason};
pub use clock::{SessionClock, unwrap_pts};
pub use delivery::{Arrival, DeliveredBlock, Delivery, LostAu, ReassemblyCounters};
pub use feedback::{ClientLoad, FeedbackReport, MissingShards, OpenAuReport};
pub use geometry::BlockPlan;
pub use idr::{Admission, IdrGate, IdrRequester, Lost, Order};
pub use limits::{LimitError, Negotiated, ReassemblerLimits};
pub use link_rate::{LINK_KBPS, LinkRate, LinkRateCounters, Look, Pace, RateChange, RateReason};
pub use pacer::{Pacer, PacerCounters};
pub use packetize::{PacketizeError, Packetizer, SlicePlan, seal_data, seal_parity};
pub use path_watch::PathWatch;
pub use reassemble::Reassembler;
pub use redundancy::{Redundancy, RedundancyControl, RedundancyPolicy};
pub use resend::{Resend, ResendCounters, ResendLedger};
pub use span::Span;
pub use speed::{
    Burst, BurstBlock, Filler, FillerMeter, FillerSeen, FillerSent, Judgement, SpeedTestOrder, WeakestLink,
    judge, seal_filler, seal_filler_parity,
};
pub use wire::{DATAGRAM_OVERHEAD, Flags, HEADER_BYTES, Header, WireError, is_media};
