//! The compositors that a host offers, and the one that a client picks of them.
//!
//! Promises: every compositor that the project knows is offered with its version, or with why a session cannot be had
//! on it; a pick is honoured for its session, by a desktop of the client's own at exactly its mode, or refused by name.
//! Refuses a pick where the operator has named what is shown: a file, the card, one output or one node.

use punktfunk_control::CompositorOffer;
use punktfunk_display::{CompositorKind, CompositorProbe};

use crate::error::HostError;
use crate::source::SourceSpec;

/// Every compositor that was looked for, as the Welcome lists them.
pub fn offers(found: Vec<CompositorProbe>) -> Vec<CompositorOffer> {
    let offer = |found: CompositorProbe| CompositorOffer {
        name: found.kind.name().to_owned(),
        version: found.version,
        usable: found.usable.is_ok(),
        reason: found.usable.err().map(|reason| reason.to_string()).unwrap_or_default(),
    };
    found.into_iter().map(offer).collect()
}

/// What a client that picks `name` is shown by a host of `spec`.
///
/// # Errors
/// The pick is unknown or not usable, or this host shows something else; the text names both.
pub fn picked(spec: &SourceSpec, name: &str, found: &[CompositorProbe]) -> Result<SourceSpec, HostError> {
    let refuse = |why: String| Err(HostError::Compositor { wanted: name.to_owned(), why });
    match spec {
        SourceSpec::Auto
        | SourceSpec::PipeWire(None)
        | SourceSpec::Wayland(None)
        | SourceSpec::Sway
        | SourceSpec::Several(_) => {}
        SourceSpec::PipeWire(Some(_))
        | SourceSpec::Mutter(_)
        | SourceSpec::MutterVirtual
        | SourceSpec::Wayland(Some(_))
        | SourceSpec::Card
        | SourceSpec::File(_)
        | SourceSpec::Bitstream(_) => {
            return refuse("this host's --source is something else, which its operator has named".into());
        }
    }
    let Some(one) = found.iter().find(|one| one.kind.name().eq_ignore_ascii_case(name)) else {
        let names: Vec<_> = found.iter().map(|one| one.kind.name()).collect();
        return refuse(format!("it is unknown; this host knows {}", names.join(", ")));
    };
    match (&one.usable, one.kind) {
        (Err(reason), _) => refuse(reason.to_string()),
        (Ok(()), CompositorKind::Sway) => Ok(SourceSpec::Sway),
        (Ok(()), CompositorKind::Kwin | CompositorKind::Mutter | CompositorKind::Gamescope) => {
            refuse("this build has no backend for it".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use punktfunk_display::Reason;

    use super::*;

    fn found() -> Vec<CompositorProbe> {
        let probe = |kind, version: Option<&str>, usable| CompositorProbe {
            kind,
            version: version.map(str::to_owned),
            usable,
        };
        vec![
            probe(CompositorKind::Sway, Some("1.7"), Ok(())),
            probe(CompositorKind::Kwin, Some("6.7"), Err(Reason::NoBackend)),
            probe(CompositorKind::Mutter, None, Err(Reason::NotInstalled { package: "gnome-shell" })),
        ]
    }

    #[test]
    fn a_pick_is_honoured_or_refused_by_name() {
        for spec in ["auto", "wayland", "pipewire", "sway"] {
            let spec = spec.parse().unwrap();
            assert_eq!(picked(&spec, "Sway", &found()).unwrap(), SourceSpec::Sway);
            for (name, said) in [
                ("kwin", "no backend"),
                ("mutter", "apt install gnome-shell"),
                ("cage", "sway, kwin, mutter"),
            ] {
                let error = picked(&spec, name, &found()).unwrap_err();
                assert_eq!(error.exit_code(), 8);
                let error = error.to_string();
                assert!(error.contains(name) && error.contains(said), "{error}");
            }
        }
        for spec in [
            "card",
            "wayland:DP-1",
            "pipewire:7",
            "mutter",
            "mutter-virtual",
            "bitstream:rate=1M",
            "file:a.y4m",
        ] {
            let error = picked(&spec.parse().unwrap(), "sway", &found()).unwrap_err().to_string();
            assert!(error.contains("--source"), "{error}");
        }
    }

    #[test]
    fn each_offer_says_why_not() {
        let offers = offers(found());
        assert!(offers[0].usable && offers[0].reason.is_empty());
        assert!(!offers[1].usable && offers[1].reason.contains("no backend"), "{offers:?}");
        assert_eq!(offers[2].version, None);
    }
}
