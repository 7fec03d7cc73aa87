//! `punktfunk discover`: the hosts on the local network that say that they are there.
//!
//! Promises: each host with its address, what it claims to be, and whether it is one that is paired; nothing that a
//! stranger sends steers a terminal. Refuses to believe: a host is known by its certificate, when it is asked.

use std::net::SocketAddr;
use std::time::Duration;

use punktfunk_control::{Devices, PROTOCOL};
use punktfunk_discover::{About, Found, Search, browse};
use serde_json::{Value, json};

use crate::cli::DiscoverArgs;
use crate::error::ClientError;
use crate::terminal::printable;

/// Looks around and gives what there is to print.
///
/// # Errors
/// Nothing can be heard.
pub fn discover(args: &DiscoverArgs, known: &Devices) -> Result<String, ClientError> {
    let search = browse(Duration::from_millis(args.wait.into()))?;
    Ok(if args.json { format!("{:#}", as_json(&search, known)) } else { as_text(&search, known, args.wait) })
}

/// What this client has called a host when it was paired.
fn known_as<'a>(about: &About, known: &'a Devices) -> Option<&'a str> {
    let fingerprint = about.fingerprint().parse().ok()?;
    known.find(&fingerprint).map(|host| host.name.as_str())
}

/// Why a host cannot be talked to, if so.
fn protocol_fault(proto: u32) -> Option<&'static str> {
    match proto.cmp(&PROTOCOL) {
        std::cmp::Ordering::Less => Some("its program is too old: update it"),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some("its program is newer than this one: update this one"),
    }
}

fn as_json(search: &Search, known: &Devices) -> Value {
    let host = |host: &Found| {
        let addresses: Vec<String> = host.addresses.iter().map(SocketAddr::to_string).collect();
        let mut entry = json!({
            "name": host.name, "address": addresses.first(), "addresses": addresses, "paired": false, "fault": null,
        });
        match &host.about {
            Ok(about) => {
                entry["paired"] = known_as(about, known).is_some().into();
                entry["fingerprint"] = about.fingerprint().into();
                entry["protocol"] = about.proto().into();
                entry["pairing"] = about.pairing().word().into();
                entry["id"] = about.id().into();
                entry["fault"] = protocol_fault(about.proto()).into();
            }
            Err(error) => entry["fault"] = error.to_string().into(),
        }
        entry
    };
    json!({
        "hosts": search.hosts.iter().map(host).collect::<Vec<_>>(),
        "left_out": search.left_out, "cut_short": search.is_cut_short, "protocol": PROTOCOL,
    })
}

fn as_text(search: &Search, known: &Devices, wait_ms: u32) -> String {
    let mut lines = Vec::new();
    for host in &search.hosts {
        let address = host.addresses.first().map(SocketAddr::to_string).unwrap_or_default();
        let (state, fingerprint) = match &host.about {
            Ok(about) => (state(about, known), about.fingerprint()),
            Err(error) => (error.to_string(), ""),
        };
        lines.push(format!("{:20} {address:24} {state}\n{:20} {fingerprint}", printable(&host.name), ""));
    }
    if search.hosts.is_empty() {
        lines.push(format!(
            "no host has said within {wait_ms} ms that it is there; one that is not announced, or is behind a router, \
             can be named by its address"
        ));
    }
    if search.left_out > 0 {
        lines.push(format!("and {} more that are not shown", search.left_out));
    }
    if search.is_cut_short {
        lines.push("broken off: this network's hosts and services are too many to remember".to_owned());
    }
    lines.join("\n")
}

fn state(about: &About, known: &Devices) -> String {
    let mut state = match known_as(about, known) {
        Some(name) => format!("paired as {}", printable(name)),
        None => match about.pairing() {
            punktfunk_discover::Pairing::Required => "not paired".to_owned(),
            punktfunk_discover::Pairing::Open => "not paired, open to everyone".to_owned(),
        },
    };
    if let Some(fault) = protocol_fault(about.proto()) {
        state = format!("{state}; {fault}");
    }
    state
}

#[cfg(test)]
mod tests {
    use punktfunk_control::now_s;
    use punktfunk_discover::{AboutError, Pairing};

    use super::*;

    #[test]
    fn hosts_are_told_apart_by_what_is_paired_and_what_they_speak() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = Devices::load(folder.path()).unwrap();
        let ours = "ab".repeat(32);
        known.add(ours.parse().unwrap(), "the office", now_s()).unwrap();
        let host = |name: &str, about| Found {
            name: name.into(),
            addresses: vec![([10, 0, 0, 2], 47_800).into(), ([10, 0, 0, 3], 47_800).into()],
            about,
        };
        let about = |proto, fingerprint: &str, pairing| About::new(proto, fingerprint, pairing);
        let search = Search {
            hosts: vec![
                host("desk", about(PROTOCOL, &ours, Pairing::Required)),
                host("old", about(PROTOCOL - 1, &"cd".repeat(32), Pairing::Required)),
                host("new", about(PROTOCOL + 1, &"ef".repeat(32), Pairing::Open)),
                host("odd", Err(AboutError::Missing("fp"))),
            ],
            left_out: 3,
            is_cut_short: true,
        };
        let text = as_text(&search, &known, 1);
        for said in
            ["10.0.0.2:47800", "paired as the office", "too old", "update this one", "lacks fp", "3 more"]
        {
            assert!(text.contains(said), "{said} in {text}");
        }
        let json = as_json(&search, &known);
        let of = |key: &str| {
            json["hosts"].as_array().unwrap().iter().map(|host| host[key].clone()).collect::<Vec<_>>()
        };
        assert_eq!(of("paired"), [true, false, false, false]);
        assert_eq!(json["hosts"][0]["fault"], Value::Null);
        assert_eq!(
            (&json["hosts"][2]["pairing"], &json["hosts"][0]["fingerprint"]),
            (&"open".into(), &ours.into())
        );
        assert_eq!((&json["left_out"], &json["cut_short"]), (&3.into(), &true.into()));
        assert!(as_text(&Search::default(), &known, 100).contains("within 100 ms"));
    }
}
