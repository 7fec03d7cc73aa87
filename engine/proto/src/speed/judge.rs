//! What both ends' counts say together.

use std::fmt;

use super::{FillerSeen, FillerSent, POSITIONS, SpeedTestOrder};
use crate::limits::BITRATE_KBPS;

/// A target counts as reached from here on, of each 1,000.
const REACHED_PER_MILLE: u64 = 970;
/// And with no more losses than this, in millionths: parity and resends cover several times as much.
const REACHED_LOSS_PPM: u64 = 5_000;
/// So few losses that the path has shown no end, in millionths.
const CLEAN_LOSS_PPM: u64 = 1_000;
/// What is recommended of a rate that came clean, of each 1,000: access units are not all of one size.
const CLEAN_SHARE: u64 = 850;
/// And of one that came with losses: the path was full, and says nothing of how large a burst it bears.
const LOSSY_SHARE: u64 = 750;
/// A host that waits this part of the time for its send buffer is held up by what is below it, of each 1,000.
const BLOCKED_PER_MILLE: u64 = 250;

/// What holds the rate down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeakestLink {
    /// Nothing: the target was reached.
    None,
    /// The host could not make or send more.
    Host,
    /// The network between, the host's own link included.
    Network,
    /// The client's receive buffer ran over.
    ClientBuffer,
}

/// What a speed test found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// What was asked for, in kbit/s.
    pub target_kbps: u32,
    /// What left the host, in kbit/s on the wire.
    pub sent_kbps: u64,
    /// What came, in kbit/s on the wire.
    pub received_kbps: u64,
    /// What came without headers, tags and parity, in kbit/s.
    pub goodput_kbps: u64,
    /// Millionths of the datagrams that did not come.
    pub loss_ppm: u32,
    /// The same by where in a burst they stood.
    pub loss_by_position_ppm: [u32; POSITIONS],
    /// One-way delay above the least, median, in microseconds.
    pub delay_p50_us: u32,
    /// The same, 99th percentile.
    pub delay_p99_us: u32,
    /// The bitrate to ask for, in kbit/s.
    pub recommended_kbps: u32,
    /// What held it down.
    pub weakest: WeakestLink,
    /// Losses grow towards the end of bursts: a buffer on the way is shallow.
    pub is_shallow: bool,
}

/// Joins what was sent with what came. The other end's word is believed as far as it can be true: no more came than was
/// sent. None when nothing was sent, or nothing came.
pub fn judge(order: SpeedTestOrder, sent: &FillerSent, seen: &FillerSeen) -> Option<Judgement> {
    let came = seen.datagrams.min(sent.datagrams);
    if came == 0 {
        return None;
    }
    let came_bytes = seen.wire_bytes.min(sent.wire_bytes);
    // What has queued comes after the last was sent; what came together was not faster than it was sent.
    let period_us = sent.period_us.max(seen.span_us).max(1);
    let (sent_kbps, received_kbps) =
        (rate(sent.wire_bytes, sent.period_us.max(1)), rate(came_bytes, period_us));
    let useful_bytes = u128::from(sent.data_bytes) * u128::from(came) / u128::from(sent.datagrams);
    let loss_ppm = lost_ppm(sent.datagrams, came);
    let loss_by_position_ppm =
        std::array::from_fn(|part| lost_ppm(sent.by_position[part], seen.by_position[part]));
    let weakest = weakest(order, sent, seen, (sent_kbps, received_kbps), loss_ppm);
    let share = if u64::from(loss_ppm) <= CLEAN_LOSS_PPM { CLEAN_SHARE } else { LOSSY_SHARE };
    let recommended = received_kbps.saturating_mul(share) / 1_000;
    Some(Judgement {
        target_kbps: order.target_kbps(),
        sent_kbps,
        received_kbps,
        goodput_kbps: rate(u64::try_from(useful_bytes).unwrap_or(u64::MAX), period_us),
        loss_ppm,
        loss_by_position_ppm,
        delay_p50_us: seen.delay_p50_us,
        delay_p99_us: seen.delay_p99_us,
        recommended_kbps: u32::try_from(recommended)
            .unwrap_or(u32::MAX)
            .clamp(*BITRATE_KBPS.start(), *BITRATE_KBPS.end()),
        weakest,
        is_shallow: is_shallow(&loss_by_position_ppm),
    })
}

fn weakest(
    order: SpeedTestOrder,
    sent: &FillerSent,
    seen: &FillerSeen,
    (sent_kbps, received_kbps): (u64, u64),
    loss_ppm: u32,
) -> WeakestLink {
    let target = u64::from(order.target_kbps());
    let is_reached = received_kbps >= target * REACHED_PER_MILLE / 1_000;
    if is_reached && u64::from(loss_ppm) <= REACHED_LOSS_PPM {
        return WeakestLink::None;
    }
    // The larger gap is the one to name.
    if target.saturating_sub(sent_kbps) > sent_kbps.saturating_sub(received_kbps) {
        let is_blocked = sent.blocked_us.saturating_mul(1_000) >= sent.period_us * BLOCKED_PER_MILLE;
        return if is_blocked || sent.dropped > 0 { WeakestLink::Network } else { WeakestLink::Host };
    }
    let lost = sent.datagrams.saturating_sub(seen.datagrams);
    if seen.client_drops.saturating_mul(2) >= lost.max(1) {
        WeakestLink::ClientBuffer
    } else {
        WeakestLink::Network
    }
}

/// Whether the second half of a burst loses three times what the first does, and something that matters.
fn is_shallow(loss_ppm: &[u32; POSITIONS]) -> bool {
    let half = |parts: &[u32]| parts.iter().map(|&ppm| u64::from(ppm)).sum::<u64>() / parts.len() as u64;
    let (first, second) = loss_ppm.split_at(POSITIONS / 2);
    let (first, second) = (half(first), half(second));
    second > REACHED_LOSS_PPM && second >= 3 * first
}

fn rate(bytes: u64, period_us: u64) -> u64 {
    u64::try_from(u128::from(bytes) * 8_000 / u128::from(period_us)).unwrap_or(u64::MAX)
}

fn lost_ppm(sent: u64, came: u64) -> u32 {
    let lost = u128::from(sent.saturating_sub(came));
    // At most a million.
    (lost * 1_000_000 / u128::from(sent.max(1))) as u32
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, came) = (Rate(self.target_kbps.into()), Rate(self.received_kbps));
        match self.weakest {
            WeakestLink::None => {
                write!(f, "{target} came through: nothing held it down, and a higher target may find more")
            }
            WeakestLink::Host => write!(
                f,
                "the host is the weakest link: it cannot make and send more than {}",
                Rate(self.sent_kbps)
            ),
            WeakestLink::Network => {
                write!(f, "the network is the weakest link: {came} of {target} came through")?;
                if self.is_shallow {
                    write!(f, ", and the ends of bursts are lost first: a buffer on the way is shallow")?;
                }
                Ok(())
            }
            WeakestLink::ClientBuffer => write!(
                f,
                "the client is the weakest link: its receive buffer runs over, and {came} of {target} came through"
            ),
        }
    }
}

/// A rate in words.
struct Rate(u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            kbps @ ..10_000 => write!(f, "{kbps} kbit/s"),
            kbps @ ..1_000_000 => write!(f, "{} Mbit/s", kbps / 1_000),
            kbps => write!(f, "{}.{:02} Gbit/s", kbps / 1_000_000, kbps % 1_000_000 / 10_000),
        }
    }
}
