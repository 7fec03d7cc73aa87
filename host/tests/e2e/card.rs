//! The moving card through the codec: every picture number, the recording, the snapshot.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use punktfunk_capture::card::{self, CardStamp};
use serde_json::Value;

use crate::support::{
    ClientStart, HostStart, PATIENCE, Place, Recording, assert_all_came, count, probe_recording, session_turn,
};

/// Streams the card for some seconds, recorded and with a snapshot, and checks what does not depend on time.
fn stream(place: &Place, seconds: u32) -> Value {
    let host = HostStart::new(place, "card").args(&["--once"]).ready();
    let (recording, snapshot) = (place.path("card.h264"), place.path("card.png"));
    let client = ClientStart::new(place, host.port)
        .args(&["--mode", "1280x720@60", "--seconds", &seconds.to_string()])
        .file("--record", &recording)
        .file("--snapshot", &snapshot);
    let ended = client.run_for(Duration::from_secs(seconds.into()));
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    place.assert_empty(PATIENCE);

    let summary = ended.json();
    assert_all_came(&summary);
    check_numbers(&summary);
    check_recording(&recording, &summary);
    check_snapshot(&snapshot, &summary);
    summary
}

/// Every picture's number was read, they rise, and each gap is a picture that was passed over before encode.
fn check_numbers(summary: &Value) {
    let of = |pointer| count(summary, pointer);
    assert_eq!((of("/card/out_of_order"), of("/card/unreadable")), (0, 0), "{summary:#}");
    assert_eq!(of("/card/read"), of("/pictures/decoded"), "{summary:#}");
    assert_eq!(of("/card/newest") + 1 - of("/card/first"), of("/card/read") + of("/card/passed_over"));
    // Passed over before encode; where the machine did not keep up, lost and dropped ones, too.
    let missed = of("/pictures/superseded") + of("/pictures/shed") + of("/pictures/sent") - of("/card/read");
    // The card begins when somebody looks: before the first that was read there is one, or such as were passed over.
    // What was passed over after the last picture leaves no gap.
    assert!(of("/card/first").saturating_sub(1) + of("/card/passed_over") <= missed, "{summary:#}");
}

fn check_recording(path: &Path, summary: &Value) {
    let Some(recorded) = probe_recording(path, false) else { return };
    let pictures = count(summary, "/pictures/decoded");
    assert_eq!(recorded, Recording { codec: "h264".into(), width: 1280, height: 720, pictures });
}

fn check_snapshot(path: &Path, summary: &Value) {
    let stamp = read_snapshot(path, (1280, 720));
    let numbers = count(summary, "/card/first")..=count(summary, "/card/newest");
    assert!(numbers.contains(&stamp.number), "the snapshot is picture {} of {numbers:?}", stamp.number);
}

/// Reads the card's code out of a PNG of these sides.
pub(crate) fn read_snapshot(path: &Path, sides: (u32, u32)) -> CardStamp {
    let file = BufReader::new(File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    let picture = reader.next_frame(&mut rgb).unwrap();
    assert_eq!((picture.width, picture.height), sides);
    assert_eq!((picture.color_type, picture.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    // BT.709, near enough: the code is light and dark.
    let luma =
        |pixel: &[u8]| (54 * u32::from(pixel[0]) + 183 * u32::from(pixel[1]) + 19 * u32::from(pixel[2])) >> 8;
    let luma: Vec<u8> = rgb.chunks_exact(3).map(|pixel| luma(pixel) as u8).collect();
    card::read(&luma, sides.0 as usize, sides.0, sides.1).expect("the snapshot's code can be read")
}

#[test]
fn every_picture_arrives_in_order() {
    let (_turn, place) = (session_turn(), Place::new());
    let summary = stream(&place, 6);
    let seconds = summary["streamed_s"].as_f64().unwrap();
    // A busy machine may pass pictures over; a stream of less than half of them is broken.
    let decoded = count(&summary, "/pictures/decoded");
    assert!(decoded as f64 >= 30.0 * seconds, "{decoded} pictures in {seconds} s");
    eprintln!(
        "decoded {decoded}, superseded {}, shed {}",
        summary["pictures"]["superseded"], summary["pictures"]["shed"]
    );
}

#[test]
#[ignore = "takes a minute and a quiet machine: cargo build --release -p punktfunk-client && cargo test --release -p punktfunk-host --test e2e -- --ignored"]
fn for_a_minute_hardly_any_picture_is_passed_over() {
    let (_turn, place) = (session_turn(), Place::new());
    let summary = stream(&place, 60);
    let of = |pointer| count(&summary, pointer);
    let (captured, shed, superseded) =
        (of("/pictures/captured"), of("/pictures/shed"), of("/pictures/superseded"));
    eprintln!("captured {captured}, shed {shed}, superseded {superseded}");
    assert!((3_590..=3_700).contains(&captured), "{captured} pictures in 60 s at 60 Hz");
    assert!(
        (shed + superseded) * 1_000 <= captured * 5,
        "shed {shed} and superseded {superseded} of {captured}"
    );
}

#[test]
fn people_see_a_line_a_second_and_the_latencies() {
    let (_turn, place) = (session_turn(), Place::new());
    let host = HostStart::new(&place, "card").args(&["--once"]).ready();
    let ended = ClientStart::new(&place, host.port).for_people().args(&["--seconds", "3"]).run();
    ended.expect_code(0).expect_said(&[]);
    host.ends();
    let columns = ["decoded", "lost", "late", "dropped", "Mbit/s", "asked", "p50 ms", "p99 ms"];
    let is_head = |line: &&str| columns.iter().all(|column| line.contains(column));
    let mut lines = ended.stdout.lines();
    assert!(lines.by_ref().any(|line| is_head(&line)), "{}", ended.stdout);
    let is_row =
        |line: &&str| line.split_whitespace().next().is_some_and(|first| first.parse::<f64>().is_ok());
    let rows: Vec<&str> = lines.by_ref().take_while(is_row).collect();
    assert!((1..=3).contains(&rows.len()), "{}", ended.stdout);
    for row in rows {
        assert_eq!(row.split_whitespace().count(), 11, "{row:?}");
        let decoded: u64 = row.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(decoded > 0, "{row:?}");
    }
    for stage in ["host encode", "client decode", "capture_to_decoded"] {
        assert!(ended.stdout.contains(stage), "no {stage} in {}", ended.stdout);
    }
}
