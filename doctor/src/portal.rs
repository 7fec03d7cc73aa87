//! The login's D-Bus, and the portal on it that hands out screens.
//!
//! Promises: no portal is started, no screen asked for, no dialog shown: only who is there, and what version it has.

use zbus::{Connection, Variant};

use crate::{Verdict, View};

/// The portal's name on the bus.
const PORTAL: &str = "org.freedesktop.portal.Desktop";

/// What it shows screens by.
const SCREEN_CAST: &str = "org.freedesktop.portal.ScreenCast";

/// The bus's own name and interface, and its object.
const DBUS: Option<&str> = Some("org.freedesktop.DBus");
const DBUS_PATH: &str = "/org/freedesktop/DBus";

/// What a portal is made of, for those who have none.
const INSTALL: &str =
    "apt install xdg-desktop-portal with the desktop's own part: xdg-desktop-portal-gnome, -kde or -wlr";

/// The bus's address, as libdbus finds it.
fn address(view: &View) -> Option<String> {
    if let Some(address) = view.variable("DBUS_SESSION_BUS_ADDRESS") {
        return Some(address.to_owned());
    }
    let socket = view.runtime_dir()?.join("bus");
    socket.exists().then(|| format!("unix:path={}", socket.display()))
}

async fn connect(address: &str) -> zbus::Result<Connection> {
    zbus::connection::Builder::address(address).build().await
}

/// The bus itself.
pub(crate) fn session_bus(view: &View) -> Verdict {
    let Some(address) = address(view) else {
        return Verdict::degraded(
            "no session bus: DBUS_SESSION_BUS_ADDRESS is not set, and XDG_RUNTIME_DIR has no socket of that name",
            "GNOME's and KDE's screens cannot be shown: run the host in the desktop's login, or by dbus-run-session",
        );
    };
    match zbus::block_on(connect(&address)) {
        Ok(_) => Verdict::ok(format!("answers at {address}")),
        Err(error) => Verdict::broken(
            format!("the session bus at {address} cannot be had: {error}"),
            "run the host in the desktop's login, whose environment names its bus: systemctl --user show-environment",
        ),
    }
}

/// Who hands out screens.
pub(crate) fn portal(view: &View) -> Verdict {
    let Some(address) = address(view) else {
        return Verdict::degraded(
            "no session bus, so no portal",
            "GNOME's and KDE's screens cannot be shown",
        );
    };
    match zbus::block_on(look(&address)) {
        Ok(verdict) => verdict,
        Err(error) => Verdict::degraded(
            format!("not known: the session bus does not answer ({error})"),
            "GNOME's and KDE's screens cannot be shown: see session-bus",
        ),
    }
}

async fn look(address: &str) -> zbus::Result<Verdict> {
    let bus = connect(address).await?;
    let owned: bool =
        bus.call_method(DBUS, DBUS_PATH, DBUS, "NameHasOwner", &PORTAL).await?.body().deserialize()?;
    if !owned {
        let answer = bus.call_method(DBUS, DBUS_PATH, DBUS, "ListActivatableNames", &()).await?;
        let names: Vec<String> = answer.body().deserialize()?;
        return Ok(if names.iter().any(|name| name == PORTAL) {
            Verdict::ok("not running yet; the session bus starts it when a screen is asked for")
        } else {
            let found =
                format!("nobody has the name {PORTAL}, and the session bus knows nobody to start for it");
            Verdict::degraded(
                found,
                format!("GNOME's and KDE's screens cannot be shown; sway's can: {INSTALL}"),
            )
        });
    }
    let properties = Some("org.freedesktop.DBus.Properties");
    let path = "/org/freedesktop/portal/desktop";
    let version = bus.call_method(Some(PORTAL), path, properties, "Get", &(SCREEN_CAST, "version")).await;
    Ok(match version {
        Ok(answer) => {
            let body = answer.body();
            let version: Variant<'_> = body.deserialize()?;
            match u32::try_from(&version) {
                Ok(version) => Verdict::ok(format!("hands out screens, ScreenCast version {version}")),
                Err(_) => no_screens("it names no version"),
            }
        }
        Err(error) => no_screens(&error.to_string()),
    })
}

fn no_screens(cause: &str) -> Verdict {
    Verdict::broken(
        format!("a portal is there, and hands out no screens ({cause})"),
        format!(
            "its desktop's own part is missing: {INSTALL}; then: systemctl --user restart xdg-desktop-portal"
        ),
    )
}
