//! A lost host that is looked for: what ends the search, and with which exit code.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    ClientStart, Ended, Host, HostStart, MARGIN, PATIENCE, Place, Program, count, look, session_turn,
    slow_sway, sway_turn,
};

/// Until a client takes a silent host for lost.
const SILENT: Duration = Duration::from_secs(3);

fn kill(mut host: Host) -> u16 {
    host.program.kill();
    let port = host.port;
    drop::<Program>(host.program);
    port
}

/// The summary of a session that was lost and not had again.
fn lost(ended: &Ended) -> Value {
    let summary = ended.json();
    assert!(count(&summary, "/pictures/decoded") > 0 && count(&summary, "/reconnects") == 0, "{summary:#}");
    summary
}

#[test]
fn what_ends_the_search_for_a_host_is_told_apart_whenever_it_comes() {
    let (_turn, place) = (session_turn(), Place::new());
    for (quits, code) in [(true, 0), (false, 130)] {
        let host = HostStart::new(&place, "card").ready();
        let client = ClientStart::new(&place, host.port).args(&["--mode", "320x180@60", "--commands"]);
        let (client, mut typed) = client.start_telling_and_typed();
        client.has_pictures(1);
        kill(host);
        look("the search", PATIENCE, || client.program.stderr().contains("looked for").then_some(()));
        let asked = Instant::now();
        match quits {
            true => typed.write_all(b"bitrate 3000\nquit\n").unwrap(),
            false => client.program.signal("INT"),
        }
        let ended = client.program.wait(PATIENCE);
        assert!(asked.elapsed() < MARGIN, "{:?}", asked.elapsed());
        ended.expect_code(code);
        if quits {
            ended.expect_said(&["there is no session to do that in"]);
        }
        lost(&ended);
    }
    place.assert_empty(PATIENCE);
}

/// The host that is back has no pictures yet: its desktop takes a minute.
#[test]
fn a_host_that_answers_and_does_not_welcome_holds_the_search_up_no_longer_than_was_said() {
    let Some(_sway) = sway_turn() else { return };
    let (_turn, place) = (session_turn(), Place::new());
    for (patience, ends, code) in [("2", None, 9), ("30", Some("quit\n"), 0), ("30", Some(""), 130)] {
        let host = HostStart::new(&place, "card").ready();
        let client = ClientStart::new(&place, host.port).args(&["--commands", "--reconnect", patience]);
        let (client, mut typed) = client.args(&["--mode", "320x180@60"]).start_telling_and_typed();
        client.has_pictures(1);
        let address = format!("127.0.0.1:{}", kill(host));
        let again =
            HostStart::new(&place, "sway").listen(&address).env("PATH", slow_sway(&place, 60)).ready();
        again.event("hello", 0, PATIENCE);
        let asked = Instant::now();
        match ends {
            None => {}
            Some("") => client.program.signal("INT"),
            Some(line) => typed.write_all(line.as_bytes()).unwrap(),
        }
        let ended = client.program.wait(PATIENCE);
        let most = if ends.is_some() { MARGIN } else { Duration::from_secs(2) + MARGIN };
        assert!(asked.elapsed() < most + SILENT, "{ends:?}: {:?}", asked.elapsed());
        ended.expect_code(code);
        lost(&ended);
        again.stop();
    }
    place.assert_empty(PATIENCE);
}
