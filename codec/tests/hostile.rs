//! The decoder and the Annex B parser under damaged and random input: errors, never a panic, never a crash.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests say what they saw

mod common;

use common::{Random, moving};
use punktfunk_codec::annexb;
use punktfunk_codec::h264::{Decoder, Encoder, EncoderConfig};

fn stream() -> Vec<Vec<u8>> {
    let config =
        EncoderConfig { width: 320, height: 180, refresh_mhz: 60_000, bitrate_kbps: 2_000, slices: 2 };
    let mut encoder = Encoder::new(config).unwrap();
    (0..12)
        .map(|number| {
            let picture = moving(320, 180, number);
            encoder
                .encode(&picture.as_i420(), u64::from(number) * 16_667, number == 6)
                .unwrap()
                .bytes()
                .to_vec()
        })
        .collect()
}

fn mutate(au: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(6) {
        let at = random.below(au.len());
        match random.below(6) {
            0 => au[at] ^= 1 << random.below(8),
            1 => au[at] = random.next() as u8,
            2 => au.truncate(at),
            3 => drop(au.drain(at..(at + random.below(40)).min(au.len()))),
            4 => {
                let piece: Vec<u8> = au[at..(at + random.below(200)).min(au.len())].to_vec();
                let to = random.below(au.len());
                drop(au.splice(to..to, piece));
            }
            _ => drop(au.splice(at..at, [0, 0, 1, random.next() as u8])),
        }
        if au.is_empty() {
            return;
        }
    }
}

#[test]
fn mutated_streams_never_crash_the_decoder() {
    let seed = std::env::var("PUNKTFUNK_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let rounds =
        std::env::var("PUNKTFUNK_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(400);
    println!("seed {seed}, {rounds} rounds");
    let aus = stream();
    let mut random = Random(seed);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..rounds {
        let mut decoder = Decoder::new().unwrap();
        for au in &aus {
            let mut au = au.clone();
            if random.below(3) == 0 {
                mutate(&mut au, &mut random);
            }
            match decoder.decode(&au) {
                Ok(Some(picture)) => {
                    let sum: u64 = picture.as_i420().y().iter().map(|byte| u64::from(*byte)).sum();
                    good += u64::from(sum > 0);
                }
                Ok(None) => {}
                Err(_) => bad += 1,
            }
        }
        // Whatever came, a fresh IDR with its parameter sets is decoded.
        assert!(decoder.decode(&aus[6]).unwrap().is_some());
    }
    println!("{good} pictures, {bad} errors");
    assert!(good > 0 && bad > 0);
}

#[test]
fn random_bytes_behind_start_codes_never_crash_the_decoder() {
    let seed = 7;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut decoder = Decoder::new().unwrap();
    for _ in 0..2_000 {
        let mut au = vec![0, 0, 0, 1];
        for _ in 0..random.below(300) {
            au.push(random.next() as u8);
        }
        if let Some(header) = au.get_mut(4) {
            *header = 0x60 | [1, 5, 7, 8, 6, 9][random.below(6)];
        }
        if let Ok(Some(picture)) = decoder.decode(&au) {
            assert!(picture.width() > 0);
        }
    }
}

#[test]
fn annex_b_pieces_put_together_are_the_input() {
    let seed = 11;
    println!("seed {seed}");
    let mut random = Random(seed);
    for _ in 0..3_000 {
        // Small values make start codes, and near misses of them, common.
        let stream: Vec<u8> = (0..random.below(120))
            .map(|_| [0, 0, 0, 1, 1, 2, 3, 0x67, 0x68, 0x65, 0x41, 0x06, 0x09, 0xff][random.below(14)])
            .collect();
        let from_first = annexb::nals(&stream).flat_map(|nal| nal.bytes.to_vec()).collect::<Vec<_>>();
        assert!(stream.ends_with(&from_first));
        assert!(annexb::nals(&stream).all(|nal| nal.bytes.ends_with(nal.payload)));
        let aus = annexb::access_units(&stream).flat_map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(aus, from_first);
        for au in annexb::access_units(&stream) {
            assert!(!au.is_empty());
            assert_eq!(annexb::slices(au).flat_map(<[u8]>::to_vec).collect::<Vec<_>>(), au);
            let slices = annexb::nals(au).filter(|nal| nal.kind.is_slice()).count();
            assert_eq!(annexb::slices(au).count(), slices.max(1));
        }
        let _ = (
            annexb::is_idr(&stream),
            annexb::has_parameter_sets(&stream),
            annexb::has_bidirectional(&stream),
        );
    }
}

#[test]
fn annex_b_finds_the_access_units_of_a_file() {
    let aus = stream();
    let file = aus.concat();
    let found: Vec<&[u8]> = annexb::access_units(&file).collect();
    assert_eq!(found, aus.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert!(!annexb::has_bidirectional(&file));
}
