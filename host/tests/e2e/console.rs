//! The console of a real host in a headless Chromium, beside real clients: what a person does there happens, and what
//! happens is seen there.
//!
//! Where there is no browser this says so, and fails under CI=true. Pictures of the pages are left where
//! `PUNKTFUNK_CONSOLE_SHOTS` says; then a live session is watched for two minutes first, which fills its plots.

use std::net::TcpListener;
use std::time::Duration;

use browser::Chromium;
use serde_json::{Value, json};

use crate::support::{ClientStart, Host, HostStart, MARGIN, PATIENCE, Place, pair_as, session_turn};

/// Every plot's pixels.
const DRAWN: &str = "[...document.querySelectorAll('canvas')].map((one) => one.toDataURL()).join()";

/// A host with its console, and a browser on it.
struct Visit {
    browser: Chromium,
    origin: String,
    host: Host,
}

impl Visit {
    /// Starts both, the host of these arguments too; `None` where there is no browser, which is said.
    fn start(place: &Place, args: &[&str]) -> Option<Self> {
        let mut browser = Chromium::start()?;
        browser.trust_any_certificate();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let host = HostStart::new(place, "card").belief(&[]).manage(&free).args(args).ready();
        let token = std::fs::read_to_string(place.path("host-identity").join("manage-token")).unwrap();
        let origin = format!("https://{free}/");
        browser.show_on(1280, 800, "light");
        browser.open(&format!("{origin}#token={}", token.trim()));
        browser.wait_for_text("Pairing");
        Some(Self { browser, origin, host })
    }

    /// Looks at the page at a desk and on a phone, in light and in dark.
    fn look_everywhere(&mut self, name: &str) {
        for (device, width, height) in [("phone", 390, 844), ("desk", 1280, 800)] {
            for colours in ["dark", "light"] {
                self.browser.show_on(width, height, colours);
                // The plots are drawn anew for each.
                self.browser.listen(Duration::from_millis(300));
                self.browser.look(&self.origin, &format!("{name}-{device}-{colours}"), width, colours);
            }
        }
    }

    /// Lets the plots fill, where somebody wants pictures of them.
    fn fill_plots(&mut self) {
        if Chromium::shots().is_some() {
            self.browser.listen(Duration::from_secs(120));
        }
    }

    /// Selects what stands in a field, as a person does before they type something else.
    fn select(&mut self, selector: &str) {
        self.browser.wait_for(&format!("document.querySelector({})?.select() ?? true", json!(selector)));
    }

    /// What one of the plots says to those who cannot see it.
    fn plot_says(&mut self, title: &str) -> String {
        let said = format!(
            "[...document.querySelectorAll('.plot [role=img]')].map((one) => one.getAttribute('aria-label'))\
             .find((one) => one.startsWith({}))",
            json!(title)
        );
        self.browser.wait_for(&said).as_str().unwrap().to_owned()
    }

    /// The Mbit/s that one of the speed test's bars says.
    fn bar_says(&mut self, name: &str) -> f64 {
        let said = self.browser.evaluate(&format!(
            "[...document.querySelectorAll('.bars > div')].find((one) => one.children[0].innerText === {}).innerText",
            json!(name)
        ));
        let (_, said) = said.as_str().unwrap().split_once('\n').unwrap();
        let (number, unit) = said.trim().split_once(' ').unwrap();
        assert_eq!(unit, "Mbit/s", "{name}: {said}");
        number.parse().unwrap()
    }

    /// Shows a PIN and gives it back.
    fn show_pin(&mut self) -> String {
        self.browser.turn_to("pairing", "No device can pair now.");
        self.browser.click("button", "Show a PIN");
        let said = self.browser.wait_for("document.querySelector('.pin')?.getAttribute('aria-label')");
        let pin: String = said.as_str().unwrap().chars().filter(char::is_ascii_digit).collect();
        assert_eq!(pin.len(), 6, "{said}");
        pin
    }
}

/// A session of this identity, until it is told to end.
fn connect<'a>(place: &'a Place, host: &Host, identity: &str) -> ClientStart<'a> {
    ClientStart::new(place, host.port).belief(&[]).identity(identity).args(&["--seconds", "240"])
}

/// The number behind a word of a sentence; none while it is not known.
fn number_after(said: &str, word: &str) -> Option<f64> {
    let rest = said.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {said:?}")).1;
    let digits: String = rest.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    if rest.trim_start().starts_with("unknown") {
        return None;
    }
    Some(digits.parse().unwrap_or_else(|_| panic!("no number after {word:?} in {said:?}")))
}

#[test]
fn a_person_pairs_watches_lets_in_and_shows_out() {
    let (_turn, place) = (session_turn(), Place::new());
    let Some(mut visit) = Visit::start(&place, &[]) else { return };
    let address = format!("127.0.0.1:{}", visit.host.port);

    let pin = visit.show_pin();
    visit.look_everywhere("real-pin");
    let paired = pair_as(&place, "tv", None, &[&address, "--pin", &pin, "--name", "Living-room TV"], "");
    paired.wait(PATIENCE).expect_code(0);
    visit.browser.wait_for_text("Living-room TV is paired.");

    let client = connect(&place, &visit.host, "tv").start();
    visit.browser.turn_to("live", "Latency at the host");
    visit.browser.wait_for("document.querySelectorAll('canvas').length >= 5");
    let before = visit.browser.evaluate(DRAWN);
    visit.browser.wait_for(&format!("{DRAWN} !== {before}"));
    // The card is 60 pictures a second, less what a busy machine sheds.
    let moving = |visit: &mut Visit| number_after(&visit.plot_says("Pictures"), "sent");
    let rate = crate::support::look("pictures in the plot", PATIENCE, || {
        moving(&mut visit).filter(|rate| *rate > 20.0)
    });
    assert!(rate < 70.0, "{rate}");
    // What only the client knows: its word comes each second.
    visit.browser.wait_for_text("Latency at the client, and across both");
    let decoded = crate::support::look("decoded pictures in the plot", PATIENCE, || {
        let said = visit.plot_says("Pictures");
        number_after(&said, "decoded")
    });
    assert!((1.0..70.0).contains(&decoded), "{decoded}");
    visit.browser.wait_for("document.querySelector('.facts.large').innerText.includes('Capture to decoded')");
    assert!(number_after(&visit.plot_says("capture to decoded"), "p50") > Some(0.0));
    assert_eq!(visit.browser.evaluate("document.querySelector('h2').textContent"), "Living-room TV");
    visit.fill_plots();
    visit.look_everywhere("real-live");

    let knocks = pair_as(&place, "tablet", None, &[&address, "--knock", "--name", "Kitchen tablet"], "");
    visit.browser.turn_to("pairing", "Kitchen tablet");
    visit.browser.wait_for("document.querySelector('nav .badge').textContent.startsWith('1')");
    visit.look_everywhere("real-pending");
    visit.browser.click("[aria-label='Approve Kitchen tablet']", "");
    knocks.wait(PATIENCE).expect_code(0);
    visit.browser.wait_for_text("None waits");

    visit.browser.turn_to("sessions", "Bitrate agreed");
    visit.select("input[type=number]");
    visit.browser.write("7");
    visit.browser.click("button", "Change");
    visit.browser.wait_for_text("7.00 Mbit/s");
    visit.look_everywhere("real-sessions");

    visit.browser.turn_to("devices", "Kitchen tablet");
    visit.browser.click("[aria-label='Rename Kitchen tablet']", "");
    visit.browser.wait_for("document.activeElement.tagName === 'INPUT'");
    visit.browser.write("Tablet in the hall");
    visit.browser.press("Enter");
    visit.browser.wait_for_text("Tablet in the hall");
    visit.browser.click("[aria-label='Revoke Living-room TV']", "");
    visit.browser.click("button", "Revoke, and end its session");
    client.program.wait(Duration::from_secs(1) + MARGIN).expect_code(9).expect_said(&["trust"]);
    visit.browser.wait_for("!document.body.innerText.includes('Living-room TV')");
    connect(&place, &visit.host, "tv").run().expect_code(3).expect_said(&["does not know this client"]);
    let listed: Value = serde_json::from_str(&crate::support::devices(&place, &[]).stdout).unwrap();
    assert_eq!((&listed[0]["name"], listed[1].is_null()), (&json!("Tablet in the hall"), true), "{listed}");

    visit.browser.turn_to("logs", "Living-room TV");
    visit.look_everywhere("real-logs");
    assert!(!visit.browser.text().contains(&pin), "the PIN is in the log");
    visit.host.stop();
}

#[test]
fn a_person_tests_a_live_clients_link_and_sees_what_it_carries() {
    const TARGET_MBIT: f64 = 60.0;
    let (_turn, place) = (session_turn(), Place::new());
    let Some(mut visit) = Visit::start(&place, &[]) else { return };
    visit.browser.turn_to("speed", "No client is connected.");
    visit.look_everywhere("real-speed-nobody");

    let pin = visit.show_pin();
    let address = format!("127.0.0.1:{}", visit.host.port);
    pair_as(&place, "tv", None, &[&address, "--pin", &pin, "--name", "Living-room TV"], "")
        .wait(PATIENCE)
        .expect_code(0);
    let client = connect(&place, &visit.host, "tv").start_telling();
    client.has_pictures(1);
    visit.browser.turn_to("speed", "Living-room TV");
    visit.select("input[type=number]");
    visit.browser.write(&TARGET_MBIT.to_string());
    visit.browser.click("button", "Start");
    visit.browser.wait_for("document.querySelector('progress')?.value > 0");
    visit.browser.wait_for_text("Recommended bitrate");
    visit.look_everywhere("real-speed");

    // Loopback carries what was asked for; the headers are not of use.
    for (bar, least, most) in [("Asked for", 60.0, 60.0), ("Came", 58.2, 61.8), ("Of use", 48.0, 60.0)] {
        let mbit = visit.bar_says(bar);
        assert!((least..=most).contains(&mbit), "{bar}: {mbit} Mbit/s");
    }
    let lost = visit.plot_says("Lost, by where in a picture");
    let tenths = lost.rsplit_once(": ").unwrap().1.split(", ").map(|tenth| tenth.parse::<f64>().unwrap());
    assert_eq!(tenths.collect::<Vec<_>>(), [0.0; 10], "{lost}");
    visit.browser.wait_for("document.querySelectorAll('canvas').length === 1");
    // The picture goes on, and so does its plot.
    visit.browser.turn_to("live", "Living-room TV");
    let decoded = || number_after(&visit.plot_says("Pictures"), "decoded").filter(|rate| *rate > 20.0);
    crate::support::look("pictures after the test", PATIENCE, decoded);
    client.program.signal("INT");
    client.program.wait(PATIENCE).expect_code(0);
    visit.browser.turn_to("live", "Nobody is watching");
    visit.look_everywhere("real-live-nobody");
    visit.host.stop();
}

#[test]
fn a_person_changes_a_setting_and_the_hosts_file_has_it() {
    let (_turn, place) = (session_turn(), Place::new());
    let file = place.write("host.toml", b"# Mine.\n[sessions]\nmax = 3 # few\n");
    let Some(mut visit) = Visit::start(&place, &["--config", file.to_str().unwrap()]) else { return };
    let text = || std::fs::read_to_string(&file).unwrap();
    let field = "[id='setting-sessions.max']";
    let origin = "document.getElementById('origin-sessions.max').innerText";
    visit.browser.turn_to("settings", "sessions.max");
    visit.browser.wait_for(&format!("{origin}.includes('host.toml:3:1')"));
    visit.look_everywhere("real-settings");

    visit.select(field);
    visit.browser.write("6");
    visit.browser.press("Enter");
    visit.browser.wait_for("document.querySelector('[aria-label=\"Save sessions.max\"]').disabled");
    visit.browser.wait_for(&format!("{origin}.endsWith('holds once the host is started anew')"));
    assert_eq!(text(), "# Mine.\n[sessions]\nmax = 6 # few\n");

    // What the host refuses, it says why, and the file stays.
    visit.select(field);
    visit.browser.write("600");
    visit.browser.click("[aria-label='Save sessions.max']", "");
    visit.browser.wait_for_text("600 is not in 1..=16");
    visit.browser.shoot_into("real-settings-refused");
    assert_eq!(text(), "# Mine.\n[sessions]\nmax = 6 # few\n");

    visit.browser.click("[aria-label='Take sessions.max out of the file']", "");
    visit.browser.wait_for(&format!("{origin}.startsWith('by default')"));
    visit.browser.wait_for(&format!("document.querySelector(\"{field}\").value === '4'"));
    let kept = text();
    assert!(kept.starts_with("# Mine.\n") && !kept.lines().any(|line| line.starts_with("max")), "{kept}");
    visit.host.stop();
}

#[test]
fn a_real_diagnosis_fits_a_desk_and_a_phone() {
    let (_turn, place) = (session_turn(), Place::new());
    let Some(mut visit) = Visit::start(&place, &[]) else { return };
    visit.browser.turn_to("doctor", &format!("{} links were looked at: ", punktfunk_doctor::Link::ALL.len()));
    visit.browser.wait_for_text("held by this host");
    visit.look_everywhere("real-doctor");
    visit.host.stop();
}
