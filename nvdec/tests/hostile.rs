//! Streams of anybody's: no panic, no breach, and an honest stream goes on behind them.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::OnceLock;

use common::{context, decode, decoder, loaded};
use proptest::prelude::*;

/// Three honest access units of two slices each.
fn honest() -> Vec<Vec<Vec<u8>>> {
    static HONEST: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
    HONEST.get_or_init(|| common::stream((64, 48), 2, 3)).clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_without_sense_are_refused(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6)) {
        let stand_in = loaded();
        {
            let context = context();
            let mut decoder = decoder(&context);
            if let Err(error) = decode(&mut decoder, &parts) {
                prop_assert!(error.is_refusal(), "{}", error);
            }
            drop(decode(&mut decoder, &honest()[0]).unwrap());
        }
        prop_assert_eq!(stand_in.breaches(), 0);
    }

    #[test]
    fn bent_streams_end_in_pictures_or_refusals(
        bends in prop::collection::vec((0_usize..3, any::<prop::sample::Index>(), any::<u8>()), 1..8),
        lost in 0_usize..6,
    ) {
        let stand_in = loaded();
        {
            let context = context();
            let mut decoder = decoder(&context);
            let mut access_units = honest();
            for (au, place, value) in bends {
                let part = access_units[au].first_mut().unwrap();
                let index = place.index(part.len());
                part[index] ^= value;
            }
            for (number, parts) in access_units.iter().enumerate() {
                if number * 2 == lost {
                    drop(decoder.feed(&parts[0]).and_then(|_| decoder.abandon()));
                    continue;
                }
                // A size that the device lacks is an error of the way, and as good an answer.
                drop(decode(&mut decoder, parts));
            }
        }
        prop_assert_eq!(stand_in.breaches(), 0);
    }
}
