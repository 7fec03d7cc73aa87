//! Devices, by lavapipe: found, chosen, and refused with what there is.

mod lavapipe;

use punktfunk_gpu::{Choice, Device, GpuError, Uuid};

#[test]
fn the_cpu_is_found_described_and_opened_when_it_is_asked_for() {
    lavapipe::only();
    let all = Device::all().unwrap();
    assert!(all.iter().any(|device| device.is_software && device.name.contains("llvmpipe")), "{all:?}");
    let device = lavapipe::device();
    assert!(device.description().is_software && device.description().vulkan >= (1, 3));
    assert!(device.caps().timestamps.is_some(), "{:?}", device.caps());
    let same = Device::open(&Choice::Uuid(device.uuid())).unwrap();
    assert_eq!(same.description(), device.description());
    // There is nothing else here, and nothing else is what "automatic" falls back from.
    assert!(Device::open(&Choice::Automatic).unwrap().description().is_software);
}

#[test]
fn what_is_not_there_is_refused_with_what_there_is() {
    lavapipe::only();
    let refused = Device::open(&Choice::Uuid(Uuid([7; 16]))).unwrap_err();
    assert!(matches!(refused, GpuError::NoDevice { .. }));
    let words = refused.to_string();
    assert!(words.contains("07070707-0707") && words.contains("llvmpipe"), "{words}");
}
