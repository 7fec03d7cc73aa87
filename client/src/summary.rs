//! The session's figures as JSON and as text.
//!
//! Promises: `pictures` adds up once `sent_is_final`: what the host sent was decoded, is lost, came late, or
//! was dropped at a named place; latencies say whether the clocks were joined. Refuses to mix IDRs into the
//! latency of the other pictures: theirs stand apart.

use std::time::{Duration, Instant};

use punktfunk_control::{HostStats, Welcome};
use punktfunk_engine::ClientStats;
use punktfunk_perf::{Recorder, Stage, Summary};
use serde_json::{Map, Value, json};

use crate::changes::Changes;
use crate::clocks::Clocks;
use crate::decoder::DecoderReport;
use crate::pictures::Pictures;
use crate::sealing::Sealing;
use crate::sink::{CardReport, VerifyReport};
use crate::sources::{Sources, compositors_json, falls_json, falls_text, stamps_text};
use crate::terminal::printable;

/// Everything that a summary is made of.
pub struct Figures<'a> {
    /// The pipeline's counters.
    pub stats: ClientStats,
    /// The host's last statistics, if they came.
    pub host: Option<HostStats>,
    /// The stages' histograms.
    pub recorder: &'a Recorder,
    /// How long media flowed.
    pub streamed: Duration,
    /// From the first word to the host until a picture was decoded, to within the control thread's tick.
    pub first_picture: Option<Duration>,
    /// The join of the clocks.
    pub clocks: &'a Clocks,
    /// When the session ended.
    pub now: Instant,
    /// The client's processor time.
    pub cpu: Duration,
    /// What was agreed.
    pub welcome: &'a Welcome,
    /// What media was sealed with.
    pub sealing: Sealing,
    /// Where the pictures came from.
    pub sources: &'a Sources,
    /// What was changed in mid-stream.
    pub changes: &'a Changes,
    /// The card's numbers.
    pub card: Option<CardReport>,
    /// What decoded the pictures.
    pub decoder: Option<&'a DecoderReport>,
    /// The bitstream's check.
    pub verify: Option<VerifyReport>,
    /// Whether the stream was recorded; none when nobody asked.
    pub recorded: Option<bool>,
    /// Access units that the recording lacks, because the disk was too slow.
    pub recording_dropped: u64,
    /// Access units that the recording's format cannot hold.
    pub recording_refused: u64,
    /// Whether a picture was kept; none when nobody asked.
    pub snapshot: Option<bool>,
    /// How the session ended.
    pub ended: &'a str,
}

impl Figures<'_> {
    fn pictures(&self) -> Pictures {
        Pictures::new(&self.stats, self.host.as_ref())
    }

    /// Bit/s of whole access units, in kbit/s.
    pub fn goodput_kbps(&self) -> u64 {
        rate_kbps(self.stats.decode.bytes, self.streamed)
    }

    /// Bit/s of media datagrams, in kbit/s.
    pub fn wire_kbps(&self) -> u64 {
        rate_kbps(self.stats.receive.wire_bytes, self.streamed)
    }

    fn datagrams(&self) -> Value {
        let (host, receive) = (self.host.as_ref(), self.stats.receive);
        json!({
            "sent": host.map(|host| host.datagrams_sent),
            "send_dropped": host.map(|host| host.packets_send_dropped),
            "received": receive.datagrams, "placed": receive.placed, "copied": receive.copied,
            "surplus": receive.surplus, "recovered_shards": receive.recovered, "late": receive.late,
            "replayed": receive.replayed, "malformed": receive.malformed, "bad_tag": receive.bad_tag,
            "unknown_epoch": receive.unknown_epoch, "over_limit": receive.over_limit,
            "kernel_drops": receive.kernel_drops, "receive_batches": receive.batches,
            "receive_fallbacks": receive.fallbacks,
            "dropped_control_queue": receive.dropped_control_queue,
            "dropped_control_size": receive.dropped_control_size,
            "send_system_calls": host.map(|host| host.system_calls),
            "parity": host.map(|host| host.parity_datagrams),
            "resent": host.map(|host| host.datagrams_resent),
            "resend_asked": host.map(|host| host.resend_asked),
            "resend_missed": host.map(|host| json!({
                "late": host.resend_late, "gone": host.resend_gone, "refused": host.resend_refused,
            })),
        })
    }

    /// The whole as one JSON object.
    pub fn json(&self) -> Value {
        let host = self.host.as_ref();
        let (receive, decode) = (self.stats.receive, self.stats.decode);
        let pictures = self.pictures();
        json!({
            "ended": self.ended,
            "streamed_s": self.streamed.as_secs_f64(),
            "first_picture_s": self.first_picture.map(|took| took.as_secs_f64()),
            "mode": {
                "width": self.welcome.mode.width, "height": self.welcome.mode.height,
                "refresh_hz": f64::from(self.welcome.mode.refresh_mhz) / 1e3,
            },
            "source": self.welcome.source,
            "sources": self.sources.json(), "reconfigured": self.changes.json(),
            "falls": falls_json(host),
            "compositors": compositors_json(&self.welcome.compositors),
            "coding": coding(self.welcome),
            "encoder": self.welcome.encoder, "decoder": self.decoder.map(DecoderReport::json),
            "sealing": self.sealing.json(),
            "pictures": {
                "captured": host.map(|host| host.pictures_captured),
                "superseded": host.map(|host| host.pictures_superseded),
                "sent": host.map(|host| host.aus_sent),
                "sent_is_final": host.is_some_and(|host| host.last),
                "shed": host.map(|host| host.pictures_shed),
                "spoiled": host.map(|host| host.pictures_spoiled),
                "stamped_here": host.map(|host| host.pictures_stamped_here),
                "decoded": decode.decoded,
                "lost": pictures.lost,
                "late": pictures.late,
                "dropped": {
                    "host_protect": host.map(|host| host.aus_dropped),
                    "receive_memory": receive.dropped_memory,
                    "receive_window": receive.dropped_window,
                    "decode_queue": receive.dropped_decode_queue,
                    "awaiting_idr": decode.dropped_awaiting_idr,
                    "decode_error": decode.dropped_decode_error,
                },
                "blocks_dropped_key": host.map(|host| host.blocks_dropped_key),
                "idr_requests": decode.idr_requests,
            },
            "latency_us": self.latency(Stage::CaptureToDecoded),
            "reassembled_us": self.latency(Stage::CaptureToReassembled),
            "idr_latency_us": self.latency(Stage::IdrToDecoded),
            "idr_reassembled_us": self.latency(Stage::IdrToReassembled),
            "skew_corrected": self.clocks.are_joined(),
            "skew": self.clocks.json(self.now),
            "goodput_kbps": self.goodput_kbps(),
            "wire_kbps": self.wire_kbps(),
            "cpu_s": {
                "host": host.map(|host| host.cpu_us as f64 / 1e6), "client": self.cpu.as_secs_f64(),
            },
            "datagrams": self.datagrams(),
            "link": host.map(link),
            "recovery": self.recovery(), "copied_by_cpu": host.map(copied_by_cpu),
            "rate": host.map(rate),
            "path": host.map(path),
            "stages": self.stages(),
            "recorded": self.recorded,
            "recording_dropped": self.recorded.map(|_| self.recording_dropped),
            "recording_refused": self.recorded.map(|_| self.recording_refused),
            "snapshot": self.snapshot,
            "card": self.card.map(card),
            "verified": self.verify.map(verified),
        })
    }

    fn latency(&self, stage: Stage) -> Value {
        self.recorder.summary(stage).map_or(Value::Null, |summary| percentiles(&summary))
    }

    /// How losses were healed.
    fn recovery(&self) -> Value {
        let host = self.host.as_ref();
        json!({
            "idrs": host.map(|host| host.idrs_sent),
            "idrs_no_reference": host.map(|host| host.idrs_no_reference),
            "recovery_points": host.map(|host| host.recovery_points),
            "references_invalidated": host.map(|host| host.references_invalidated),
            "healed_by_recovery_point": self.stats.decode.recovery_points,
            "asked": self.stats.decode.idr_requests,
            "aus_sent_early": host.map(|host| host.aus_sent_early),
        })
    }

    /// The host's stages and this client's, by name.
    fn stages(&self) -> Value {
        let mut stages = Map::new();
        for stage in self.host.iter().flat_map(|host| &host.stages) {
            let value = json!({
                "count": stage.count, "p50": stage.p50_us, "p99": stage.p99_us,
                "p999": stage.p999_us, "max": stage.max_us,
            });
            stages.insert(stage.name.clone(), value);
        }
        for stage in Stage::ALL {
            if let Some(summary) = self.recorder.summary(stage) {
                stages.insert(stage.name().to_owned(), percentiles(&summary));
            }
        }
        Value::Object(stages)
    }

    /// The latency table for people.
    pub fn text(&self) -> String {
        let mut text =
            format!("{:<24}{:>9}{:>10}{:>10}{:>10}\n", "microseconds", "p50", "p99", "p99.9", "max");
        let mut line = |name: &str, p50: u64, p99: u64, p999: u64, max: u64| {
            text.push_str(&format!("{name:<24}{p50:>9}{p99:>10}{p999:>10}{max:>10}\n"));
        };
        for stage in self.host.iter().flat_map(|host| &host.stages) {
            line(
                &printable(&format!("host {}", stage.name)),
                stage.p50_us,
                stage.p99_us,
                stage.p999_us,
                stage.max_us,
            );
        }
        for stage in Stage::ALL {
            if let Some(s) = self.recorder.summary(stage) {
                line(&format!("client {}", stage.name()), s.p50_us, s.p99_us, s.p999_us, s.max_us);
            }
        }
        let (pictures, host) = (self.pictures(), self.host.as_ref());
        let sent = host.map_or("-".into(), |host| host.aus_sent.to_string());
        let stale =
            if host.is_some_and(|host| host.last) { "" } else { " (the host's last word is missing)" };
        text.push_str(&format!(
            "pictures: {sent} sent{stale}, {} decoded, {} lost, {} late, {} dropped\n",
            self.stats.decode.decoded, pictures.lost, pictures.late, pictures.dropped
        ));
        if self.recording_dropped > 0 {
            text.push_str(&format!("the disk was too slow for {} of them\n", self.recording_dropped));
        }
        if self.recording_refused > 0 {
            let refused = self.recording_refused;
            text.push_str(&format!(
                "{refused} of them came before an IDR with which a recording can begin\n"
            ));
        }
        text.push_str(&format!("{}\n", self.sealing));
        text.push_str(&self.decoder.map_or_else(String::new, DecoderReport::text));
        text.push_str(&falls_text(host));
        text.push_str(&rate_text(host));
        text.push_str(&stamps_text(host));
        if !self.clocks.are_joined() {
            text.push_str("the clocks were not joined: there are no latencies across machines\n");
        }
        text
    }
}

/// Bytes that the host's CPU copied on the pictures' way to the wire, all of them and a sent picture's share.
fn copied_by_cpu(host: &HostStats) -> Value {
    let bytes = host.copied_capture_bytes + host.copied_import_bytes + host.copied_slice_bytes;
    json!({
        "capture": host.copied_capture_bytes, "import": host.copied_import_bytes,
        "slices": host.copied_slice_bytes, "each_picture": bytes.checked_div(host.aus_sent),
    })
}

/// What the host knows of the link, and what it paced.
fn link(host: &HostStats) -> Value {
    json!({
        "kbps": host.link_kbps, "proven": host.link_proven, "late": host.link_late,
        "lost": host.link_lost, "burst_lost": host.burst_lost,
        "aus_immediate": host.aus_immediate, "aus_paced": host.aus_paced,
    })
}

/// What the path carries, and where it went.
fn path(host: &HostStats) -> Value {
    json!({
        "shard_bytes": host.shard_bytes, "shrunk": host.path_shrunk,
        "changed": host.path_changed, "refused": host.path_refused,
    })
}

/// How pictures were coded.
fn coding(welcome: &Welcome) -> Value {
    json!({
        "codec": welcome.codec.to_string(), "depth": welcome.depth.to_number(), "chroma": welcome.chroma.to_string(),
    })
}

/// The card's numbers.
fn card(card: CardReport) -> Value {
    json!({
        "read": card.read, "unreadable": card.unreadable, "out_of_order": card.out_of_order,
        "passed_over": card.passed_over, "first": card.first, "newest": card.newest,
    })
}

/// The bitstream's check.
fn verified(verify: VerifyReport) -> Value {
    json!({"slices": verify.slices, "bytes": verify.bytes, "wrong": verify.wrong})
}

/// The rate that the host asks its encoder for, and what moved it.
fn rate(host: &HostStats) -> Value {
    json!({
        "kbps": host.rate_kbps, "reason": host.rate_reason, "delay": host.rate_delay, "loss": host.rate_loss,
        "decode": host.rate_decode, "climb": host.rate_climb, "futile": host.rate_futile,
    })
}

/// The same for people, where it has moved.
fn rate_text(host: Option<&HostStats>) -> String {
    let Some(host) = host.filter(|host| host.rate_delay + host.rate_loss + host.rate_decode > 0) else {
        return String::new();
    };
    let HostStats { rate_kbps, rate_delay, rate_loss, rate_decode, rate_futile, .. } = host;
    let futile = if *rate_futile > 0 { format!("; {rate_futile} times in vain") } else { String::new() };
    format!(
        "bitrate: {:.1} Mbit/s at the end; lowered {rate_delay} times for delay, {rate_loss} for loss, {rate_decode} \
         for the decoder{futile}\n",
        *rate_kbps as f64 / 1e3
    )
}

fn percentiles(summary: &Summary) -> Value {
    json!({
        "count": summary.count, "p50": summary.p50_us, "p99": summary.p99_us,
        "p999": summary.p999_us, "max": summary.max_us,
    })
}

fn rate_kbps(bytes: u64, over: Duration) -> u64 {
    let micros = over.as_micros().max(1);
    u64::try_from(u128::from(bytes) * 8_000 / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_in_kbit_a_second() {
        assert_eq!(rate_kbps(125_000_000, Duration::from_secs(1)), 1_000_000);
        assert_eq!(rate_kbps(1, Duration::ZERO), 8_000);
    }
}
