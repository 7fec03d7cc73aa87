//! A session that is lost and had again: the host was killed and is back, or the network was gone for a while.
//!
//! Promises: a lost host is looked for as long as `--reconnect` says and no longer; that is said once, and counted;
//! what each session came to is kept. Refuses to come back where somebody has ended the session: a Bye is an end; and to
//! take another host's word for the one that was lost.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_control::{ConnectError, RefusalCode, Trust};
use serde_json::{Value, json};

use crate::caller::{Caller, Turn};
use crate::commands::{Command, Commands};
use crate::connect::Finished;
use crate::error::ClientError;
use crate::terminal::{print, say};

/// How long one try waits for the host's first word: QUIC has said its first three times by then.
const ANSWER_MAX: Duration = Duration::from_millis(800);

/// Between a try that was answered by No, or by the machine that nobody listens, and the next one.
const TRY_INTERVAL: Duration = Duration::from_millis(100);

/// Everything that sessions one after the other came to.
pub struct Course {
    /// The last session.
    pub last: Finished,
    /// Those that were lost before it.
    earlier: Vec<Finished>,
    /// How long there was none, all in all.
    away: Duration,
}

impl Course {
    /// The last session's summary, with those before it.
    pub fn json(self) -> Value {
        let mut json = self.last.json;
        json["reconnects"] = json!(self.earlier.len());
        json["away_s"] = json!(self.away.as_secs_f64());
        json["earlier"] = self.earlier.into_iter().map(|finished| finished.json).collect();
        json
    }

    /// The same for people: what came before was said when it was lost.
    pub fn text(&self) -> String {
        let (count, away_s) = (self.earlier.len(), self.away.as_secs_f64());
        let came_back = match count {
            0 => String::new(),
            1 => format!("the host was lost once, for {away_s:.1} s\n"),
            _ => format!("the host was lost {count} times, for {away_s:.1} s in all\n"),
        };
        format!("{}{came_back}", self.last.text)
    }
}

/// Streams, and looks for a host that is lost.
///
/// # Errors
/// The first session never came to stream.
pub fn run(caller: &Caller<'_>) -> Result<Course, ClientError> {
    let limit = caller.args.seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let patience = Duration::from_secs(caller.args.reconnect.into());
    let mut streamed = Duration::ZERO;
    let last = caller.session(&Turn::first(limit))?;
    let mut course = Course { last, earlier: Vec::new(), away: Duration::ZERO };
    while let Some(why) = course.last.error.as_ref().filter(|error| is_lost(error) && !patience.is_zero()) {
        streamed += course.last.streamed;
        let left = limit.map(|limit| limit.saturating_sub(streamed));
        if left.is_some_and(|left| left.is_zero()) || caller.stop.load(Ordering::Relaxed) {
            break;
        }
        say(&format!("{why}; it is looked for, for {} s", patience.as_secs()));
        if !caller.args.json {
            print(&course.last.text)?;
        }
        let trust = course.last.host.map_or_else(|| caller.trust.clone(), |host| Trust::Pinned(vec![host]));
        let number = course.earlier.len() + 2;
        let turn = Turn { number, limit: left, trust: Some(trust), answer_max: ANSWER_MAX };
        let (lost_at, until) = (Instant::now(), Instant::now() + patience);
        let Some((came, next)) = again(caller, &turn, until) else { break };
        course.away += came.saturating_duration_since(lost_at);
        match next {
            Ok(next) => course.earlier.push(std::mem::replace(&mut course.last, next)),
            Err(error) => {
                course.last.error = Some(error);
                break;
            }
        }
    }
    Ok(course)
}

/// Tries until there is a session, or a No that stays one; with when that began. `None` when neither came in time.
fn again(
    caller: &Caller<'_>,
    turn: &Turn,
    until: Instant,
) -> Option<(Instant, Result<Finished, ClientError>)> {
    while Instant::now() < until && !caller.stop.load(Ordering::Relaxed) {
        while let Some(said) = caller.commands.as_ref().and_then(Commands::poll) {
            match said {
                Ok(Command::Quit) => return None,
                Ok(_) => say("there is no session to do that in; only quit is heard meanwhile"),
                Err(wrong) => say(&wrong),
            }
        }
        match caller.session(turn) {
            Err(error) if is_passing(&error) => {
                tracing::debug!(%error, "the host is not back yet");
                // Nobody says when the host is back.
                thread::park_timeout(TRY_INTERVAL);
            }
            Ok(finished) => return Some((finished.began, Ok(finished))),
            Err(error) => return Some((Instant::now(), Err(error))),
        }
    }
    None
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
