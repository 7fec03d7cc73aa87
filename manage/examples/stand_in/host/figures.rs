//! Figures that move as a session's do.

use std::time::Duration;

use punktfunk_manage::model::{
    Copied, Counts, Fall, Latency, Session, SessionState, SpeedTestRequest, SpeedTestResult, WeakestLink,
};

/// Each stage's median in microseconds, by its name.
const STAGES: [(&str, f64); 7] = [
    ("capture", 620.0),
    ("encode", 2_900.0),
    ("fec", 41.0),
    ("seal", 64.0),
    ("pace", 1_350.0),
    ("send", 180.0),
    ("capture_to_sent", 4_700.0),
];

/// The same at the client.
const CLIENT_STAGES: [(&str, f64); 5] = [
    ("receive", 1_450.0),
    ("open", 12.0),
    ("reassemble", 21.0),
    ("decode", 2_300.0),
    ("capture_to_decoded", 8_600.0),
];

/// Something between -1 and 1 that looks like chance and is the same each time.
fn noise(seed: u64) -> f64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    f64::from((bits >> 32) as u32) / f64::from(u32::MAX) * 2.0 - 1.0
}

/// The session as it is when the host has this age.
pub(super) fn move_on(session: &mut Session, index: usize, age: Duration) {
    let seconds = age.as_secs_f64() + 100.0 * index as f64;
    let tick = (age.as_millis() / 250) as u64 * 16 + index as u64;
    let wave = (seconds / 9.0).sin() * 0.5 + (seconds / 2.3).sin() * 0.2;
    let hertz = f64::from(session.mode.refresh_mhz) / 1_000.0;
    let agreed = f64::from(session.bitrate_kbps);
    session.state = SessionState::Streaming;
    session.age_s = 312 + age.as_secs();
    session.pictures_per_s = Some((hertz + 0.6 * noise(tick)).max(0.0));
    session.wire_kbps = Some((agreed * (0.82 + 0.14 * wave + 0.04 * noise(tick + 1))) as u64);
    session.loss_per_mille = Some(if noise(tick / 64) > 0.75 { 1.8 + noise(tick + 2) } else { 0.0 });
    session.rtt_us = Some((640.0 + 900.0 * index as f64 + 60.0 * noise(tick + 3)) as u64);
    session.target_kbps = Some(session.bitrate_kbps.into());
    session.target_reason = Some("asked".to_owned());
    session.link_kbps = Some(if index == 0 { 941_000 } else { 236_000 });
    let pictures = (seconds * hertz) as u64;
    let latencies = |stages: &[(&str, f64)], salt: u64| {
        let all = stages.iter().zip(salt..);
        let of = |((stage, median), salt): (&(&str, f64), u64)| {
            let p50 = median * (1.0 + 0.12 * wave + 0.05 * noise(tick + salt));
            let p99 = p50 * (1.7 + 0.4 * noise(tick + salt + 100).abs());
            Latency {
                stage: (*stage).to_owned(),
                count: hertz as u64,
                p50_us: p50 as u64,
                p99_us: p99 as u64,
                p999_us: (p99 * 1.2) as u64,
                max_us: (p99 * 1.35) as u64,
            }
        };
        all.map(of).collect()
    };
    session.stages = latencies(&STAGES, 4);
    session.client_stages = latencies(&CLIENT_STAGES, 40);
    session.decoded_per_s = Some((hertz + 0.6 * noise(tick + 60)).max(0.0));
    session.counts = Counts {
        pictures_captured: pictures,
        pictures_shed: pictures / 4_000,
        aus_sent: pictures - pictures / 4_000,
        pictures_decoded: Some(pictures - pictures / 4_000 - pictures / 9_000 - pictures / 20_000),
        aus_lost: Some(pictures / 9_000),
        aus_late: Some(pictures / 20_000),
        aus_dropped_there: Some(0),
        aus_dropped: 0,
        idrs_sent: 1 + pictures / 9_000,
        wire_bytes: (seconds * agreed * 100.0) as u64,
        datagrams_sent: (seconds * agreed / 11.0) as u64,
        datagrams_resent: (seconds * agreed / 30_000.0) as u64,
        packets_send_dropped: 0,
        fallbacks: index as u64,
    };
    // The first one's pictures stay on a card; the second one's were to.
    let picture_bytes = u64::from(session.mode.width) * u64::from(session.mode.height) * 3 / 2;
    let import = if index == 0 { 0 } else { pictures * picture_bytes };
    session.copied_by_cpu = Copied { import, ..Copied::default() };
    let fall = |count| Fall {
        from: "nvenc".to_owned(),
        to: "openh264".to_owned(),
        reason: "not-opened".to_owned(),
        count,
    };
    session.falls = (index > 0).then(|| fall(index as u64)).into_iter().collect();
}

/// What a test of a wireless path might find.
pub(super) fn speed_test(request: SpeedTestRequest) -> SpeedTestResult {
    let target = f64::from(request.target_kbps);
    let received = target.min(236_000.0);
    let is_reached = received >= target;
    let loss = (1.0 - received / target) * 1_000.0;
    let by_position = (0..10).map(|tenth| (loss * (0.1 + 0.2 * f64::from(tenth))).min(1_000.0)).collect();
    let verdict = if is_reached {
        "The path carries what was asked for.".to_owned()
    } else {
        "The network is the weakest link: what comes late in a picture is lost most.".to_owned()
    };
    SpeedTestResult {
        target_kbps: request.target_kbps,
        sent_kbps: target as u64,
        received_kbps: received as u64,
        goodput_kbps: (received * 0.91) as u64,
        loss_per_mille: loss,
        loss_by_position_per_mille: by_position,
        delay_p50_us: if is_reached { 240 } else { 6_100 },
        delay_p99_us: if is_reached { 900 } else { 14_800 },
        recommended_kbps: ((received * 0.8) as u32).max(500),
        weakest: if is_reached { WeakestLink::None } else { WeakestLink::Network },
        verdict,
    }
}
