//! Faults of the machine itself: its clock, and what it lets a program do.

use crate::patient::Patient;

#[test]
fn names_leave_that_is_not_given() {
    let Some(mut patient) = Patient::within("") else { return };
    let seen = patient.diagnose();
    seen.expect("realtime", "ok", &["SCHED_FIFO is given"]);
    seen.expect("locked-memory", "ok", &["as much as wished"]);
    seen.expect("udp-buffers", "ok", &["32768 KiB to send from"]);
    let limits = ["prlimit", "--rtprio=0:0", "--memlock=65536:65536"];
    patient.before(&[&limits[..], &["setpriv", "--bounding-set=-all", "--inh-caps=-all"]].concat());
    let seen = patient.diagnose();
    seen.expect("realtime", "degraded", &["refused", "LimitRTPRIO"]);
    seen.expect("locked-memory", "degraded", &["64 KiB at most", "LimitMEMLOCK"]);
    let limit = std::fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap();
    // A machine that has the sysctl file gives the buffers to everyone.
    if limit.trim().parse::<usize>().unwrap() < 32 << 20 {
        seen.expect("udp-buffers", "degraded", &["sudo sysctl -w", "net.core.wmem_max=33554432"]);
    }
    patient.env("PUNKTFUNK_REALTIME", "off");
    patient.env("PUNKTFUNK_MLOCK", "off");
    let seen = patient.diagnose();
    seen.expect("realtime", "ok", &["not wished for"]);
    seen.expect("locked-memory", "ok", &["not wished for"]);
}

#[test]
fn names_a_slow_clock() {
    let clock = |source: &str| {
        let folder = "/sys/devices/system/clocksource/clocksource0";
        format!(
            "mount -t tmpfs tmpfs /mnt; echo {source} > /mnt/a; echo {source} tsc > /mnt/b; mount --bind /mnt/a \
             {folder}/current_clocksource; mount --bind /mnt/b {folder}/available_clocksource"
        )
    };
    let Some(patient) = Patient::within(&clock("kvm-clock")) else { return };
    patient.diagnose().expect("clock", "ok", &["kvm-clock"]);
    let patient = patient.with_script(&clock("hpet"));
    patient.diagnose().expect("clock", "degraded", &["hpet", "echo tsc | sudo tee"]);
}

#[test]
fn names_too_few_cores() {
    let mut patient = Patient::new();
    patient.before(&["taskset", "-c", "0"]);
    patient.diagnose().expect("cores", "degraded", &["1 for this program", "share a thread"]);
    patient.before(&[]);
    let cores = std::thread::available_parallelism().unwrap().get();
    patient.diagnose().expect(
        "cores",
        if cores < 3 { "degraded" } else { "ok" },
        &[&format!("{cores} for this")],
    );
}
