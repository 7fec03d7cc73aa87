//! A driver that speaks NVENC 12.1, with a card of two engines: one test, since a driver's version is its process'.

mod ground;

use ground::{Ground, config, encode, request};
use punktfunk_nvenc::sys::Api;
use punktfunk_nvenc::{Change, Codec, Colour, Config, Format, Hdr, Rate, Readback};

#[test]
fn the_older_interface_is_spoken_by_its_own_words() {
    // SAFETY: no other thread runs yet that reads them: this program has one test.
    unsafe {
        std::env::set_var("PUNKTFUNK_STANDIN_NVENC_VERSION", "12.1");
        std::env::set_var("PUNKTFUNK_STANDIN_CAPS", "engines=2");
        std::env::set_var("PUNKTFUNK_STANDIN_SLICE_US", "20");
    }
    let ground = Ground::new();
    assert_eq!((ground.library.api(), ground.library.newest()), (Api::V12_1, Api::V12_1));
    {
        let hdr = Some(Hdr::default());
        let ten = |codec| Config { format: Format::P010, colour: Colour::HDR10, hdr, ..config(codec) };
        let five_k = Config::new(Codec::Hevc, 5120, 2880, Rate::per_second(60), 80_000);
        for given in [config(Codec::H264), ten(Codec::Hevc), ten(Codec::Av1), five_k] {
            let mut session = ground.open(given).unwrap_or_else(|error| panic!("{given:?}: {error}"));
            let is_split = session.plan().readback == Readback::Split { engines: 2 };
            assert_eq!(is_split, given.width == 5120);
            let input = ground.pictures(given.format, given.width, given.height).input();
            for number in 1..=3 {
                let au = encode(&mut session, &input, &request(number))
                    .unwrap_or_else(|error| panic!("{given:?}: {error}"));
                assert_eq!(au.encoded.is_idr, number == 1);
                // The flags of a change lie elsewhere than in 13.0.
                let bitrate_kbps = Some(given.bitrate_kbps - number as u32);
                session
                    .reconfigure(&Change { bitrate_kbps, ..Change::default() })
                    .unwrap_or_else(|error| panic!("{given:?}: {error}"));
            }
        }
    }
    assert_eq!(ground.loaded.breaches(), 0);
}
