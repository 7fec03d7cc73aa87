//! What media is sealed with: what both ends' CPUs do best, or what a person asks for at either.

use serde_json::Value;

use crate::support::{ClientStart, HostStart, Place, assert_all_came, count, session_turn};

const SOURCE: &str = "bitstream:rate=50M,fps=60,slices=2,idr=2x/1s";
const VARIABLE: &str = "PUNKTFUNK_CIPHER";

/// A second of media; what the client and the host say of the cipher.
fn stream(place: &Place, host_asks: Option<&str>, client_asks: Option<&str>) -> (Value, Value) {
    let mut host = HostStart::new(place, SOURCE).args(&["--once"]);
    if let Some(cipher) = host_asks {
        host = host.env(VARIABLE, cipher);
    }
    let host = host.ready();
    let mut client = ClientStart::new(place, host.port).args(&["--seconds", "1"]);
    if let Some(cipher) = client_asks {
        client = client.env(VARIABLE, cipher);
    }
    let ended = client.run();
    ended.expect_code(0);
    let welcome = host.events("welcome")[0].clone();
    host.ends();
    let summary = ended.json();
    assert_all_came(&summary);
    assert!(count(&summary, "/verified/slices") > 0 && count(&summary, "/verified/wrong") == 0);
    (summary["sealing"].clone(), welcome)
}

fn assert_said(said: &(Value, Value), cipher: &str, client_why: &str, host_why: &str) {
    let (client, host) = said;
    eprintln!("{client} {}", host["cipher_reason"]);
    assert_eq!((&client["cipher"], &host["cipher"]), (&cipher.into(), &cipher.into()));
    for (reason, why) in [(&client["reason"], client_why), (&host["cipher_reason"], host_why)] {
        assert!(reason.as_str().unwrap().contains(why), "{reason} is not {why}");
    }
}

#[test]
fn either_end_has_the_cipher_that_it_asks_for() {
    let (_turn, place) = (session_turn(), Place::new());
    const CHACHA: &str = "ChaCha20-Poly1305";
    let said = stream(&place, None, Some("chacha"));
    assert_said(&said, CHACHA, VARIABLE, "no other");
    assert!(["aws-lc", "ring"].contains(&said.0["opened_by"].as_str().unwrap()), "{}", said.0);
    let said = stream(&place, Some("chacha20-poly1305"), None);
    assert_eq!(said.1["cipher"], CHACHA);
    assert!(said.1["cipher_reason"].as_str().unwrap().contains(VARIABLE));
    assert_said(&stream(&place, Some("aes"), Some("AES-128-GCM")), "AES-128-GCM", VARIABLE, VARIABLE);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("aes") {
        let both = "both ends have AES instructions";
        assert_said(&stream(&place, None, None), "AES-128-GCM", both, both);
    }
}

#[test]
fn wishes_that_cannot_meet_are_named_and_nonsense_is_a_usage_error() {
    let place = Place::new();
    let host = HostStart::new(&place, SOURCE).env(VARIABLE, "aes").ready();
    let client = ClientStart::new(&place, host.port).env(VARIABLE, "chacha").args(&["--seconds", "1"]).run();
    client.expect_code(5).expect_said(&["ChaCha20-Poly1305", "AES-128-GCM", VARIABLE]);
    let client = ClientStart::new(&place, host.port).env(VARIABLE, "rot13").run();
    client.expect_code(64).expect_said(&["rot13", VARIABLE]);
    host.stop();
    HostStart::new(&place, SOURCE).env(VARIABLE, "rot13").refused().expect_code(64).expect_said(&["rot13"]);
}
