//! The verifiable bitstream: shape, exact mean rate, every damage found, hostile specs.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests say what they saw

use proptest::prelude::*;
use punktfunk_codec::bitstream::{AuPlan, BitstreamSpec, Generator, Mismatch, SpecError, Verifier};

fn generator(text: &str) -> Generator {
    Generator::new(BitstreamSpec::parse(text).unwrap())
}

fn slice(plan: &AuPlan, index: u16) -> Vec<u8> {
    let mut bytes = vec![0; plan.slice_bytes(index)];
    plan.fill(index, &mut bytes);
    bytes
}

#[test]
fn the_issues_example_has_its_shape_and_its_exact_rate() {
    let mut generator = generator("bitstream:rate=1500M,fps=120,slices=4,idr=5x/1s");
    for period in 0..3 {
        let aus: Vec<AuPlan> = (0..120).map(|_| generator.next_au()).collect();
        let total: usize = aus.iter().map(AuPlan::bytes).sum();
        assert_eq!(total * 8, 1_500_000_000, "a period's bits are the rate exactly");
        for (index, au) in aus.iter().enumerate() {
            assert_eq!(au.is_idr(), index == 0);
            assert_eq!(au.number(), period * 120 + index as u32);
            assert_eq!((0..4).map(|slice| au.slice_bytes(slice)).sum::<usize>(), au.bytes());
        }
        let ratio = aus[0].bytes() as f64 / aus[60].bytes() as f64;
        assert!((ratio - 5.0).abs() < 1e-4, "{ratio}");
        assert!(aus[0].bytes() <= generator.spec().au_bytes_max());
    }
}

#[test]
fn the_mean_is_exact_for_awkward_rates_too() {
    for text in [
        "rate=333333333,fps=59.94,idr=3.7x/777ms,slices=7",
        "rate=12345k,fps=90,idr=none",
        "rate=2.5G,fps=480,idr=100x/60s",
    ] {
        let mut generator = generator(text);
        let spec = *generator.spec();
        let aus = u64::from(spec.idr_period_aus().unwrap_or(1000)) * 7;
        let bytes: u64 = (0..aus).map(|_| generator.next_au().bytes() as u64).sum();
        let exact = u128::from(spec.rate_bps()) * 1000 * u128::from(aus) / 8 / u128::from(spec.refresh_mhz());
        assert_eq!(u128::from(bytes), exact, "{text}");
    }
}

#[test]
fn every_slice_verifies_in_any_pieces() {
    let mut generator = generator("rate=20M,fps=60,slices=3,seed=9");
    let mut verifier = Verifier::new();
    for _ in 0..20 {
        let plan = generator.next_au();
        for index in 0..3 {
            let bytes = slice(&plan, index);
            let verified = verifier.check(plan.number(), index, &bytes).unwrap();
            assert_eq!((verified.slices, verified.idr, verified.bytes), (3, plan.is_idr(), bytes.len()));
            for piece_bytes in [1, 39, 40, 41, 1408] {
                for piece in bytes.chunks(piece_bytes) {
                    verifier.push(piece).unwrap();
                }
                assert_eq!(verifier.finish(), Ok(verified));
            }
        }
    }
}

#[test]
fn every_damage_is_found() {
    let mut generator = generator("rate=2M,fps=60,slices=2");
    let (first, second) = (generator.next_au(), generator.next_au());
    let good = slice(&first, 0);
    let mut verifier = Verifier::new();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        match verifier.check(0, 0, &bytes).unwrap_err() {
            Mismatch::Header => assert!(at < 40, "{at}"),
            Mismatch::Byte { au: 0, slice: 0, offset, expected, came } => {
                assert_eq!((offset, expected, came), (at, good[at], bytes[at]));
            }
            other => panic!("{at}: {other}"),
        }
    }
    assert!(matches!(verifier.check(0, 0, &good[..good.len() - 1]), Err(Mismatch::Length { .. })));
    let longer = [good.as_slice(), &[0]].concat();
    assert!(matches!(verifier.check(0, 0, &longer), Err(Mismatch::Length { .. })));
    assert_eq!(verifier.check(0, 0, &[]), Err(Mismatch::Header));
    assert!(matches!(verifier.check(0, 0, &slice(&first, 1)), Err(Mismatch::WrongSlice { slice: 1, .. })));
    assert!(matches!(verifier.check(0, 0, &slice(&second, 0)), Err(Mismatch::WrongSlice { au: 1, .. })));
    // Two datagrams of one slice that changed places.
    let mut swapped = good.clone();
    let (left, right) = swapped.split_at_mut(640);
    left[64..128].swap_with_slice(&mut right[..64]);
    assert!(matches!(verifier.check(0, 0, &swapped), Err(Mismatch::Byte { offset: 64, .. })));
    assert!(verifier.check(0, 0, &good).is_ok(), "an error leaves nothing behind");
}

#[test]
fn another_seed_is_another_stream() {
    let (one, two) = (generator("seed=1").next_au(), generator("seed=2").next_au());
    assert_eq!(one.bytes(), two.bytes());
    let (one, two) = (slice(&one, 0), slice(&two, 0));
    let equal = one[40..].iter().zip(&two[40..]).filter(|(a, b)| a == b).count();
    assert!(equal < one.len() / 100, "{equal} of {} bytes are equal", one.len());
}

#[test]
fn wrong_specs_are_named() {
    let refused = |text: &str| BitstreamSpec::parse(text).unwrap_err();
    assert_eq!(refused("rat=1M"), SpecError::UnknownKey { key: "rat".into() });
    assert!(refused("rat=1M").to_string().contains("rate, fps, slices, idr and seed"));
    assert_eq!(refused("fps=60,fps=60"), SpecError::Twice { key: "fps" });
    assert_eq!(refused("rate"), SpecError::NoValue { part: "rate".into() });
    for (text, wrong) in [
        ("rate=", "rate"),
        ("rate=0", "rate"),
        ("rate=-1M", "rate"),
        ("rate=1T", "rate"),
        ("rate=101G", "rate"),
        ("rate=99999999999999999999", "rate"),
        ("rate=18446744073709551615G", "rate"),
        ("rate=1.2345M", "rate"),
        ("rate=1.5", "rate"),
        ("fps=0", "fps"),
        ("fps=481", "fps"),
        ("fps=1e3", "fps"),
        ("fps=60.", "fps"),
        ("slices=0", "slices"),
        ("slices=65", "slices"),
        ("slices=99999", "slices"),
        ("idr=5", "idr"),
        ("idr=5x/1", "idr"),
        ("idr=0.9x/1s", "idr"),
        ("idr=101x/1s", "idr"),
        ("idr=5x/0ms", "idr"),
        ("idr=5x/61s", "idr"),
        ("seed=x", "seed"),
        ("seed=18446744073709551616", "seed"),
        ("rate=ä", "rate"),
    ] {
        match refused(text) {
            SpecError::Value { key, expected, .. } => {
                assert_eq!(key, wrong, "{text}");
                assert!(!expected.is_empty());
            }
            other => panic!("{text}: {other}"),
        }
    }
    assert!(matches!(refused("rate=10k,fps=60,idr=none"), SpecError::TooSmall { au_bytes: 20, slices: 1 }));
    assert!(matches!(refused("rate=100G,fps=60"), SpecError::TooLarge { .. }));
    assert!(BitstreamSpec::parse("").is_ok() && BitstreamSpec::parse("bitstream:").is_ok());
}

proptest! {
    #[test]
    fn random_text_is_a_spec_or_an_error(text in "(bitstream:)?([a-z]{0,6}=?[-0-9a-zA-Z./=äx]{0,24},?){0,6}") {
        let _ = BitstreamSpec::parse(&text);
    }

    #[test]
    fn every_spec_shows_what_parses_back_and_keeps_its_bounds(
        rate in 1_000u64..100_000_000_000, fps in 1_000u32..=480_000, slices in 1u16..=64, size in 1_000u32..=100_000,
        period_ms in 1u32..=60_000, with_idr: bool, seed: u64
    ) {
        let (fps, size) = (f64::from(fps) / 1000.0, f64::from(size) / 1000.0);
        let idr = if with_idr { format!("{size}x/{period_ms}ms") } else { "none".to_owned() };
        let text = format!("rate={rate},fps={fps},slices={slices},idr={idr},seed={seed}");
        let Ok(spec) = BitstreamSpec::parse(&text) else { return Ok(()) };
        prop_assert_eq!(BitstreamSpec::parse(&spec.to_string()), Ok(spec));
        let mut generator = Generator::new(spec);
        for _ in 0..50 {
            let au = generator.next_au();
            prop_assert!(au.bytes() <= spec.au_bytes_max());
            for slice in 0..au.slices() {
                prop_assert!(au.slice_bytes(slice) >= 40);
            }
        }
    }
}
