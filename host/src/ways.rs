//! The ways to a session's pictures, in order: what takes over where one cannot be had, or ends.
//!
//! *The order.* A person's own desktop comes first, by PipeWire or by Wayland; then a desktop of our own, without a
//! screen; then the test card. `auto` has all of them. Where the desktop offers its screen to a Wayland client without
//! asking anybody (wlroots), `auto` has Wayland before PipeWire: there the portal would ask a person who may be in
//! another room, and it would copy the same picture once more. Elsewhere (GNOME, KDE) PipeWire is the only door that there is.
//! Under GNOME its compositor's own door, `mutter`, comes before the portal's: it hands its monitor to any program of the
//! session, as wlroots does, so that here too nobody is asked, and it is said whenever it is opened. `auto` of a host that
//! was built without PipeWire leaves these out, which is said once, when it starts ([`left_out`]), and is no failed way.
//! `pipewire` has PipeWire first, whatever the desktop is. Who names a kind of desktop (`wayland`, `pipewire`) wants
//! one: the card is not in these. Who names one output, one node or one of mutter's monitors wants that one: nothing takes
//! its place, unless a second `--source` says what.
//!
//! *The watchdog* ([`Plan`]) gives each way ten seconds to its first picture, fifteen where a person is asked, and all of
//! them together no longer than a client waits for its Welcome; in mid-stream two seconds from when the end is noticed.
//! There it tries the same screen by another door, the same way once more, then another screen. Then pictures flow
//! again, or the stream ends with every way's own reason.
//!
//! *A person's no* holds: where somebody at the desktop refuses or stops the capture of its screen, no other door to that
//! screen is tried in the session.
//!
//! *It stays* where it has fallen to: a way that was better and comes back may go again, and each change costs an IDR
//! and a jump that the person sees. It is tried again when the lesser one ends and cannot be had once more.
//!
//! Promises: a fall is said once and counted always, by from, to and reason; a way is opened so many times a minute
//! and no more. Refuses to hold up the encode stage: ways are opened and let go on other threads ([`Chain`]).

mod chain;
mod fault;
mod open;
mod plan;

use std::fmt;

pub use chain::{Begun, Chain, News};
pub use fault::{Fault, Outlook};
pub use open::{Doors, Open, Refused, Rest, WayOpened};
pub use plan::{Fall, OPENING_MAX, Plan, Step};

use crate::source::SourceSpec;

/// One way to pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// The desktop that is there, through PipeWire; or the node that is named.
    PipeWire(Option<String>),
    /// A monitor of GNOME's, by its compositor's own door, which asks nobody: the primary one, or the one that is named.
    Mutter(Option<String>),
    /// A monitor that GNOME's compositor makes for this, beside those that it has, at the client's mode.
    MutterVirtual,
    /// The desktop that is there, as its Wayland client; or the output of it that is named.
    Wayland(Option<String>),
    /// A desktop of our own.
    Own,
    /// The moving test card.
    Card,
}

/// What a way shows: two ways with the same screen are two doors to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Screen {
    Theirs,
    /// An empty one beside theirs.
    Added,
    Ours,
    Card,
}

/// What is known of the session's desktop before any way is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Whether this program's session has a desktop at all.
    pub has_desktop: bool,
    /// Whether it serves Wayland.
    pub has_wayland: bool,
    /// Whether it may offer its screen to Wayland clients: it has not said that it does not.
    pub lends_screen: bool,
    /// Whether GNOME's compositor is there, with a door of its own.
    pub has_mutter: bool,
    /// Whether this program was built without PipeWire.
    pub lacks_pipewire: bool,
}

impl Way {
    /// Its name in counters and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PipeWire(_) => "pipewire",
            Self::Mutter(_) => "mutter",
            Self::MutterVirtual => "mutter-virtual",
            Self::Wayland(_) => "wayland",
            Self::Own => "sway",
            Self::Card => "card",
        }
    }

    /// What is said when it takes another's place.
    fn instead(&self) -> &'static str {
        match self {
            Self::PipeWire(_) => "capturing through PipeWire instead",
            Self::Mutter(_) => "asking GNOME's mutter for its monitor instead",
            Self::MutterVirtual => "having GNOME's mutter make a monitor instead",
            Self::Wayland(_) => "capturing by Wayland instead",
            Self::Own => "starting a desktop of our own instead",
            Self::Card => "falling back to the test card",
        }
    }

    fn screen(&self) -> Screen {
        match self {
            Self::PipeWire(_) | Self::Mutter(_) | Self::Wayland(_) => Screen::Theirs,
            Self::MutterVirtual => Screen::Added,
            Self::Own => Screen::Ours,
            Self::Card => Screen::Card,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PipeWire(None) => f.write_str("the desktop through PipeWire"),
            Self::PipeWire(Some(node)) => write!(f, "the PipeWire node {node}"),
            Self::Mutter(None) => f.write_str("GNOME's primary monitor"),
            Self::Mutter(Some(connector)) => write!(f, "GNOME's monitor {connector}"),
            Self::MutterVirtual => f.write_str("a virtual monitor of GNOME's"),
            Self::Wayland(None) => f.write_str("the desktop by Wayland"),
            Self::Wayland(Some(output)) => write!(f, "the output {output} by Wayland"),
            Self::Own => f.write_str("a desktop of our own"),
            Self::Card => f.write_str("the test card"),
        }
    }
}

/// The ways of what was asked for, in order, each once. Empty for sources that have no ways: files, bitstreams.
pub fn ways_of(spec: &SourceSpec, around: Surroundings) -> Vec<Way> {
    let mut ways = Vec::new();
    match spec {
        SourceSpec::Auto => {
            let lends = around.has_wayland && around.lends_screen;
            ways.extend(lends.then_some(Way::Wayland(None)));
            if around.has_desktop && !around.lacks_pipewire {
                ways.extend(around.has_mutter.then_some(Way::Mutter(None)));
                ways.push(Way::PipeWire(None));
            }
            ways.extend([Way::Own, Way::Card]);
        }
        SourceSpec::PipeWire(None) => {
            ways.extend(around.has_mutter.then_some(Way::Mutter(None)));
            ways.push(Way::PipeWire(None));
            ways.extend(around.has_wayland.then_some(Way::Wayland(None)));
            ways.push(Way::Own);
        }
        SourceSpec::PipeWire(Some(node)) => ways.push(Way::PipeWire(Some(node.clone()))),
        SourceSpec::Mutter(connector) => ways.push(Way::Mutter(connector.clone())),
        SourceSpec::MutterVirtual => ways.push(Way::MutterVirtual),
        SourceSpec::Wayland(None) => {
            ways.extend(around.has_wayland.then_some(Way::Wayland(None)));
            ways.push(Way::Own);
        }
        SourceSpec::Wayland(Some(output)) => ways.push(Way::Wayland(Some(output.clone()))),
        SourceSpec::Sway => ways.push(Way::Own),
        SourceSpec::Card => ways.push(Way::Card),
        SourceSpec::Several(specs) => {
            for way in specs.iter().flat_map(|spec| ways_of(spec, around)) {
                if !ways.contains(&way) {
                    ways.push(way);
                }
            }
        }
        SourceSpec::File(_) | SourceSpec::Bitstream(_) => {}
    }
    ways
}

/// What `auto` does without in this build, for the operator to know from the start.
pub fn left_out(spec: &SourceSpec, around: Surroundings) -> Option<&'static str> {
    let has_auto = match spec {
        SourceSpec::Several(specs) => specs.contains(&SourceSpec::Auto),
        spec => *spec == SourceSpec::Auto,
    };
    if !has_auto || !around.lacks_pipewire {
        return None;
    }
    if around.has_desktop && !around.lends_screen {
        return Some(
            "this host was built without PipeWire, the only door to this session's desktop: auto leaves it out, and shows \
             a desktop of its own",
        );
    }
    Some("this host was built without PipeWire: auto leaves it out")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Surroundings = Surroundings {
        has_desktop: false,
        has_wayland: false,
        lends_screen: false,
        has_mutter: false,
        lacks_pipewire: false,
    };
    const WLROOTS: Surroundings =
        Surroundings { has_desktop: true, has_wayland: true, lends_screen: true, ..NOTHING };
    const KDE: Surroundings = Surroundings { has_desktop: true, has_wayland: true, ..NOTHING };
    const GNOME: Surroundings = Surroundings { has_mutter: true, ..KDE };

    fn names(spec: &SourceSpec, around: Surroundings) -> Vec<&'static str> {
        ways_of(spec, around).iter().map(Way::name).collect()
    }

    #[test]
    fn each_wish_has_the_ways_that_make_sense_for_it() {
        let of = |text: &str, around| names(&text.parse().unwrap(), around);
        assert_eq!(of("auto", NOTHING), ["sway", "card"]);
        assert_eq!(of("auto", WLROOTS), ["wayland", "pipewire", "sway", "card"]);
        assert_eq!(of("auto", KDE), ["pipewire", "sway", "card"]);
        assert_eq!(of("auto", GNOME), ["mutter", "pipewire", "sway", "card"]);
        assert_eq!(of("pipewire", GNOME), ["mutter", "pipewire", "wayland", "sway"]);
        assert_eq!(of("pipewire", WLROOTS), ["pipewire", "wayland", "sway"]);
        assert_eq!(of("pipewire", NOTHING), ["pipewire", "sway"]);
        assert_eq!(of("wayland", WLROOTS), ["wayland", "sway"]);
        assert_eq!(of("wayland", NOTHING), ["sway"]);
        for around in [NOTHING, WLROOTS, GNOME] {
            assert_eq!(of("wayland:DP-1", around), ["wayland"]);
            assert_eq!(of("pipewire:42", around), ["pipewire"]);
            assert_eq!((of("mutter", around), of("mutter:DP-1", around)), (vec!["mutter"], vec!["mutter"]));
            assert_eq!(of("mutter-virtual", around), ["mutter-virtual"]);
            assert_eq!((of("sway", around), of("card", around)), (vec!["sway"], vec!["card"]));
        }
        assert!(of("file:a.y4m", WLROOTS).is_empty() && of("bitstream:rate=1M", WLROOTS).is_empty());
    }

    #[test]
    fn what_is_not_built_in_is_left_out_of_auto_and_said_and_stays_where_it_is_named() {
        let without = |around| Surroundings { lacks_pipewire: true, ..around };
        let auto = SourceSpec::Auto;
        assert_eq!(names(&auto, without(WLROOTS)), ["wayland", "sway", "card"]);
        assert_eq!(names(&auto, without(GNOME)), ["sway", "card"]);
        assert_eq!(names(&SourceSpec::PipeWire(None), without(KDE)), ["pipewire", "wayland", "sway"]);
        assert!(left_out(&auto, without(KDE)).unwrap().contains("only door"));
        let said = left_out(&auto, without(WLROOTS)).unwrap();
        assert!(said.contains("built without PipeWire") && !said.contains("only door"), "{said}");
        let several = SourceSpec::of(&["wayland", "auto"].map(str::to_owned)).unwrap();
        assert!(left_out(&several, without(NOTHING)).is_some());
        assert!(left_out(&auto, GNOME).is_none() && left_out(&SourceSpec::Card, without(KDE)).is_none());
    }

    #[test]
    fn several_wishes_stand_in_for_each_other_in_the_order_given() {
        let several = |texts: [&str; 2]| SourceSpec::of(&texts.map(str::to_owned)).unwrap();
        assert_eq!(names(&several(["pipewire:42", "card"]), GNOME), ["pipewire", "card"]);
        assert_eq!(
            names(&several(["mutter-virtual", "auto"]), KDE),
            ["mutter-virtual", "pipewire", "sway", "card"]
        );
        assert_eq!(names(&several(["pipewire", "card"]), WLROOTS), ["pipewire", "wayland", "sway", "card"]);
        assert_eq!(names(&several(["wayland", "auto"]), WLROOTS), ["wayland", "sway", "pipewire", "card"]);
    }
}
