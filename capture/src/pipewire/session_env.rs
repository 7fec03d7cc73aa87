//! The session's environment, told to those who start the portal.
//!
//! A portal that was started by D-Bus or systemd finds the compositor only where these know `WAYLAND_DISPLAY` and
//! its like; a compositor that was started by hand has told nobody. Promises: asked before the portal is; what is
//! missing of the two is said and no error. Refuses to pass on anything but the few variables that name a session.

use std::collections::HashMap;

use super::bus::{Bus, Place};

/// What names a session. Nothing else of our environment is anybody's.
const NAMES: &[&str] = &[
    "WAYLAND_DISPLAY",
    "DISPLAY",
    "XDG_CURRENT_DESKTOP",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_DESKTOP",
    "XDG_SESSION_TYPE",
    "SWAYSOCK",
    "HYPRLAND_INSTANCE_SIGNATURE",
];

/// The variables that name this program's own session.
pub(super) fn of_this_program() -> Vec<(String, String)> {
    let value = |name: &&str| std::env::var(name).ok().map(|value| ((*name).to_owned(), value));
    NAMES.iter().filter_map(value).collect()
}

/// Only what [`NAMES`] has, and none that is empty.
fn chosen(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    let is_chosen = |(name, value): &&(String, String)| NAMES.contains(&name.as_str()) && !value.is_empty();
    environment.iter().filter(is_chosen).map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Tells D-Bus and systemd.
pub(super) async fn import(bus: &Bus<'_>, environment: &[(String, String)]) {
    let chosen = chosen(environment);
    if chosen.is_empty() {
        return;
    }
    let assignments: Vec<String> = chosen.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let systemd = Place {
        name: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
    };
    let asking = "systemd to take the session's environment";
    if let Err(error) = bus.call(asking, systemd, "SetEnvironment", &assignments).await {
        tracing::info!(error = error.words(), "no systemd of this session takes its environment");
    }
    let dbus = Place {
        name: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
    };
    let asking = "D-Bus to take the session's environment";
    let chosen: HashMap<&str, &str> = chosen.into_iter().collect();
    if let Err(error) = bus.call(asking, dbus, "UpdateActivationEnvironment", &chosen).await {
        tracing::info!(error = error.words(), "D-Bus does not take the session's environment");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_sessions_names_is_told() {
        let environment =
            [("WAYLAND_DISPLAY", "wayland-7"), ("SECRET", "x"), ("DISPLAY", ""), ("PATH", "/bin")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(chosen(&environment), [("WAYLAND_DISPLAY", "wayland-7")]);
    }
}
