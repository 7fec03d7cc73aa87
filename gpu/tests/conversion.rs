//! The shader on lavapipe beside the oracle: every format, matrix, range and siting, any sides and scales.

mod lavapipe;

use std::sync::OnceLock;

use proptest::prelude::*;
use punktfunk_gpu::format::{self, Colour, Fourcc, Matrix, Order, OutputFormat, Range, Siting};
use punktfunk_gpu::reference::{self, Planes, Source};
use punktfunk_gpu::{Device, Done, GpuError, Handover, Importer, Input, Memory, OutputSpec, Overlay};

/// Pixels of a case's source and of its output at most: the oracle is slow.
const PIXELS_MAX: u32 = 40_000;

fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(lavapipe::device)
}

#[derive(Debug, Clone)]
struct Case {
    source: usize,
    size: [u32; 2],
    padding: usize,
    spec: OutputSpec,
    seed: u64,
}

fn sides(least: u32, step: u32) -> impl Strategy<Value = [u32; 2]> {
    (least..=1000_u32, any::<u32>(), any::<bool>()).prop_map(move |(long, other, is_wide)| {
        let most = (PIXELS_MAX / long).clamp(least, 1000);
        let short = least + other % (most - least + 1);
        let sides = [long, short].map(|side| side / step * step);
        if is_wide { sides } else { [sides[1], sides[0]] }
    })
}

fn colours() -> impl Strategy<Value = Colour> {
    let matrices = prop::sample::select(vec![Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020]);
    let ranges = prop::sample::select(vec![Range::Limited, Range::Full]);
    let sitings = prop::sample::select(vec![Siting::Left, Siting::Centre, Siting::TopLeft]);
    (matrices, ranges, sitings).prop_map(|(matrix, range, siting)| Colour { matrix, range, siting })
}

fn cases() -> impl Strategy<Value = Case> {
    let formats = prop::sample::select(OutputFormat::ALL.to_vec());
    (0..format::SOURCES.len(), sides(1, 1), 0_usize..70, sides(16, 2), formats, colours(), any::<u64>())
        .prop_map(|(source, size, padding, [width, height], format, colour, seed)| {
            let spec = OutputSpec { width, height, format, colour, buffers: 2 };
            // A third of them goes over as it is.
            let size = if seed.is_multiple_of(3) { [width, height] } else { size };
            Case { source, size, padding, spec, seed }
        })
}

/// An image of 20 × 12 pixels, premultiplied.
fn cursor(seed: u64) -> Vec<u8> {
    let words = lavapipe::words(Order::Bgr8, 20, 12, seed);
    let premultiply = |word: &u32| {
        let [blue, green, red, alpha] = word.to_le_bytes();
        let of = |colour: u8| (u32::from(colour) * u32::from(alpha) / 255) as u8;
        [of(blue), of(green), of(red), alpha]
    };
    words.iter().flat_map(premultiply).collect()
}

/// How far the shader is from the oracle; none for sides that are refused.
fn difference(case: &Case) -> Option<u32> {
    let (fourcc, order) = format::SOURCES[case.source];
    let [width, height] = case.size;
    let place = case.spec.place(width, height).ok()?;
    let words = lavapipe::words(order, width, height, case.seed);
    let stride = width as usize * 4 + case.padding;
    let bytes = lavapipe::bytes(&words, width, stride);
    let mut importer = Importer::new(device(), case.spec, Handover::Mapped).expect("the output can be");
    let pixels = cursor(case.seed);
    let overlay = (case.seed.is_multiple_of(2)).then(|| Overlay {
        image: 1,
        x: (case.seed >> 8) as i32 % 30 - 9,
        y: (case.seed >> 16) as i32 % 30 - 9,
        width: 20,
        height: 12,
        pixels: &pixels,
    });
    let memory = Memory { fourcc, width, height, stride, bytes: &bytes, pages: None, overlay };
    let ticket = importer.convert(&Input::Memory(memory)).expect("the picture can be read");
    importer.wait(ticket).expect("it is made");
    let source = Source { order, width, height, words: &words, overlay };
    let expected = reference::convert(&source, &case.spec, place);
    let difference =
        reference::difference(&case.spec, importer.mapped(ticket).expect("it is there"), &expected);
    importer.release(ticket, Done::Now).expect("it was lent");
    assert_eq!(importer.counters().bytes_copied, u64::from(width) * u64::from(height) * 4);
    Some(difference)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_sample_is_within_one_of_the_real_valued_result(case in cases()) {
        let difference = difference(&case);
        prop_assert!(difference.is_none_or(|difference| difference <= 1), "{difference:?}");
    }
}

#[test]
fn each_format_and_siting_agrees_at_the_same_size_and_at_a_letterbox() {
    for format in OutputFormat::ALL {
        for siting in [Siting::Left, Siting::Centre, Siting::TopLeft] {
            // Another source and scale for each, so that every one of them is read by some.
            let turn = format as usize + siting as usize;
            let (source, size) = ([0, 2, 4, 6][turn % 4], [[70, 46], [35, 60]][turn % 2]);
            let colour = Colour { siting, ..Colour::BT709 };
            let spec = OutputSpec { width: 70, height: 46, format, colour, buffers: 2 };
            let case = Case { source, size, padding: 0, spec, seed: 8 };
            assert!(difference(&case).unwrap() <= 1, "{case:?}");
        }
    }
}

/// How far the shader is from the oracle with planes of noise.
fn difference_of_planes(size: [u32; 2], padding: u32, spec: OutputSpec) -> u32 {
    let [width, height] = size;
    let stride = width + padding;
    let bytes: Vec<u8> = lavapipe::words(Order::Bgr8, stride, height, 5)
        .iter()
        .map(|word| (word >> 8) as u8)
        .cycle()
        .take((stride * height * 3 / 2) as usize)
        .collect();
    let (fourcc, stride_bytes) = (Fourcc::YUV420, stride as usize);
    let memory =
        Memory { fourcc, width, height, stride: stride_bytes, bytes: &bytes, pages: None, overlay: None };
    let mut importer = Importer::new(device(), spec, Handover::Mapped).expect("the output can be");
    let ticket = importer.convert(&Input::Memory(memory)).expect("the picture can be read");
    importer.wait(ticket).expect("it is made");
    let planes = Planes { width, height, stride, bytes: &bytes };
    let place = spec.place(width, height).expect("it can be placed");
    let expected = reference::scale(&planes, &spec, place);
    reference::difference(&spec, importer.mapped(ticket).expect("it is there"), &expected)
}

#[test]
fn samples_go_over_as_they_are_or_scaled() {
    for format in OutputFormat::ALL {
        let spec = OutputSpec { width: 70, height: 46, format, colour: Colour::BT709, buffers: 2 };
        let is_exact = format.is_420();
        assert!(difference_of_planes([70, 46], 6, spec) <= u32::from(!is_exact), "{format:?}");
        for size in [[140, 46], [36, 60], [16, 600]] {
            assert!(difference_of_planes(size, 0, spec) <= 1, "{format:?} {size:?}");
        }
    }
    let colour = Colour { range: Range::Full, ..Colour::BT709 };
    let spec = OutputSpec { width: 16, height: 16, format: OutputFormat::Nv12, colour, buffers: 2 };
    let mut importer = Importer::new(device(), spec, Handover::Mapped).unwrap();
    let (fourcc, bytes) = (Fourcc::YUV420, [0; 384]);
    let memory =
        Memory { fourcc, width: 16, height: 16, stride: 16, bytes: &bytes, pages: None, overlay: None };
    let refused = importer.convert(&Input::Memory(memory)).unwrap_err();
    assert!(matches!(refused, GpuError::Samples { .. }), "{refused}");
}

#[test]
fn greys_stay_grey_and_bars_are_black() {
    let spec =
        OutputSpec { width: 64, height: 32, format: OutputFormat::Nv12, colour: Colour::BT709, buffers: 2 };
    let (fourcc, _) = format::SOURCES[0];
    let mut importer = Importer::new(device(), spec, Handover::Mapped).unwrap();
    let bytes = [0xff_u8; 32 * 32 * 4];
    let memory =
        Memory { fourcc, width: 32, height: 32, stride: 128, bytes: &bytes, pages: None, overlay: None };
    let ticket = importer.convert(&Input::Memory(memory)).unwrap();
    importer.wait(ticket).unwrap();
    let mapped = importer.mapped(ticket).unwrap();
    let row = &mapped[..64];
    assert!(
        row[..16].iter().chain(&row[48..]).all(|luma| *luma == 16)
            && row[16..48].iter().all(|luma| *luma == 235)
    );
    let chroma = importer.layout().planes()[1].offset as usize;
    assert!(mapped[chroma..chroma + 64].iter().all(|chroma| *chroma == 128));
    assert!(importer.gpu_time(ticket).is_some_and(|time| !time.is_zero()));
}
