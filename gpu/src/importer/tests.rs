//! An importer whose GPU does not come to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ash::vk;

use super::*;
use crate::Choice;
use crate::error::Link;
use crate::format::OutputFormat;

const SIDES: (u32, u32) = (64, 48);

#[test]
fn what_a_gpu_does_not_let_go_is_left_to_it_in_bounded_time() {
    let device = Device::open(&Choice::Software).expect("lavapipe is installed (mesa-vulkan-drivers)");
    let (format, colour) = (OutputFormat::Nv12, Colour::BT709);
    let spec = OutputSpec { width: SIDES.0, height: SIDES.1, format, colour, buffers: 2 };
    let mut importer = Importer::new(&device, spec, Handover::Mapped).expect("it is made");
    // Nothing on the queue goes on before this.
    let gate = Timeline::new(&device.shared, false).expect("there is one");
    let waits = [vk::SemaphoreSubmitInfo::default()
        .semaphore(gate.handle)
        .value(1)
        .stage_mask(vk::PipelineStageFlags2::ALL_COMMANDS)];
    let over = Timeline::new(&device.shared, false).expect("there is one");
    let tells = [vk::SemaphoreSubmitInfo::default()
        .semaphore(over.handle)
        .value(1)
        .stage_mask(vk::PipelineStageFlags2::ALL_COMMANDS)];
    let work = vk::SubmitInfo2::default().wait_semaphore_infos(&waits).signal_semaphore_infos(&tells);
    device.shared.submit(&work, Link::Convert).expect("it begins");
    let bytes = vec![0x5a; (SIDES.0 * SIDES.1 * 4) as usize];
    let (fourcc, stride) = (Fourcc::XRGB8888, SIDES.0 as usize * 4);
    let (width, height, pages, overlay) = (SIDES.0, SIDES.1, None, None);
    let memory = Memory { fourcc, width, height, stride, bytes: &bytes, pages, overlay };
    let ticket = importer.convert(&Input::Memory(memory)).expect("it begins");
    assert!(!importer.is_done(ticket).expect("it is not lost"));
    let began = Instant::now();
    drop(importer);
    let most = Duration::from_nanos(GPU_PATIENCE_NS + 2 * READER_PATIENCE_NS);
    assert!(began.elapsed() < most, "{:?}", began.elapsed());
    assert_eq!(device.left_behind(), 1);
    // It goes on, with all that it has.
    gate.bring_up(1).expect("it is not lost");
    over.wait(1).expect("it is done");
    let mut other = Importer::new(&device, spec, Handover::Mapped).expect("it is made");
    let ticket = other.convert(&Input::Memory(memory)).expect("it begins");
    other.wait(ticket).expect("it is made");
    let shared = Arc::clone(&device.shared);
    drop((other, device));
    assert!(Arc::strong_count(&shared) > 3, "what was left keeps the device");
}
