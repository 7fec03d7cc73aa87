//! libFuzzer around one target: `PUNKTFUNK_FUZZ` names it. `cargo xtask fuzz` builds and runs this.
//!
//! It writes the target's seeds into the folder that `PUNKTFUNK_FUZZ_SEEDS` names before it begins.
#![no_main]

use std::sync::OnceLock;

use fuzz::Target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn choose() -> &'static Target {
    let name = std::env::var("PUNKTFUNK_FUZZ").unwrap_or_default();
    let target = fuzz::target(&name).unwrap_or_else(|| {
        let names: Vec<&str> = fuzz::TARGETS.iter().map(|target| target.name).collect();
        panic!("PUNKTFUNK_FUZZ={name:?} names no target; there are {}", names.join(", "))
    });
    if let Some(folder) = std::env::var_os("PUNKTFUNK_FUZZ_SEEDS") {
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            let path = std::path::Path::new(&folder).join(format!("seed-{number}"));
            std::fs::write(path, seed).expect("the folder of seeds can be written in");
        }
    }
    target
}

libfuzzer_sys::fuzz_target!(
    init: { TARGET.get_or_init(choose); },
    |input: &[u8]| { (TARGET.get_or_init(choose).run)(input) }
);
