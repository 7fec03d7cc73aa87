//! The settings that both programs have: what they log, and how they use the machine.
//!
//! Promises: one text for both. What a value may be is the rooms' own to say: `check` asks them.

use crate::table::{Check, Form, Setting};

/// What is logged.
pub fn log(default: &'static str, check: Check) -> Setting {
    let help = "What is logged: error, warn, info, debug or trace, or a filter such as punktfunk_host=debug.";
    Setting::of_variable("log", "PUNKTFUNK_LOG", Form::Text, (default, help), check)
}

/// How the machine is used, section `machine`.
pub fn machine(check: Check) -> Vec<Setting> {
    let row = |(key, variable, form, said): &Row| {
        let row = Setting::of_variable(key, variable, *form, *said, check);
        // It names a place on the disk.
        if *key == "machine.perf" { row.by_hand() } else { row }
    };
    MACHINE.iter().map(row).collect()
}

type Row = (&'static str, &'static str, Form, (&'static str, &'static str));

const MACHINE: [Row; 10] = [
    (
        "machine.pin",
        "PUNKTFUNK_PIN",
        Form::Switch,
        ("true", "Give each stage a core of its own where there are enough."),
    ),
    (
        "machine.realtime",
        "PUNKTFUNK_REALTIME",
        Form::Switch,
        ("true", "Run the stages under SCHED_FIFO where the system allows it."),
    ),
    ("machine.lock_memory", "PUNKTFUNK_MLOCK", Form::Switch, ("true", "Keep the program's memory in RAM.")),
    (
        "machine.spin_us",
        "PUNKTFUNK_SPIN_US",
        Form::Number,
        ("", "For how many microseconds a stage with a core of its own looks for work before it sleeps."),
    ),
    (
        "machine.stages",
        "PUNKTFUNK_STAGES",
        Form::Text,
        (
            "\"auto\"",
            "Whether the stages share a thread: auto (by the cores that there are), together or apart.",
        ),
    ),
    (
        "machine.fec_kernel",
        "PUNKTFUNK_FEC_KERNEL",
        Form::Text,
        (
            "",
            "The instructions that parity is computed with: avx512-gfni, avx2-gfni, avx2 or scalar; by default the \
             fastest that this CPU has.",
        ),
    ),
    (
        "machine.seal",
        "PUNKTFUNK_SEAL",
        Form::Text,
        (
            "",
            "What seals and opens datagrams: aws-lc, ring, vaes512 or vaes256; by default the fastest, measured at \
             the start.",
        ),
    ),
    (
        "machine.cipher",
        "PUNKTFUNK_CIPHER",
        Form::Text,
        (
            "",
            "The only cipher that is offered: aes or chacha; by default what this CPU does best, and the other one too.",
        ),
    ),
    (
        "machine.send",
        "PUNKTFUNK_NET",
        Form::Text,
        ("", "How datagrams leave: gso, sendmmsg, scalar or uring; by default the fastest that works."),
    ),
    (
        "machine.perf",
        "PUNKTFUNK_PERF",
        Form::Text,
        (
            "",
            "A folder for each stage's latency histograms, and after a comma every how many seconds they are written; \
             punktfunk-perf report draws them.",
        ),
    ),
];
