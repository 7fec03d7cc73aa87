//! The console in a headless Chromium, on a host that is none: how each page looks on a desk's and on a phone's screen, in
//! light and in dark, and what a person does there.
//!
//! Where there is no browser these say so, and fail under CI=true. Screenshots are left where
//! `PUNKTFUNK_CONSOLE_SHOTS` says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so and ends")]

#[path = "../../examples/stand_in/host/mod.rs"]
mod host;
mod visit;

use std::time::{Duration, Instant};

use serde_json::json;
use visit::{PAGES, Visit};

#[test]
fn every_page_is_right_at_a_desk_and_on_a_phone_in_light_and_in_dark() {
    let Some(mut visit) = Visit::start(host::StandIn::hasty) else { return };
    visit.open_with_token();
    for colours in ["light", "dark"] {
        for (device, width, height) in [("desk", 1280, 800), ("phone", 390, 844)] {
            visit.browser.show_on(width, height, colours);
            for (page, sign) in PAGES {
                visit.turn_to(page, sign);
                visit.look(&format!("{page}-{device}-{colours}"), width, colours);
            }
        }
    }
}

#[test]
fn a_host_with_nothing_to_show_says_so() {
    let Some(mut visit) = Visit::start(host::StandIn::empty) else { return };
    visit.browser.show_on(390, 844, "light");
    visit.open_with_token();
    for (page, sign) in [
        ("live", "punktfunk connect workstation"),
        ("sessions", "Nobody is connected"),
        ("pairing", "None waits"),
        ("devices", "None is paired yet"),
        ("speed", "No client is connected"),
    ] {
        visit.turn_to(page, sign);
        visit.look(&format!("empty-{page}"), 390, "light");
    }
}

#[test]
fn the_tab_key_reaches_everything_in_order_and_where_it_is_can_be_seen() {
    let Some(mut visit) = Visit::start(host::StandIn::new) else { return };
    visit.browser.show_on(1280, 800, "light");
    visit.open_with_token();
    for (page, sign) in PAGES {
        visit.turn_to(page, sign);
        let stops = visit.browser.tab_through();
        let hidden: Vec<_> = stops.iter().filter(|(_, is_seen)| !is_seen).collect();
        assert!(hidden.is_empty(), "{page}: the focus cannot be seen at {hidden:?}");
        let controls = visit.browser.evaluate(
            "[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]\
             .filter((one) => !one.disabled && one.checkVisibility()).length",
        );
        assert_eq!(json!(stops.len()), controls, "{page}: {stops:?}");
        assert_eq!(stops[0].0, "To the content", "{page}");
    }
    // The first stop leads past the pages' names, and not to another page.
    visit.turn_to("devices", "Work laptop");
    visit.browser.evaluate("document.querySelector('.skip').focus()");
    visit.browser.press("Enter");
    visit.browser.wait_for("document.activeElement.id === 'main' && location.hash === '#devices'");
}

#[test]
fn a_pin_is_shown_large_and_counts_down_until_a_device_has_paired() {
    let Some(mut visit) = Visit::start(host::StandIn::new) else { return };
    visit.browser.show_on(390, 844, "dark");
    visit.open_with_token();
    visit.turn_to("pairing", "No device can pair now.");
    visit.browser.click("button", "Show a PIN");
    visit
        .browser
        .wait_for("document.querySelector('.pin')?.getAttribute('aria-label') === 'PIN 4 8 2 9 1 7'");
    let height =
        visit.browser.evaluate("parseFloat(getComputedStyle(document.querySelector('.pin')).fontSize)");
    assert!(height.as_f64() >= Some(48.0), "{height}");
    visit.look("pin-phone-dark", 390, "dark");
    let left = "Number(document.querySelector('progress').value)";
    let before = visit.browser.evaluate(left).as_f64().unwrap();
    assert!((100.0..=120.0).contains(&before), "{before}");
    visit.browser.wait_for(&format!("{left} < {before}"));
    visit.browser.show_on(1280, 800, "light");
    visit.look("pin-desk-light", 1280, "light");

    visit.host().with(|host| host.pair("New TV"));
    visit.browser.wait_for_text("New TV is paired.");
    assert_eq!(visit.browser.evaluate("document.querySelectorAll('.pin').length"), 0);
    visit.browser.click("button", "Show a PIN");
    visit
        .browser
        .wait_for("document.querySelector('.pin')?.getAttribute('aria-label') === 'PIN 9 6 5 8 3 4'");
    visit.browser.click("button", "Cancel");
    visit.browser.wait_for_text("No device can pair now.");
    visit.expect_no_faults();
}

#[test]
fn a_device_that_asks_is_let_in_given_a_name_and_shown_out_after_a_question() {
    let Some(mut visit) = Visit::start(host::StandIn::new) else { return };
    visit.browser.show_on(1280, 800, "light");
    visit.open_with_token();
    visit.host().with(|host| host.knock("<img src=x onerror=alert(1)>", Instant::now()));
    visit.turn_to("pairing", "<img src=x onerror=alert(1)>");
    visit.browser.wait_for("document.querySelector('nav .badge').textContent.startsWith('2')");
    visit.look("pending-desk-light", 1280, "light");
    visit.browser.click("[aria-label^='Deny <img']", "");
    visit.browser.click("button", "Turn it away");
    visit.browser.wait_for("!document.body.innerText.includes('onerror')");
    visit.browser.click("[aria-label='Approve Kitchen tablet']", "");
    visit.browser.wait_for_text("None waits");

    visit.turn_to("devices", "Kitchen tablet");
    visit.browser.click("[aria-label='Rename Kitchen tablet']", "");
    visit.browser.wait_for("document.activeElement.tagName === 'INPUT'");
    visit.look("rename-desk-light", 1280, "light");
    visit.browser.write("Tablet in the hall");
    visit.browser.press("Enter");
    visit.browser.wait_for_text("Tablet in the hall");
    visit
        .browser
        .wait_for("document.activeElement.getAttribute('aria-label') === 'Rename Tablet in the hall'");

    // Whoever changes their mind has lost nothing, the place of the focus neither.
    visit.browser.click("[aria-label='Revoke Living-room TV']", "");
    visit.browser.wait_for("document.activeElement.textContent === 'Keep'");
    visit.look("revoke-desk-light", 1280, "light");
    visit.browser.press("Escape");
    visit.browser.wait_for("document.activeElement.getAttribute('aria-label') === 'Revoke Living-room TV'");
    visit.browser.click("[aria-label='Revoke Living-room TV']", "");
    visit.browser.click("button", "Revoke, and end its session");
    visit.browser.wait_for("!document.body.innerText.includes('Living-room TV')");
    assert_eq!(visit.host().with(|host| host.status(Instant::now()).sessions.len()), 1, "its session ended");
    visit.expect_no_faults();
}

#[test]
fn plots_move_and_end_with_their_session() {
    let Some(mut visit) = Visit::start(host::StandIn::new) else { return };
    visit.browser.show_on(1280, 800, "dark");
    visit.open_with_token();
    visit.turn_to("live", "Steam Deck");
    visit.browser.click("summary", "");
    visit.look("live-figures-desk-dark", 1280, "dark");
    let drawn = "[...document.querySelectorAll('canvas')].map((one) => one.toDataURL()).join()";
    let count = visit.browser.wait_for("document.querySelectorAll('canvas').length");
    assert_eq!(count, 30, "three and one for each stage, of two sessions");
    let before = visit.browser.evaluate(drawn);
    visit.browser.wait_for(&format!("{drawn} !== {before}"));
    let said = "document.querySelector('.plot [role=img]').getAttribute('aria-label')";
    assert!(visit.browser.evaluate(said).as_str().unwrap().starts_with("Pictures, a second: sent "));

    visit.turn_to("sessions", "Bitrate agreed");
    let bitrate = "document.querySelector('input[type=number]')";
    visit.browser.evaluate(&format!("{bitrate}.select()"));
    visit.browser.write("25");
    visit.browser.click("button", "Change");
    visit.browser.wait_for_text("25.0 Mbit/s");
    visit.browser.click("[aria-label='End Steam Deck']", "");
    visit.browser.click("button", "End this session");
    visit.browser.wait_for("!document.body.innerText.includes('Steam Deck')");
    visit.turn_to("live", "Living-room TV");
    visit.browser.wait_for("document.querySelectorAll('canvas').length === 15");
    visit.expect_no_faults();
}

#[test]
fn a_speed_test_shows_how_far_it_is_and_what_it_found() {
    let Some(mut visit) = Visit::start(host::StandIn::new) else { return };
    visit.browser.show_on(1280, 800, "light");
    visit.open_with_token();
    visit.turn_to("speed", "Sends filler");
    visit.browser.evaluate("document.querySelector('input[type=number]').select()");
    visit.browser.write("500");
    visit.browser.click("button", "Start");
    visit.browser.wait_for("document.querySelector('progress')?.value > 0");
    visit.browser.wait_for_text("The network is the weakest link");
    let drawn = visit.browser.evaluate(
        "(() => { const one = document.querySelector('canvas'); \
         const { data } = one.getContext('2d').getImageData(0, 0, one.width, one.height); \
         return data.filter((value, index) => index % 4 === 3 && value > 0).length })()",
    );
    assert!(drawn.as_u64() > Some(2_000), "{drawn} pixels of the plot");
    visit.look("speed-result-desk-light", 1280, "light");
    visit.browser.show_on(390, 844, "dark");
    visit.browser.listen(Duration::from_millis(200));
    visit.look("speed-result-phone-dark", 390, "dark");
}

#[test]
fn a_setting_is_changed_or_the_refusal_is_said_and_a_recording_runs() {
    let Some(mut visit) = Visit::start(host::StandIn::new) else { return };
    visit.browser.show_on(1280, 800, "dark");
    visit.open_with_token();
    visit.turn_to("settings", "How many clients at once");
    let field = "document.getElementById('setting-sessions_max')";
    visit.browser.evaluate(&format!("{field}.select()"));
    visit.browser.write("6");
    visit.browser.click("[aria-label='Save sessions_max']", "");
    visit.browser.wait_for_text("from host.toml, line 9");
    visit.browser.click("button", "Record");
    visit.browser.wait_for_text("records");
    let folder = "/srv/ada/.config/punktfunk/recordings/2026-11-26T21-14-02/session-1";
    visit.browser.wait_for_text(&format!("punktfunk-perf report {folder}"));
    visit.expect_no_faults();
    visit.browser.evaluate(&format!("{field}.select()"));
    visit.browser.write("600");
    visit.browser.click("[aria-label='Save sessions_max']", "");
    visit.browser.wait_for_text("goes from 1 to 16");
    visit.browser.shoot_into("refused-desk-dark");
}

#[test]
fn a_wrong_token_is_refused_forgotten_and_never_in_the_address() {
    let Some(mut visit) = Visit::start(host::StandIn::new) else { return };
    visit.browser.show_on(390, 844, "light");
    visit.browser.open(&visit.address(""));
    visit.browser.wait_for_text("It wants the token");
    visit.look("gate-phone-light", 390, "light");
    visit.browser.wait_for("document.activeElement.tagName === 'INPUT'");
    visit.browser.write(&"0".repeat(64));
    visit.browser.press("Enter");
    visit.browser.wait_for_text("This is not the token");
    assert!(visit.browser.evaluate("sessionStorage.getItem('punktfunk-token')").is_null());
    visit.open_with_token();
    visit.browser.wait_for_text("Living-room TV");
    assert_eq!(visit.browser.evaluate("location.href"), json!(visit.address("")));
    let kept = visit.browser.evaluate("[document.cookie, localStorage.length]");
    assert_eq!(kept, json!(["", 0]), "nothing outlives the tab");
    visit.browser.click("button", "Forget the token");
    visit.browser.wait_for_text("It wants the token");
    // Into the address bar of a tab that is open already, where it makes no new page.
    let hash = format!("location.hash = '#token={}'", visit.token());
    visit.browser.evaluate(&hash);
    visit.browser.wait_for_text("Living-room TV");
    assert_eq!(visit.browser.evaluate("location.href"), json!(visit.address("")));
}

#[test]
fn a_slow_network_is_asked_one_thing_at_a_time_and_loses_no_line() {
    let Some(mut visit) = Visit::start(host::StandIn::new) else { return };
    visit.browser.show_on(1280, 800, "light");
    visit.open_with_token();
    visit.turn_to("logs", "listening for clients");
    let slow = json!({"offline": false, "latency": 1_600, "downloadThroughput": -1, "uploadThroughput": -1});
    visit.browser.ask("Network.emulateNetworkConditions", slow);
    visit.browser.events.clear();
    visit.browser.listen(Duration::from_secs(6));
    let (mut under_way, mut asked) = (Vec::new(), 0);
    for event in &visit.browser.events {
        let (method, params) = (event["method"].as_str().unwrap_or_default(), &event["params"]);
        let is_of_log = || params["request"]["url"].as_str().is_some_and(|url| url.contains("/api/v1/logs"));
        if method == "Network.requestWillBeSent" && is_of_log() {
            under_way.push(&params["requestId"]);
            asked += 1;
        } else if method == "Network.loadingFinished" {
            under_way.retain(|request| **request != params["requestId"]);
        }
        assert!(under_way.len() <= 1, "{under_way:?}");
    }
    assert!((2..=3).contains(&asked), "{asked} times in 6 s");
    visit.browser.wait_for_text("listening for clients");
    visit.expect_no_faults();
}

#[test]
fn a_host_that_goes_away_is_said_to_and_its_return_is_noticed() {
    let Some(mut visit) = Visit::start(host::StandIn::new) else { return };
    visit.browser.show_on(1280, 800, "light");
    visit.open_with_token();
    visit.turn_to("logs", "listening for clients");
    visit.go_away();
    visit.browser.wait_for("document.querySelector('main > [role=alert]')?.textContent");
    visit.browser.shoot_into("away-desk-light");
    visit.come_back(host::StandIn::empty);
    visit.browser.wait_for("!document.querySelector('[role=alert]')");
    visit.browser.wait_for_text("listening for clients");
    visit.turn_to("live", "punktfunk connect workstation");
    let thrown =
        visit.browser.events.iter().filter(|event| event["method"] == "Runtime.exceptionThrown").count();
    assert_eq!(thrown, 0);
}
