//! The list's life on disk: changed, shared, damaged, and cut off at every step.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const STEPS: [Step; 7] =
    [Step::Locked, Step::Cleared, Step::Made, Step::HalfWritten, Step::Written, Step::Synced, Step::Renamed];

fn fingerprint(number: u8) -> Fingerprint {
    Fingerprint::of_certificate(&[number])
}

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join(DEVICES_FILE)
}

fn put(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn written_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut devices = Devices::load(folder.path()).unwrap();
    assert!(devices.all().is_empty() && !path(&folder).exists());
    devices.add(fingerprint(1), "the \"desk\" \u{1b}[31m\n\\ schön", 1_000).unwrap();
    devices.add(fingerprint(2), &"ö".repeat(90), 1_001).unwrap();
    assert!(devices.note_seen(&fingerprint(1), 1_002).unwrap());
    assert_eq!(fs::metadata(path(&folder)).unwrap().mode() & 0o777, 0o600);
    let again = Devices::load(folder.path()).unwrap();
    assert_eq!(again.all(), devices.all());
    assert_eq!(again.all()[0].name, "the \"desk\" ?[31m?\\ schön", "fit for a terminal");
    assert_eq!((again.all()[0].last_seen_at, again.all()[1].name.len()), (Some(1_002), NAME_BYTES_MAX));
    assert!(devices.rename(&fingerprint(2), "  ").unwrap());
    assert_eq!(devices.all()[1].name, "a device without a name");
    assert!(devices.remove(&fingerprint(1)).unwrap() && !devices.remove(&fingerprint(1)).unwrap());
    assert!(!devices.note_seen(&fingerprint(1), 1).unwrap(), "one that is gone does not come back");
    assert_eq!(Devices::load(folder.path()).unwrap().fingerprints(), [fingerprint(2)]);
}

#[test]
fn a_device_that_pairs_again_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut devices = Devices::load(folder.path()).unwrap();
    devices.add(fingerprint(1), "old", 1).unwrap();
    devices.add(fingerprint(1), "new", 2).unwrap();
    assert_eq!(devices.all().len(), 1);
    let (text, name) =
        (fingerprint(1).to_string(), |text: &str| devices.meant_by(text).map(|one| one.name.clone()));
    assert_eq!(name("new"), Ok("new".into()));
    assert_eq!(name(&text[..8].to_uppercase()), Ok("new".into()));
    for nobody in ["", "old", "ne", &text[..7]] {
        assert_eq!(name(nobody), Err(MeantError::Nobody { text: nobody.into() }));
    }
    devices.add(fingerprint(2), "new", 3).unwrap();
    assert!(matches!(devices.meant_by("new"), Err(MeantError::Several { .. })));
    assert_eq!(devices.meant_by(&text[..20]).unwrap().fingerprint, fingerprint(1));
}

#[test]
fn the_list_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let device = |number: usize| Device {
        fingerprint: Fingerprint::of_certificate(&number.to_le_bytes()),
        // The longest form that a name can take: each byte as an escape of six.
        name: "\u{7f}".repeat(NAME_BYTES_MAX),
        paired_at: u64::MAX >> 1,
        last_seen_at: Some(u64::MAX >> 1),
    };
    let all: Vec<_> = (0..DEVICES_MAX).map(device).collect();
    let text = text_of(&all);
    assert!(text.len() as u64 <= DEVICES_BYTES_MAX, "{}", text.len());
    put(&path(&folder), text);
    let mut devices = Devices::load(folder.path()).unwrap();
    assert!(matches!(devices.add(fingerprint(1), "x", 1), Err(DevicesError::Full)));
    devices.add(all[7].fingerprint, "x", 1).unwrap();
    assert_eq!(devices.all().len(), DEVICES_MAX);
}

#[test]
fn a_hostile_file_is_named_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let good = text_of(&[Device {
        fingerprint: fingerprint(1),
        name: "x".into(),
        paired_at: 1,
        last_seen_at: None,
    }]);
    let line = format!("fingerprint = \"{}\"", fingerprint(1));
    let twice = good.clone() + &good[HEAD.len()..];
    let hostile: [Vec<u8>; 12] = [
        b"\xff\xfe".to_vec(),
        b"device = 1".to_vec(),
        b"[[device]]\n".to_vec(),
        b"[[device]]\nname = \"\x1b[2J\"".to_vec(),
        good.replace(&line, "fingerprint = \"ab\"").into(),
        good.replace(&line, "fingerprint = 7").into(),
        good.replace("paired_at = 1", "paired_at = -1").into(),
        good.replace("paired_at = 1", "paired_at = 1e99").into(),
        good.replace("name = \"x\"", "name = \"x\"\ntrusted = true").into(),
        good.replace("name = \"x\"", "").into(),
        twice.into(),
        vec![b'#'; DEVICES_BYTES_MAX as usize + 1],
    ];
    for bytes in hostile {
        put(&path(&folder), &bytes);
        let error = Devices::load(folder.path()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, DevicesError::Damaged { .. }), "{text}");
        assert!(text.contains(path(&folder).to_str().unwrap()) && !text.contains('\u{1b}'), "{text}");
        let mut devices = Devices { folder: folder.path().to_owned(), devices: Vec::new(), version: None };
        assert!(devices.add(fingerprint(2), "x", 1).is_err());
        assert_eq!(fs::read(path(&folder)).unwrap(), bytes);
    }
    for length in 0..good.len() {
        put(&path(&folder), &good[..length]);
        // Cut off, it may be a shorter list; it is never another one.
        for device in Devices::load(folder.path()).iter().flat_map(Devices::all) {
            assert_eq!(device.fingerprint, fingerprint(1));
        }
    }
    put(&path(&folder), &good);
    fs::set_permissions(path(&folder), fs::Permissions::from_mode(0o640)).unwrap();
    let error = Devices::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
}

/// What the test below runs in another process: a change that ends at a step, as by SIGKILL.
#[test]
fn die_at_a_step() {
    let Ok(text) = std::env::var("PUNKTFUNK_TEST_DIE") else { return };
    let (step, folder) = text.split_once(' ').unwrap();
    let mut devices = Devices::load(Path::new(folder)).unwrap();
    let device = Device { fingerprint: fingerprint(9), name: "new".into(), paired_at: 9, last_seen_at: None };
    let add = |devices: &mut Vec<Device>| {
        devices.push(device);
        Ok(true)
    };
    let died = devices.change_by(add, |reached| {
        if format!("{reached:?}") == step {
            std::process::abort();
        }
    });
    panic!("it did not come to {step}: {died:?}");
}

#[test]
fn a_crash_at_any_point_leaves_the_old_file_whole() {
    for step in STEPS {
        let folder = tempfile::tempdir().unwrap();
        let mut devices = Devices::load(folder.path()).unwrap();
        devices.add(fingerprint(1), "old", 1).unwrap();
        let old = fs::read(path(&folder)).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["devices::tests::die_at_a_step", "--exact", "--quiet"])
            .env("PUNKTFUNK_TEST_DIE", format!("{step:?} {}", folder.path().display()))
            .output()
            .unwrap();
        let aborted = std::os::unix::process::ExitStatusExt::signal(&status.status);
        assert_eq!(aborted, Some(6), "{step:?}: {}", String::from_utf8_lossy(&status.stderr));
        if step != Step::Renamed {
            assert_eq!(fs::read(path(&folder)).unwrap(), old, "{step:?}");
        }
        let found = Devices::load(folder.path()).unwrap();
        assert_eq!(found.all().len(), if step == Step::Renamed { 2 } else { 1 }, "{step:?}");
        devices.add(fingerprint(2), "next", 2).unwrap();
        assert!(devices.find(&fingerprint(2)).is_some(), "and the next change finds nothing in its way");
        assert!(!folder.path().join(NEW_FILE).exists());
    }
}

#[test]
fn what_others_write_is_seen_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (mut here, mut there) =
        (Devices::load(folder.path()).unwrap(), Devices::load(folder.path()).unwrap());
    there.add(fingerprint(1), "theirs", 1).unwrap();
    assert!(here.poll_changed().unwrap() && !here.poll_changed().unwrap());
    assert_eq!(here.fingerprints(), [fingerprint(1)]);
    there.add(fingerprint(2), "theirs too", 1).unwrap();
    here.add(fingerprint(3), "ours", 1).unwrap();
    assert_eq!(here.fingerprints(), [1, 2, 3].map(fingerprint), "neither undoes the other");
    assert!(!here.poll_changed().unwrap(), "our own change is no news");
    there.remove(&fingerprint(1)).unwrap();
    assert!(!here.note_seen(&fingerprint(1), 5).unwrap(), "nor brings back what was revoked");
    put(&path(&folder), "nonsense");
    assert!(here.poll_changed().is_err());
    assert_eq!(here.fingerprints(), [2, 3].map(fingerprint), "what was read last stays");
    fs::remove_file(path(&folder)).unwrap();
    assert!(here.poll_changed().unwrap() && here.all().is_empty(), "a list taken away trusts nobody");
}

#[test]
fn many_writers_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let folder = folder.path();
            scope.spawn(move || {
                let mut devices = Devices::load(folder).unwrap();
                devices.add(fingerprint(number), "x", 1).unwrap();
            });
        }
    });
    assert_eq!(Devices::load(folder.path()).unwrap().all().len(), 8);
}

#[test]
fn a_lock_that_is_held_is_not_waited_for_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut devices = Devices::load(folder.path()).unwrap();
    let held = lock(&folder.path().join(LOCK_FILE)).unwrap();
    assert!(matches!(devices.add(fingerprint(1), "x", 1), Err(DevicesError::Busy { .. })));
    drop(held);
    devices.add(fingerprint(1), "x", 1).unwrap();
}
