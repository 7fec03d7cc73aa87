//! A session that is lost and had again: the host was killed and is back, or the network was gone for a while.
//!
//! Promises: a lost host is looked for as long as `--reconnect` says and no longer, whatever a try waits for; a signal and
//! quit are heard meanwhile, whenever they come; that is said once, and counted; what the latest sessions came to is kept,
//! and those before are counted; a host that loses each session at once is tried ever more seldom. Refuses to come back where somebody has ended the session: a Bye is an end; and to
//! take another host's word for the one that was lost.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_control::{ConnectError, RefusalCode, Trust};
use serde_json::{Value, json};

use crate::caller::{Caller, Turn};
use crate::commands::Commands;
use crate::connect::Finished;
use crate::error::ClientError;
use crate::terminal::{print, say};

/// How long one try waits for the host's first word: QUIC has said its first three times by then.
const ANSWER_MAX: Duration = Duration::from_millis(800);

/// Between a try that was answered by No, or by the machine that nobody listens, and the next one.
const TRY_INTERVAL: Duration = Duration::from_millis(100);

/// A session that did not live that long did the host no good: the next try waits longer, and patience does not start
/// anew.
const SHORT: Duration = Duration::from_secs(1);

/// The longest wait after short sessions.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Summaries of earlier sessions that are kept, the latest: a summary has some sixty KiB.
const EARLIER_MAX: usize = 32;

/// Everything that sessions one after the other came to.
pub struct Course {
    /// The last session.
    pub last: Finished,
    /// Those that were lost before it, the latest of them.
    earlier: VecDeque<Finished>,
    /// How many were lost.
    reconnects: usize,
    /// How long there was none, all in all.
    away: Duration,
}

impl Course {
    /// A first session.
    fn new(last: Finished) -> Self {
        Self { last, earlier: VecDeque::new(), reconnects: 0, away: Duration::ZERO }
    }

    /// Another session has come after the last one.
    fn push(&mut self, next: Finished, away: Duration) {
        self.away += away;
        self.reconnects += 1;
        if self.earlier.len() == EARLIER_MAX {
            self.earlier.pop_front();
        }
        self.earlier.push_back(std::mem::replace(&mut self.last, next));
    }

    /// The last session's summary, with those before it.
    pub fn json(self) -> Value {
        let mut json = self.last.json;
        json["reconnects"] = json!(self.reconnects);
        json["away_s"] = json!(self.away.as_secs_f64());
        json["earlier_left_out"] = json!(self.reconnects - self.earlier.len());
        json["earlier"] = self.earlier.into_iter().map(|finished| finished.json).collect();
        json
    }

    /// The same for people: what came before was said when it was lost.
    pub fn text(&self) -> String {
        let (count, away_s) = (self.reconnects, self.away.as_secs_f64());
        let came_back = match count {
            0 => String::new(),
            1 => format!("the host was lost once, for {away_s:.1} s\n"),
            _ => format!("the host was lost {count} times, for {away_s:.1} s in all\n"),
        };
        format!("{}{came_back}", self.last.text)
    }
}

/// How a search ends.
enum Found {
    /// With a session.
    Session(Box<Finished>),
    /// With a No that stays one.
    No(ClientError),
    /// Neither came in time.
    Nothing,
    /// A signal came.
    Interrupted,
    /// Somebody has said quit.
    Quit,
}

/// How patiently a host is looked for.
#[derive(Debug, Default)]
struct Search {
    /// Until when; kept while sessions are short.
    until: Option<Instant>,
    /// Short sessions, one after the other.
    short: u32,
}

impl Search {
    /// A session of this length was lost: until when its host is looked for, and how long the first try waits.
    fn begin(&mut self, streamed: Duration, patience: Duration, now: Instant) -> (Instant, Duration) {
        if streamed >= SHORT {
            *self = Self::default();
        } else {
            self.short += 1;
        }
        // The first may have met a host that was about to be killed again.
        let wait = match self.short {
            0 | 1 => Duration::ZERO,
            short => TRY_INTERVAL.saturating_mul(1 << (short - 1).min(10)).min(BACKOFF_MAX),
        };
        (*self.until.get_or_insert(now + patience), wait)
    }
}

/// Streams, and looks for a host that is lost.
///
/// # Errors
/// The first session never came to stream.
pub fn run(caller: &Caller<'_>) -> Result<Course, ClientError> {
    let limit = caller.args.seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let patience = Duration::from_secs(caller.args.reconnect.into());
    let (mut streamed, mut search) = (Duration::ZERO, Search::default());
    let mut course = Course::new(caller.session(&Turn::first(limit))?);
    while let Some(why) = course.last.error.as_ref().filter(|error| is_lost(error) && !patience.is_zero()) {
        streamed += course.last.streamed;
        let left = limit.map(|limit| limit.saturating_sub(streamed));
        if left.is_some_and(|left| left.is_zero()) {
            break;
        }
        let lost_at = Instant::now();
        let (until, wait) = search.begin(course.last.streamed, patience, lost_at);
        say(&format!("{why}; it is looked for, for {:.0} s", (until - lost_at).as_secs_f64()));
        if !caller.args.json {
            print(&course.last.text)?;
        }
        let trust = course.last.host.map_or_else(|| caller.trust.clone(), |host| Trust::Pinned(vec![host]));
        let number = course.reconnects + 2;
        let turn =
            Turn { number, limit: left, trust: Some(trust), answer_max: ANSWER_MAX, until: Some(until) };
        match again(caller, &turn, (lost_at + wait, until)) {
            Found::Session(next) => {
                let away = next.began.saturating_duration_since(lost_at);
                course.push(*next, away);
            }
            Found::No(error) => course.last.error = Some(error),
            // What it was lost by stands.
            Found::Nothing => break,
            Found::Interrupted => course.last.error = Some(ClientError::Interrupted),
            // Whoever leaves of his own will has lost nothing.
            Found::Quit => course.last.error = None,
        }
    }
    Ok(course)
}

/// Tries from the first time on and until the second one, while nobody would have it otherwise.
fn again(caller: &Caller<'_>, turn: &Turn, (mut next_try, until): (Instant, Instant)) -> Found {
    loop {
        if caller.stop.load(Ordering::Relaxed) {
            return Found::Interrupted;
        }
        if caller.commands.as_ref().is_some_and(Commands::is_quit_said) {
            return Found::Quit;
        }
        let now = Instant::now();
        if now >= until {
            return Found::Nothing;
        }
        if now < next_try {
            thread::park_timeout(TRY_INTERVAL.min(next_try - now));
            continue;
        }
        match caller.session(turn) {
            Ok(finished) => return Found::Session(Box::new(finished)),
            Err(ClientError::Interrupted) => return Found::Interrupted,
            Err(ClientError::Quit) => return Found::Quit,
            Err(ClientError::GaveUp) => return Found::Nothing,
            Err(error) if is_passing(&error) => {
                tracing::debug!(%error, "the host is not back yet");
                // Nobody says when the host is back.
                next_try = Instant::now() + TRY_INTERVAL;
            }
            Err(error) => return Found::No(error),
        }
    }
}

/// Whether the host went without a word.
fn is_lost(error: &ClientError) -> bool {
    matches!(error, ClientError::Connect(ConnectError::Lost { .. } | ConnectError::Restarted { .. }))
}

/// Whether another try may have another answer.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::NoSuchHost { .. } => true,
        ClientError::Connect(error) => match error {
            ConnectError::NoAnswer { .. }
            | ConnectError::Lost { .. }
            | ConnectError::Restarted { .. }
            | ConnectError::Stalled { .. }
            | ConnectError::Transport { .. } => true,
            ConnectError::ConnectionRefusedByHost(refusal) => {
                matches!(refusal.code, RefusalCode::Busy | RefusalCode::ShuttingDown)
            }
            ConnectError::WrongFingerprint { .. }
            | ConnectError::HostCertificate { .. }
            | ConnectError::OurCertificate
            | ConnectError::HostDemandsTrust { .. }
            | ConnectError::ProtocolVersion { .. }
            | ConnectError::Closed(_)
            | ConnectError::Left(_)
            | ConnectError::Violation(_) => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u64) -> Finished {
        let (began, streamed) = (Instant::now(), Duration::ZERO);
        Finished {
            json: json!({"number": number}),
            text: String::new(),
            error: None,
            host: None,
            began,
            streamed,
        }
    }

    #[test]
    fn the_latest_summaries_are_kept_and_the_others_counted() {
        let mut course = Course::new(session(0));
        for number in 1..=100 {
            course.push(session(number), Duration::from_millis(10));
        }
        let json = course.json();
        assert_eq!((&json["number"], &json["reconnects"]), (&json!(100), &json!(100)));
        let earlier = json["earlier"].as_array().unwrap();
        assert_eq!((earlier.len(), &json["earlier_left_out"]), (EARLIER_MAX, &json!(100 - EARLIER_MAX)));
        assert_eq!(earlier[0]["number"], 100 - EARLIER_MAX);
        assert!((0.999..1.001).contains(&json["away_s"].as_f64().unwrap()), "{json}");
    }

    #[test]
    fn short_sessions_wait_ever_longer_within_one_patience() {
        let (start, patience) = (Instant::now(), Duration::from_secs(30));
        let (mut search, mut now, mut tries) = (Search::default(), start, 0);
        loop {
            let (until, wait) = search.begin(Duration::from_millis(50), patience, now);
            assert_eq!(until, start + patience, "patience starts anew");
            now += wait + Duration::from_millis(50);
            if now >= until {
                break;
            }
            tries += 1;
        }
        assert!((5..20).contains(&tries), "{tries} sessions");
        // One that lived makes good for those before it.
        let (until, wait) = search.begin(SHORT, patience, now);
        assert_eq!((until, wait), (now + patience, Duration::ZERO));
        // The next after it is tried at once, too.
        let (again, wait) = search.begin(Duration::ZERO, patience, now);
        assert_eq!((again, wait), (until, Duration::ZERO));
    }
}
