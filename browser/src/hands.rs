//! What a person does at the page: looks at it on some screen, types, clicks.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::Chromium;

/// Names of keys that type nothing, and Windows' numbers for them, which Chromium goes by.
const KEYS: &[(&str, u32)] = &[("Tab", 9), ("Enter", 13), ("Escape", 27), ("ArrowDown", 40), ("ArrowUp", 38)];

impl Chromium {
    /// From now on the screen is this wide and high, and the person likes these colours: `light` or `dark`.
    pub fn show_on(&mut self, width: u32, height: u32, colours: &str) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.ask("Emulation.setDeviceMetricsOverride", screen);
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        self.ask("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// The whole page as PNG.
    pub fn shoot(&mut self, path: &Path) {
        self.point_at(1.0, 1.0);
        let shot = self.ask("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        let data = shot["data"].as_str().expect("a picture");
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    /// Moves the pointer.
    pub fn point_at(&mut self, x: f64, y: f64) {
        self.ask("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
    }

    /// Presses a key that types nothing.
    pub fn press(&mut self, key: &str) {
        let (_, code) = KEYS.iter().find(|(name, _)| *name == key).expect("a key of the list");
        let mut event = json!({
            "type": "rawKeyDown", "key": key, "code": key, "windowsVirtualKeyCode": code,
        });
        if key == "Enter" {
            event["type"] = json!("keyDown");
            event["text"] = json!("\r");
        }
        self.ask("Input.dispatchKeyEvent", event.clone());
        event["type"] = json!("keyUp");
        self.ask("Input.dispatchKeyEvent", event);
    }

    /// Types into what has the focus; what was selected there goes.
    pub fn write(&mut self, text: &str) {
        self.ask("Input.insertText", json!({"text": text}));
    }

    /// Waits for the element that `selector` finds and whose text is `text` (any, where that is empty), and clicks at
    /// its middle. Whatever lies over it would have the click: then this panics.
    pub fn click(&mut self, selector: &str, text: &str) {
        let place = self.wait_for(&format!(
            "(() => {{ const one = [...document.querySelectorAll({selector})].find((one) => \
             !one.disabled && ({text} === '' || one.textContent.trim() === {text})); if (!one) return null; \
             one.scrollIntoView({{block: 'center'}}); const box = one.getBoundingClientRect(); \
             const [x, y] = [box.x + box.width / 2, box.y + box.height / 2]; \
             const hit = document.elementFromPoint(x, y); \
             return hit && (one.contains(hit) || hit.contains(one)) ? [x, y] : 'covered' }})()",
            selector = json!(selector),
            text = json!(text),
        ));
        assert!(place != "covered", "something lies over {selector} {text:?}");
        let (x, y) = (place[0].clone(), place[1].clone());
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.ask("Input.dispatchMouseEvent", event);
        }
    }

    /// What a person reads.
    pub fn text(&mut self) -> String {
        self.evaluate("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a person reads this.
    pub fn wait_for_text(&mut self, text: &str) -> Value {
        self.wait_for(&format!("document.body.innerText.includes({})", json!(text)))
    }
}
