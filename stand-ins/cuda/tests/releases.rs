//! Releases that fail. Alone in its file, since what a driver did not let go stays in its process.

mod common;

use common::{begin, loaded};
use punktfunk_cuda::{CudaError, DeviceMemory, Event};

fn made_and_dropped() -> Result<(), CudaError> {
    let (context, _stream) = begin()?;
    let _event = Event::new(&context)?;
    DeviceMemory::new(&context, 64).map(drop)
}

#[test]
fn a_failed_release_is_no_panic_and_no_error_of_what_follows() {
    let stand_in = loaded();
    for call in ["cuMemFree_v2", "cuEventDestroy_v2", "cuStreamDestroy_v2", "cuDevicePrimaryCtxRelease_v2"] {
        stand_in.fail(&format!("{call}=2"));
        assert_eq!(made_and_dropped(), Ok(()), "{call}");
        stand_in.fail("");
        assert_eq!(made_and_dropped(), Ok(()), "{call}");
    }
    // A device that is lost at a release is lost to whoever has its context next, until that is let go.
    stand_in.fail("cuMemFree_v2:1=999");
    assert_eq!(made_and_dropped(), Ok(()));
    assert!(made_and_dropped().is_err_and(|error| error.is_device_lost()));
}
