//! What a program sees of CUDA, for tests that start one: `devices` says them, or why there are none;
//! `signal FD VALUE` sets the timeline semaphore behind an inherited descriptor.

#![allow(unsafe_code, clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::ExitCode;

use punktfunk_cuda::{Cuda, Priority, Stream, TimelineSemaphore};

fn main() -> ExitCode {
    match look(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn look(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let cuda = Cuda::load()?;
    match arguments {
        [what] if what == "devices" => {
            for device in cuda.devices()? {
                println!("{} {} {}", device.name(), device.uuid(), device.pci());
            }
            Ok(())
        }
        [what, fd, value] if what == "signal" => {
            let device = cuda.devices()?.into_iter().next().ok_or("no device")?;
            let context = device.context()?;
            let stream = Stream::new(&context, Priority::Usual)?;
            // SAFETY: whoever started this has left the descriptor open for it alone.
            let fd = unsafe { OwnedFd::from_raw_fd(fd.parse()?) };
            let semaphore = TimelineSemaphore::new(&context, fd)?;
            stream.signal(&semaphore, value.parse()?)?;
            Ok(stream.wait()?)
        }
        _ => Err("devices | signal FD VALUE".into()),
    }
}
