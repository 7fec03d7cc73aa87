//! Faults of what the host is told, and what the doctor makes of settings that are right.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;

use crate::patient::Patient;

/// The file that the host reads when nothing else is said.
fn file(patient: &Patient, text: &str) -> PathBuf {
    let folder = patient.home().join(".config/punktfunk");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("host.toml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn names_settings_that_the_host_would_not_take_and_looks_at_the_rest() {
    let mut patient = Patient::new();
    patient.diagnose().expect("settings", "ok", &["no file", "host.toml", "0 by variables"]);
    let path = file(&patient, "[sessions]\nmax = 2\n");
    let check = format!("punktfunk-host config check {}", path.display());
    patient.diagnose().expect("settings", "ok", &["1 by", "host.toml"]);
    for (text, said) in [
        (
            "[sessions]\nmaxx = 2\n",
            "host.toml:2:1: \"sessions.maxx\" is no setting; did you mean sessions.max?",
        ),
        ("[sessions]\nmax = 99\n", "host.toml:2:7: sessions.max: 99 is not in 1..=16"),
        ("[sessions\n", "host.toml:1:"),
    ] {
        file(&patient, text);
        let ill = patient.diagnose();
        ill.expect("settings", "broken", &[said, "the host does not start", &check]);
        assert_eq!((ill.code, ill.broken()), (Some(1), vec!["settings"]), "{ill:?}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    patient.diagnose().expect("settings", "broken", &["cannot be read"]);
    fs::remove_dir(&path).unwrap();
    patient.env("PUNKTFUNK_SESSIONS", "99");
    patient.diagnose().expect("settings", "broken", &["PUNKTFUNK_SESSIONS: 99 is not in 1..=16"]);
    patient.env("PUNKTFUNK_SESSIONS", "9");
    patient.env("PUNKTFUNK_SESIONS", "9");
    patient.diagnose().expect(
        "settings",
        "degraded",
        &["did you mean PUNKTFUNK_SESSIONS?", "1 by variables"],
    );
    patient.env("PUNKTFUNK_CONFIG", "/no/such.toml");
    patient.diagnose().expect("settings", "broken", &["/no/such.toml: there is no such file"]);
}

#[test]
fn looks_at_what_the_settings_name() {
    let mut patient = Patient::new();
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let key = patient.home().join("key");
    let text = format!(
        "identity = {key:?}\n[network]\nlisten = \"127.0.0.1:{port}\"\nannounce = false\n[machine]\nrealtime = false\n\
         [manage]\nlisten = \"off\"\n"
    );
    let path = file(&patient, &text);
    let seen = patient.diagnose_by_settings();
    seen.expect("udp-port", "broken", &[&port.to_string()]);
    seen.expect("identity", "ok", &[&key.display().to_string()]);
    seen.expect("console", "degraded", &["off"]);
    seen.expect("realtime", "ok", &["not wished for"]);
    seen.expect("discovery", "degraded", &[&format!("not announced: {}:4:1", path.display())]);
    // A variable stands over the file.
    patient.env("PUNKTFUNK_LISTEN", "127.0.0.1:0");
    patient.env("PUNKTFUNK_ANNOUNCE", "false");
    patient.env("PUNKTFUNK_MLOCK", "false");
    let seen = patient.diagnose_by_settings();
    seen.expect("udp-port", "ok", &[]);
    seen.expect("discovery", "degraded", &["not announced: PUNKTFUNK_ANNOUNCE"]);
    seen.expect("locked-memory", "ok", &["not wished for"]);
    // Of what is wrong nothing is taken: the file's identity is not looked at, and the variables hold still.
    file(&patient, &format!("{text}lisen = 1\n"));
    let seen = patient.diagnose_by_settings();
    seen.expect("settings", "broken", &["did you mean"]);
    seen.expect("udp-port", "ok", &[]);
    seen.expect("identity", "ok", &["none yet in", "punktfunk"]);
    seen.expect("discovery", "degraded", &["PUNKTFUNK_ANNOUNCE"]);
}
