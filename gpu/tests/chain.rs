//! The measuring program on stand-ins, at a small size: what it finds good, and that it sees what is planted.

#[path = "../examples/chain/check.rs"]
mod check;
#[path = "../examples/chain/judge.rs"]
mod judge;
#[path = "../examples/chain/leak.rs"]
mod leak;
#[path = "../examples/chain/measure.rs"]
mod measure;
#[path = "../examples/chain/picture.rs"]
mod picture;
#[path = "../examples/chain/reader.rs"]
mod reader;
#[allow(dead_code, reason = "its figures are the program's to print")]
#[path = "../examples/chain/row.rs"]
mod row;

mod lavapipe;
mod stand_ins;

use punktfunk_gpu::format::{Colour, OutputFormat};
use punktfunk_gpu::{Device, GpuError, OutputSpec};

use check::{check, compare};
use judge::State;
use measure::{Amounts, Found, measure};
use picture::Picture;
use reader::{NoReader, Reader};

const SIZE: (u32, u32) = (72, 40);

const AMOUNTS: Amounts = Amounts { pictures: 6, leak: 0, check: true };

fn found(device: &Device, amounts: &Amounts) -> Found {
    let mut told = 0;
    let found = measure(device, &[("small", SIZE.0, SIZE.1)], amounts, |_| told += 1);
    assert_eq!((found.rows.len(), told), (3, 3));
    found
}

/// What is not good, but for what is a GPU's alone.
fn bad(found: &Found) -> Vec<(&'static str, State)> {
    let points = judge::judge(found);
    let is_here =
        |what: &str| !what.contains("to NV12") && !what.contains("cache") && !what.contains("dmabufs");
    let bad = points.iter().filter(|point| point.state != State::Good && is_here(point.what));
    bad.map(|point| (point.what, point.state)).collect()
}

#[test]
fn on_stand_ins_all_is_good_and_each_failure_is_one() {
    let (loaded, device) = stand_ins::begin();
    {
        stand_ins::name(&device);
        assert!(reader::card().is_some());
        let amounts = Amounts { leak: leak::PICTURES_MIN, ..AMOUNTS };
        let whole = found(&device, &amounts);
        assert_eq!(bad(&whole), [], "{whole:?}");
        let leak = whole.leak.clone().unwrap().unwrap();
        assert_eq!(leak.pictures, amounts.leak);
        assert!(leak.device_kib.is_some());
        for measured in &whole.rows {
            let compared = measured.checked.clone().unwrap().unwrap().cuda.unwrap();
            // Six pictures: three outputs, each twice.
            assert!(compared.bytes >= 6 * u64::from(SIZE.0 * SIZE.1) * 3 / 2, "{compared:?}");
        }
        loaded.fail("cuImportExternalMemory=2");
        let failed = bad(&found(&device, &AMOUNTS));
        assert!(failed.contains(&("each size and format", State::Failed)), "{failed:?}");
        loaded.fail("cuMemcpy2DAsync_v2:2=1");
        let failed = bad(&found(&device, &AMOUNTS));
        assert!(failed.contains(&("pixels as CUDA reads them beside Vulkan's", State::Failed)), "{failed:?}");
        for (fault, words) in [("cuInit=999", "nvidia-modprobe"), ("cuDevicePrimaryCtxRetain=2", "cuDevice")]
        {
            loaded.fail(fault);
            let broken = found(&device, &AMOUNTS);
            let Some(NoReader::Broken(why)) = &broken.no_reader else { panic!("{broken:?}") };
            assert!(why.contains(words), "{why}");
            assert!(bad(&broken).contains(&("CUDA on this device", State::Failed)));
        }
        // Without a card there is nothing that would be broken.
        loaded.fail("cuInit=100");
        let absent = found(&device, &AMOUNTS);
        assert!(
            matches!(&absent.no_reader, Some(NoReader::Absent(why)) if why.contains("100")),
            "{absent:?}"
        );
        assert!(bad(&absent).iter().all(|(_, state)| *state == State::NotRun), "{absent:?}");
        loaded.fail("");
    }
    assert_eq!(loaded.breaches(), 0);
}

#[test]
fn a_machine_without_vulkan_has_no_such_link_and_a_card_without_it_a_broken_one() {
    let [loader, none] = [
        GpuError::Loader { why: "no libvulkan.so.1".to_owned() },
        GpuError::NoDevice { wanted: "any".to_owned(), found: "none".to_owned() },
    ];
    let state = |opened, is_asked_for, card| judge::device(opened, is_asked_for, card).map(|it| it.state);
    for error in [&loader, &none] {
        assert_eq!(state(Err(error), false, None), Some(State::NotRun));
        assert_eq!(state(Err(error), true, None), Some(State::Failed), "it was asked for");
        assert_eq!(state(Err(error), false, Some("H100")), Some(State::Failed));
    }
    assert_eq!(state(Ok(true), false, Some("H100")), Some(State::Failed), "Vulkan on the CPU beside a card");
    let words = judge::device(Ok(true), false, Some("H100")).unwrap().words;
    assert!(words.contains("H100") && words.contains("NVIDIA's Vulkan driver"), "{words}");
    for good in [(Ok(true), false, None), (Ok(true), true, Some("H100")), (Ok(false), false, Some("H100"))] {
        assert_eq!(state(good.0, good.1, good.2), None);
    }
}

#[test]
fn a_byte_that_cuda_does_not_see_as_vulkan_wrote_it_is_counted() {
    let (loaded, device) = stand_ins::begin();
    {
        stand_ins::name(&device);
        let reader = Reader::open(&device).map_err(|why| format!("{why:?}")).unwrap();
        let pictures = [0, 7].map(|seed| Picture::new(&device, SIZE, seed).unwrap());
        for format in [OutputFormat::Nv12, OutputFormat::P010, OutputFormat::Yuv444, OutputFormat::I420] {
            let (width, height) = SIZE;
            let spec = OutputSpec { width, height, format, colour: Colour::BT709, buffers: 3 };
            let checked = check(&device, spec, &pictures, Some(&reader)).unwrap();
            let equal = checked.cuda.unwrap();
            assert!(checked.difference <= 1 && equal.differ == 0, "{format:?}: {checked:?}");
            // Beside what nobody has made nearly every byte differs.
            let length = (equal.bytes / 6) as usize;
            let blank = [vec![0; length], vec![0; length]];
            let differ = compare(&device, spec, &pictures, &blank, &reader).unwrap().differ;
            assert!(differ > equal.bytes / 2, "{format:?}: {differ} of {}", equal.bytes);
        }
    }
    assert_eq!(loaded.breaches(), 0);
}
