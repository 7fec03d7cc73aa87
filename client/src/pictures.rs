//! What became of the pictures: lost, late and dropped are three things.
//!
//! Promises: once the host has said its last word, sent = decoded + lost + late + dropped. Refuses to take a
//! host's older figures for its last: what came after them would seem to be lost less.

use punktfunk_control::HostStats;
use punktfunk_engine::ClientStats;

/// Counts of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pictures {
    /// Never came whole, or not at all.
    pub lost: u64,
    /// Came whole when they were of no use any more.
    pub late: u64,
    /// Came, and were thrown away here.
    pub dropped: u64,
}

impl Pictures {
    /// Counts what both ends have seen.
    pub fn new(stats: &ClientStats, host: Option<&HostStats>) -> Self {
        let (receive, decode) = (stats.receive, stats.decode);
        let late = receive.late_aus;
        let in_receive = receive.dropped_memory + receive.dropped_window + receive.dropped_decode_queue;
        let before_decode = in_receive + decode.dropped_awaiting_idr;
        let came = decode.whole + before_decode;
        // An access unit of which nothing came is known by the host's count only, and only by its last.
        let sent = host.filter(|host| host.last).map_or(0, |host| host.aus_sent);
        let unseen = sent.saturating_sub(came).saturating_sub(late);
        Self {
            lost: receive.lost_aus.max(unseen),
            late,
            dropped: before_decode + decode.dropped_decode_error,
        }
    }

    /// Pictures that came to any end here.
    pub fn ended(&self, stats: &ClientStats) -> u64 {
        stats.decode.decoded + self.lost + self.late + self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats() -> ClientStats {
        let mut stats = ClientStats::default();
        (stats.receive.lost_aus, stats.receive.late_aus) = (3, 2);
        (stats.receive.dropped_memory, stats.receive.dropped_window) = (1, 2);
        (stats.decode.whole, stats.decode.decoded) = (100, 99);
        stats.decode.dropped_decode_error = 1;
        stats.decode.dropped_awaiting_idr = 4;
        stats
    }

    fn host(aus_sent: u64, last: bool) -> HostStats {
        HostStats { aus_sent, last, ..HostStats::default() }
    }

    #[test]
    fn the_last_figures_add_up() {
        // Nothing at all came of two.
        let pictures = Pictures::new(&stats(), Some(&host(114, true)));
        assert_eq!(pictures, Pictures { lost: 2 + 3, late: 2, dropped: 8 });
        assert_eq!(99 + pictures.lost + pictures.late + pictures.dropped, 114);
    }

    #[test]
    fn a_killed_hosts_older_figures_hide_no_loss() {
        for host in [None, Some(host(60, false)), Some(host(200, false)), Some(host(60, true))] {
            let pictures = Pictures::new(&stats(), host.as_ref());
            assert_eq!(pictures, Pictures { lost: 3, late: 2, dropped: 8 }, "{host:?}");
        }
    }
}
