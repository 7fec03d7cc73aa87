//! What has to be said first: whether all was well, and in plain words what was not.
//!
//! Promises: each loss and each fallback that either end counted is a sentence of its own; what is missing from the
//! folder is said too. Where there is nothing to say, that is said.

use serde::Serialize;
use serde_json::Value;

use super::figures::Pictures;
use super::read::Found;
use super::words::{count, counted};

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
    losses(pictures, &mut |words| said.push(Word { weight: Weight::Loss, words }));
    said.extend(found.faults.iter().map(|fault| Word { weight: Weight::Loss, words: fault.clone() }));
    datagrams(found, client, &mut said);
    fallbacks(found, &mut |words| said.push(Word { weight: Weight::Note, words }));
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

/// What happened to datagrams, and to figures.
fn datagrams(found: &Found, client: &Value, said: &mut Vec<Word>) {
    let host = |name: &str| found.host.as_ref().and_then(|log| log.last(name)).filter(|count| *count > 0);
    let end = |name: &str| found.client.as_ref().and_then(|log| log.last(name)).filter(|count| *count > 0);
    let mut say = |weight, words: String| said.push(Word { weight, words });
    if let Some(dropped) = host("packets_send_dropped") {
        say(Weight::Loss, format!("{} found the send buffer full.", counted(dropped, "datagram")));
    }
    if let Some(blocks) = host("blocks_dropped_key") {
        say(
            Weight::Loss,
            format!("{} could not be sealed: the key was used up.", counted(blocks, "FEC block")),
        );
    }
    if let Some(dropped) = end("kernel_drops") {
        say(Weight::Loss, format!("The client's kernel dropped {}.", counted(dropped, "datagram")));
    }
    for (name, what) in
        [("bad_tag", "had a wrong tag"), ("malformed", "were none of ours"), ("replayed", "came twice")]
    {
        if let Some(some) = end(name) {
            say(Weight::Note, format!("Of the datagrams that came, {} {what}.", count(some)));
        }
    }
    if let Some(recovered) = end("recovered_shards") {
        say(Weight::Note, format!("{} recovered from parity.", counted(recovered, "shard")));
    }
    if let Some(resent) = host("datagrams_resent") {
        say(Weight::Note, format!("{} sent again.", counted(resent, "datagram")));
    }
    if let Some(asked) = end("idr_requests") {
        say(Weight::Note, format!("The client asked for an IDR {}.", times(asked)));
    }
    if let Some(without) = end("without_clock") {
        let pictures = counted(without, "picture");
        say(Weight::Note, format!("{pictures} came before the clocks were joined, and have no latency."));
    }
    if client["skew_corrected"].as_bool() == Some(false) {
        say(
            Weight::Loss,
            "The clocks were not joined: there are no latencies across the two ends.".to_owned(),
        );
    }
}

fn fallbacks(found: &Found, say: &mut impl FnMut(String)) {
    if let Some(reason) = found.summary["fallback_reason"].as_str() {
        let reason: String = reason.chars().take(300).collect();
        say(format!("No desktop could be had, so the test card was streamed: {reason}"));
    }
    for (end, log) in [("host", &found.host), ("client", &found.client)] {
        let Some(log) = log else { continue };
        if let Some(some) = log.last("fallbacks").filter(|some| *some > 0) {
            say(format!("The {end} did without what it wanted {}.", times(some)));
        }
        if let Some((_, missing)) = log.fact("net").and_then(|net| net.split_once("; ")) {
            say(format!("The {end}'s UDP edge has {missing}."));
        }
        for (_, stage) in log.facts.iter().filter(|(name, words)| name == "stage" && words.ends_with(')')) {
            say(format!("The {end}'s stage {stage}."));
        }
    }
}

fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        many => format!("{} times", count(many)),
    }
}
