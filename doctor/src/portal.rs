//! The login's D-Bus, and who hands out screens on it: the portal, or GNOME's mutter by a door of its own.
//!
//! Promises: no portal is started, no screen asked for, no dialog shown: only who is there, and what version it has.

use zbus::{Connection, Variant};

use crate::{Verdict, View};

/// The portal's name on the bus.
const PORTAL: &str = "org.freedesktop.portal.Desktop";

/// What it shows screens by.
const SCREEN_CAST: &str = "org.freedesktop.portal.ScreenCast";

/// GNOME's compositor, which hands its screens to any program of its session.
const MUTTER: &str = "org.gnome.Mutter.ScreenCast";

/// What is said where it does.
const BY_MUTTER: &str = "GNOME's mutter hands its screens out by itself";

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
    let has_mutter = is_there(&bus, MUTTER).await?;
    if is_there(&bus, PORTAL).await? {
        return Ok(match (version(&bus).await?, has_mutter) {
            (Ok(version), _) => Verdict::ok(format!("hands out screens, ScreenCast version {version}")),
            (Err(cause), true) => Verdict::ok(format!("{BY_MUTTER}; the portal hands out none ({cause})")),
            (Err(cause), false) => no_screens(&cause),
        });
    }
    if has_mutter {
        return Ok(Verdict::ok(format!("{BY_MUTTER}; no portal runs")));
    }
    let answer = bus.call_method(DBUS, DBUS_PATH, DBUS, "ListActivatableNames", &()).await?;
    let names: Vec<String> = answer.body().deserialize()?;
    Ok(if names.iter().any(|name| name == PORTAL) {
        Verdict::ok("not running yet; the session bus starts it when a screen is asked for")
    } else {
        Verdict::degraded(
            format!("nobody has the name {PORTAL} or {MUTTER}, and the session bus knows no portal to start"),
            format!(
                "KDE's screens cannot be shown, nor those of other desktops with a portal; sway's can: {INSTALL}"
            ),
        )
    })
}

async fn is_there(bus: &Connection, name: &str) -> zbus::Result<bool> {
    bus.call_method(DBUS, DBUS_PATH, DBUS, "NameHasOwner", &name).await?.body().deserialize()
}

/// The version of what the portal shows screens by; or why it has none.
async fn version(bus: &Connection) -> zbus::Result<Result<u32, String>> {
    let properties = Some("org.freedesktop.DBus.Properties");
    let path = "/org/freedesktop/portal/desktop";
    match bus.call_method(Some(PORTAL), path, properties, "Get", &(SCREEN_CAST, "version")).await {
        Ok(answer) => {
            let body = answer.body();
            let version: Variant<'_> = body.deserialize()?;
            Ok(u32::try_from(&version).map_err(|_| "it names no version".to_owned()))
        }
        Err(error) => Ok(Err(error.to_string())),
    }
}

fn no_screens(cause: &str) -> Verdict {
    Verdict::broken(
        format!("a portal is there, and hands out no screens ({cause})"),
        format!(
            "its desktop's own part is missing: {INSTALL}; then: systemctl --user restart xdg-desktop-portal"
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::process::{Child, Command, Stdio};
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::{Duration, Instant};

    use futures_core::Stream as _;
    use punktfunk_manage::model::CheckState;
    use zbus::MessageStream;
    use zbus::message::Type;

    use super::*;
    use crate::view::tests::machine;

    /// What a bus may take to be there, on a busy machine too.
    const LONG: Duration = Duration::from_secs(20);

    struct Bus(Child);

    impl Drop for Bus {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn start_bus(view: &mut View) -> Bus {
        let (socket, config) = (view.path("/bus"), view.path("/bus.conf"));
        let address = format!("unix:path={}", socket.display());
        let text = format!(
            "<busconfig><type>session</type><listen>{address}</listen><policy context='default'><allow own='*'/>\
             <allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/></policy></busconfig>"
        );
        fs::write(&config, text).unwrap();
        let mut daemon = Command::new("dbus-daemon");
        daemon.arg(format!("--config-file={}", config.display())).args(["--nofork", "--nopidfile"]);
        let bus = Bus(daemon.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let began = Instant::now();
        while !socket.exists() {
            assert!(began.elapsed() < LONG, "no bus");
            thread::sleep(Duration::from_millis(5));
        }
        view.environment.insert("DBUS_SESSION_BUS_ADDRESS".into(), address);
        bus
    }

    /// What is said of a portal that answers one question so, beside those who have `others` for their names.
    fn said_of(others: &[&str], answer: impl FnOnce(&str) -> Option<u32> + Send) -> Verdict {
        let (_dir, mut view) = machine(&[]);
        let _bus = start_bus(&mut view);
        let address = address(&view).unwrap();
        let (ready, is_ready) = channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                zbus::block_on(async {
                    let bus = connect(&address).await.unwrap();
                    let mut calls = MessageStream::from(&bus);
                    for name in [&[PORTAL][..], others].concat() {
                        bus.request_name(name).await.unwrap();
                    }
                    ready.send(()).unwrap();
                    let call = loop {
                        let message = poll_fn(|context| Pin::new(&mut calls).poll_next(context)).await;
                        let message = message.unwrap().unwrap();
                        if message.message_type() == Type::MethodCall {
                            break message;
                        }
                    };
                    let (interface, property): (String, String) = call.body().deserialize().unwrap();
                    assert_eq!(interface, SCREEN_CAST, "nothing else is asked of it");
                    match answer(&property) {
                        Some(version) => bus.reply(&call.header(), &Variant::from(version)).await.unwrap(),
                        None => {
                            let error = zbus::fdo::Error::InvalidArgs("no such interface".into());
                            bus.reply_dbus_error(&call.header(), error).await.unwrap();
                        }
                    }
                });
            });
            is_ready.recv_timeout(LONG).unwrap();
            portal(&view)
        })
    }

    #[test]
    fn a_portal_that_hands_out_screens_is_told_from_one_that_does_not() {
        let verdict = said_of(&[], |property| (property == "version").then_some(5));
        assert_eq!(verdict, Verdict::ok("hands out screens, ScreenCast version 5"));
        let verdict = said_of(&[], |_| None);
        assert_eq!(verdict.state, CheckState::Broken);
        assert!(verdict.found.contains("no such interface"), "{verdict:?}");
        assert!(verdict.remedy.contains("-gnome, -kde or -wlr"), "{verdict:?}");
    }
    #[test]
    fn gnomes_own_door_needs_no_portal() {
        let verdict = said_of(&[MUTTER], |_| None);
        assert_eq!(verdict.state, CheckState::Ok, "{verdict:?}");
        assert!(verdict.found.contains("mutter hands its screens out by itself; the portal"), "{verdict:?}");
        let (_dir, mut view) = machine(&[]);
        let _bus = start_bus(&mut view);
        let bare = portal(&view);
        assert_eq!(bare.state, CheckState::Degraded, "{bare:?}");
        assert!(!bare.remedy.contains("GNOME's"), "{bare:?}");
        let address = address(&view).unwrap();
        let verdict = zbus::block_on(async {
            let bus = connect(&address).await.unwrap();
            bus.request_name(MUTTER).await.unwrap();
            // It answers nothing, and nothing is asked of it.
            look(&address).await.unwrap()
        });
        assert_eq!(verdict, Verdict::ok("GNOME's mutter hands its screens out by itself; no portal runs"));
    }
}
