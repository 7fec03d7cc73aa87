//! `punktfunk-host pending`: the devices that wait for somebody's word at a host that runs, and that word.
//!
//! Promises: a name that a stranger gives itself steers no terminal. Refuses to decide about more than one at a time.

use serde_json::{Value, json};

use crate::ask::RunningHost;
use crate::cli::{PendingArgs, PendingVerb};
use crate::error::HostError;

const PATH: &str = "/api/v1/pending";

/// Does what the arguments say.
///
/// # Errors
/// No host runs, or the device does not wait any more.
pub fn run(args: &PendingArgs, host: &RunningHost) -> Result<(), HostError> {
    match &args.verb {
        None | Some(PendingVerb::List) => {}
        Some(PendingVerb::Approve { id, name }) => {
            let name = name.as_ref().map(|name| json!({ "name": name }));
            host.ask("POST", &format!("{PATH}/{id}/approve"), Some(&name.unwrap_or(Value::Null)))?;
        }
        Some(PendingVerb::Deny { id }) => {
            host.ask("POST", &format!("{PATH}/{id}/deny"), None)?;
        }
    }
    print(&host.ask("GET", PATH, None)?, args.json);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this command's output is its result")]
fn print(pending: &Value, json: bool) {
    if json {
        println!("{pending}");
        return;
    }
    let devices = pending.as_array().map(Vec::as_slice).unwrap_or_default();
    if devices.is_empty() {
        println!("no device waits");
    }
    for device in devices {
        // The host has made it printable.
        let name = device["name"].as_str().unwrap_or_default();
        let fingerprint = device["fingerprint"].as_str().unwrap_or_default();
        println!("{}  {fingerprint}  {name}, for {} s yet", device["id"], device["left_s"]);
    }
}
