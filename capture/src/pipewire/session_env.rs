//! The session's environment, told to those who start the portal.
//!
//! A portal that was started by D-Bus or systemd finds the compositor only where these know `WAYLAND_DISPLAY` and
//! its like; a compositor that was started by hand has told nobody. Promises: asked before the portal is; what is
//! missing of the two is said and no error. Refuses to tell anything where a portal runs, which has found its
//! compositor, and to pass on anything but the few variables that name a session, and all of them where none names a
//! display of this machine: what a login over ssh has is not the desktop's, and what systemd and D-Bus were told stays
//! with them, for the whole login.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::bus::{Bus, DBUS, Place};
use crate::is_local_display;

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

/// The socket of the compositor that `environment` names.
pub(super) fn compositor(environment: &[(String, String)]) -> Option<PathBuf> {
    let value = |name| environment.iter().find(|pair| pair.0 == name).map(|pair| Path::new(&pair.1));
    let display = value("WAYLAND_DISPLAY").filter(|display| !display.as_os_str().is_empty())?;
    if display.is_absolute() {
        Some(display.to_owned())
    } else {
        Some(value("XDG_RUNTIME_DIR")?.join(display))
    }
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
        "DISPLAY" => is_local_display(value),
        "XDG_SESSION_TYPE" => matches!(value, "wayland" | "x11"),
        name => NAMES.contains(&name) && !value.is_empty(),
    }
}

/// Tells D-Bus and systemd, where whoever has the name `portal` is still to be started.
pub(super) async fn import_before(bus: &Bus<'_>, portal: &str, environment: &[(String, String)]) {
    let chosen = chosen(environment);
    // A bus that cannot tell is told nothing: it will not start a portal either.
    if chosen.is_empty() || bus.has_owner(portal).await.unwrap_or(true) {
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
    let asking = "D-Bus to take the session's environment";
    let chosen: HashMap<&str, &str> = chosen.into_iter().collect();
    if let Err(error) = bus.call(asking, DBUS, "UpdateActivationEnvironment", &chosen).await {
        tracing::info!(error = error.words(), "D-Bus does not take the session's environment");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::bus::Recall;
    use super::super::tests::{TestBus, next_call};
    use super::*;

    #[test]
    fn a_login_whose_portal_runs_is_told_nothing() {
        let (mut bus, told) = (TestBus::start(), Arc::new(AtomicU32::new(0)));
        let hears = Arc::clone(&told);
        bus.serve("org.freedesktop.systemd1", move |systemd, mut calls| async move {
            while let Some(call) = next_call(&mut calls).await {
                assert_eq!(call.header().member().unwrap().as_str(), "SetEnvironment");
                hears.fetch_add(1, Ordering::Relaxed);
                systemd.reply(&call.header(), &()).await.unwrap();
            }
        });
        let display = bus.dir.path().join("wayland-7").display().to_string();
        let environment = [("WAYLAND_DISPLAY".to_owned(), display)];
        let recall = Recall::default();
        zbus::block_on(async {
            let ours = Bus::connect(Some(&bus.address), &recall).await.unwrap();
            import_before(&ours, "a.portal", &environment).await;
            assert_eq!(told.load(Ordering::Relaxed), 1);
            let portal = zbus::connection::Builder::address(bus.address.as_str()).build().await.unwrap();
            portal.request_name("a.portal").await.unwrap();
            import_before(&ours, "a.portal", &environment).await;
            assert_eq!(told.load(Ordering::Relaxed), 1);
            // One that went is started again, and has to find the compositor.
            portal.release_name("a.portal").await.unwrap();
            import_before(&ours, "a.portal", &environment).await;
            assert_eq!(told.load(Ordering::Relaxed), 2);
        });
    }

    #[test]
    fn a_compositor_is_where_its_names_say() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            compositor(&pairs)
        };
        let in_folder = ("XDG_RUNTIME_DIR", "/run/user/7");
        assert_eq!(of(&[("WAYLAND_DISPLAY", "wayland-1"), in_folder]), Some("/run/user/7/wayland-1".into()));
        assert_eq!(of(&[("WAYLAND_DISPLAY", "/a/socket")]), Some("/a/socket".into()));
        for none in
            [&[("WAYLAND_DISPLAY", "wayland-1")][..], &[in_folder], &[("WAYLAND_DISPLAY", ""), in_folder]]
        {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

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
