//! Faults between the desktop and the encoder.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;

use crate::patient::Patient;

#[test]
fn names_a_compositor_that_has_died_and_left_its_socket() {
    let mut patient = Patient::new();
    patient.diagnose().expect("desktop", "degraded", &["WAYLAND_DISPLAY is not set", "headless sway"]);
    patient.env("WLR_BACKENDS", "headless");
    patient.env("WLR_LIBINPUT_NO_DEVICES", "1");
    patient.env("WLR_RENDERER", "pixman");
    let mut sway = "sway --config /dev/null".to_owned();
    if rustix::process::geteuid().is_root() {
        // It refuses to be root's.
        fs::set_permissions(patient.home(), fs::Permissions::from_mode(0o755)).unwrap();
        let nobody = rustix::fs::Uid::from_raw(65_534);
        rustix::fs::chown(patient.runtime(), Some(nobody), None).unwrap();
        sway = format!("setpriv --reuid=65534 --regid=65534 --clear-groups {sway}");
    }
    let sway = patient.start(&sway, "wayland-1");
    patient.diagnose().expect("desktop", "degraded", &["export WAYLAND_DISPLAY=wayland-1"]);
    patient.env("WAYLAND_DISPLAY", "wayland-1");
    patient.diagnose().expect("desktop", "ok", &["answers at", "wayland-1"]);
    drop(sway);
    patient.diagnose().expect("desktop", "broken", &["nobody listens", "start the desktop anew"]);
    patient.env("WAYLAND_DISPLAY", "wayland-7");
    patient.diagnose().expect("desktop", "broken", &["no socket", "wayland-7"]);
}

#[test]
fn names_a_login_folder_that_is_missing_or_open_or_anothers() {
    let mut patient = Patient::new();
    patient.diagnose().expect("runtime-dir", "ok", &["runtime"]);
    fs::set_permissions(patient.runtime(), fs::Permissions::from_mode(0o755)).unwrap();
    patient.diagnose().expect("runtime-dir", "degraded", &["mode 755", "chmod 700"]);
    patient.env("XDG_RUNTIME_DIR", "/run/user/none");
    patient.diagnose().expect("runtime-dir", "broken", &["/run/user/none", "enable-linger"]);
    patient.env("XDG_RUNTIME_DIR", "");
    patient.diagnose().expect("runtime-dir", "degraded", &["not set", "export XDG_RUNTIME_DIR=/run/user/"]);
    if rustix::process::geteuid().is_root() {
        let folder = patient.runtime();
        rustix::fs::chown(&folder, Some(rustix::fs::Uid::from_raw(12_345)), None).unwrap();
        patient.env("XDG_RUNTIME_DIR", &folder.display().to_string());
        patient.diagnose().expect("runtime-dir", "broken", &["belongs to user 12345", "desktop's user"]);
    }
}

#[test]
fn names_a_machine_without_a_compositor() {
    let mut patient = Patient::new();
    patient.program("sway", "echo sway version 1.10");
    patient.diagnose().expect("compositors", "ok", &["sway 1.10: usable"]);
    patient.program("sway", "echo sway version 1.5");
    patient.diagnose().expect("compositors", "degraded", &["sway 1.5", "too old"]);
    let bare = patient.runtime().join("none");
    patient.env("PATH", &bare.display().to_string());
    patient.diagnose().expect("compositors", "degraded", &["none is installed", "apt install sway"]);
}

#[test]
fn names_a_pipewire_that_is_missing_or_has_died() {
    let patient = Patient::new();
    patient.diagnose().expect("pipewire", "degraded", &["does not run", "apt install pipewire"]);
    let pipewire = patient.start("pipewire", "pipewire-0");
    let state = if cfg!(feature = "pipewire") { "ok" } else { "degraded" };
    patient.diagnose().expect("pipewire", state, &["version "]);
    drop(pipewire);
    patient.diagnose().expect("pipewire", "broken", &["nobody listens", "systemctl --user restart pipewire"]);
}

#[test]
fn names_a_pipewire_that_is_too_old_or_none() {
    let patient = Patient::new();
    let listener = UnixListener::bind(patient.runtime().join("pipewire-0")).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for version in ["0.3.19", "2.0.0"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 40];
                stream.read_exact(&mut asked).unwrap();
                stream.write_all(&info(version)).unwrap();
            }
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n").unwrap();
        });
        patient.diagnose().expect("pipewire", "degraded", &["version 0.3.19", "older than 0.3.65"]);
        let state = if cfg!(feature = "pipewire") { "ok" } else { "degraded" };
        patient.diagnose().expect("pipewire", state, &["version 2.0.0"]);
        patient.diagnose().expect("pipewire", "broken", &["does not answer as PipeWire does"]);
    });
}

/// What a daemon of this version answers to a greeting, in its protocol's own form.
fn info(version: &str) -> Vec<u8> {
    let value = |kind: u32, bytes: &[u8]| {
        let mut out = [(bytes.len() as u32).to_ne_bytes(), kind.to_ne_bytes()].concat();
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(8), 0);
        out
    };
    let version = format!("{version}\0");
    let words = [(4, &[0; 4][..]), (4, &[9; 4]), (8, b"user\0"), (8, b"machine\0"), (8, version.as_bytes())];
    let body = value(14, &words.map(|(kind, bytes)| value(kind, bytes)).concat());
    let head = [0, body.len() as u32, 0, 0].map(u32::to_ne_bytes).concat();
    [head, body].concat()
}

#[test]
fn names_a_portal_that_nobody_has_and_a_bus_that_has_died() {
    let patient = Patient::new();
    patient.diagnose().expect("session-bus", "degraded", &["no session bus"]);
    let config = |services: &str| {
        format!(
            "<busconfig><type>session</type><listen>unix:path={}/bus</listen>{services}<policy context='default'>\
             <allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/></policy></busconfig>",
            patient.runtime().display()
        )
    };
    let start = |services: &str| {
        let file = patient.home().join("runtime/bus.conf");
        fs::write(&file, config(services)).unwrap();
        patient.start(&format!("dbus-daemon --nofork --nopidfile --config-file={}", file.display()), "bus")
    };
    let bus = start("");
    let seen = patient.diagnose();
    seen.expect("session-bus", "ok", &["answers at"]);
    seen.expect("portal", "degraded", &["nobody has the name", "apt install xdg-desktop-portal"]);
    drop(bus);
    let seen = patient.diagnose();
    seen.expect("session-bus", "broken", &["cannot be had", "show-environment"]);
    seen.expect("portal", "degraded", &["see session-bus"]);
    fs::remove_file(patient.runtime().join("bus")).unwrap();
    let services = patient.runtime().join("services");
    fs::create_dir(&services).unwrap();
    let service = "[D-BUS Service]\nName=org.freedesktop.portal.Desktop\nExec=/bin/false\n";
    fs::write(services.join("portal.service"), service).unwrap();
    let _bus = start(&format!("<servicedir>{}</servicedir>", services.display()));
    patient.diagnose().expect("portal", "ok", &["not running yet"]);
}

#[test]
fn names_a_gpu_driver_whose_library_does_not_work() {
    let mut patient = Patient::new();
    let folder = patient.runtime().join("lib");
    fs::create_dir(&folder).unwrap();
    patient.env("LD_LIBRARY_PATH", &folder.display().to_string());
    let build = |body: &str| {
        let (source, library) = (folder.join("cuda.c"), folder.join("libcuda.so.1"));
        fs::write(&source, body).unwrap();
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        assert!(built.unwrap().success());
    };
    // Nobody's loss where there is no GPU of NVIDIA's.
    let has_gpu = fs::exists("/proc/driver/nvidia/version").unwrap();
    let state = if has_gpu { "broken" } else { "degraded" };
    build("int another(void) { return 0; }");
    patient.diagnose().expect("cuda", state, &["libcuda.so.1 has no cu", "encoded by the CPU"]);
    fs::write(folder.join("libcuda.so.1"), "no library").unwrap();
    let seen = patient.diagnose();
    seen.expect("cuda", state, &["libcuda.so.1 cannot be loaded", "encoded by the CPU"]);
    assert_eq!(seen.broken().is_empty(), !has_gpu, "{seen:?}");
}

#[test]
fn names_a_render_node_that_this_user_may_not_open() {
    // The node is that of /dev/null: it opens for whoever may.
    let node = |mode| {
        format!(
            "mount -t tmpfs tmpfs /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9; mkdir /dev/dri; \
             mknod /dev/dri/renderD128 c 1 3; chmod {mode} /dev/dri/renderD128"
        )
    };
    let Some(mut patient) = Patient::within(&node("666")) else { return };
    // Root without capabilities is a user as any other.
    patient.before(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
    patient.diagnose().expect("render-node", "ok", &["renderD128 opens"]);
    let patient = patient.with_script(&node("000"));
    patient.diagnose().expect("render-node", "broken", &["Permission denied", "usermod -aG render"]);
    let patient = patient.with_script("mount -t tmpfs tmpfs /dev; mknod -m 666 /dev/null c 1 3");
    patient.diagnose().expect("render-node", "degraded", &["no render node", "encoded by the CPU"]);
}
