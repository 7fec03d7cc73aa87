//! What comes before `cuInit` is refused. Alone in its file, since a process begins the driver once.

#![allow(unsafe_code, clippy::unwrap_used)]

mod common;

#[test]
fn nothing_comes_before_the_beginning() {
    const NOT_INITIALIZED: i32 = 3;
    let loaded = common::loaded();
    let mut number = 0;
    // SAFETY: these are the functions' types, and there is room for one number.
    let (count, version) = unsafe {
        let function =
            |name| *loaded.libraries()[0].get::<unsafe extern "C" fn(*mut i32) -> i32>(name).unwrap();
        (function("cuDeviceGetCount")(&raw mut number), function("cuDriverGetVersion")(&raw mut number))
    };
    assert_eq!((count, version), (NOT_INITIALIZED, 0));
    assert_eq!(loaded.breaches(), 1);
}
