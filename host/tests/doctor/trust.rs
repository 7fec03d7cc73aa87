//! Faults of what the host keeps: its key, its certificate, its devices, its console.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::patient::Patient;

/// An identity that is valid in these years, as the host would have made it.
fn make_identity(folder: &Path, years: std::ops::Range<i32>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["punktfunk".to_owned()]).unwrap();
    params.not_before = date_time_ymd(years.start, 1, 1);
    params.not_after = date_time_ymd(years.end, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    if !folder.exists() {
        fs::DirBuilder::new().mode(0o700).create(folder).unwrap();
    }
    let path = folder.join("identity.pem");
    fs::write(&path, key.serialize_pem() + &certificate.pem()).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn names_an_identity_that_others_may_read_or_that_is_damaged() {
    let patient = Patient::new();
    patient.diagnose().expect("identity", "ok", &["none yet"]);
    make_identity(&patient.identity(), 2000..4000);
    patient.diagnose().expect("identity", "ok", &["fingerprint "]);
    let path = patient.identity().join("identity.pem");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    patient.diagnose().expect("identity", "broken", &["mode 644", &format!("chmod 600 {}", path.display())]);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(patient.identity(), Permissions::from_mode(0o755)).unwrap();
    patient.diagnose().expect("identity", "broken", &["mode 755", "chmod 700"]);
    fs::set_permissions(patient.identity(), Permissions::from_mode(0o700)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    patient.diagnose().expect("identity", "broken", &["is damaged", "restore it from a backup"]);
}

#[test]
fn names_a_certificate_that_has_expired_or_is_not_valid_yet() {
    let patient = Patient::new();
    make_identity(&patient.identity(), 2000..4000);
    patient.diagnose().expect("certificate", "ok", &["valid today"]);
    make_identity(&patient.identity(), 1990..2001);
    patient.diagnose().expect("certificate", "broken", &["has expired", "pair with anew"]);
    make_identity(&patient.identity(), 3000..4000);
    patient.diagnose().expect("certificate", "broken", &["not valid yet", "clock is wrong"]);
}

#[test]
fn names_a_damaged_list_of_devices() {
    let patient = Patient::new();
    make_identity(&patient.identity(), 2000..4000);
    patient.diagnose().expect("devices", "ok", &["none is paired yet"]);
    let path = patient.identity().join("devices.toml");
    let write = |text: &str| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    };
    let device =
        format!("[[device]]\nfingerprint = \"{}\"\nname = \"tablet\"\npaired_at = 7\n", "ab".repeat(32));
    write(&device);
    patient.diagnose().expect("devices", "ok", &["1 paired"]);
    write(&device[..device.len() - 4]);
    patient.diagnose().expect("devices", "broken", &["devices.toml", "pair anew"]);
    write(&device);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    patient.diagnose().expect("devices", "broken", &["mode 644", &format!("chmod 600 {}", path.display())]);
}

#[test]
fn names_who_holds_the_consoles_port_and_a_token_that_others_may_read() {
    let mut patient = Patient::new();
    patient.diagnose().expect("console", "degraded", &["off"]);
    let holds = TcpListener::bind("127.0.0.1:0").unwrap();
    patient.manages_at(&holds.local_addr().unwrap().to_string());
    patient.diagnose().expect("console", "broken", &["is held by", "--manage"]);
    drop(holds);
    patient.diagnose().expect("console", "ok", &["is free"]);
    make_identity(&patient.identity(), 2000..4000);
    let token = patient.identity().join("manage-token");
    fs::write(&token, "a secret").unwrap();
    fs::set_permissions(&token, Permissions::from_mode(0o640)).unwrap();
    let seen = patient.diagnose();
    seen.expect("console", "broken", &["mode 640", "rm "]);
    assert!(!seen.checks().iter().any(|check| check.to_string().contains("a secret")), "{seen:?}");
}
