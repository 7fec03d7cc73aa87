//! The session's environment, told to those who start the portal.
//!
//! A portal that was started by D-Bus or systemd finds the compositor only where these know `WAYLAND_DISPLAY` and
//! its like; a compositor that was started by hand has told nobody. Promises: asked before the portal is; what is
//! missing of the two is said and no error. Refuses to pass on anything but the few variables that name a session,
//! and all of them where none names a display of this machine: what a login over ssh has is not the desktop's, and
//! what systemd and D-Bus were told stays with them.

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

/// Only what [`NAMES`] has, none that is empty or another machine's; nothing where no display is among them.
fn chosen(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let chosen: Vec<_> = pairs.filter(|(name, value)| is_told(name, value)).collect();
    let has_display = chosen.iter().any(|(name, _)| matches!(*name, "WAYLAND_DISPLAY" | "DISPLAY"));
    if has_display { chosen } else { Vec::new() }
}

fn is_told(name: &str, value: &str) -> bool {
    match name {
        // With a host's name it is one that is forwarded from here to another machine.
        "DISPLAY" => value.starts_with(':') || value.starts_with("unix:"),
        "XDG_SESSION_TYPE" => matches!(value, "wayland" | "x11"),
        name => NAMES.contains(&name) && !value.is_empty(),
    }
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

    #[test]
    fn a_login_over_ssh_tells_nothing() {
        let told = |pairs: &[(&str, &str)]| {
            let environment: Vec<_> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            chosen(&environment).into_iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        let login = [("XDG_SESSION_TYPE", "tty"), ("XDG_RUNTIME_DIR", "/run/user/1000")];
        assert!(told(&login).is_empty());
        for forwarded in ["localhost:10.0", "desk:10", "192.0.2.1:0"] {
            assert!(told(&[&login[..], &[("DISPLAY", forwarded)]].concat()).is_empty(), "{forwarded}");
        }
        // A desktop's names given by hand over ssh: the display is told, the login's type is not.
        let given = [&login[..], &[("WAYLAND_DISPLAY", "wayland-1"), ("DISPLAY", "localhost:10.0")]].concat();
        assert_eq!(told(&given), ["XDG_RUNTIME_DIR", "WAYLAND_DISPLAY"]);
        for local in [":0", "unix:0"] {
            assert_eq!(
                told(&[("XDG_SESSION_TYPE", "x11"), ("DISPLAY", local)]),
                ["XDG_SESSION_TYPE", "DISPLAY"]
            );
        }
    }
}
