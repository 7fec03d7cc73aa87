//! The bitrate follows what the way carries: a port of 30 Mbit/s where 100 were asked for, and one that is wide enough.

use std::time::Duration;

use serde_json::Value;

use crate::hop::Hop;
use crate::rate::write_noise;
use crate::support::{ClientStart, HostStart, Place, count, machine_kept_up, not_run, session_turn};

/// How long a stream lasts: the rate falls within the first tenths of a second, and holds.
const SECONDS: u32 = 8;

/// Streams noise with this policy at 100 Mbit/s and returns the summary.
fn stream(place: &Place, hop: &Hop, policy: &str) -> Value {
    let source = format!("file:{}", write_noise(place).display());
    let host = HostStart::new(place, source).args(&["--once", "--bitrate", policy]);
    let host = host.listen("10.7.1.1:0").within(&hop.host).ready();
    let client = ClientStart::new(place, host.port).within(&hop.client, "10.7.1.1");
    let seconds = SECONDS.to_string();
    let ended = client
        .args(&["--mode", "640x360@60", "--seconds", &seconds, "--bitrate", "100000"])
        .run_for(Duration::from_secs(SECONDS.into()));
    ended.expect_code(0);
    host.ends();
    let summary = ended.json();
    eprintln!(
        "{policy}: {} sent, {} decoded, {} lost, {} late; {} kbit/s; p50 {} us, p99 {} us; rate {}; link {}",
        summary["pictures"]["sent"],
        summary["pictures"]["decoded"],
        summary["pictures"]["lost"],
        summary["pictures"]["late"],
        summary["wire_kbps"],
        summary["latency_us"]["p50"],
        summary["latency_us"]["p99"],
        summary["rate"],
        summary["link"],
    );
    summary
}

#[test]
fn on_a_narrow_link_the_rate_settles_below_it() {
    let (_turn, place) = (session_turn(), Place::new());
    let port = "tbf rate 30mbit burst 32kb limit 512kb";
    let hop = match Hop::new("pfifo limit 4000", port) {
        Ok(hop) => hop,
        Err(cause) => return not_run("a narrow link", &cause),
    };
    let (adaptive, fixed) = (stream(&place, &hop, "adaptive"), stream(&place, &hop, "fixed"));
    let of = |summary: &Value, pointer: &str| count(summary, pointer);
    assert_eq!((of(&fixed, "/rate/kbps"), of(&fixed, "/rate/delay")), (100_000, 0), "{fixed:#}");
    // A little above it now and then: the port's bucket lets a small access unit pass as if the link were faster.
    let (kbps, wire_kbps) = (of(&adaptive, "/rate/kbps"), of(&adaptive, "/wire_kbps"));
    assert!((10_000..36_000).contains(&kbps) && wire_kbps < 30_000, "{kbps} {wire_kbps}: {adaptive:#}");
    assert!(of(&adaptive, "/rate/delay") + of(&adaptive, "/rate/loss") >= 1, "{adaptive:#}");
    if machine_kept_up(&adaptive, "that pictures flow") {
        let bad = |summary: &Value| {
            of(summary, "/pictures/sent")
                - of(summary, "/pictures/decoded").min(of(summary, "/pictures/sent"))
        };
        // The first tenths of a second have their losses: the rate was too high.
        assert!(bad(&adaptive) * 20 <= of(&adaptive, "/pictures/sent"), "{adaptive:#}");
        assert!(of(&adaptive, "/pictures/decoded") > of(&fixed, "/pictures/decoded"), "{fixed:#}");
    }
}

#[test]
fn on_a_wide_link_the_rate_stays() {
    let (_turn, place) = (session_turn(), Place::new());
    let hop = match Hop::new("pfifo limit 4000", "tbf rate 500mbit burst 64kb limit 512kb") {
        Ok(hop) => hop,
        Err(cause) => return not_run("a wide link", &cause),
    };
    let summary = stream(&place, &hop, "adaptive");
    // A busy machine's decoder may have been too slow for it, or its receiver not running.
    if machine_kept_up(&summary, "that the rate stays") {
        assert_eq!((count(&summary, "/rate/delay"), count(&summary, "/rate/loss")), (0, 0), "{summary:#}");
        let was_slow = count(&summary, "/rate/decode") > 0;
        assert!(was_slow || count(&summary, "/rate/kbps") == 100_000, "{summary:#}");
    }
}
