//! Whole sessions that keep the contract: what comes out is what went in, and nothing is complained of.
#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod common;

use std::time::Instant;

use common::{Driver, HEIGHT, Input, Ready, WIDTH, assert_in_child, bytes_of, is_child, newest};
use punktfunk_codec::h264::Decoder;
use punktfunk_nvenc::sys::*;

/// The decoded picture must be the input, to the last bit.
fn assert_shows(decoder: &mut Decoder, au: &[u8], input: &Input, what: &str) {
    let picture = decoder.decode(au).unwrap_or_else(|error| panic!("{what}: {error}")).expect(what);
    let picture = picture.as_i420();
    let (width, height, pitch) = (input.width as usize, input.height as usize, input.pitch as usize);
    for row in 0..height {
        let at = row * picture.stride_y();
        assert_eq!(
            picture.y()[at..at + width],
            input.bytes[row * pitch..row * pitch + width],
            "{what}: row {row}"
        );
    }
    for row in 0..height / 2 {
        let pairs = &input.bytes[(height + row) * pitch..][..width];
        let at = row * picture.stride_uv();
        let (u, v) = (&picture.u()[at..at + width / 2], &picture.v()[at..at + width / 2]);
        let both: Vec<u8> = u.iter().zip(v).flat_map(|(u, v)| [*u, *v]).collect();
        assert_eq!(both, pairs, "{what}: chroma row {row}");
    }
}

/// Encodes the next picture, painted with its number, and reads it.
fn next(
    ready: &mut Ready<'_>,
    change: impl FnOnce(&mut NV_ENC_PIC_PARAMS),
) -> (Vec<u8>, Box<NV_ENC_LOCK_BITSTREAM>) {
    let at = (ready.next % 2) as usize;
    let number = ready.next;
    ready.inputs[at].paint(number);
    assert_eq!(ready.encode_with(at, change), NV_ENC_SUCCESS, "{}", ready.words());
    let (au, facts) = ready.read(at);
    assert_eq!((facts.outputTimeStamp, facts.frameIdx, facts.outputDuration), (number, number as u32, 1));
    (au, facts)
}

/// The bitrate is for everything.
fn rich(setup: &mut common::Setup) {
    setup.config.rcParams.averageBitRate = 900_000_000;
    setup.config.rcParams.vbvBufferSize = 15_000_000;
}

#[test]
fn h264_comes_out_as_it_went_in() {
    for api in [Api::V12_1, Api::V13_0] {
        let driver = Driver::new(api);
        let mut ready = driver.ready_with(NV_ENC_CODEC_H264_GUID, rich);
        let mut decoder = Decoder::new().unwrap();
        for number in 0..20 {
            let is_idr = number % 8 == 0;
            let (au, facts) = next(&mut ready, |params| {
                if is_idr && number > 0 {
                    params.encodePicFlags = NV_ENC_PIC_FLAG_FORCEIDR.0;
                }
            });
            assert_eq!(facts.pictureType, if is_idr { NV_ENC_PIC_TYPE_IDR } else { NV_ENC_PIC_TYPE_P });
            assert_eq!(punktfunk_codec::annexb::has_parameter_sets(&au), is_idr);
            assert_shows(
                &mut decoder,
                &au,
                &ready.inputs[(number % 2) as usize],
                &format!("{api}, picture {number}"),
            );
        }
        ready.close();
        assert_eq!(driver.loaded.breaches(), 0);
    }
}

#[test]
fn slices_are_there_before_their_picture_is() {
    if !is_child() {
        let variables = [("PUNKTFUNK_STANDIN_SLICE_US", "50000")];
        return assert_in_child("slices_are_there_before_their_picture_is", &variables);
    }
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready_with(NV_ENC_CODEC_H264_GUID, rich);
    for number in 0..2 {
        ready.inputs[0].paint(number);
        let began = Instant::now();
        assert_eq!(ready.encode(0), NV_ENC_SUCCESS);
        assert_eq!(ready.lock(0, false).0, NV_ENC_ERR_LOCK_BUSY);
        let (mut seen, mut address, mut bytes) = (Vec::new(), None, Vec::new());
        loop {
            let (status, facts, offsets) = ready.lock(0, false);
            if status == NV_ENC_ERR_LOCK_BUSY {
                std::thread::yield_now();
                continue;
            }
            assert_eq!(status, NV_ENC_SUCCESS, "{}", ready.words());
            assert_eq!(
                *address.get_or_insert(facts.bitstreamBufferPtr),
                facts.bitstreamBufferPtr,
                "it stays"
            );
            if seen.last() != Some(&facts.numSlices) {
                seen.push(facts.numSlices);
                assert!(
                    began.elapsed().as_millis() >= 50 * u128::from(facts.numSlices),
                    "not before its time"
                );
            }
            let now = bytes_of(&facts).to_vec();
            assert!(now.starts_with(&bytes), "what was there stays");
            assert!(
                offsets.iter().all(|at| now[*at as usize..].starts_with(&[0, 0, 0, 1])),
                "a slice begins there"
            );
            bytes = now;
            assert_eq!(ready.unlock(0), NV_ENC_SUCCESS);
            if facts.hwEncodeStatus == 2 {
                break;
            }
        }
        // A busy machine may show this test two at once, and never all.
        assert!(seen.len() >= 2 && seen.is_sorted() && seen.ends_with(&[4]), "{seen:?}");
    }
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn a_lock_between_two_slices_fails_by_a_name_of_its_own() {
    if !is_child() {
        let variables = [("PUNKTFUNK_STANDIN_SLICE_US", "100000")];
        return assert_in_child("a_lock_between_two_slices_fails_by_a_name_of_its_own", &variables);
    }
    let driver = Driver::new(Api::V13_0);
    driver.loaded.fail("nvEncLockBitstream@slice:2=NV_ENC_ERR_GENERIC");
    let mut ready = driver.ready_with(NV_ENC_CODEC_H264_GUID, rich);
    ready.inputs[0].paint(0);
    assert_eq!(ready.encode(0), NV_ENC_SUCCESS);
    let (mut answers, mut is_done) = (Vec::new(), false);
    while !is_done {
        let (status, facts, _) = ready.lock(0, false);
        match status {
            NV_ENC_ERR_LOCK_BUSY => std::thread::yield_now(),
            NV_ENC_SUCCESS => {
                is_done = facts.hwEncodeStatus == 2;
                assert_eq!(ready.unlock(0), NV_ENC_SUCCESS);
            }
            _ => {}
        }
        if status != NV_ENC_ERR_LOCK_BUSY {
            answers.push(status);
        }
    }
    // The first one to show a slice comes between none.
    let failed: Vec<_> =
        answers.iter().enumerate().filter(|(_, status)| **status != NV_ENC_SUCCESS).collect();
    assert_eq!(failed, [(2, &NV_ENC_ERR_GENERIC)]);
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
}

/// What the first lock says of a picture that is not done: its slices' begins, how many bytes there are, and the status.
fn first_said(test: &str, partial: &str) -> Option<(Vec<u32>, u32, u32)> {
    if !is_child() {
        let variables = [("PUNKTFUNK_STANDIN_SLICE_US", "100000"), ("PUNKTFUNK_STANDIN_PARTIAL", partial)];
        assert_in_child(test, &variables);
        return None;
    }
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready_with(NV_ENC_CODEC_H264_GUID, rich);
    ready.inputs[0].paint(1);
    assert_eq!(ready.encode(0), NV_ENC_SUCCESS);
    let (facts, offsets) = loop {
        let (status, facts, offsets) = ready.lock(0, false);
        if status == NV_ENC_SUCCESS {
            break (facts, offsets);
        }
        assert_eq!(status, NV_ENC_ERR_LOCK_BUSY, "{}", ready.words());
        std::thread::yield_now();
    };
    assert_eq!(ready.unlock(0), NV_ENC_SUCCESS);
    let (au, _) = ready.read(0);
    assert_shows(&mut Decoder::new().unwrap(), &au, &ready.inputs[0], partial);
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
    Some((offsets, facts.bitstreamSizeInBytes, facts.hwEncodeStatus))
}

#[test]
fn a_slice_may_be_told_of_before_its_first_byte() {
    let said = first_said("a_slice_may_be_told_of_before_its_first_byte", "begins");
    assert!(said.is_none_or(|(offsets, bytes, status)| (offsets.last(), status) == (Some(&bytes), 1)));
}

#[test]
fn a_slice_may_be_told_of_before_its_last_byte() {
    let said = first_said("a_slice_may_be_told_of_before_its_last_byte", "grows");
    assert!(said.is_none_or(|(offsets, bytes, _)| offsets.last().is_some_and(|begin| *begin < bytes)));
}

#[test]
fn a_lock_may_give_a_pointer_to_nothing() {
    let said = first_said("a_lock_may_give_a_pointer_to_nothing", "pointer");
    assert!(said.is_none_or(|(offsets, _, status)| offsets.is_empty() && status < 2));
}

#[test]
fn a_loss_is_gone_around_without_an_idr() {
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready_with(NV_ENC_CODEC_H264_GUID, rich);
    let mut decoder = Decoder::new().unwrap();
    for number in 0..30u64 {
        if number % 10 == 9 {
            assert_eq!(ready.invalidate(number - 2), NV_ENC_SUCCESS);
        }
        let (au, facts) = next(&mut ready, |_| {});
        assert_eq!(facts.pictureType, if number == 0 { NV_ENC_PIC_TYPE_IDR } else { NV_ENC_PIC_TYPE_P });
        // The seventh and the eighth of each ten are lost on the way.
        if !(7..9).contains(&(number % 10)) {
            assert_shows(
                &mut decoder,
                &au,
                &ready.inputs[(number % 2) as usize],
                &format!("picture {number}"),
            );
        }
    }
    // All that the buffer holds is lost: an intra picture, and no restart.
    assert_eq!(ready.invalidate(26), NV_ENC_SUCCESS);
    let (au, facts) = next(&mut ready, |_| {});
    assert_eq!(facts.pictureType, NV_ENC_PIC_TYPE_I);
    assert_shows(&mut decoder, &au, &ready.inputs[0], "the intra picture");
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn the_bitrate_is_followed_and_changes_in_the_middle() {
    let driver = Driver::new(Api::V12_1);
    let mut ready = driver.ready_with(NV_ENC_CODEC_H264_GUID, |setup| {
        setup.config.rcParams.averageBitRate = 8_000_000;
        setup.config.rcParams.vbvBufferSize = 8_000_000 / 60;
    });
    next(&mut ready, |_| {});
    for bitrate in [8_000_000, 24_000_000, 4_000_000] {
        let status = ready.reconfigure(0, |setup| {
            setup.config.rcParams.averageBitRate = bitrate;
            setup.config.rcParams.vbvBufferSize = bitrate / 60;
        });
        assert_eq!(status, NV_ENC_SUCCESS, "{}", ready.words());
        let mut bytes = 0;
        for _ in 0..60 {
            let (au, facts) = next(&mut ready, |_| {});
            assert_eq!(facts.pictureType, NV_ENC_PIC_TYPE_P, "no restart for a bitrate");
            bytes += au.len() as u32;
        }
        assert!(
            (bitrate * 8 / 10..=bitrate * 105 / 100).contains(&(bytes * 8)),
            "{bitrate}: {} bits",
            bytes * 8
        );
    }
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn the_size_changes_within_a_session() {
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready_with(NV_ENC_CODEC_H264_GUID, rich);
    let mut decoder = Decoder::new().unwrap();
    for (width, height) in [(WIDTH, HEIGHT), (2 * WIDTH, 2 * HEIGHT), (258, 130)] {
        for at in 0..2 {
            assert_eq!((ready.unmap(at), ready.unregister(at)), (NV_ENC_SUCCESS, NV_ENC_SUCCESS));
        }
        let status = ready.reconfigure(NV_ENC_RECONFIGURE_PARAMS::forceIDR.mask(), |setup| {
            (setup.params.encodeWidth, setup.params.encodeHeight) = (width, height);
        });
        assert_eq!(status, NV_ENC_SUCCESS, "{}", ready.words());
        for at in 0..2 {
            ready.inputs[at] = Input::new(width, height);
            assert_eq!(
                (ready.register(at), ready.map(at)),
                (NV_ENC_SUCCESS, NV_ENC_SUCCESS),
                "{}",
                ready.words()
            );
        }
        for number in 0..4 {
            let at = (ready.next % 2) as usize;
            let (au, facts) = next(&mut ready, |_| {});
            assert_eq!(facts.pictureType == NV_ENC_PIC_TYPE_IDR, number == 0);
            assert_shows(
                &mut decoder,
                &au,
                &ready.inputs[at],
                &format!("{width}x{height}, picture {number}"),
            );
        }
    }
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn a_wave_of_intra_refresh_is_told_and_written_whole() {
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready_with(NV_ENC_CODEC_H264_GUID, |setup| {
        rich(setup);
        let h264 = setup.h264();
        NV_ENC_CONFIG_H264::enableIntraRefresh.set(&mut h264.flags, 1);
        NV_ENC_CONFIG_H264::outputRecoveryPointSEI.set(&mut h264.flags, 1);
        (h264.intraRefreshPeriod, h264.intraRefreshCnt) = (10, 3);
    });
    let mut kinds = Vec::new();
    for number in 0..16 {
        // The same picture again and again: what is written is the wave's.
        ready.inputs[0].paint(1);
        assert_eq!(ready.encode(0), NV_ENC_SUCCESS);
        let (au, facts) = ready.read(0);
        let is_wave = (10..13).contains(&number);
        assert_eq!(au.len() > 20_000, is_wave || number == 0, "picture {number}: {} bytes", au.len());
        assert_eq!(au[4] == 6, number == 10, "a recovery point precedes it");
        kinds.push(facts.pictureType);
    }
    assert_eq!(
        (kinds[9], kinds[10], kinds[11]),
        (NV_ENC_PIC_TYPE_P, NV_ENC_PIC_TYPE_INTRA_REFRESH, NV_ENC_PIC_TYPE_P)
    );
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn hevc_and_av1_say_what_they_stand_for() {
    for (codec, api) in [(NV_ENC_CODEC_HEVC_GUID, Api::V12_1), (NV_ENC_CODEC_AV1_GUID, Api::V13_0)] {
        let driver = Driver::new(api);
        let mut ready = driver.ready(codec);
        let mut sums = Vec::new();
        for number in 0..8u64 {
            if number == 6 {
                assert_eq!(ready.invalidate(4), NV_ENC_SUCCESS);
            }
            let (au, facts) = next(&mut ready, |_| {});
            let text = String::from_utf8_lossy(&au).into_owned();
            let reference = match number {
                0 => "none".to_owned(),
                6 => "3".to_owned(),
                _ => (number - 1).to_string(),
            };
            assert!(text.contains(&format!("id={number} ")), "{text}");
            assert!(text.contains(&format!(" reference={reference} ")), "picture {number}: {text}");
            assert_eq!(facts.numSlices, if codec == NV_ENC_CODEC_AV1_GUID { 1 } else { 4 });
            sums.push(text.split("sum=").nth(1).unwrap()[..16].to_owned());
        }
        sums.dedup();
        assert_eq!(sums.len(), 8, "each picture was read");
        ready.close();
        assert_eq!(driver.loaded.breaches(), 0);
    }
}

#[test]
fn more_input_is_asked_for_and_both_pictures_come() {
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready_with(NV_ENC_CODEC_H264_GUID, rich);
    let mut decoder = Decoder::new().unwrap();
    driver.loaded.fail("nvEncEncodePicture:1=NV_ENC_ERR_NEED_MORE_INPUT");
    ready.inputs[0].paint(1);
    ready.inputs[1].paint(2);
    assert_eq!(ready.encode(0), NV_ENC_ERR_NEED_MORE_INPUT);
    assert_eq!(ready.encode(1), NV_ENC_SUCCESS);
    for at in 0..2 {
        let (au, _) = ready.read(at);
        assert_shows(&mut decoder, &au, &ready.inputs[at], "one of two");
    }
    // A stream's end lets go of what waits, too.
    driver.loaded.fail("nvEncEncodePicture:1=NV_ENC_ERR_NEED_MORE_INPUT");
    assert_eq!(ready.encode(0), NV_ENC_ERR_NEED_MORE_INPUT);
    assert_eq!(ready.end(), NV_ENC_SUCCESS, "{}", ready.words());
    assert!(!ready.read(0).0.is_empty());
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn a_picture_can_stay_locked_while_the_next_one_is_read() {
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready_with(NV_ENC_CODEC_H264_GUID, rich);
    assert_eq!(ready.encode(0), NV_ENC_SUCCESS);
    let (_, first, _) = ready.lock(0, true);
    let before = bytes_of(&first).to_vec();
    assert_eq!(ready.encode(1), NV_ENC_SUCCESS);
    ready.read(1);
    assert_eq!(bytes_of(&first), before);
    assert_eq!(ready.unlock(0), NV_ENC_SUCCESS);
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn the_parameter_sets_can_be_had_by_themselves() {
    let driver = Driver::new(Api::V13_0);
    let mut ready = driver.ready(NV_ENC_CODEC_H264_GUID);
    let (mut bytes, mut size) = (vec![0u8; NV_MAX_SEQ_HDR_LEN as usize], 0);
    let mut params = driver.api.fresh::<NV_ENC_SEQUENCE_PARAM_PAYLOAD>();
    params.inBufferSize = NV_MAX_SEQ_HDR_LEN;
    params.spsppsBuffer = bytes.as_mut_ptr().cast();
    params.outSPSPPSPayloadSize = &raw mut size;
    let status = common::call!(driver.table, nvEncGetSequenceParams(ready.encoder, &raw mut *params));
    assert_eq!(status, NV_ENC_SUCCESS);
    let (au, _) = next(&mut ready, |_| {});
    assert!(au.starts_with(&bytes[..size as usize]) && size > 10);
    ready.close();
    assert_eq!(driver.loaded.breaches(), 0);
}

#[test]
fn an_older_driver_speaks_the_older_interface_only() {
    if !is_child() {
        let variables = [
            ("PUNKTFUNK_STANDIN_NVENC_VERSION", "12.1"),
            ("PUNKTFUNK_STANDIN_CAPS", "engines=3,hevc=0,rfi=0,sessions=1"),
        ];
        return assert_in_child("an_older_driver_speaks_the_older_interface_only", &variables);
    }
    let driver = Driver::new(Api::V12_1);
    assert_eq!(newest(&driver.loaded), (NV_ENC_SUCCESS, 12 << 4 | 1));
    let mut table = Api::V13_0.fresh::<NV_ENCODE_API_FUNCTION_LIST>();
    assert_eq!(common::create(&driver.loaded, &mut table), NV_ENC_ERR_INVALID_VERSION);
    let newer = Driver { api: Api::V13_0, ..driver };
    assert_eq!(newer.open(std::ptr::dangling_mut::<u8>().cast()).0, NV_ENC_ERR_INVALID_VERSION);
    let driver = Driver { api: Api::V12_1, ..newer };
    let ready = driver.ready(NV_ENC_CODEC_H264_GUID);
    assert_eq!(driver.open(std::ptr::dangling_mut::<u8>().cast()).0, NV_ENC_ERR_OUT_OF_MEMORY, "one session");
    let cap = |codec, cap| {
        let mut params = driver.api.fresh::<NV_ENC_CAPS_PARAM>();
        params.capsToQuery = cap;
        let mut value = -1;
        let encoder = ready.encoder;
        let status =
            common::call!(driver.table, nvEncGetEncodeCaps(encoder, codec, &raw mut *params, &raw mut value));
        (status, value)
    };
    assert_eq!(cap(NV_ENC_CODEC_H264_GUID, NV_ENC_CAPS_NUM_ENCODER_ENGINES), (NV_ENC_SUCCESS, 3));
    assert_eq!(cap(NV_ENC_CODEC_H264_GUID, NV_ENC_CAPS_SUPPORT_REF_PIC_INVALIDATION), (NV_ENC_SUCCESS, 0));
    assert_eq!(cap(NV_ENC_CODEC_H264_GUID, NV_ENC_CAPS(4_711)).0, NV_ENC_ERR_INVALID_PARAM);
    let (mut guids, mut count) = ([GUID::default(); 8], 0);
    let encoder = ready.encoder;
    let status =
        common::call!(driver.table, nvEncGetEncodeGUIDs(encoder, guids.as_mut_ptr(), 8, &raw mut count));
    assert_eq!(
        (status, &guids[..count as usize]),
        (NV_ENC_SUCCESS, &[NV_ENC_CODEC_H264_GUID, NV_ENC_CODEC_AV1_GUID][..])
    );
    assert_eq!(driver.loaded.breaches(), 0);
    assert_eq!(ready.invalidate(0), NV_ENC_ERR_UNSUPPORTED_PARAM, "the caps said so");
    assert_eq!(driver.loaded.breaches(), 1);
    ready.close();
}
