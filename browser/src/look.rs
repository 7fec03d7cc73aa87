//! What must hold for every page, whoever looks at it.

use serde_json::Value;

use crate::Chromium;

/// Roles that a person can do something with, and those that say something without a word of text: each needs a name.
const NAMED: &[&str] = &[
    "button",
    "link",
    "textbox",
    "searchbox",
    "spinbutton",
    "combobox",
    "checkbox",
    "radio",
    "slider",
    "switch",
    "tab",
    "menuitem",
    "option",
    "image",
    "img",
    "progressbar",
    "meter",
    "dialog",
    "navigation",
    "log",
];

impl Chromium {
    /// How wide the page is, in pixels of a screen that may be narrower.
    pub fn width(&mut self) -> u64 {
        self.evaluate("document.documentElement.scrollWidth").as_u64().expect("a number")
    }

    /// Every text that is harder to read than 4.5 to 1 allows (WCAG 2.2, 1.4.3), large ones not excused.
    pub fn faint_texts(&mut self) -> Vec<String> {
        texts(&self.evaluate(include_str!("contrast.js")))
    }

    /// Every control and picture without a name in the accessibility tree, by its role.
    pub fn nameless(&mut self) -> Vec<String> {
        let tree = self.ask("Accessibility.getFullAXTree", serde_json::json!({}));
        let nodes = tree["nodes"].as_array().expect("a tree");
        let is_nameless = |node: &&Value| {
            node["ignored"] != true
                && node["role"]["value"].as_str().is_some_and(|role| NAMED.contains(&role))
                && node["name"]["value"].as_str().is_none_or(|name| name.trim().is_empty())
        };
        nodes.iter().filter(is_nameless).map(|node| node["role"]["value"].to_string()).collect()
    }

    /// Every exception, every word in the log (a breach of the page's own policy is one) and every request that
    /// `is_own` does not know, since the page was opened.
    pub fn faults(&self, is_own: impl Fn(&str) -> bool) -> Vec<String> {
        let is_fault = |event: &&Value| match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled" => true,
            "Network.requestWillBeSent" => {
                !is_own(event["params"]["request"]["url"].as_str().unwrap_or_default())
            }
            _ => false,
        };
        self.events.iter().filter(is_fault).map(Value::to_string).collect()
    }

    /// Goes through the page by the Tab key, from its start, and says where the focus was: a name and whether it could
    /// be seen, each. Ends where the page does.
    ///
    /// # Panics
    /// When the focus goes against the page's order, or does not get through in 200 steps.
    pub fn tab_through(&mut self) -> Vec<(String, bool)> {
        // Where the Tab key goes on from is moved by a focus only, and stays when that goes.
        self.evaluate(
            "document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex'); \
             window.passed = []; scrollTo(0, 0)",
        );
        let mut stops = Vec::new();
        for _ in 0..200 {
            self.press("Tab");
            let stop = self.evaluate(include_str!("focus.js"));
            if stop.is_null() {
                return stops;
            }
            let name = stop["name"].as_str().unwrap_or_default().to_owned();
            assert!(stop["is_after"] == true, "the focus goes back to {name:?} after {stops:?}");
            stops.push((name, stop["is_seen"] == true));
        }
        panic!("the focus goes round: {stops:?}");
    }
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().expect("a list");
    all.iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()
}
