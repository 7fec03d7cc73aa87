//! Tests of plans: what is read, what is refused and how, and hostile text.

use super::*;
use proptest::prelude::*;

/// A plan with a value for every key.
const FULL: &str = r#"
seed = 7
aus = 20
size = "2KB..40KB"
slices = 2
idr_each = 10
idr_size = "60KB"
references = true
refresh_hz = 120
bitrate = "300Mbit/s"
pace_burst = "64KB"
paced = true
redundancy = "20%"
adaptive = true
resend = true
shard_bytes = 1408
mtu_known_after = "20ms"

[channel]
loss = "1%"
burst = "2%x8"
burst_density = "90%"
reorder = "2%x3ms"
duplicate = "1%"
corrupt = "1%"
interface = "1Gbit/s"
rate_limit = "800Mbit/s"
queue = "64KB"
delay = "1ms"
jitter = "2ms"
blackouts = ["20ms+10ms"]
mtu = ["1500@0ms", "1280@50ms"]

[feedback]
loss = "10%"
delay = "2ms"

[sweep]
losses = ["1%", "5%"]
bursts = [1, 8]
sizes = ["2KB", "10KB..40KB"]
redundancies = ["5%", "10%"]
resends = [false, true]
cell_bytes = "1MB"
"#;

fn error_of(text: &str) -> String {
    let checked = Plan::parse(text).and_then(|plan| {
        plan.check()?;
        plan.sweep.clone().unwrap_or_default().cells(&plan).map(drop)
    });
    checked.unwrap_err().to_string()
}

#[test]
fn the_default_plan_runs_and_survives_its_own_file() {
    let plan = Plan::default();
    plan.check().unwrap();
    assert_eq!(Plan::parse("").unwrap(), plan);
    let full = Plan::parse(FULL).unwrap();
    full.check().unwrap();
    assert_eq!(full.sweep.as_ref().unwrap().cells(&full).unwrap().len(), 32);
    let text = toml_text(&full);
    assert_eq!(Plan::parse(&text).unwrap(), full, "{text}");
}

/// The workspace's toml reads only, so the text goes by way of JSON's values.
fn toml_text(plan: &Plan) -> String {
    let serde_json::Value::Object(keys) = serde_json::to_value(plan).unwrap() else { panic!("a table") };
    let line = |(key, value): (&String, &serde_json::Value)| format!("{key} = {value}\n");
    let (tables, plain): (Vec<_>, Vec<_>) = keys.iter().partition(|(_, value)| value.is_object());
    let mut text: String = plain.into_iter().map(line).collect();
    for (name, table) in tables {
        text += &format!("[{name}]\n");
        text.extend(table.as_object().unwrap().iter().map(line));
    }
    text
}

#[test]
fn errors_name_the_key_and_what_was_expected() {
    for (text, wanted) in [
        ("[channel]\nlos = '5%'", ["los", "loss"]),
        ("[channel]\nloss = '5'", ["loss", "5%"]),
        ("[channel]\nloss = 5", ["loss", "string"]),
        ("[feedback]\nloss = '5'", ["loss", "5%"]),
        ("sise = '1KB'", ["sise", "size"]),
        ("size = '4MB..2KB'", ["size", "2KB..4MB"]),
        ("aus = 0", ["aus", "1 to 1000000"]),
        ("refresh_hz = 1000", ["refresh_hz", "1 to 480"]),
        ("size = '65MiB'", ["size", "67108864"]),
        ("idr_size = '65MiB'", ["idr_size", "67108864"]),
        ("pace_burst = '2000MiB'", ["pace_burst", "1073741824"]),
        ("slices = 0", ["slices_max", "1 to 64"]),
        ("shard_bytes = 1400", ["shard_bytes_max", "multiple of 64"]),
        ("bitrate = '9Gbit/s'", ["bitrate_kbps", "8000000"]),
        ("[channel]\nqueue = '1KB'", ["channel.queue", "1448"]),
        ("[channel]\nqueue = '513MiB'", ["channel.queue", "536870912"]),
        ("[channel]\ndelay = '3s'", ["channel.delay", "2000 Mbit/s"]),
        ("[channel]\nreorder = '1%x3s'", ["channel.delay", "2000 Mbit/s"]),
        ("[feedback]\njitter = '3s'", ["feedback.delay", "2000 Mbit/s"]),
        ("[channel]\nburst = '60%x1'", ["channel.burst", "50%"]),
        ("[channel]\nburst = '5%x8'\nburst_density = '5%'", ["channel.burst", "4.444444%"]),
        ("[channel]\nburst = '5%x8'\nburst_density = '0%'", ["channel.burst", "at most 0%"]),
        ("[channel]\nblackouts = ['1s']", ["blackouts", "2s+200ms"]),
        ("[channel]\nmtu = ['1280']", ["mtu", "1280@2s"]),
        ("[channel]\nmtu = ['1280@2s', '1500@1s']", ["channel.mtu", "order"]),
        ("[sweep]\nlosses = []", ["sweep.losses", "1 to 10000"]),
        ("[sweep]\nlosses = ['x']", ["losses", "5%"]),
        ("[sweep]\nbursts = [0.5]", ["sweep.bursts", "1 to 1000000"]),
        ("[sweep]\nbursts = [nan]", ["sweep.bursts", "NaN"]),
        ("[sweep]\nlosses = ['99%']\nbursts = [8]", ["channel.burst", "88.888889%"]),
        ("aus = ", ["aus", "line 1"]),
    ] {
        let error = error_of(text);
        assert!(wanted.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
    let axis = format!("[{}]", vec!["'1%'"; 200].join(","));
    let error = error_of(&format!("[sweep]\nlosses = {axis}\nredundancies = {axis}"));
    assert!(error.contains("its cells") && error.contains("40000"), "{error}");
}

#[test]
fn errors_of_files_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    let error_of = |text: &[u8]| {
        std::fs::write(&path, text).unwrap();
        Plan::read(&path).unwrap_err().to_string()
    };
    assert!(error_of(b"sise = 1").contains("bad.toml"));
    assert!(error_of(b"\xff").contains("bad.toml"));
    assert!(error_of(&vec![b'#'; 1 << 20 | 1]).contains("at most 1048576 bytes"));
    assert!(error_of(b"[channel]\ntrace = ''").contains("channel.trace"));
    let error = error_of(b"[channel]\ntrace = 'none.trace'");
    assert!(error.contains("bad.toml") && error.contains("none.trace"), "{error}");
    std::fs::write(folder.path().join("air.trace"), "lost\nlose\n").unwrap();
    let error = error_of(b"[feedback]\ntrace = 'air.trace'");
    assert!(error.contains("air.trace") && error.contains("line 2"), "{error}");
    let error = Plan::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no file"), "{error}");
    std::fs::write(folder.path().join("air.trace"), "2 lost\n").unwrap();
    std::fs::write(&path, "[channel]\ntrace = 'air.trace'").unwrap();
    assert_eq!(Plan::read(&path).unwrap().channel.trace.unwrap().trace().to_string(), "2 lost\n");
}

proptest! {
    #[test]
    fn mutated_plans_never_panic(at in any::<usize>(), byte in any::<u8>(), cut in any::<usize>(), insert in "[^a]{0,4}") {
        let mut bytes = FULL.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let cut = (0..=cut % (text.len() + 1)).rev().find(|cut| text.is_char_boundary(*cut)).unwrap_or(0);
        for text in [text.clone(), format!("{}{insert}{}", &text[..cut], &text[cut..]), text[..cut].to_owned()] {
            if let Ok(plan) = Plan::parse(&text) && plan.check().is_ok() {
                let _ = plan.sweep.clone().unwrap_or_default().cells(&plan);
            }
        }
    }
}

/// A number that a value of a plan may be, or far from it.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("0".to_owned()),
        Just("-1".to_owned()),
        Just("1e300".to_owned()),
        Just("nan".to_owned()),
        Just("18446744073709551615".to_owned()),
        any::<u32>().prop_map(|number| number.to_string()),
        (0u32..20).prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// One number of the plan is exchanged for another; whatever passes the check runs to a right end.
    #[test]
    fn what_passes_the_check_can_be_run(index in 0usize..60, number in number()) {
        let mut starts: Vec<usize> = Vec::new();
        let is_digit = |at: usize| FULL.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        (1..FULL.len()).filter(|at| is_digit(*at) && !is_digit(*at - 1)).for_each(|at| starts.push(at));
        let start = starts[index % starts.len()];
        let end = (start..).find(|at| !is_digit(*at)).unwrap();
        let text = format!("{}{number}{}", &FULL[..start], &FULL[end..]);
        if let Ok(mut plan) = Plan::parse(&text) && plan.check().is_ok() && plan.size.max.0 < 1_000_000 {
            plan.aus = plan.aus.min(12);
            let outcome = crate::run::run(&plan, &mut crate::progress::Progress::silent()).unwrap();
            prop_assert!(outcome.is_right(), "{text}\n{outcome:?}");
        }
    }
}
