//! The report of a real short session and of hostile folders: in a headless Chromium, light and dark, at a desk's and at a
//! phone's width, and from outside as a program.
//!
//! Chromium's tests say so where there is no browser, and fail under CI=true. Screenshots are left where
//! `PUNKTFUNK_REPORT_SHOTS` says.

mod chromium;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use chromium::Chromium;
use serde_json::{Value, json};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_punktfunk-perf"))
        .args(arguments)
        .output()
        .expect("the program was built")
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A folder with the logs of a second of the engine's two pipelines.
fn session() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments =
        ["loop", "--rate", "20M", "--fps", "60", "--seconds", "1.2", "--rounds", "1", "--no-twin"];
    let output = run(&[&arguments[..], &["--json", "--perf", utf8(folder.path())]].concat());
    assert!(!output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// A folder whose every word would be markup, a script or a request, were it believed.
fn hostile() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let evil = "</title></script><script>window.evil=1</script><img src=http://127.0.0.1:9/x onerror=window.evil=1>\"'&";
    let head =
        format!("#source: {evil}\n#{evil}: {evil}\n#mode: 1x1@{evil}\n#net: send; {evil}\n#stage: {evil})\n");
    let counters = "#[Counters 1.0: aus_sent=18446744073709551615 aus_lost=18446744073709551615 pictures_shed=18446744073709551615 pictures_skipped=9]\n#[Counters 0.5: aus_lost=1]\n";
    let lines = format!(
        "Tag={evil},0,1,2,HISTFAAAACF4nJNpmSzMwMDAyAABzFAaxOf94R7BYP8BIlABAFGXBJc=\nTag=encode,0,1,2,{evil}\n"
    );
    fs::write(folder.path().join("perf-host.hlog"), format!("{head}{counters}{lines}Tag=enc"))
        .expect("written");
    fs::write(folder.path().join("perf-client.hlog"), format!("{head}{counters}\0\n")).expect("written");
    let summary = json!({
        "source": evil, "fallback_reason": evil, "mode": evil, "machine": {"cpu": evil, evil: evil},
        "client": {
            "source": evil, "encoder": evil, "ended": evil, "streamed_s": -1e308, "wire_kbps": 1e308,
            "mode": {"width": 1, "height": 1, "refresh_hz": -5}, "cpu_s": {"host": 1e308, "client": 1e308},
            "pictures": {"lost": -1, "late": "x", "dropped": evil, "decoded": u64::MAX},
            "stages": {"decode": {"count": 1, "p50": 1e308, "p99": -1, "p999": 0, "max": 0}, "encode": evil},
        },
    });
    fs::write(folder.path().join("summary.json"), summary.to_string()).expect("written");
    folder
}

/// Opens the page and looks at everything that must hold for it.
fn look(browser: &mut Chromium, page: &Path, colours: &str, width: u32, name: &str) {
    let what = format!("{name}, {colours}, {width} wide");
    browser.ask(
        "Emulation.setDeviceMetricsOverride",
        json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600,
        }),
    );
    let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
    browser.ask("Emulation.setEmulatedMedia", json!({"features": features}));
    browser.open(page);
    let inner = browser.evaluate("window.innerWidth");
    assert_eq!(inner, width, "{what}");
    let scroll = browser.evaluate("document.documentElement.scrollWidth").as_u64().expect("a number");
    assert!(scroll <= u64::from(width), "{what}: {scroll} wide");
    let dark = browser.evaluate(
        "(() => { let [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);\
         return r + g + b < 200 })()",
    );
    assert_eq!(dark, colours == "dark", "{what}");
    assert_eq!(browser.evaluate("typeof window.evil"), "undefined", "{what}");
    assert!(browser.evaluate("document.querySelectorAll('img').length") == 0, "{what}");
    point_at_something(browser, &what);
    if let Some(shots) = std::env::var_os("PUNKTFUNK_REPORT_SHOTS") {
        shoot(browser, &PathBuf::from(shots).join(format!("{name}-{colours}-{width}.png")));
    }
    for event in &browser.events {
        let method = event["method"].as_str().unwrap_or_default();
        assert!(method != "Runtime.exceptionThrown", "{what}: {event}");
        assert!(method != "Log.entryAdded", "{what}: {event}");
        assert!(method != "Runtime.consoleAPICalled", "{what}: {event}");
        if method == "Network.requestWillBeSent" {
            let url = event["params"]["request"]["url"].as_str().unwrap_or_default();
            assert_eq!(url, format!("file://{}", page.display()), "{what}");
        }
    }
}

/// The value under the pointer is shown, where there is a chart at all.
fn point_at_something(browser: &mut Chromium, what: &str) {
    let place = browser.evaluate(
        "(() => { let hit = [...document.querySelectorAll('.chart .hit')].at(-1); if (!hit) return null;\
         hit.scrollIntoView({block: 'center'}); let box = hit.getBoundingClientRect();\
         return [box.x + box.width / 2, box.y + box.height / 2] })()",
    );
    if place.is_null() {
        return;
    }
    let (x, y) = (place[0].clone(), place[1].clone());
    browser.ask("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
    let said = browser.evaluate("document.querySelector('.bubble').textContent");
    assert!(said.as_str().is_some_and(|said| !said.is_empty()), "{what}: nothing is said at {place}");
    browser.evaluate("window.scrollTo(0, 0)");
}

/// The whole page as PNG.
fn shoot(browser: &mut Chromium, path: &Path) {
    browser.ask("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": 1, "y": 1}));
    let shot = browser.ask("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
    let data = shot["data"].as_str().expect("a picture");
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, bytes).expect("written");
}

#[test]
fn a_page_is_right_in_light_and_dark_at_a_desk_and_on_a_phone() {
    let Some(mut browser) = Chromium::start() else { return };
    for (name, folder) in [("session", session()), ("hostile", hostile())] {
        let output = run(&["report", utf8(folder.path()), "--no-png"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let page = folder.path().join("report.html");
        for colours in ["light", "dark"] {
            for width in [1280, 390] {
                look(&mut browser, &page, colours, width, name);
            }
        }
        // The switch turns the colours round, and needs no script for it.
        let ground = "getComputedStyle(document.body).backgroundColor";
        let before = browser.evaluate(ground);
        browser.evaluate("document.querySelector('#theme').click()");
        assert_ne!(browser.evaluate(ground), before, "{name}");
    }
}

#[test]
fn a_page_is_complete_without_its_script() {
    let Some(mut browser) = Chromium::start() else { return };
    let folder = session();
    assert!(run(&["report", utf8(folder.path()), "--no-png"]).status.success());
    browser.ask("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.open(&folder.path().join("report.html"));
    let drawn = browser.evaluate("document.querySelectorAll('svg').length").as_u64();
    assert!(drawn >= Some(10), "{drawn:?} drawings");
}

#[test]
fn a_real_sessions_report_has_its_figures_and_a_picture() {
    let folder = session();
    let output = run(&["report", utf8(folder.path()), "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    let stages: Vec<&str> = report["stages"]
        .as_array()
        .expect("stages")
        .iter()
        .filter_map(|stage| stage["stage"].as_str())
        .collect();
    for stage in ["encode", "fec", "seal", "send", "receive", "open", "reassemble", "decode"] {
        assert!(stages.contains(&stage), "{stage} is not in {stages:?}");
    }
    let cadence: Vec<&Value> =
        report["cadence"].as_array().expect("cadence").iter().map(|one| &one["stage"]).collect();
    assert_eq!(cadence, ["capture_interval", "decode_interval"]);
    let page = fs::read_to_string(folder.path().join("report.html")).expect("a page");
    for words in ["A picture’s way", "Latency by percentile", "Over time", "Cadence", "All figures"] {
        assert!(page.contains(words), "{words}");
    }
    let picture = fs::read(folder.path().join("report.png")).expect("a picture");
    assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(u32::from_be_bytes(picture[16..20].try_into().expect("four")), 2_400, "wide");
}

#[test]
fn whatever_lies_there_is_a_page_or_a_clear_word() {
    let folder = hostile();
    let output = run(&["report", utf8(folder.path())]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(words.contains("its last line has no end") && words.contains("no last words"), "{words}");
    let page = fs::read_to_string(folder.path().join("report.html")).expect("a page");
    assert!(!page.contains("<script>window") && !page.contains("<img"), "a file's words became markup");
    assert!(fs::metadata(folder.path().join("report.png")).is_ok_and(|file| file.len() > 1_000));

    let empty = tempfile::tempdir().expect("a folder");
    let file = empty.path().join("file");
    for (path, said) in [("/nonexistent", "No such file"), (utf8(empty.path()), "nothing of a session")] {
        let output = run(&["report", path]);
        assert_eq!(output.status.code(), Some(1), "{path}");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains(path) && words.contains(said), "{words}");
    }
    fs::write(&file, "x").expect("written");
    assert!(String::from_utf8_lossy(&run(&["report", utf8(&file)]).stderr).contains("is no folder"));
    let session = session();
    let unwritable = run(&["report", utf8(session.path()), "--out", "/nonexistent/page.html", "--no-png"]);
    assert_eq!(unwritable.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unwritable.stderr).contains("/nonexistent/page.html"));
}

#[test]
fn one_end_alone_is_a_page_too() {
    for kept in ["perf-host.hlog", "perf-client.hlog"] {
        let both = session();
        let alone = tempfile::tempdir().expect("a folder");
        fs::copy(both.path().join(kept), alone.path().join(kept)).expect("copied");
        let page = alone.path().join("elsewhere.html");
        let output = run(&["report", utf8(alone.path()), "--out", utf8(&page)]);
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && words.contains("There is no perf-"), "{words}");
        assert!(page.is_file() && alone.path().join("elsewhere.png").is_file());
    }
}
