//! `punktfunk-host pair`: opens the window at a host that runs, shows the PIN, and waits for the device.
//!
//! Promises: it says how it went by its exit code; interrupted, it closes the window that it has opened, and no other
//! one. Refuses to show a PIN without a host.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ask::RunningHost;
use crate::cli::PairArgs;
use crate::error::HostError;

/// Between two looks at the window.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

const PATH: &str = "/api/v1/pairing";

/// Opens the window and waits for its end.
///
/// # Errors
/// No host runs, it refuses, or no device has paired.
pub fn run(args: &PairArgs, host: &RunningHost, stop: &AtomicBool) -> Result<(), HostError> {
    let armed = host.ask("POST", PATH, Some(&json!({ "seconds": args.seconds })))?;
    let pin = armed["pin"].as_str().unwrap_or_default();
    if args.json {
        say(&json!({ "pin": pin, "left_s": armed["left_s"] }).to_string());
    } else {
        let (first, second) = pin.split_at(pin.len() / 2);
        say(&format!("PIN: {first} {second}"));
        say(&format!("on the other machine: punktfunk pair HOST (within {} s)", armed["left_s"]));
    }
    // What a look shows may be a moment old: after an interruption there is one more before anything is closed.
    let mut looks_interrupted = 0;
    loop {
        thread::park_timeout(LOOK_INTERVAL);
        looks_interrupted += u32::from(stop.load(Ordering::Relaxed));
        let now = host.ask("GET", PATH, None)?;
        if now["pin"].as_str().is_some_and(|other| other != pin) {
            return Err(HostError::NotPaired("somebody has armed pairing anew: another PIN holds".into()));
        }
        if looks_interrupted > 1 && now["state"] == "armed" {
            host.ask("DELETE", PATH, None)?;
            return Err(HostError::NotPaired("interrupted; the PIN is worth nothing any more".into()));
        }
        match now["state"].as_str() {
            Some("armed") => {}
            Some("paired") => {
                let device = now["paired"].as_str().unwrap_or("a device");
                let line = if args.json {
                    json!({ "paired": device }).to_string()
                } else {
                    format!("paired with {device}")
                };
                say(&line);
                return Ok(());
            }
            _ => return Err(HostError::NotPaired(why_not(&now))),
        }
    }
}

fn why_not(pairing: &Value) -> String {
    match pairing["state"].as_str() {
        Some("expired") => "no device has paired in time".into(),
        Some("failed") => {
            let fault = pairing["fault"].as_str().unwrap_or("it does not say why");
            format!("a device knew the PIN, and the host could not let it in: {fault}")
        }
        Some("disarmed") => format!("too many wrong PINs were tried; wait {} s", pairing["wait_s"]),
        _ => "pairing was cancelled".into(),
    }
}

#[expect(clippy::print_stdout, reason = "this command's output is its result")]
fn say(line: &str) {
    println!("{line}");
    // A reader that has gone away does not matter.
    let _ = std::io::stdout().flush();
}
