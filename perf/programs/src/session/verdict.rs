//! What has to be said first: whether all was well, and in plain words what was not.
//!
//! Promises: each loss and each fallback that either end counted is a sentence of its own, whether its log or the summary
//! tells of it; what is missing from the folder is said too. Where there is nothing to say, that is said.

use serde::Serialize;
use serde_json::Value;

use super::figures::{Pictures, client_summary};
use super::read::Found;
use super::words::{count, counted, shortened, three_digits, times};

/// The most changes of the source that are said one by one: a real session has two or four.
const CHANGES_SAID_MAX: usize = 8;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Pictures were not seen, or figures are missing.
    Loss,
    /// Something did without what it wanted.
    Note,
}

/// A sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Word {
    /// How much it matters.
    pub weight: Weight,
    /// The sentence.
    pub words: String,
}

/// All sentences, the losses first.
pub fn verdict(found: &Found, client: &Value, pictures: &Pictures) -> Vec<Word> {
    let mut said: Vec<Word> = Vec::new();
    let mut say = |weight, words| said.push(Word { weight, words });
    losses(pictures, &mut |words| say(Weight::Loss, words));
    found.faults.iter().for_each(|fault| say(Weight::Loss, fault.clone()));
    COUNTED.iter().for_each(|told| {
        if let Some(some) = told.count(found, client).filter(|count| *count > 0) {
            say(told.weight, (told.words)(some));
        }
    });
    outcome(client, &mut |words| say(Weight::Loss, words));
    changes(client, &mut say);
    fallbacks(found, &mut |words| say(Weight::Note, words));
    said.sort_by_key(|word| word.weight);
    said
}

fn losses(pictures: &Pictures, say: &mut impl FnMut(String)) {
    if let Some(lost) = pictures.lost.filter(|lost| *lost > 0) {
        say(format!("{} lost: they never came whole.", counted(lost, "picture")));
    }
    if let Some(late) = pictures.late.filter(|late| *late > 0) {
        say(format!("{} late: they came when they were of no use any more.", counted(late, "picture")));
    }
    for (place, dropped) in &pictures.dropped {
        say(format!("{} dropped {place}.", counted(*dropped, "picture")));
    }
    if let Some(shed) = pictures.shed.filter(|shed| *shed > 0) {
        say(format!("{} shed before encode: newer ones took their places.", counted(shed, "picture")));
    }
}

/// A counter that is said when it is not nought.
struct Told {
    /// The end whose log has it, and its name there; may be empty.
    logged: (&'static str, &'static str),
    /// Where the client's summary has it; may be empty.
    told: &'static str,
    weight: Weight,
    words: fn(u64) -> String,
}

impl Told {
    /// The larger of what the two say.
    fn count(&self, found: &Found, client: &Value) -> Option<u64> {
        let (end, name) = self.logged;
        let log = if end == "host" { &found.host } else { &found.client };
        let told = Some(self.told).filter(|place| !place.is_empty()).and_then(|place| client.pointer(place));
        log.as_ref().and_then(|log| log.last(name)).max(told.and_then(Value::as_u64))
    }
}

const fn loss(end: &'static str, name: &'static str, told: &'static str, words: fn(u64) -> String) -> Told {
    Told { logged: (end, name), told, weight: Weight::Loss, words }
}

const fn note(end: &'static str, name: &'static str, told: &'static str, words: fn(u64) -> String) -> Told {
    Told { logged: (end, name), told, weight: Weight::Note, words }
}

/// What happened to datagrams, to the link, and to figures.
const COUNTED: [Told; 32] = [
    loss("host", "packets_send_dropped", "/datagrams/send_dropped", |n| {
        format!("{} found the send buffer full.", counted(n, "datagram"))
    }),
    loss("host", "blocks_dropped_key", "/pictures/blocks_dropped_key", |n| {
        format!("{} could not be sealed: the key was used up.", counted(n, "FEC block"))
    }),
    loss("client", "kernel_drops", "/datagrams/kernel_drops", |n| {
        format!("The client's kernel dropped {}.", counted(n, "datagram"))
    }),
    loss("client", "", "/recording_dropped", |n| {
        format!("The recording lacks {}: the disk was too slow.", counted(n, "access unit"))
    }),
    loss("client", "", "/recording_refused", |n| {
        format!("The recording lacks {}: no IDR with which it can begin had come.", counted(n, "access unit"))
    }),
    loss("client", "", "/verified/wrong", |n| {
        format!("{} came with other bytes than were sent.", counted(n, "slice"))
    }),
    note("client", "bad_tag", "/datagrams/bad_tag", |n| of_datagrams(n, "had a wrong tag")),
    note("client", "malformed", "/datagrams/malformed", |n| of_datagrams(n, "were none of ours")),
    note("client", "replayed", "/datagrams/replayed", |n| of_datagrams(n, "came twice")),
    note("client", "unknown_epoch", "/datagrams/unknown_epoch", |n| {
        of_datagrams(n, "were of a key that is not held")
    }),
    note("client", "over_limit", "/datagrams/over_limit", |n| of_datagrams(n, "went beyond an agreed bound")),
    note("client", "late", "/datagrams/late", |n| {
        of_datagrams(n, "came for an access unit that had been given up")
    }),
    note("client", "recovered_shards", "/datagrams/recovered_shards", |n| {
        format!("{} recovered from parity.", counted(n, "shard"))
    }),
    note("client", "", "/datagrams/dropped_control_queue", |n| {
        format!("{} dropped, for control lagged.", counted(n, "QUIC datagram"))
    }),
    note("client", "", "/datagrams/dropped_control_size", |n| {
        format!("{} dropped that were longer than any of ours.", counted(n, "QUIC datagram"))
    }),
    note("host", "datagrams_resent", "/datagrams/resent", |n| {
        format!("{} sent again.", counted(n, "datagram"))
    }),
    note("host", "resend_late", "/datagrams/resend_missed/late", |n| {
        format!("{} asked for again too late.", counted(n, "datagram"))
    }),
    note("host", "resend_gone", "/datagrams/resend_missed/gone", |n| {
        format!("{} asked for again, but not held any more.", counted(n, "datagram"))
    }),
    note("host", "resend_refused", "/datagrams/resend_missed/refused", |n| {
        format!("{} asked for again beyond what resends may take.", counted(n, "datagram"))
    }),
    note("host", "link_lost", "/link/lost", |n| format!("Losses lowered the link's rate {}.", times(n))),
    note("host", "link_late", "/link/late", |n| {
        format!("The link's rate was held back {}: access units came too late for it.", times(n))
    }),
    note("host", "rate_delay", "/rate/delay", |n| {
        format!("The bitrate was lowered {} because datagrams queued on the way.", times(n))
    }),
    note("host", "rate_loss", "/rate/loss", |n| {
        format!("The bitrate was lowered {} because of losses.", times(n))
    }),
    note("host", "rate_decode", "/rate/decode", |n| {
        format!("The bitrate was lowered {} because the decoder was too slow for it.", times(n))
    }),
    note("host", "rate_futile", "/rate/futile", |n| {
        format!("A lower bitrate did not help {}, and was taken back.", times(n))
    }),
    note("host", "burst_lost", "/link/burst_lost", |n| {
        format!("Losses made what may leave at once smaller {}.", times(n))
    }),
    note("host", "path_shrunk", "/path/shrunk", |n| {
        format!("The path stopped carrying long datagrams {}, and shards were made short.", times(n))
    }),
    note("host", "path_changed", "/path/changed", |n| format!("Media was sent another way {}.", times(n))),
    note("host", "", "/path/refused", |n| format!("Another address was tried and not proven {}.", times(n))),
    note("client", "idr_requests", "/pictures/idr_requests", |n| {
        format!("The client asked {} to begin decoding anew.", times(n))
    }),
    note("client", "recovery_points", "/recovery/healed_by_recovery_point", |n| {
        format!("A recovery point healed a loss {}, without an IDR.", times(n))
    }),
    note("client", "without_clock", "", |n| {
        format!("{} came before the clocks were joined, without a latency.", counted(n, "picture"))
    }),
];

fn of_datagrams(number: u64, what: &str) -> String {
    format!("Of the datagrams that came, {} {what}.", count(number))
}

/// What the session was to leave and did not.
fn outcome(client: &Value, say: &mut impl FnMut(String)) {
    for (key, words) in [
        ("recorded", "The stream was to be recorded, and the recording is not whole."),
        ("snapshot", "A picture was to be kept, and none was."),
        ("skew_corrected", "The clocks were not joined: there are no latencies across the two ends."),
    ] {
        if client[key].as_bool() == Some(false) {
            say(words.to_owned());
        }
    }
}

/// How the source changed while it was streamed, and which way took another's place.
fn changes(client: &Value, say: &mut impl FnMut(Weight, String)) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let word = |value: &Value| shortened(value.as_str().unwrap_or("nobody said"), 120);
    let told = list(&client["sources"]["told"]);
    for change in told.iter().take(CHANGES_SAID_MAX) {
        let (at, why) =
            (three_digits(change["at_s"].as_f64().unwrap_or(0.0).clamp(0.0, 1e9)), word(&change["why"]));
        match change["source"].as_str() {
            None => say(Weight::Loss, format!("At {at} s the host's pictures ended: {why}.")),
            Some(source) => {
                let source = shortened(source, 120);
                say(Weight::Note, format!("From {at} s on the pictures came from {source}, because {why}."));
            }
        }
    }
    let more = told.len().saturating_sub(CHANGES_SAID_MAX) as u64;
    let more = more.saturating_add(client["sources"]["untold"].as_u64().unwrap_or(0));
    if more > 0 {
        say(Weight::Loss, format!("The source changed {} more.", times(more)));
    }
    let falls = list(&client["falls"]);
    for fall in falls.iter().take(CHANGES_SAID_MAX) {
        let how_often = times(fall["count"].as_u64().unwrap_or(1));
        let (from, to, reason) = (word(&fall["from"]), word(&fall["to"]), word(&fall["reason"]));
        say(Weight::Note, format!("The source went from {from} to {to} {how_often}: {reason}."));
    }
    if falls.len() > CHANGES_SAID_MAX {
        let more = (falls.len() - CHANGES_SAID_MAX) as u64;
        say(Weight::Note, format!("{} more of one source for another.", counted(more, "change")));
    }
}

fn fallbacks(found: &Found, say: &mut impl FnMut(String)) {
    if let Some(reason) = found.summary["fallback_reason"].as_str() {
        let reason = shortened(reason, 300);
        say(format!("No desktop could be had, so the test card was streamed: {reason}"));
    }
    let receiving = client_summary(&found.summary)["datagrams"]["receive_fallbacks"].as_u64();
    for (end, log, told) in [("host", &found.host, None), ("client", &found.client, receiving)] {
        let logged = log.as_ref().and_then(|log| log.last("fallbacks"));
        if let Some(some) = logged.max(told).filter(|some| *some > 0) {
            say(format!("The {end} did without what it wanted {}.", times(some)));
        }
        let Some(log) = log else { continue };
        if let Some((_, missing)) = log.fact("net").and_then(|net| net.split_once("; ")) {
            say(format!("The {end}'s UDP edge has {missing}."));
        }
        for (_, stage) in log.facts.iter().filter(|(name, words)| name == "stage" && words.ends_with(')')) {
            say(format!("The {end}'s stage {stage}."));
        }
    }
}
