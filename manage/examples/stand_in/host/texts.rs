//! What the host has to say that does not move.

use punktfunk_manage::model::{Check, CheckState, Compositor, Device, Diagnosis, Origin, Recording, Setting};
use punktfunk_manage::{Refused, Why};

/// A fingerprint that looks like one.
pub(super) fn fingerprint(number: u64) -> String {
    let part = |salt: u64| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17 * salt as u32);
    (1..5).map(|salt| format!("{:016x}", part(salt))).collect()
}

pub(super) fn devices(now_s: u64) -> Vec<Device> {
    let device = |number: u64, name: &str, days: u64, connected| Device {
        fingerprint: fingerprint(number),
        name: name.to_owned(),
        paired_at_s: Some(now_s - days * 86_400),
        last_seen_at_s: Some(now_s - if connected { 0 } else { 9_000 * number }),
        connected,
    };
    let trusted =
        Device { paired_at_s: None, last_seen_at_s: None, ..device(4, "Trusted by --trust", 0, false) };
    vec![
        device(1, "Living-room TV", 212, true),
        device(2, "Steam Deck", 90, true),
        device(3, "Work laptop", 14, false),
        trusted,
    ]
}

pub(super) fn compositors() -> Vec<Compositor> {
    let one = |name: &str, version: Option<&str>, unusable: Option<&str>| Compositor {
        name: name.to_owned(),
        version: version.map(str::to_owned),
        unusable: unusable.map(str::to_owned),
    };
    vec![
        one("sway", Some("1.10"), None),
        one("mutter", Some("48.4"), None),
        one("kwin", None, Some("kwin_wayland is not installed")),
    ]
}

pub(super) fn settings() -> Vec<Setting> {
    let one = |key: &str, value: &str, origin, place: &str, help: &str| Setting {
        key: key.to_owned(),
        value: value.to_owned(),
        origin,
        place: place.to_owned(),
        help: help.to_owned(),
        writable: matches!(origin, Origin::Default | Origin::File),
        needs_restart: key == "listen",
    };
    vec![
        one("listen", "0.0.0.0:47800", Origin::Default, "", "The UDP address of the sessions"),
        one("name", "workstation", Origin::File, "host.toml, line 3", "What clients call this host"),
        one("bitrate_max_kbps", "80000", Origin::File, "host.toml, line 7", "No session has more than this"),
        one("sessions_max", "4", Origin::Default, "", "How many clients at once"),
        one(
            "redundancy",
            "auto",
            Origin::Environment,
            "PUNKTFUNK_REDUNDANCY",
            "Parity, in percent of the data",
        ),
        one("manage", "127.0.0.1:47801", Origin::Flag, "--manage", "Where this page is served"),
    ]
}

/// Writes a setting, or takes it out of the file.
pub(super) fn change(setting: &mut Setting, value: Option<String>) -> Result<(), Refused> {
    if !setting.writable {
        let error = format!("{} comes from {}", setting.key, setting.place);
        return Err(Refused::new(Why::Conflict, error, "change it there"));
    }
    match value {
        Some(value) if setting.key == "sessions_max" && !matches!(value.parse(), Ok(1..=16)) => {
            let error = format!("sessions_max is {value:?}, and goes from 1 to 16");
            return Err(Refused::new(Why::Invalid, error, "send one within"));
        }
        Some(value) => {
            setting.value = value;
            setting.origin = Origin::File;
            setting.place = "host.toml, line 9".to_owned();
        }
        None => {
            setting.origin = Origin::Default;
            setting.place.clear();
        }
    }
    Ok(())
}

pub(super) fn recordings() -> Vec<Recording> {
    vec![recording("2026-11-26T21-14-02", 2, 1_840_233), recording("2026-11-24T18-40-51", 1, 412_870)]
}

pub(super) fn recording(name: &str, sessions: u32, bytes: u64) -> Recording {
    let path = format!("/srv/ada/.config/punktfunk/recordings/{name}");
    Recording { name: name.to_owned(), path, sessions, bytes, running: false }
}

pub(super) fn diagnosis() -> Diagnosis {
    use CheckState::{Broken, Degraded, Ok};
    let one = |name: &str, state, found: &str, remedy: &str| Check {
        name: name.to_owned(),
        state,
        found: found.to_owned(),
        remedy: remedy.to_owned(),
    };
    let buffers = "Up to 3 pictures in a hundred are lost at 200 Mbit/s: \
                   sysctl -w net.core.rmem_max=16777216, or install packaging/sysctl/90-punktfunk.conf.";
    let mdns = "Another program holds port 5353 for itself: clients must be given this host's address, until \
                it is stopped or told to share.";
    Diagnosis {
        checks: vec![
            one("compositor", Ok, "sway 1.10, and it can make screens", ""),
            one("portal", Ok, "xdg-desktop-portal 1.20 with wlr's screencast", ""),
            one("PipeWire", Ok, "1.2.7", ""),
            one(
                "GPU",
                Degraded,
                "none; pictures are encoded by the CPU",
                "1440p60 takes two cores for itself.",
            ),
            one("encoder", Ok, "openh264 2.6.0", ""),
            one("UDP buffers", Degraded, "212,992 bytes of 16 MiB wanted", buffers),
            one("GSO", Ok, "64 datagrams a train", ""),
            one("MTU", Ok, "1,500", ""),
            one("ports", Ok, "UDP 47800 and TCP 47801 are ours", ""),
            one("clock", Ok, "CLOCK_MONOTONIC by tsc", ""),
            one("permissions", Ok, "identity.pem is ours, mode 0600", ""),
            one("mDNS", Broken, "the name cannot be announced", mdns),
            one("certificate", Ok, "good until 2036-11-24", ""),
        ],
    }
}
