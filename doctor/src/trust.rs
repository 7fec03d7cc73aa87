//! Who the host is and whom it lets in: its key, its certificate, its devices, its console.
//!
//! Promises: nothing is made that is not there, and no secret is read into a verdict.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use punktfunk_control::{CertificateFault, Devices, DevicesError, Identity, IdentityError};

use crate::holder::{Table, Whose, holder};
use crate::{Verdict, View};

/// The console's token, beside the identity.
const TOKEN_FILE: &str = "manage-token";

/// The key's file and folder.
pub(crate) fn identity(view: &View) -> Verdict {
    let shown = view.folder.display();
    match Identity::load(&view.folder) {
        Ok(Some(identity)) => match can_write(view) {
            Ok(()) => Verdict::ok(format!("{shown}, fingerprint {}", identity.fingerprint())),
            Err(error) => Verdict::broken(
                format!("nothing can be kept in {shown}: {error}"),
                format!("no device can pair: sudo chown -R $USER {shown}"),
            ),
        },
        Ok(None) => Verdict::ok(format!("none yet in {shown}; the host makes one when it first starts")),
        Err(IdentityError::Permissions { path, mode, wanted }) => Verdict::broken(
            format!("{} may be entered or read by others (mode {mode:03o})", path.display()),
            format!("the host does not start: chmod {wanted:o} {}", path.display()),
        ),
        Err(IdentityError::Damaged { path, what }) => Verdict::broken(
            format!("{} is damaged: {what}", path.display()),
            format!(
                "restore it from a backup, or mv {0} {0}.damaged for a new one, which every paired device must pair with anew",
                path.display()
            ),
        ),
        Err(error) => Verdict::broken(error.to_string(), format!("the host does not start: ls -ld {shown}")),
    }
}

/// Whether files can be put into the folder, as far as its rights tell.
fn can_write(view: &View) -> io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    Ok(accessat(CWD, &view.folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// The certificate's dates.
pub(crate) fn certificate(view: &View) -> Verdict {
    let now = SystemTime::now();
    let identity = match Identity::load(&view.folder) {
        Ok(Some(identity)) => identity,
        Ok(None) => return Verdict::ok("none yet; the host makes one when it first starts"),
        Err(_) => return Verdict::degraded("not known: see identity", "the host does not start"),
    };
    let file = view.folder.join(punktfunk_control::IDENTITY_FILE);
    let anew = format!(
        "mv {0} {0}.old for a new one, which every paired device must pair with anew",
        file.display()
    );
    match identity.certificate_fault(now) {
        None => Verdict::ok("valid today"),
        Some(CertificateFault::Expired) => {
            Verdict::broken("it has expired", format!("every client refuses this host: {anew}"))
        }
        Some(CertificateFault::NotYetValid) => Verdict::broken(
            "it is not valid yet",
            format!(
                "this machine's clock is wrong (date), or the file is: sudo timedatectl set-ntp true, or {anew}"
            ),
        ),
        Some(CertificateFault::Malformed) => {
            Verdict::broken("it is malformed", format!("every client refuses this host: {anew}"))
        }
    }
}

/// The list of who may connect.
pub(crate) fn devices(view: &View) -> Verdict {
    match Devices::load(&view.folder) {
        Ok(devices) if devices.all().is_empty() => {
            Verdict::ok("none is paired yet: punktfunk-host pair shows a PIN, and punktfunk pair asks for it")
        }
        Ok(devices) => Verdict::ok(format!("{} paired", devices.all().len())),
        Err(DevicesError::Permissions { path, mode }) => Verdict::broken(
            format!("{} may be read by others (mode {mode:03o})", path.display()),
            format!("the host does not start: chmod 600 {}", path.display()),
        ),
        Err(DevicesError::Damaged { path, what }) => Verdict::broken(
            format!("{} is damaged: {what}", path.display()),
            format!("the host does not start: mend it, or mv {0} {0}.damaged and pair anew", path.display()),
        ),
        Err(error) => Verdict::broken(
            error.to_string(),
            format!("the host does not start: ls -ld {}", view.folder.display()),
        ),
    }
}

/// The console's address and token.
pub(crate) fn console(view: &View) -> Verdict {
    let token = view.folder.join(TOKEN_FILE);
    match fs::metadata(&token) {
        Ok(metadata) if metadata.mode() & 0o077 != 0 => {
            return Verdict::broken(
                format!("{} may be read by others (mode {:03o})", token.display(), metadata.mode() & 0o777),
                format!(
                    "whoever has read it may rule this host; rm {0}, and the host makes a new one",
                    token.display()
                ),
            );
        }
        Ok(_) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
        Err(error) => return Verdict::broken(format!("{}: {error}", token.display()), "see identity"),
    }
    let Some(at) = view.manage else {
        return Verdict::degraded(
            "off",
            "no console, and no command that speaks to the running host (--manage)",
        );
    };
    if view.is_host {
        return Verdict::ok(format!("https://{at}/, held by this host"));
    }
    match TcpListener::bind(at) {
        Ok(_) => Verdict::ok(format!("{at} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match holder(view, Table::Tcp, at) {
            Some(holder) if holder.is_host() => match holder.identity(view) {
                Whose::This => Verdict::ok(format!("https://{at}/, held by {holder}")),
                Whose::Unnamed => Verdict::ok(format!(
                    "https://{at}/, held by {holder}, with the identity that its own settings name"
                )),
                Whose::Other(other) => Verdict::broken(
                    format!("{at} is held by {holder}, a host with the identity in {}", other.display()),
                    "no console of this one: name another address with --manage",
                ),
            },
            Some(holder) => Verdict::broken(
                format!("{at} is held by {holder}"),
                format!("no console: end it (kill {}), or name another address with --manage", holder.pid),
            ),
            None => Verdict::broken(
                format!("{at} is held by another user's program"),
                format!(
                    "no console: sudo ss -ltnp sport = :{} names it; or name another address with --manage",
                    at.port()
                ),
            ),
        },
        Err(error) => {
            Verdict::broken(format!("{at}: {error}"), "no console: name another address with --manage")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use punktfunk_manage::model::CheckState;

    use super::*;
    use crate::view::tests::machine;

    #[test]
    fn nothing_is_made_where_nothing_is() {
        let (dir, view) = machine(&[]);
        let found = [identity(&view), certificate(&view), devices(&view)];
        assert!(found.iter().all(|verdict| verdict.state == CheckState::Ok), "{found:?}");
        assert_eq!(console(&view).state, CheckState::Degraded);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_token_that_others_may_read_is_broken() {
        let (_dir, view) = machine(&[("/identity/manage-token", "secret")]);
        let path = view.folder.join(TOKEN_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let verdict = console(&view);
        assert_eq!(verdict.state, CheckState::Broken);
        assert!(!format!("{verdict:?}").contains("secret"), "{verdict:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(console(&view).state, CheckState::Degraded, "off");
    }
}
