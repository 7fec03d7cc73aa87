//! The fragments of a recording, read box by box: where each begins and ends in the file and in time.

use super::*;

/// Name and body of each box.
fn boxes(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let size = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        all.push((&bytes[4..8], &bytes[8..size]));
        bytes = &bytes[size..];
    }
    all
}

fn inner<'a>(bytes: &'a [u8], name: &[u8; 4]) -> &'a [u8] {
    boxes(bytes).into_iter().find(|(other, _)| other == name).map(|(_, body)| body).unwrap()
}

/// One `moof` with its `mdat`.
struct Fragment {
    /// Where it ends in the file.
    end: usize,
    first_us: u64,
    durations_us: Vec<u64>,
}

/// The durations of a run (ISO/IEC 14496-12 section 8.8.8).
fn durations(trun: &[u8]) -> Vec<u64> {
    let word = |at: usize| u32::from_be_bytes(trun[at..at + 4].try_into().unwrap());
    let words_of = |flags: u32| (word(0) & flags).count_ones() as usize;
    assert_eq!(words_of(0x100), 1, "each picture has its duration");
    let (first, stride) = (8 + 4 * words_of(0x005), 4 * words_of(0xf00));
    (0..word(4) as usize).map(|index| u64::from(word(first + index * stride))).collect()
}

/// Where the header ends, and what comes behind it.
fn read(file: &[u8]) -> (usize, Vec<Fragment>) {
    let (mut at, mut header, mut fragments) = (0, 0, Vec::<Fragment>::new());
    for (name, body) in boxes(file) {
        at += 8 + body.len();
        match name {
            b"ftyp" | b"moov" => header = at,
            b"mdat" => fragments.last_mut().unwrap().end = at,
            b"moof" => {
                let traf = inner(body, b"traf");
                let (tfdt, trun) = (inner(traf, b"tfdt"), inner(traf, b"trun"));
                assert_eq!(tfdt[0], 1, "64 bits of time");
                fragments.push(Fragment {
                    end: 0,
                    first_us: u64::from_be_bytes(tfdt[4..12].try_into().unwrap()),
                    durations_us: durations(trun),
                });
            }
            _ => panic!("{}", String::from_utf8_lossy(name)),
        }
    }
    (header, fragments)
}

/// Damage-driven pictures come as they will, and a clock looks at the recording between them.
#[test]
fn no_fragment_reaches_into_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.mp4");
    // Spaced by 1 to 390 ms: after a long interval there is often a short one.
    let mut at_us = 0;
    let times: Vec<u64> = (0..150_u64)
        .map(|index| {
            at_us += 1_000 + index * index * 7_919 % 390_000 / (1 + index % 3 * 20);
            at_us
        })
        .collect();
    let aus = encode((320, 180), &times, &[0, 50, 51, 120]);
    let (file, start) = (OutFile::open(&path).unwrap(), Instant::now());
    let mut writer =
        Writer::new(move || file.begin().map(|file| Box::new(file) as Box<dyn Medium>), Format::Mp4);
    let mut looked_us = 0;
    for au in &aus {
        while looked_us < au.at_us {
            writer.handle_time(start + Duration::from_micros(looked_us)).unwrap();
            looked_us += 7_000;
        }
        writer.write(&au.bytes, au.at_us as u32, au.sides, start + Duration::from_micros(au.at_us)).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), aus.len() as u64);
    let (_, fragments) = read(&fs::read(path).unwrap());
    let mut seen_us = Vec::new();
    let (mut end_us, mut open) = (0, 0);
    for Fragment { first_us, durations_us, .. } in &fragments {
        assert!(*first_us >= end_us, "a fragment at {first_us} us begins before {end_us} us");
        open += usize::from(*first_us > end_us);
        end_us = *first_us;
        for duration_us in durations_us {
            seen_us.push(end_us);
            end_us += duration_us;
        }
    }
    assert!(open > 10 && fragments.len() - open > 4, "both by the clock and by what comes: {open}");
    assert_eq!(seen_us, expected(&aus).iter().map(|(at_us, _)| *at_us).collect::<Vec<_>>());
    let last_us = fragments.last().and_then(|fragment| fragment.durations_us.last());
    assert!(
        last_us.is_some_and(|last_us| *last_us > 500),
        "the last picture is to be seen, too: {last_us:?}"
    );
}

/// How many pictures of a file are decoded; `None` without ffprobe.
fn played(path: &Path) -> Option<usize> {
    let output = Command::new("ffprobe")
        .args(["-v", "quiet", "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(path)
        .output();
    let Ok(output) = output else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "ffprobe must be installed under CI");
        eprintln!("not checked: ffprobe is not installed (apt install ffmpeg)");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap_or(0))
}

/// Cut off at any byte, it plays up to its last whole fragment, and a fragment holds what the promise lets it.
#[test]
fn what_was_written_before_a_kill_plays() {
    let folder = tempfile::tempdir().unwrap();
    let aus = encode((160, 96), &uneven(0, 90), &[0, 45]);
    let (path, _) = record(Format::Mp4, &folder, &aus);
    let whole = fs::read(&path).unwrap();
    let (header, fragments) = read(&whole);
    for fragment in &fragments {
        let gathered_us: u64 = fragment.durations_us.iter().sum();
        assert!(gathered_us <= LOST_MAX.as_micros() as u64, "{gathered_us} us");
    }
    let borders = fragments.iter().map(|fragment| fragment.end).chain([header]);
    let mut cuts: Vec<usize> = borders.flat_map(|end| [end - 1, end, end + 1]).collect();
    cuts.extend((1..7).map(|part| whole.len() * part / 7));
    for cut in cuts.into_iter().filter(|cut| *cut <= whole.len()) {
        let cut_off = folder.path().join("cut.mp4");
        fs::write(&cut_off, &whole[..cut]).unwrap();
        let kept = fragments.iter().filter(|fragment| fragment.end <= cut);
        let kept: usize = kept.map(|fragment| fragment.durations_us.len()).sum();
        let Some(played) = played(&cut_off) else { return };
        assert!(played >= kept, "{played} of {kept} pictures, cut at {cut}");
        assert!(kept > 0 || cut <= fragments[0].end, "{cut}");
    }
    assert_eq!(played(&path), Some(aus.len()));
}
