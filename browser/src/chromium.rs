//! The browser's process and its pipe: NUL-ended JSON on its descriptors 3 and 4.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// How often something is looked for that has not come yet.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A browser with one page.
#[derive(Debug)]
pub struct Chromium {
    child: Child,
    orders: ChildStdin,
    words: Receiver<Value>,
    next: u64,
    session: Option<String>,
    /// What the page did: every event that came since it was opened.
    pub events: Vec<Value>,
    _profile: tempfile::TempDir,
}

/// The browser's name here, if there is one.
fn program() -> Option<&'static str> {
    let runs = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(runs)
}

impl Chromium {
    /// Starts one; `None` where there is none, said, and no way out under CI.
    pub fn start() -> Option<Chromium> {
        let Some(program) = program() else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "under CI chromium must be there (apt install chromium)"
            );
            eprintln!("not checked: there is no chromium (apt install chromium)");
            return None;
        };
        let profile = tempfile::tempdir().expect("a folder");
        // The shell puts the two pipes where the browser looks for them.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", program])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let orders = child.stdin.take().expect("it was piped");
        let answers = BufReader::new(child.stdout.take().expect("it was piped"));
        let (hand_on, words) = channel();
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { continue };
                if hand_on.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser =
            Chromium { child, orders, words, next: 0, session: None, events: Vec::new(), _profile: profile };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            browser.ask("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = Some(attached["sessionId"].as_str().expect("a session").to_owned());
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Asks and waits for the answer; what happens meanwhile is kept.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut order = json!({"id": self.next, "method": method, "params": params});
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        self.orders.write_all(&bytes).expect("the browser reads");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let word = self.next_word(deadline, method);
            if word["id"] == self.next {
                assert!(word["error"].is_null(), "{method}: {}", word["error"]);
                return word["result"].clone();
            }
            self.events.push(word);
        }
    }

    /// Takes whatever certificate a host shows from now on.
    pub fn trust_any_certificate(&mut self) {
        self.ask("Security.setIgnoreCertificateErrors", json!({"ignore": true}));
    }

    /// Opens an address and waits until it is loaded.
    pub fn open(&mut self, url: &str) {
        self.events.clear();
        // From elsewhere first: to go from one fragment of a page to another loads nothing.
        self.navigate("about:blank");
        self.events.clear();
        self.navigate(url);
    }

    fn navigate(&mut self, url: &str) {
        let answer = self.ask("Page.navigate", json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{url}: {}", answer["errorText"]);
        let deadline = Instant::now() + PATIENCE;
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let word = self.next_word(deadline, "load the page");
            self.events.push(word);
        }
    }

    /// What an expression, or its promise, gives in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.ask("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression gives something else than nothing, 0, `false` and an empty text, and hands it back.
    pub fn wait_for(&mut self, expression: &str) -> Value {
        self.wait_for_within(expression, PATIENCE)
    }

    /// The same with another patience.
    pub fn wait_for_within(&mut self, expression: &str, patience: Duration) -> Value {
        let deadline = Instant::now() + patience;
        loop {
            let value = self.evaluate(expression);
            let is_nothing = match &value {
                Value::Null => true,
                Value::Bool(is_so) => !is_so,
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::String(text) => text.is_empty(),
                Value::Array(_) | Value::Object(_) => false,
            };
            if !is_nothing {
                return value;
            }
            if Instant::now() >= deadline {
                let text = self.evaluate("document.body.innerText");
                panic!(
                    "not so after {} s: {expression}\n{}",
                    patience.as_secs(),
                    text.as_str().unwrap_or("")
                );
            }
            self.listen(LOOK_AGAIN);
        }
    }

    /// Lets the page live for a while, and keeps what happens.
    pub fn listen(&mut self, span: Duration) {
        let deadline = Instant::now() + span;
        loop {
            match self.words.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(word) => self.events.push(word),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("chromium has ended"),
            }
        }
    }

    fn next_word(&mut self, deadline: Instant, what: &str) -> Value {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.words.recv_timeout(left) {
            Ok(word) => word,
            Err(error) => panic!("chromium gave no answer ({error}): {what}"),
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Asked, it ends its children too; its pipe is closed once it has.
        let _ = self.orders.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let deadline = Instant::now() + FAREWELL;
        while self.words.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
