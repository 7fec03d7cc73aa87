//! The console as a person goes through it: by its pages' names, with eyes for what must hold on each.

use std::path::PathBuf;

use crate::Chromium;

/// Where pictures for people are left, if it is set.
const SHOTS_VARIABLE: &str = "PUNKTFUNK_CONSOLE_SHOTS";

impl Chromium {
    /// Turns to a page and waits until it is complete, by a text of it.
    pub fn turn_to(&mut self, page: &str, sign: &str) {
        self.evaluate(&format!("location.hash = '{page}'; 0"));
        self.wait_for(&format!("document.querySelector('nav [aria-current]')?.hash === '#{page}'"));
        self.wait_for_text(sign);
    }

    /// Looks at everything that must hold for every page of `origin`, and leaves a picture of it.
    ///
    /// # Panics
    /// When something of it does not hold: a page wider than the screen, wrong colours, a faint text, a control without
    /// a name, a fault.
    pub fn look(&mut self, origin: &str, name: &str, width: u32, colours: &str) {
        self.shoot_into(name);
        assert_eq!(self.evaluate("innerWidth"), width, "{name}");
        let wide = self.width();
        assert!(wide <= u64::from(width), "{name}: {wide} wide");
        let is_dark = self.evaluate(
            "(() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number); \
             return r + g + b < 200 })()",
        );
        assert_eq!(is_dark, colours == "dark", "{name}");
        assert_eq!(self.faint_texts(), [""; 0], "{name}");
        assert_eq!(self.nameless(), [""; 0], "{name}");
        self.expect_no_faults(origin);
    }

    /// No exception, no breach of the policy, no request to elsewhere than `origin`.
    ///
    /// # Panics
    /// When there was one since the page was opened.
    pub fn expect_no_faults(&mut self, origin: &str) {
        let faults = self.faults(|url| url == "about:blank" || url.starts_with(origin));
        assert_eq!(faults, [""; 0]);
    }

    /// Leaves a picture for people, where `PUNKTFUNK_CONSOLE_SHOTS` wants one.
    pub fn shoot_into(&mut self, name: &str) {
        if let Some(folder) = Self::shots() {
            self.shoot(&folder.join(format!("{name}.png")));
        }
    }

    /// Where pictures for people are left, if anybody wants them.
    #[must_use]
    pub fn shots() -> Option<PathBuf> {
        std::env::var_os(SHOTS_VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from)
    }
}
