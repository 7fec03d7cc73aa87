//! `punktfunk-host devices`: who is paired, without a running host.
//!
//! Promises: a change is whole or not at all, and a running host follows it within a quarter of a second. Refuses to
//! guess which of two devices is meant.

use std::path::Path;

use punktfunk_control::{Device, Devices};

use crate::cli::{DevicesArgs, DevicesVerb};
use crate::error::HostError;

/// Does what the arguments say.
///
/// # Errors
/// The list cannot be read or written, or no one device is meant.
pub fn run(args: &DevicesArgs, folder: &Path) -> Result<(), HostError> {
    let mut devices = Devices::load(folder)?;
    match &args.verb {
        None | Some(DevicesVerb::List) => {}
        Some(DevicesVerb::Rename { device, name }) => {
            let fingerprint = devices.meant_by(device)?.fingerprint;
            devices.rename(&fingerprint, name)?;
        }
        Some(DevicesVerb::Revoke { device }) => {
            let fingerprint = devices.meant_by(device)?.fingerprint;
            devices.remove(&fingerprint)?;
        }
    }
    print(devices.all(), args.json);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this command's output is its result")]
fn print(devices: &[Device], json: bool) {
    if json {
        let entry = |device: &Device| {
            serde_json::json!({
                "fingerprint": device.fingerprint.to_string(), "name": device.name,
                "paired_at": device.paired_at, "last_seen_at": device.last_seen_at,
            })
        };
        println!("{}", serde_json::Value::from(devices.iter().map(entry).collect::<Vec<_>>()));
        return;
    }
    if devices.is_empty() {
        println!("no device is paired");
    }
    for device in devices {
        println!("{}  {}", device.fingerprint, device.name);
    }
}
