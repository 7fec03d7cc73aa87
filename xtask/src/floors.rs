//! Who may import whom.
//!
//! Promises: every room of the workspace stands on a floor; imports go down only; rooms on one floor do
//! not import each other, nor do their tests but for a list; nobody imports a tool, but tests a stand-in; no async runtime
//! is anywhere below the tools but tokio in the room that serves web pages, and no QUIC, TLS or command line in
//! the hot rooms.
//! Read from `cargo metadata`, which knows better than a manifest's text.
//!
//! Refuses: a room that it does not know. Give it a floor here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::fault::Fault;
use crate::tidy::{Finding, Rule};
use crate::{process, workspace};

/// Where a room stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Floor {
    At(u8),
    /// Imports what it needs; imported by nobody.
    Tool,
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Floor::At(number) => write!(f, "floor {number}"),
            Floor::Tool => write!(f, "a tool"),
        }
    }
}

const ROOMS: &[(&str, Floor)] = &[
    ("punktfunk-fec", Floor::At(0)),
    ("punktfunk-seal", Floor::At(0)),
    ("punktfunk-perf", Floor::At(0)),
    ("punktfunk-settings", Floor::At(0)),
    ("punktfunk-cuda", Floor::At(0)),
    ("punktfunk-net", Floor::At(1)),
    ("punktfunk-capture", Floor::At(1)),
    ("punktfunk-codec", Floor::At(1)),
    ("punktfunk-nvdec", Floor::At(1)),
    ("punktfunk-display", Floor::At(1)),
    ("punktfunk-discover", Floor::At(1)),
    ("punktfunk-gpu", Floor::At(1)),
    ("punktfunk-nvenc", Floor::At(1)),
    ("punktfunk-proto", Floor::At(2)),
    ("punktfunk-control", Floor::At(3)),
    ("punktfunk-manage", Floor::At(3)),
    ("punktfunk-engine", Floor::At(4)),
    ("punktfunk-doctor", Floor::At(4)),
    ("punktfunk-host", Floor::At(5)),
    ("punktfunk-client", Floor::At(5)),
    ("punktfunk-perf-programs", Floor::Tool),
    ("loss-harness", Floor::Tool),
    ("benches", Floor::Tool),
    ("browser", Floor::Tool),
    ("fuzz", Floor::Tool),
    ("stand-in-nvenc", Floor::Tool),
    ("stand-in-common", Floor::Tool),
    ("stand-in-cuda", Floor::Tool),
    ("stand-in-nvdec", Floor::Tool),
    ("stand-in-h264", Floor::Tool),
    ("stand-in-vulkan", Floor::Tool),
    ("xtask", Floor::Tool),
];

/// Async runtimes and executors: stages are threads, and control has its own loop.
const RUNTIMES: &[&str] = &[
    "actix-rt",
    "async-executor",
    "async-global-executor",
    "async-io",
    "async-std",
    "compio",
    "futures-executor",
    "glommio",
    "monoio",
    "smol",
    "tokio",
    "tokio-uring",
];

/// The one room with a runtime, on a thread of its own, and which: who imports it may have that through it only.
const RUNTIME_ROOM: (&str, &str) = ("punktfunk-manage", "tokio");

/// What no hot room may even link: sessions, TLS and command lines belong above them.
const HEAVY: &[&str] = &[
    "clap",
    "h2",
    "hyper",
    "mio",
    "native-tls",
    "openssl",
    "quinn",
    "quinn-proto",
    "quinn-udp",
    "rcgen",
    "reqwest",
    "rustls",
    "serde_json",
    "toml",
    "wayland-client",
];

/// Rooms whose whole closure is free of [`HEAVY`].
const HOT_ROOMS: &[&str] = &[
    "punktfunk-fec",
    "punktfunk-seal",
    "punktfunk-perf",
    "punktfunk-net",
    "punktfunk-codec",
    "punktfunk-proto",
];

/// Rooms that may stand on one that links [`HEAVY`], yet do not speak to it themselves.
const WARM_ROOMS: &[&str] = &["punktfunk-engine"];

/// Tests that need a room beside or above their own, and why. The product never does.
const TESTS_ACROSS: &[(&str, &str, &str)] = &[
    ("punktfunk-capture", "punktfunk-codec", "reads the card's number behind a real encoder"),
    ("punktfunk-capture", "punktfunk-display", "captures a real compositor, which display starts"),
    ("punktfunk-host", "browser", "opens the console of a real host"),
    ("punktfunk-manage", "browser", "opens the console"),
    ("punktfunk-nvdec", "punktfunk-codec", "encodes what is decoded"),
    ("punktfunk-nvenc", "punktfunk-codec", "decodes what a stand-in encodes"),
    ("punktfunk-perf-programs", "browser", "opens the report"),
];

/// Why one package needs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Normal,
    Build,
    Dev,
}

/// Packages by name, and what each needs. Two versions of a crate are one here.
#[derive(Debug, Default)]
struct Graph {
    rooms: BTreeSet<String>,
    needs: BTreeMap<String, BTreeSet<(String, Kind)>>,
}

/// Checks the workspace at `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>, Fault> {
    let mut cargo = workspace::cargo();
    cargo
        .args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root)
        .stderr(Stdio::inherit());
    let text = process::output(&mut cargo)?;
    let graph = serde_json::from_str(&text).ok().and_then(|metadata| Graph::read(&metadata));
    let graph = graph.ok_or_else(|| Fault::Answer {
        program: "cargo metadata".to_owned(),
        expected: "packages, workspace_members and resolve",
        got: text.chars().take(80).collect(),
    })?;
    Ok(graph.findings())
}

impl Graph {
    fn read(metadata: &Value) -> Option<Graph> {
        let mut names = BTreeMap::new();
        for package in metadata["packages"].as_array()? {
            names.insert(package["id"].as_str()?, package["name"].as_str()?);
        }
        let mut graph = Graph::default();
        for member in metadata["workspace_members"].as_array()? {
            graph.rooms.insert((*names.get(member.as_str()?)?).to_owned());
        }
        for node in metadata["resolve"]["nodes"].as_array()? {
            let needs = graph.needs.entry((*names.get(node["id"].as_str()?)?).to_owned()).or_default();
            for dependency in node["deps"].as_array()? {
                let name = *names.get(dependency["pkg"].as_str()?)?;
                for kind in dependency["dep_kinds"].as_array()? {
                    needs.insert((name.to_owned(), Kind::read(&kind["kind"])));
                }
            }
        }
        Some(graph)
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for room in &self.rooms {
            match floor(room) {
                Some(floor) => self.check_imports(room, floor, &mut findings),
                None => findings
                    .push(finding(room, "has no floor; give it one in xtask/src/floors.rs".to_owned())),
            }
        }
        for (room, _) in ROOMS {
            if !self.rooms.contains(*room) {
                findings.push(finding(room, "has a floor, yet is no room of the workspace".to_owned()));
            }
        }
        for room in self.rooms.iter().filter(|room| matches!(floor(room), Some(Floor::At(_)))) {
            let (home, runtime) = RUNTIME_ROOM;
            let banned: Vec<&str> =
                RUNTIMES.iter().copied().filter(|name| room != home || *name != runtime).collect();
            self.check_closure(room, &banned, Some(home), &mut findings);
        }
        for room in HOT_ROOMS {
            self.check_closure(room, HEAVY, None, &mut findings);
        }
        for room in WARM_ROOMS {
            for (name, kind) in self.needs.get(*room).into_iter().flatten() {
                if *kind != Kind::Dev && HEAVY.contains(&name.as_str()) {
                    findings.push(finding(room, format!("must not speak to {name} itself")));
                }
            }
        }
        findings
    }

    fn check_imports(&self, room: &str, own: Floor, findings: &mut Vec<Finding>) {
        for (name, kind) in self.needs.get(room).into_iter().flatten() {
            let Some(other) = floor(name).filter(|_| self.rooms.contains(name)) else { continue };
            let is_fine = match (own, other) {
                // Tests look at what stands in for NVIDIA's libraries, and stand-ins share what they have in common.
                (_, Floor::Tool) => is_stand_in(name) && (*kind == Kind::Dev || is_stand_in(room)),
                (Floor::Tool, Floor::At(_)) => true,
                (Floor::At(own), Floor::At(other)) => other < own,
            };
            let is_excused = TESTS_ACROSS.iter().any(|(from, to, _)| *from == room && to == name);
            // A test may use its own room, as a library, from the outside.
            if !is_fine && !(*kind == Kind::Dev && (name == room || is_excused)) {
                findings.push(finding(room, format!("({own}) must not import {name} ({other})")));
            }
        }
    }

    /// Finds the banned crates that `room` links, and on which way; what comes through `excused` is its own affair.
    fn check_closure(&self, room: &str, banned: &[&str], excused: Option<&str>, findings: &mut Vec<Finding>) {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut open = vec![room];
        while let Some(here) = open.pop() {
            for (name, kind) in self.needs.get(here).into_iter().flatten() {
                if *kind != Kind::Normal || name == room || came_from.contains_key(name.as_str()) {
                    continue;
                }
                came_from.insert(name, here);
                if banned.contains(&name.as_str()) {
                    findings.push(finding(room, format!("must not link {}", way(&came_from, name))));
                } else if excused != Some(name.as_str()) {
                    open.push(name);
                }
            }
        }
    }
}

/// `far` and through whom it came.
fn way(came_from: &BTreeMap<&str, &str>, far: &str) -> String {
    let mut text = far.to_owned();
    let mut here = far;
    while let Some(from) = came_from.get(here) {
        text.push_str(" <- ");
        text.push_str(from);
        here = from;
    }
    text
}

impl Kind {
    fn read(kind: &Value) -> Kind {
        match kind.as_str() {
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            // Cargo's word for a normal one is null.
            Some(_) | None => Kind::Normal,
        }
    }
}

fn is_stand_in(room: &str) -> bool {
    room.starts_with("stand-in-")
}

fn floor(room: &str) -> Option<Floor> {
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

fn finding(room: &str, what: String) -> Finding {
    Finding { path: "Cargo.toml".into(), line: None, rule: Rule::Floors, what: format!("{room} {what}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_house_keeps_its_floors() {
        let findings = check(&workspace::root().unwrap()).unwrap();
        assert!(findings.is_empty(), "{}", crate::tidy::listing(&findings));
    }

    /// The findings for all rooms plus `edges` of (who, whom, kind).
    fn findings_with(edges: &[(&str, &str, Option<&str>)]) -> Vec<String> {
        let mut names: BTreeSet<&str> = ROOMS.iter().map(|(name, _)| *name).collect();
        names.extend(edges.iter().flat_map(|(from, to, _)| [*from, *to]));
        let is_room = |name: &str| floor(name).is_some() || name.starts_with("punktfunk-");
        let metadata = json!({
            "packages": names.iter().map(|name| json!({"id": name, "name": name})).collect::<Vec<_>>(),
            "workspace_members": names.iter().filter(|name| is_room(name)).collect::<Vec<_>>(),
            "resolve": { "nodes": names.iter().map(|name| json!({
                "id": name,
                "deps": edges.iter().filter(|(from, _, _)| from == name).map(|(_, to, kind)| json!({
                    "pkg": to, "dep_kinds": [{"kind": kind, "target": null}]
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>() },
        });
        Graph::read(&metadata).unwrap().findings().into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn imports_down_are_fine() {
        let fine = [
            ("punktfunk-engine", "punktfunk-proto", None),
            ("punktfunk-host", "punktfunk-control", None),
            ("punktfunk-control", "quinn-proto", None),
            ("punktfunk-engine", "punktfunk-control", None),
            ("benches", "punktfunk-host", Some("dev")),
            ("punktfunk-capture", "punktfunk-display", Some("dev")),
            ("benches", "criterion", None),
            ("criterion", "tokio", None),
            ("punktfunk-manage", "axum", None),
            ("axum", "tokio", None),
            ("punktfunk-host", "punktfunk-manage", None),
            ("punktfunk-host", "stand-in-cuda", Some("dev")),
            ("stand-in-cuda", "stand-in-common", None),
        ];
        assert_eq!(findings_with(&fine), Vec::<String>::new());
    }

    #[test]
    fn every_wrong_import_is_caught() {
        for (from, to, kind, part) in [
            ("punktfunk-fec", "punktfunk-net", None, "must not import"),
            ("punktfunk-net", "punktfunk-codec", None, "must not import"),
            ("punktfunk-host", "punktfunk-client", Some("dev"), "must not import"),
            ("punktfunk-proto", "punktfunk-engine", Some("build"), "must not import"),
            ("punktfunk-capture", "punktfunk-display", None, "must not import"),
            ("punktfunk-capture", "punktfunk-net", Some("dev"), "must not import"),
            ("punktfunk-host", "loss-harness", None, "a tool"),
            ("benches", "loss-harness", None, "a tool"),
            ("punktfunk-host", "stand-in-cuda", None, "a tool"),
            ("stand-in-cuda", "loss-harness", Some("dev"), "a tool"),
            ("punktfunk-new", "punktfunk-fec", None, "no floor"),
            ("punktfunk-net", "tokio", None, "must not link tokio"),
            ("punktfunk-host", "tokio", None, "must not link tokio"),
            ("punktfunk-host", "async-std", None, "must not link async-std"),
            ("punktfunk-manage", "smol", None, "must not link smol"),
            ("punktfunk-proto", "rustls", None, "must not link rustls"),
            ("punktfunk-engine", "quinn-proto", None, "must not speak to quinn-proto"),
        ] {
            let findings = findings_with(&[(from, to, kind)]);
            assert!(findings.iter().any(|what| what.contains(part)), "{from} -> {to}: {findings:?}");
        }
    }

    #[test]
    fn what_comes_through_another_crate_is_caught_with_its_way() {
        let findings = findings_with(&[
            ("punktfunk-seal", "innocent", None),
            ("innocent", "quinn-proto", None),
            ("punktfunk-control", "quinn-proto", None),
            ("quinn-proto", "tokio", None),
        ]);
        assert!(findings.iter().any(|what| what.contains("quinn-proto <- innocent <- punktfunk-seal")));
        assert!(findings.iter().any(|what| what.contains("tokio <- quinn-proto <- punktfunk-control")));
        let tests_only = findings_with(&[("punktfunk-seal", "quinn-proto", Some("dev"))]);
        assert_eq!(tests_only, Vec::<String>::new(), "a test may link it");
    }

    #[test]
    fn a_room_that_is_gone_is_noticed() {
        let metadata = json!({"packages": [], "workspace_members": [], "resolve": {"nodes": []}});
        let findings = Graph::read(&metadata).unwrap().findings();
        assert_eq!(findings.len(), ROOMS.len());
        assert!(Graph::read(&json!({"packages": 1})).is_none());
    }
}
