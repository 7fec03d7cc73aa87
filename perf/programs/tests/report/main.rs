//! The report of a real short session and of hostile folders: in a headless Chromium, light and dark, at a desk's and at a
//! phone's width, and from outside as a program.
//!
//! Chromium's tests say so where there is no browser, and fail under CI=true. Screenshots are left where
//! `PUNKTFUNK_REPORT_SHOTS` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

use browser::Chromium;
use punktfunk_perf::{LogHeader, PerfTarget, Recorder, Stage, TimeAxis};
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

/// A folder of a long session in which everything happened: every stage and sum, large numbers, losses, long words.
fn eventful() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let target = PerfTarget::parse(utf8(folder.path())).expect("a target");
    let now = Instant::now();
    let axis = TimeAxis::with_offset(now, 0, SystemTime::now(), now);
    let words = "send by gso, io_uring yes, gro yes, departure times yes, huge pages yes, send buffer 65536 KiB, and more";
    let comments =
        ["source: a desktop with a name that is long, 3840x2160@120", "mode: 3840x2160@120", "cpu: a CPU"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("net: {words}"), format!("stage: decode: not pinned ({words})")])
            .collect::<Vec<_>>();
    let counted = |second: u64| {
        [
            ("aus_sent", second * 1_200),
            ("aus_whole", second * 1_190),
            ("decoded", second * 1_189),
            ("datagrams", second * 12_345_678),
            ("wire_bytes", second * 12_345_678_900),
            ("aus_lost", second / 7),
            ("aus_late", second / 11),
            ("dropped_window", second / 3),
            ("pictures_shed", second * second),
            ("aus_dropped_protect", second / 50),
            ("link_lost", 3),
            ("over_limit", 1_234_567),
        ]
    };
    for end in ["host", "client"] {
        let mut log = target.open_log(end, &LogHeader { axis, comments: &comments }).expect("a log");
        let mut recorder = Recorder::new();
        for second in 1..=300_u64 {
            for (at, stage) in Stage::ALL.into_iter().enumerate() {
                for picture in 0..40 {
                    let us = (at as u64 + 1) * 83 + picture * picture * second;
                    recorder.record(stage, Duration::from_micros(us));
                }
            }
            log.write_interval(&mut recorder, counted(second), Duration::from_secs(second)).expect("written");
        }
        log.finish(&mut recorder, counted(300), Duration::from_secs(300)).expect("written");
    }
    let summary = json!({
        "client": {"cpu_s": {"host": 1234.5, "client": 2345.6}, "streamed_s": 300.0, "recorded": false,
            "ended": "the host ended the session: the desktop that it shows is gone, and no other way leads to one",
            "sources": {"told": [{"at_s": 12.3, "why": "the compositor has left", "source": null}]}},
        "fallback_reason": format!("no compositor: {words}"), "machine": {"memory": "24684092 kB"},
    });
    fs::write(folder.path().join("summary.json"), summary.to_string()).expect("written");
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

/// Which words of a drawing that is seen are cut off by its frame, or lie on others. A box is a line high: a sixth of it
/// above and below holds no letter of ours.
const MISPLACED_WORDS: &str = "(() => {
    let bad = [];
    for (let svg of document.querySelectorAll('svg')) {
        let frame = svg.getBoundingClientRect();
        if (frame.width === 0) continue;
        let all = [...svg.querySelectorAll('text')].map(text => {
            let box = text.getBoundingClientRect(), spare = box.height / 6;
            return {words: text.textContent, left: box.left, right: box.right, top: box.top + spare, bottom: box.bottom - spare};
        });
        for (let [at, one] of all.entries()) {
            if (one.left < frame.left - 1 || one.right > frame.right + 1 || one.top < frame.top || one.bottom > frame.bottom)
                bad.push(`${svg.classList}: '${one.words}' is cut off`);
            for (let other of all.slice(at + 1))
                if (one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom)
                    bad.push(`${svg.classList}: '${one.words}' on '${other.words}'`);
        }
    }
    return bad.join('\\n');
})()";

/// Opens the page and looks at everything that must hold for it.
fn look(browser: &mut Chromium, page: &Path, colours: &str, width: u32, name: &str) {
    let what = format!("{name}, {colours}, {width} wide");
    browser.show_on(width, 900, colours);
    browser.open(&url(page));
    let inner = browser.evaluate("window.innerWidth");
    assert_eq!(inner, width, "{what}");
    let scroll = browser.width();
    assert!(scroll <= u64::from(width), "{what}: {scroll} wide");
    let dark = browser.evaluate(
        "(() => { let [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);\
         return r + g + b < 200 })()",
    );
    assert_eq!(dark, colours == "dark", "{what}");
    assert_eq!(browser.evaluate("typeof window.evil"), "undefined", "{what}");
    assert!(browser.evaluate("document.querySelectorAll('img').length") == 0, "{what}");
    assert_eq!(browser.evaluate(MISPLACED_WORDS), "", "{what}");
    point_at_something(browser, &what);
    if let Some(shots) = std::env::var_os("PUNKTFUNK_REPORT_SHOTS") {
        browser.shoot(&PathBuf::from(shots).join(format!("{name}-{colours}-{width}.png")));
    }
    assert_eq!(browser.faults(|asked| asked == url(page)), [""; 0], "{what}");
}

fn url(page: &Path) -> String {
    format!("file://{}", page.display())
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
    let part = |index: usize| place[index].as_f64().expect("a number");
    browser.point_at(part(0), part(1));
    let said = browser.evaluate("document.querySelector('.bubble').textContent");
    assert!(said.as_str().is_some_and(|said| !said.is_empty()), "{what}: nothing is said at {place}");
    browser.evaluate("window.scrollTo(0, 0)");
}

#[test]
fn a_page_is_right_in_light_and_dark_at_a_desk_and_on_a_phone() {
    let Some(mut browser) = Chromium::start() else { return };
    for (name, folder) in [("session", session()), ("eventful", eventful()), ("hostile", hostile())] {
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
fn paper_is_light_however_the_page_is_switched() {
    let Some(mut browser) = Chromium::start() else { return };
    let folder = session();
    assert!(run(&["report", utf8(folder.path()), "--no-png"]).status.success());
    for colours in ["light", "dark"] {
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        browser.ask("Emulation.setEmulatedMedia", json!({"media": "print", "features": features}));
        browser.open(&url(&folder.path().join("report.html")));
        for is_switched in [false, true] {
            for (what, property) in
                [("h1", "color"), (".chart .tick", "fill"), (".way-wide .stage text", "fill")]
            {
                let sum = format!(
                    "getComputedStyle(document.querySelector('{what}')).{property}.match(/\\d+/g).slice(0, 3)\
                     .map(Number).reduce((one, other) => one + other)"
                );
                let sum = browser.evaluate(&sum).as_u64();
                assert!(sum < Some(330), "{what} on white, {colours}, switched: {is_switched}: {sum:?}");
            }
            browser.evaluate("document.querySelector('#theme').click()");
        }
    }
}

#[test]
fn a_page_is_complete_without_its_script() {
    let Some(mut browser) = Chromium::start() else { return };
    let folder = session();
    assert!(run(&["report", utf8(folder.path()), "--no-png"]).status.success());
    browser.ask("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.open(&url(&folder.path().join("report.html")));
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
    let pictures = &report["pictures"];
    assert_eq!((&pictures["lost"], &pictures["late"], &pictures["shed"]), (&json!(0), &json!(0), &json!(0)));
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
    let host = ("perf-host.hlog", ["? lost, ? late, ? dropped, 0 shed", "As the host counted it"]);
    let client = ("perf-client.hlog", ["0 lost, 0 late, 0 dropped, ? shed", "As the client counted it"]);
    for (kept, said) in [host, client] {
        let both = session();
        let alone = tempfile::tempdir().expect("a folder");
        fs::copy(both.path().join(kept), alone.path().join(kept)).expect("copied");
        let page = alone.path().join("elsewhere.html");
        let output = run(&["report", utf8(alone.path()), "--out", utf8(&page)]);
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && words.contains("There is no perf-"), "{words}");
        assert!(alone.path().join("elsewhere.png").is_file());
        let page = fs::read_to_string(page).expect("a page");
        for said in said {
            assert!(page.contains(said), "{kept}: {said}: {words}");
        }
        // Whether pictures were lost is the client's to say, whether they were shed the host's.
        assert_eq!(page.contains("id=\"time-losses-t\""), kept == "perf-client.hlog");
        assert_eq!(page.contains("id=\"time-shed-t\""), kept == "perf-host.hlog");
    }
}
