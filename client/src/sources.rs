//! Where the pictures came from over a session, as the host told it.
//!
//! Promises: each change is said to people once and is in the summary; a host that tells of ever more is kept by its
//! first ones and counted. Refuses nothing.

use std::time::Duration;

use punktfunk_control::{CompositorOffer, FallCount, HostStats, SourceNews};
use serde_json::{Value, json};

use crate::terminal::say;

/// More than a session can have: each way is opened a few times a minute at most.
const TOLD_MAX: usize = 64;

/// What the host has told of its source.
#[derive(Debug, Default)]
pub struct Sources {
    told: Vec<(Duration, SourceNews)>,
    untold: u64,
}

impl Sources {
    /// Takes what the host tells `at` this time of the stream, and says it.
    pub fn handle(&mut self, news: SourceNews, at: Duration) {
        if self.told.len() == TOLD_MAX {
            self.untold += 1;
            return;
        }
        if news.source.is_empty() {
            say(&format!("the host's pictures have ended: {}; it looks for another way", news.why));
        } else {
            say(&format!("the pictures now come from {}, because {}", news.source, news.why));
        }
        self.told.push((at, news));
    }

    /// The whole as JSON.
    pub fn json(&self) -> Value {
        let told = self.told.iter().map(|(at, news)| {
            json!({
                "at_s": at.as_secs_f64(), "why": news.why, "from_au": news.from_au,
                "source": (!news.source.is_empty()).then_some(&news.source),
                "mode": news.mode.map(|mode| mode.to_string()),
            })
        });
        json!({ "told": told.collect::<Vec<_>>(), "untold": self.untold })
    }
}

/// Each way that another one took the place of, as the host counted it.
pub fn falls_json(host: Option<&HostStats>) -> Value {
    let fall = |fall: &FallCount| json!({ "from": fall.from, "to": fall.to, "reason": fall.reason, "count": fall.count });
    host.map_or(Value::Null, |host| host.falls.iter().map(fall).collect())
}

/// What the host's source did without, for people; nothing where it was nothing.
pub fn stamps_text(host: Option<&HostStats>) -> String {
    let Some(host) = host else { return String::new() };
    let mut text = String::new();
    if host.pictures_spoiled > 0 {
        text += &format!("source: {} pictures could not be read\n", host.pictures_spoiled);
    }
    if host.pictures_stamped_here > 0 {
        text += &format!(
            "source: {} pictures had no stamp of their producer's; their latency begins when they came to the host\n",
            host.pictures_stamped_here
        );
    }
    text
}

/// The falls for people: a line each.
pub fn falls_text(host: Option<&HostStats>) -> String {
    let line = |fall: &FallCount| {
        format!("source: {} -> {} ({}), {} times\n", fall.from, fall.to, fall.reason, fall.count)
    };
    host.map_or(String::new(), |host| host.falls.iter().map(line).collect())
}

/// The compositors that the host has looked for.
pub fn compositors_json(offers: &[CompositorOffer]) -> Value {
    let offer = |offer: &CompositorOffer| {
        json!({
            "name": offer.name, "version": offer.version, "usable": offer.usable,
            "reason": (!offer.usable).then_some(&offer.reason),
        })
    };
    offers.iter().map(offer).collect()
}

/// The compositors for people: one line.
pub fn compositors_text(offers: &[CompositorOffer]) -> String {
    let offer = |offer: &CompositorOffer| {
        let version = offer.version.as_deref().map_or(String::new(), |version| format!(" {version}"));
        let usable = if offer.usable { "usable" } else { &offer.reason };
        format!("{}{version} ({usable})", offer.name)
    };
    offers.iter().map(offer).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_changes_without_end_is_kept_by_its_first_changes() {
        let mut sources = Sources::default();
        for number in 0..70 {
            let news =
                SourceNews { source: String::new(), why: number.to_string(), mode: None, from_au: number };
            sources.handle(news, Duration::from_secs(number.into()));
        }
        let json = sources.json();
        assert_eq!(json["untold"], 6);
        assert_eq!(json["told"].as_array().unwrap().len(), TOLD_MAX);
        assert_eq!(json["told"][63]["why"], "63");
        assert!(json["told"][0]["source"].is_null());
    }

    #[test]
    fn what_a_source_did_without_is_told_where_it_did() {
        let host = HostStats { pictures_spoiled: 2, pictures_stamped_here: 7, ..HostStats::default() };
        let text = stamps_text(Some(&host));
        assert!(
            text.contains("2 pictures could not be read\n") && text.contains("7 pictures had no stamp"),
            "{text}"
        );
        assert!(stamps_text(Some(&HostStats::default())).is_empty() && stamps_text(None).is_empty());
    }

    #[test]
    fn falls_are_told_by_from_to_and_reason() {
        let fall =
            FallCount { from: "pipewire".into(), to: "wayland".into(), reason: "ended".into(), count: 2 };
        let host = HostStats { falls: vec![fall], ..HostStats::default() };
        assert_eq!(falls_text(Some(&host)), "source: pipewire -> wayland (ended), 2 times\n");
        assert_eq!(falls_json(Some(&host))[0]["count"], 2);
        assert!(falls_json(None).is_null() && falls_text(None).is_empty());
    }

    #[test]
    fn compositors_are_told_with_what_keeps_them_from_use() {
        let offer = |name: &str, usable: bool, reason: &str| CompositorOffer {
            name: name.into(),
            version: usable.then(|| "1.7".to_owned()),
            usable,
            reason: reason.into(),
        };
        let offers = [offer("sway", true, ""), offer("kwin", false, "not installed")];
        let text = compositors_text(&offers);
        assert_eq!(text, "sway 1.7 (usable), kwin (not installed)");
    }
}
