//! Every target on its seeds, on the committed corpus, and for a moment on mutations of both.

use std::path::Path;
use std::time::{Duration, Instant};

use fuzz::{TARGETS, Target, census, mutate};

/// Mutations of a target, and the time after which a slow machine stops.
const ROUNDS: u64 = 4_000;
const PATIENCE: Duration = Duration::from_millis(1_500);

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
fn random(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Says which bytes did it, should a target panic.
struct Witness<'a>(&'a Target, &'a [u8]);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("{} fails on {hex}", self.0.name);
        }
    }
}

fn run(target: &Target, input: &[u8]) {
    let witness = Witness(target, input);
    (target.run)(input);
    drop(witness);
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a readable file")).collect()
}

fn replay(name: &str) {
    let target = fuzz::target(name).expect("the test names a target");
    let mut inputs = (target.seeds)();
    inputs.extend(corpus(target));
    inputs.push(Vec::new());
    inputs.iter().for_each(|input| run(target, input));
    let seed = std::env::var("PUNKTFUNK_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) << 16 | 1);
    eprintln!("PUNKTFUNK_TEST_SEED={seed}: {} inputs", inputs.len());
    let (mut random, start) = (random(seed), Instant::now());
    for _ in 0..ROUNDS {
        let input = &inputs[(random() % inputs.len() as u64) as usize];
        run(target, &mutate(input, &mut random));
        if start.elapsed() > PATIENCE {
            break;
        }
    }
}

macro_rules! replays {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })+

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),+];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), replayed);
        }
    };
}

replays!(
    media_header,
    feedback,
    control_message,
    quic_port,
    annex_b,
    sps,
    test_bitstream,
    y4m,
    perf_log,
    netlink,
    loss_trace,
    arguments,
    fec_recover,
    reassembler,
);

/// A comparison that meets nothing shows nothing.
#[test]
fn the_reassemblers_seeds_meet_every_rule() {
    let met: Vec<_> = (fuzz::target("reassembler").expect("it is there").seeds)()
        .iter()
        .map(|script| census(script))
        .collect();
    eprintln!("{met:#?}");
    assert!(met.iter().any(|met| met.delivered >= 10 && met.undelivered == 0));
    assert!(met.iter().any(|met| met.undelivered > 0 && met.recovered > 0));
    assert!(met.iter().any(|met| met.replayed > 0 && met.bad_tag > 0 && met.late > 0));
    assert!(met.iter().any(|met| met.epoch >= 2));
}
