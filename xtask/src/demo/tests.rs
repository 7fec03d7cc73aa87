//! The demo's flow, with shell scripts in the programs' places.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;

/// A host that opens "port" 4242, says its pid, and ends when the file `gone` is there or by SIGTERM.
const HOST: &str = r#"
for word; do last=$word; done
echo $$ > "$0.pid"; echo "$@" > "$0.args"
trap 'exit 0' TERM
echo 4242 > "$last"
until [ -e "$0.gone" ]; do sleep 0.02; done
"#;

/// A client that writes all it must, tells the host to go, and answers.
const CLIENT: &str = r#"
folder=${PUNKTFUNK_PERF%,*}
for file in recording.mp4 picture.png perf-host.hlog perf-client.hlog; do echo x > "$folder/$file"; done
echo "$@" > "$0.args"
touch "${0%punktfunk}punktfunk-host.gone"
echo '{"pictures":{"decoded":1}}'
"#;

/// A report of whatever the folder holds.
const PERF: &str = r#"
[ "$1" = report ] && [ -e "$2/summary.json" ] || exit 3
echo page > "$2/report.html"; echo picture > "$2/report.png"
"#;

struct Stage {
    folder: tempfile::TempDir,
    session: Session,
}

fn stage(host: &str, client: &str) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    for (name, script) in [("punktfunk-host", host), ("punktfunk", client), ("punktfunk-perf", PERF)] {
        let (text, path) = (folder.path().join("script"), folder.path().join(name));
        fs::write(&text, format!("#!/bin/sh\n{script}")).unwrap();
        // Written by another process: what a thread beside us forks could hold it open for writing, and
        // the kernel runs no file that is.
        process::run(Command::new("install").arg("--mode=700").args([&text, &path])).unwrap();
    }
    let session = Session {
        programs: Programs::built_in(folder.path()),
        out: Outcome::in_folder(&folder.path().join("out")),
        stream: Duration::from_secs(1),
        interrupt: Interrupt::default(),
    };
    Stage { folder, session }
}

impl Stage {
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn host_is_gone(&self) -> bool {
        !PathBuf::from(format!("/proc/{}", self.read("punktfunk-host.pid").trim())).exists()
    }
}

#[test]
fn a_good_session_leaves_its_files_and_nothing_else() {
    let stage = stage(HOST, CLIENT);
    stream(&stage.session, Ok(Source::Wayland)).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&stage.read("out/summary.json")).unwrap();
    assert_eq!(summary["source"], "wayland");
    assert!(summary["fallback_reason"].is_null());
    assert_eq!(summary["client"]["pictures"]["decoded"], 1);
    assert!(stage.read("punktfunk-host.args").contains("--source wayland"));
    assert!(stage.read("punktfunk.args").starts_with("connect 127.0.0.1:4242 --open --mode 1280x720@60"));
    assert!(stage.host_is_gone());
    assert!(stage.session.out.report.is_file() && stage.session.out.report_picture.is_file());
    assert!(!stage.session.out.client_json.exists());
}

/// A host that has no desktop to show.
fn host_without_a_desktop(exit_code: u8) -> String {
    format!("case \"$*\" in *wayland*) echo 'sway: no such program' >&2; exit {exit_code};; esac\n{HOST}")
}

/// A client that fails while a desktop is streamed, once it has written what a good one writes.
fn client_without_a_desktop(exit_code: u8) -> String {
    format!(
        "{CLIENT}\ncase $(cat \"${{0%punktfunk}}punktfunk-host.args\") in \
         *wayland*) echo 'the client knows why' >&2; exit {exit_code};; esac\n\
         echo this was the card >&2"
    )
}

#[test]
fn without_a_compositor_the_card_is_streamed_and_the_reason_kept() {
    let cases = [
        (host_without_a_desktop(8), CLIENT.to_owned(), "sway: no such program"),
        (HOST.to_owned(), client_without_a_desktop(8), "the client knows why"),
    ];
    for (host, client, said) in cases {
        // The host of the second attempt would see the first one's end.
        let stage = stage(&format!("rm -f \"$0.gone\"\n{host}"), &client);
        stream(&stage.session, Ok(Source::Wayland)).unwrap();
        let summary: serde_json::Value = serde_json::from_str(&stage.read("out/summary.json")).unwrap();
        assert_eq!(summary["source"], "card");
        let reason = summary["fallback_reason"].as_str().unwrap();
        assert!(reason.contains(said), "{reason}");
        assert!(stage.host_is_gone());
    }
}

#[test]
fn no_other_failure_of_the_desktop_passes_for_a_missing_compositor() {
    let cases = [
        (HOST.to_owned(), client_without_a_desktop(1), "punktfunk connect"),
        (HOST.to_owned(), client_without_a_desktop(10), "punktfunk connect"),
        (host_without_a_desktop(9), CLIENT.to_owned(), "punktfunk-host serve"),
        (host_without_a_desktop(7), CLIENT.to_owned(), "punktfunk-host serve"),
    ];
    for (host, client, program) in cases {
        let stage = stage(&host, &client);
        let fault = stream(&stage.session, Ok(Source::Wayland)).unwrap_err();
        assert_eq!(fault.exit_code(), 1);
        assert!(fault.to_string().contains(program), "{fault}");
        assert!(!stage.folder.path().join("out/summary.json").exists());
        assert!(!stage.session.out.log(Source::Card, "host").exists(), "the card was streamed");
    }
}

#[test]
fn a_failing_client_is_an_error_and_the_host_is_ended() {
    let stage = stage(HOST, "echo 'no picture' >&2; exit 4");
    let fault = stream(&stage.session, Err("no sway".to_owned())).unwrap_err().to_string();
    assert!(fault.contains("punktfunk connect") && fault.contains("4"), "{fault}");
    assert!(stage.host_is_gone());
}

#[test]
fn a_missing_file_is_named() {
    let stage = stage(HOST, &CLIENT.replace("picture.png", ""));
    let fault = stream(&stage.session, Ok(Source::Card)).unwrap_err();
    match fault {
        Fault::Incomplete { missing, .. } => {
            assert_eq!(missing, std::slice::from_ref(&stage.session.out.picture));
        }
        other => panic!("expected Incomplete, got {other}"),
    }
}

#[test]
fn a_missing_report_is_named() {
    let stage = stage(HOST, CLIENT);
    let silent = "#!/bin/sh\nset -e; [ -e \"$2/summary.json\" ]; echo page > \"$2/report.html\"; : > \"$2/report.png\"\n";
    fs::write(stage.folder.path().join("script"), silent).unwrap();
    let perf = &stage.session.programs.perf;
    process::run(Command::new("install").arg("--mode=700").arg(stage.folder.path().join("script")).arg(perf))
        .unwrap();
    match stream(&stage.session, Ok(Source::Card)).unwrap_err() {
        Fault::Incomplete { missing, .. } => {
            assert_eq!(missing, std::slice::from_ref(&stage.session.out.report_picture));
        }
        other => panic!("expected Incomplete, got {other}"),
    }
}

#[test]
fn an_interrupt_ends_both() {
    let stage = stage(HOST, "echo $$ > \"$0.pid\"; while :; do sleep 0.02; done");
    let interrupt = stage.session.interrupt.clone();
    let client_pid = stage.folder.path().join("punktfunk.pid");
    std::thread::scope(|scope| {
        let streaming = scope.spawn(|| stream(&stage.session, Ok(Source::Wayland)));
        while fs::read_to_string(&client_pid).unwrap_or_default().is_empty() {
            std::thread::yield_now();
        }
        interrupt.wish();
        assert!(matches!(streaming.join().unwrap(), Err(Fault::Interrupted)));
    });
    assert!(stage.host_is_gone());
    let pid = fs::read_to_string(&client_pid).unwrap();
    assert!(!PathBuf::from(format!("/proc/{}", pid.trim())).exists());
}

#[test]
fn a_host_that_ends_early_is_an_error_at_once() {
    let stage = stage("exit 5", CLIENT);
    let start = Instant::now();
    assert!(stream(&stage.session, Ok(Source::Card)).is_err());
    assert!(start.elapsed() < Duration::from_secs(5), "it need not wait for the deadline");
}
