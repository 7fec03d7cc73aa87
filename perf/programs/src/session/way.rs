//! A picture's way as a drawing: a box for each stage with its times, what joins them, and the whole at the end.
//!
//! Two drawings of the same: side by side for a wide page, one below the other for a phone. Promises: a stage that nobody
//! measured is there, and says so. Refuses: to give the network a time of its own; nothing measures it alone.

use std::fmt::Write as _;

use punktfunk_perf::Stage;

use crate::markup::escape;

use super::chart::text;
use super::figures::{Session, Timed, WAY};
use super::words::{count, duration, split, three_digits};

/// The wide drawing's size.
pub const WIDE: (f64, f64) = (1120.0, 420.0);

const BOX: (f64, f64) = (142.0, 138.0);
const GAP: f64 = 20.8;
const HOST_TOP: f64 = 30.0;
const AIR_TOP: f64 = HOST_TOP + BOX.1 + 36.0;
const CLIENT_TOP: f64 = AIR_TOP + 76.0;

const NO_SUM: &str = "no sum was measured";

/// What a stage is called in a drawing.
pub fn label(stage: &str) -> &str {
    match stage {
        "fec" => "FEC",
        "pace_error" => "pace error",
        "slice_ready" => "slice ready",
        "hand_over" => "hand over",
        "overlap" => "sent while encoding",
        "capture_to_sent" => "capture to sent",
        "capture_to_reassembled" => "capture to reassembled",
        "capture_to_decoded" => "capture to decoded",
        "idr_to_reassembled" => "IDR to reassembled",
        "idr_to_decoded" => "IDR to decoded",
        "capture_interval" => "between captures",
        "decode_interval" => "between decoded",
        "between" => "in between",
        other => other,
    }
}

/// What a stage does, for whoever points at it.
fn about(stage: Stage) -> &'static str {
    match stage {
        Stage::Capture => "the compositor's stamp to the picture in our hands",
        Stage::Import => "making it the encoder's: import or colour conversion",
        Stage::Encode => "picture in, last slice out",
        Stage::Fec => "parity of its FEC blocks",
        Stage::Seal => "sealing its datagrams",
        Stage::Pace => "waiting for departure times",
        Stage::Send => "the system calls that send it",
        Stage::Receive => "its first datagram to its last needed one: the network and pacing",
        Stage::Open => "opening one batch of datagrams, recovery included",
        Stage::Reassemble => "last needed datagram to the whole access unit",
        Stage::Decode => "access unit in, picture out",
        Stage::Present => "decoded until handed to the screen",
        Stage::Convert
        | Stage::Submit
        | Stage::SliceReady
        | Stage::Lock
        | Stage::HandOver
        | Stage::Overlap
        | Stage::PaceError
        | Stage::CaptureToSent
        | Stage::CaptureToReassembled
        | Stage::CaptureToDecoded
        | Stage::IdrToReassembled
        | Stage::IdrToDecoded
        | Stage::CaptureInterval
        | Stage::DecodeInterval => "",
    }
}

fn timed(session: &Session, stage: Stage) -> Option<&Timed> {
    session.stages.iter().chain(&session.sums).find(|timed| timed.stage == stage.name())
}

/// The farthest sum that was measured.
pub fn whole(session: &Session) -> Option<&Timed> {
    [Stage::CaptureToDecoded, Stage::CaptureToReassembled, Stage::CaptureToSent]
        .into_iter()
        .find_map(|stage| timed(session, stage))
}

fn share(session: &Session, stage: Stage) -> Option<f64> {
    let all: f64 = session.shares.iter().map(|share| share.mean_us).sum();
    let part = session.shares.iter().find(|share| share.stage == stage.name())?;
    (all > 0.0).then(|| part.mean_us / all)
}

/// All of it in one sentence, for whoever does not see it.
fn description(session: &Session) -> String {
    let steps = |end: &str| {
        let steps = WAY.iter().filter(|(of, _)| *of == end).map(|(_, stage)| label(stage.name()));
        steps.collect::<Vec<_>>().join(", ")
    };
    let mut words = format!("Host: {}; the network; client: {}. Medians:", steps("host"), steps("client"));
    for timed in &session.stages {
        let _ = write!(words, " {} {};", label(timed.stage), duration(timed.p50_us * 1e3));
    }
    words
}

fn begin(id: &str, (width, height): (f64, f64), session: &Session) -> String {
    format!(
        "<svg class=\"{id}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n<title id=\"{id}-t\">A picture's way through both ends</title>\
         <desc id=\"{id}-d\">{}</desc>\n",
        escape(&description(session))
    )
}

/// The drawing for a wide page.
pub fn wide(session: &Session) -> String {
    let mut svg = begin("way-wide", WIDE, session);
    lane(&mut svg, session, "host", HOST_TOP);
    air(&mut svg, session);
    lane(&mut svg, session, "client", CLIENT_TOP);
    end_card(&mut svg, session);
    svg + "</svg>\n"
}

fn x_of(index: usize) -> f64 {
    1.0 + (BOX.0 + GAP) * index as f64
}

/// The boxes of one end.
fn lane(svg: &mut String, session: &Session, end: &str, top: f64) {
    text(svg, "soft strong caps", 1.0, top - 12.0, "start", if end == "host" { "Host" } else { "Client" });
    let stages = WAY.iter().filter(|(of, _)| *of == end);
    for (index, (_, stage)) in stages.enumerate() {
        let x = x_of(index);
        if index > 0 {
            // Writing to a String does not fail.
            let middle = top + BOX.1 / 2.0;
            let _ = writeln!(
                svg,
                "<path class=\"wire\" d=\"M{:.1} {middle:.1}h{:.1}\"/><path class=\"tip\" d=\"M{x:.1} {middle:.1}l-6 -4v8z\"/>",
                x - GAP,
                GAP - 4.0,
            );
        }
        stage_box(svg, session, *stage, x, top);
    }
}

fn stage_box(svg: &mut String, session: &Session, stage: Stage, x: f64, y: f64) {
    let timed = timed(session, stage);
    let _ = writeln!(
        svg,
        "<g class=\"stage\"><rect class=\"box{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{}\" height=\"{}\" rx=\"10\"/>",
        if timed.is_some() { "" } else { " none" },
        BOX.0,
        BOX.1,
    );
    let left = x + 14.0;
    text(svg, "s14 strong", left, y + 25.0, "start", label(stage.name()));
    let Some(timed) = timed else {
        text(svg, "soft", left, y + 50.0, "start", not_measured(stage));
        let _ = writeln!(
            svg,
            "<rect class=\"hit\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{}\" height=\"{}\"><title>{}: {}. {}.</title></rect></g>",
            BOX.0,
            BOX.1,
            label(stage.name()),
            about(stage),
            not_measured(stage)
        );
        return;
    };
    let (value, unit) = split(timed.p50_us * 1e3);
    let _ = writeln!(
        svg,
        "<text class=\"s24 strong\" x=\"{left:.1}\" y=\"{:.1}\">{value}<tspan class=\"s13 soft\" dx=\"4\">{unit}</tspan></text>",
        y + 58.0
    );
    for (row, (name, us)) in [("p99", timed.p99_us), ("p99.9", timed.p999_us)].into_iter().enumerate() {
        let down = y + 82.0 + 18.0 * row as f64;
        text(svg, "soft", left, down, "start", name);
        text(svg, "", x + BOX.0 - 14.0, down, "end", &duration(us * 1e3));
    }
    let share = share(session, stage);
    meter(svg, share.unwrap_or(0.0), (left, y + BOX.1 - 22.0), BOX.0 - 28.0, colour_of(stage));
    let _ = writeln!(
        svg,
        "<rect class=\"hit\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{}\" height=\"{}\"><title>{}</title></rect></g>",
        BOX.0,
        BOX.1,
        escape(&words(timed, stage, share)),
    );
}

/// Everything about a stage.
fn words(timed: &Timed, stage: Stage, share: Option<f64>) -> String {
    let mut words = format!(
        "{}: {}. p50 {}, p99 {}, p99.9 {}, longest {}, of {}",
        label(timed.stage),
        about(stage),
        duration(timed.p50_us * 1e3),
        duration(timed.p99_us * 1e3),
        duration(timed.p999_us * 1e3),
        duration(timed.max_us * 1e3),
        count(timed.count),
    );
    if let Some(share) = share {
        let _ = write!(words, "; {} % of a picture's time", three_digits(share * 100.0));
    }
    words + "."
}

fn not_measured(stage: Stage) -> &'static str {
    match stage {
        Stage::Import => "nothing to import",
        Stage::Present => "no window",
        _ => "not measured",
    }
}

/// The colour of a stage in the bar of shares.
pub fn colour_of(stage: Stage) -> usize {
    match stage {
        Stage::Capture | Stage::Send | Stage::Present => 5,
        Stage::Import | Stage::Seal => 3,
        Stage::Encode => 0,
        Stage::Fec | Stage::Receive => 4,
        Stage::Pace | Stage::Reassemble => 2,
        _ => 1,
    }
}

/// A bar that is filled so far.
fn meter(svg: &mut String, share: f64, (x, y): (f64, f64), width: f64, colour: usize) {
    let _ = writeln!(
        svg,
        "<rect class=\"track\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"6\" rx=\"3\"/>"
    );
    if share > 0.0 {
        let filled = (width * share.min(1.0)).max(3.0);
        let _ = writeln!(
            svg,
            "<rect class=\"f{colour}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{filled:.1}\" height=\"6\" rx=\"{:.1}\"/>",
            (filled / 2.0).min(3.0)
        );
    }
}

/// What the wire carried: its rate, what was sent and what came.
fn wire_words(session: &Session) -> Vec<String> {
    let mut words = vec!["UDP".to_owned()];
    if let Some(mbps) = session.wire_mbps {
        words = vec![format!("UDP · {} Mbit/s", three_digits(mbps))];
    }
    let (sent, received) = session.datagrams;
    words.extend(sent.map(|sent| format!("{} datagrams sent", count(sent))));
    words.extend(received.map(|received| format!("{} received", count(received))));
    words
}

/// From the host's last box down, to the left, and into the client's first one.
fn air(svg: &mut String, session: &Session) {
    let (from, to) = (x_of(6) + BOX.0 / 2.0, x_of(0) + BOX.0 / 2.0);
    let _ = writeln!(
        svg,
        "<path class=\"air\" d=\"M{from:.1} {:.1}V{:.1}q0 14 -14 14H{:.1}q-14 0 -14 14V{:.1}\"/>\
         <path class=\"tip\" d=\"M{to:.1} {:.1}l-4 -7h8z\"/>",
        HOST_TOP + BOX.1,
        AIR_TOP - 14.0,
        to + 14.0,
        CLIENT_TOP - 8.0,
        CLIENT_TOP,
    );
    let words = wire_words(session).join(" · ");
    let wide = 36.0 + 7.2 * words.chars().count() as f64;
    let left = (WIDE.0 - wide) / 2.0;
    let _ = writeln!(
        svg,
        "<rect class=\"box\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"32\" rx=\"16\"/>",
        AIR_TOP - 16.0
    );
    text(svg, "s13", WIDE.0 / 2.0, AIR_TOP + 4.5, "middle", &words);
}

/// The whole way's figures, where the client's boxes end.
fn end_card(svg: &mut String, session: &Session) {
    let x = x_of(5);
    let wide = WIDE.0 - 1.0 - x;
    let _ = writeln!(
        svg,
        "<rect class=\"whole\" x=\"{x:.1}\" y=\"{CLIENT_TOP}\" width=\"{wide:.1}\" height=\"{}\" rx=\"10\"/>",
        BOX.1
    );
    let Some(sum) = whole(session) else {
        return text(svg, "soft", x + 18.0, CLIENT_TOP + 28.0, "start", NO_SUM);
    };
    text(svg, "s14 strong", x + 18.0, CLIENT_TOP + 25.0, "start", label(sum.stage));
    let (value, unit) = split(sum.p50_us * 1e3);
    let _ = writeln!(
        svg,
        "<text class=\"s34 strong\" x=\"{:.1}\" y=\"{:.1}\">{value}<tspan class=\"s14 soft\" dx=\"5\">{unit} median</tspan></text>",
        x + 18.0,
        CLIENT_TOP + 68.0
    );
    for (row, (name, us)) in
        [("p99", sum.p99_us), ("p99.9", sum.p999_us), ("longest", sum.max_us)].into_iter().enumerate()
    {
        let at = x + 18.0 + (wide - 36.0) / 3.0 * row as f64;
        text(svg, "soft", at, CLIENT_TOP + 96.0, "start", name);
        text(svg, "s14", at, CLIENT_TOP + 115.0, "start", &duration(us * 1e3));
    }
}

/// The drawing for a phone.
pub fn tall(session: &Session) -> String {
    const ROW: f64 = 46.0;
    const WIDTH: f64 = 358.0;
    let wire = wire_words(session);
    let wire_high = 18.0 * wire.len() as f64 + 22.0;
    let height = 2.0 * 34.0 + ROW * WAY.len() as f64 + wire_high + 64.0;
    let mut svg = begin("way-tall", (WIDTH, height), session);
    let columns = [214.0, 286.0, WIDTH - 1.0];
    let mut y = 16.0;
    for end in ["host", "client"] {
        text(&mut svg, "soft strong caps", 1.0, y, "start", if end == "host" { "Host" } else { "Client" });
        for (at, name) in columns.iter().zip(["p50", "p99", "p99.9"]) {
            text(&mut svg, "soft", *at, y, "end", name);
        }
        y += 18.0;
        for (_, stage) in WAY.iter().filter(|(of, _)| *of == end) {
            tall_row(&mut svg, session, *stage, y, columns);
            y += ROW;
        }
        if end == "host" {
            let _ = writeln!(svg, "<path class=\"air\" d=\"M8 {:.1}v{:.1}\"/>", y - 16.0, wire_high);
            for (row, words) in wire.iter().enumerate() {
                text(&mut svg, "soft", 24.0, y + 6.0 + 18.0 * row as f64, "start", words);
            }
            y += wire_high;
        }
        y += 16.0;
    }
    let top = y - 30.0;
    let _ = writeln!(
        svg,
        "<rect class=\"whole\" x=\"0\" y=\"{top:.1}\" width=\"{WIDTH}\" height=\"60\" rx=\"8\"/>"
    );
    let Some(sum) = whole(session) else {
        text(&mut svg, "soft", 10.0, top + 34.0, "start", NO_SUM);
        return svg + "</svg>\n";
    };
    text(&mut svg, "s13 strong", 10.0, top + 24.0, "start", label(sum.stage));
    for (at, us) in columns.iter().zip([sum.p50_us, sum.p99_us, sum.p999_us]) {
        text(&mut svg, "s13 strong", at - 9.0, top + 46.0, "end", &duration(us * 1e3));
    }
    svg + "</svg>\n"
}

fn tall_row(svg: &mut String, session: &Session, stage: Stage, y: f64, columns: [f64; 3]) {
    let timed = timed(session, stage);
    let _ = writeln!(
        svg,
        "<path class=\"wire\" d=\"M8 {:.1}v28\"/><circle class=\"{}\" cx=\"8\" cy=\"{:.1}\" r=\"5\"/>",
        y + 14.0,
        if timed.is_some() { format!("f{}", colour_of(stage)) } else { "none".to_owned() },
        y + 8.0,
    );
    text(svg, "s14 strong", 24.0, y + 13.0, "start", label(stage.name()));
    let Some(timed) = timed else {
        return text(svg, "soft", columns[2], y + 13.0, "end", not_measured(stage));
    };
    for (at, us) in columns.iter().zip([timed.p50_us, timed.p99_us, timed.p999_us]) {
        text(svg, "s13", *at, y + 13.0, "end", &duration(us * 1e3));
    }
    meter(svg, share(session, stage).unwrap_or(0.0), (24.0, y + 22.0), columns[2] - 24.0, colour_of(stage));
}

/// Where a picture's time goes: one bar of its parts, and a word for each.
pub fn shares(session: &Session, id: &str, width: f64) -> Option<(String, f64)> {
    let of = session.shares_of?;
    let all: f64 = session.shares.iter().map(|share| share.mean_us).sum();
    if all <= 0.0 {
        return None;
    }
    let parts: Vec<String> = session
        .shares
        .iter()
        .map(|share| {
            let percent = three_digits(share.mean_us / all * 100.0);
            format!("{} {}, {percent} %", label(share.stage), duration(share.mean_us * 1e3))
        })
        .collect();
    // As many columns as the longest words leave room for.
    let longest = parts.iter().map(|words| words.chars().count()).max().unwrap_or(0) as f64;
    let in_row = ((width / (7.0 * longest + 30.0)) as usize).clamp(1, 5);
    let height = 40.0 + 24.0 * session.shares.len().div_ceil(in_row) as f64;
    let mut svg = format!(
        "<svg class=\"{id}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n<title id=\"{id}-t\">Where a picture's time goes, {}</title>\
         <desc id=\"{id}-d\">{}</desc>\n",
        label(of),
        escape(&parts.join("; "))
    );
    let mut x = 0.0;
    for (index, (share, words)) in session.shares.iter().zip(&parts).enumerate() {
        let wide = share.mean_us / all * width;
        let colour = Stage::from_name(share.stage)
            .map_or("between".to_owned(), |stage| format!("f{} gap", colour_of(stage)));
        let _ = writeln!(
            svg,
            "<rect class=\"{colour}\" x=\"{x:.2}\" y=\"0\" width=\"{wide:.2}\" height=\"28\"><title>{}</title></rect>",
            escape(words)
        );
        x += wide;
        let (column, row) = ((index % in_row) as f64, (index / in_row) as f64);
        let (left, down) = (width / in_row as f64 * column, 54.0 + 24.0 * row);
        let _ = writeln!(
            svg,
            "<rect class=\"{colour}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" rx=\"2\"/>",
            down - 9.0
        );
        text(&mut svg, "", left + 16.0, down, "start", words);
    }
    Some((svg + "</svg>\n", height))
}
