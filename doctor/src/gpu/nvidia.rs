//! NVIDIA's links: CUDA's driver, the one GPU that Vulkan and CUDA both know, NVENC and NVDEC.
//!
//! Promises: what is absent is degraded, what is there and does not work is broken, each with what helps. An encoder is
//! opened for the moment that its card is asked in, because it says nothing else; no picture is given to it.

use punktfunk_cuda::{Cuda, CudaError};
use punktfunk_gpu::{Device, GpuError};
use punktfunk_nvenc::{Caps, Codec, NvencError};

use super::{SOFTWARE, has_nvidia, nvidia_version};
use crate::sys::{Library, Silent};
use crate::{Verdict, View};

/// NVENC's interface that is needed at least: 12.1, which Linux' drivers speak since 530.41.03 (the release notes of Video
/// Codec SDK 12.1). The driver that is asked for is newer, by the CUDA that pictures are read by.
const NVENC_MIN: u32 = 12 << 4 | 1;

/// The interface that brings ten bits in H.264 and the metadata of HDR: 13.0, which drivers speak since 570 (those of 13.0).
const NVENC_FULL: u32 = 13 << 4;

/// What helps where the driver's parts are of different versions.
const ANEW: &str = "the driver's parts do not fit: install it anew, and start the machine anew";

/// A GPU as both Vulkan and CUDA name it.
type Named = ([u8; 16], String);

/// CUDA's driver and its devices.
pub(crate) fn cuda(view: &View) -> Verdict {
    let (kernel, has_gpu) = (nvidia_version(view), has_nvidia(view));
    let found = Cuda::load().and_then(|cuda| {
        let devices = cuda.devices()?;
        let named =
            |device: &punktfunk_cuda::Device| (device.name().to_owned(), device.has_timeline_semaphores());
        Ok((format!("CUDA {}", cuda.version()), devices.iter().map(named).collect::<Vec<_>>()))
    });
    match found {
        Ok((version, devices)) => {
            judge_cuda(&version, &devices, loaded_version(view, Library::Cuda), kernel, has_gpu)
        }
        Err(error) => judge_cuda_error(&error, has_gpu),
    }
}

fn judge_cuda_error(error: &CudaError, has_gpu: bool) -> Verdict {
    match error {
        CudaError::Absent if !has_gpu => {
            Verdict::degraded("no libcuda.so.1, and no NVIDIA GPU that would need it", SOFTWARE)
        }
        CudaError::Absent => Verdict::degraded(
            "no libcuda.so.1",
            format!("no encoder of NVIDIA's: {SOFTWARE}; apt install libcuda1 libnvidia-encode1"),
        ),
        _ if !has_gpu => Verdict::degraded(format!("{error}; no NVIDIA GPU needs it"), SOFTWARE),
        CudaError::TooOld { .. } => Verdict::broken(
            error.to_string(),
            format!("install NVIDIA's driver 535 or newer; until then {SOFTWARE}"),
        ),
        _ => Verdict::broken(
            error.to_string(),
            format!("do what the driver's words say, or install it anew; until then {SOFTWARE}"),
        ),
    }
}

fn judge_cuda(
    version: &str,
    devices: &[(String, bool)],
    library: Option<String>,
    kernel: Option<String>,
    has_gpu: bool,
) -> Verdict {
    let names: Vec<_> = devices.iter().map(|(name, _)| name.as_str()).collect();
    let found = match names.is_empty() {
        true => format!("{version}, no device"),
        false => format!("{version}: {}", names.join(", ")),
    };
    match judge_driver(&found, library, kernel, has_gpu || !devices.is_empty()) {
        Some(verdict) => verdict,
        None if devices.is_empty() => Verdict::degraded(
            found,
            format!("no GPU that CUDA can use: {SOFTWARE}; see nvidia-smi, CUDA_VISIBLE_DEVICES"),
        ),
        None if devices.iter().any(|(_, has_timelines)| *has_timelines) => Verdict::ok(found),
        None => Verdict::degraded(
            format!("{found}, which share no timeline semaphores"),
            format!("no hand-over from Vulkan without a wait of the host's: {SOFTWARE}"),
        ),
    }
}

/// Whether a library and the kernel's driver belong to each other; none where they do.
fn judge_driver(
    found: &str,
    library: Option<String>,
    kernel: Option<String>,
    has_gpu: bool,
) -> Option<Verdict> {
    match (library, kernel) {
        (Some(library), Some(kernel)) if library != kernel => Some(Verdict::broken(
            format!("{found}, of driver {library}, while the kernel has {kernel}"),
            "the driver was updated under a running kernel: start the machine anew",
        )),
        (_, None) if !has_gpu => {
            Some(Verdict::degraded(format!("{found}; no NVIDIA GPU needs it"), SOFTWARE))
        }
        _ => None,
    }
}

/// Whether the GPU that Vulkan converts on is one that CUDA can use.
pub(crate) fn same_gpu(view: &View) -> Verdict {
    let cuda = Cuda::load().and_then(|cuda| {
        let named = |device: punktfunk_cuda::Device| (device.uuid().0, device.name().to_owned());
        Ok(cuda.devices()?.into_iter().map(named).collect::<Vec<Named>>())
    });
    let vulkan = Device::all().map(|devices| {
        devices.into_iter().map(|device| (device.uuid.0, device.name)).collect::<Vec<Named>>()
    });
    judge_same(cuda, vulkan, has_nvidia(view))
}

fn judge_same(
    cuda: Result<Vec<Named>, CudaError>,
    vulkan: Result<Vec<Named>, GpuError>,
    has_gpu: bool,
) -> Verdict {
    let (cuda, vulkan) = (cuda.unwrap_or_default(), vulkan.unwrap_or_default());
    if cuda.is_empty() {
        let found =
            if has_gpu { "CUDA has no device (see cuda)" } else { "CUDA has no device, nor is there one" };
        return Verdict::degraded(found, SOFTWARE);
    }
    if let Some((_, name)) = vulkan.iter().find(|(uuid, _)| cuda.iter().any(|(other, _)| other == uuid)) {
        return Verdict::ok(format!("{name} is one device to Vulkan and to CUDA"));
    }
    let names = |devices: &[Named]| match devices.is_empty() {
        true => "none".to_owned(),
        false => devices.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", "),
    };
    Verdict::degraded(
        format!("Vulkan has {}, CUDA has {}, and none is both", names(&vulkan), names(&cuda)),
        "NVENC takes no pictures then, and the CPU encodes: install NVIDIA's Vulkan driver (nvidia_icd.json)",
    )
}

/// NVENC's library, and the interface that it knows.
pub(crate) fn nvenc(view: &View) -> Verdict {
    let (kernel, has_gpu) = (nvidia_version(view), has_nvidia(view));
    let library = Library::Nvenc;
    match library.version() {
        Ok(version) => judge_nvenc(version, loaded_version(view, library), kernel, has_gpu),
        Err(silent) => judge_silent(library, &silent, has_gpu, "no encoder of NVIDIA's", "libnvidia-encode1"),
    }
}

fn judge_nvenc(version: u32, library: Option<String>, kernel: Option<String>, has_gpu: bool) -> Verdict {
    let found = format!("libnvidia-encode, NVENC's interface {}.{}", version >> 4, version & 0xf);
    if let Some(verdict) = judge_driver(&found, library, kernel, has_gpu) {
        return verdict;
    }
    match version >= NVENC_MIN {
        true if version >= NVENC_FULL => Verdict::ok(found),
        true => {
            Verdict::ok(format!("{found}; HDR's metadata and ten bits in H.264 take 13.0, of driver 570"))
        }
        false => Verdict::broken(
            format!("{found}, and 12.1 is needed"),
            format!("install NVIDIA's driver 535 or newer; until then {SOFTWARE}"),
        ),
    }
}

/// What the encoder makes, by codec, of the first card that has one.
pub(crate) fn nvenc_codecs(view: &View) -> Verdict {
    judge_codecs(ask_codecs(), has_nvidia(view))
}

/// The card's name, and what it says of each codec.
type Told = (String, Vec<(Codec, Result<String, NvencError>)>);

fn ask_codecs() -> Result<Told, NvencError> {
    let library = punktfunk_nvenc::Library::load()?;
    let ask = |device: punktfunk_cuda::Device| {
        let context = device.context()?;
        let ask = |codec| (codec, library.caps(&context, codec).map(|caps| told(&caps)));
        Ok((device.name().to_owned(), Codec::ALL.map(ask).into()))
    };
    let cards = Cuda::load()?.devices()?.into_iter().map(ask);
    first_with_an_encoder(cards).unwrap_or(Err(CudaError::Absent.into()))
}

/// The card that a host takes: the first one that makes a codec; where none does, what the first one says.
fn first_with_an_encoder(
    cards: impl Iterator<Item = Result<Told, NvencError>>,
) -> Option<Result<Told, NvencError>> {
    let mut first = None;
    for told in cards {
        let makes = |(_, codecs): &Told| codecs.iter().any(|(_, told)| told.is_ok());
        if told.as_ref().is_ok_and(makes) {
            return Some(told);
        }
        first.get_or_insert(told);
    }
    first
}

fn told(caps: &Caps) -> String {
    let has = [
        (caps.ten_bits, ", 10 bits"),
        (caps.full_chroma, ", 4:4:4"),
        (!caps.sub_frame, ", slices only when all are done"),
        (!caps.invalidation, ", an IDR for each loss"),
    ];
    let words: String = has.iter().filter(|(has, _)| *has).map(|(_, words)| *words).collect();
    format!("to {}×{}{words}", caps.width_max, caps.height_max)
}

fn judge_codecs(asked: Result<Told, NvencError>, has_gpu: bool) -> Verdict {
    let (name, codecs) = match asked {
        Ok(told) => told,
        Err(NvencError::Absent | NvencError::Cuda(CudaError::Absent)) => {
            return Verdict::degraded("no encoder of NVIDIA's to ask (see cuda, nvenc)", SOFTWARE);
        }
        Err(error) => return judge_nvenc_error(&error, has_gpu),
    };
    let made: Vec<_> =
        codecs.iter().filter_map(|(codec, told)| Some(format!("{codec} {}", told.as_ref().ok()?))).collect();
    if !made.is_empty() {
        return Verdict::ok(format!("{name}: {}", made.join("; ")));
    }
    match codecs.into_iter().find_map(|(_, told)| told.err()) {
        Some(error) => judge_nvenc_error(&error, has_gpu),
        None => Verdict::degraded(format!("{name} makes no codec"), SOFTWARE),
    }
}

fn judge_nvenc_error(error: &NvencError, has_gpu: bool) -> Verdict {
    let found = error.to_string();
    match error {
        NvencError::NoEncoder { .. } | NvencError::SessionLimit { .. } | NvencError::Unable { .. } => {
            Verdict::degraded(found, SOFTWARE)
        }
        _ if has_gpu => Verdict::broken(found, format!("do what these words say; until then {SOFTWARE}")),
        _ => Verdict::degraded(format!("{found}; no NVIDIA GPU needs it"), SOFTWARE),
    }
}

/// NVDEC's library: what a client on this machine decodes by.
pub(crate) fn nvdec(view: &View) -> Verdict {
    let (kernel, has_gpu) = (nvidia_version(view), has_nvidia(view));
    let library = Library::Nvdec;
    match library.load() {
        Ok(()) => {
            let found = "libnvcuvid, for a client on this machine".to_owned();
            let unfit = judge_driver(&found, loaded_version(view, library), kernel, has_gpu);
            unfit.map_or(Verdict::ok(found), |verdict| match has_gpu {
                true => verdict,
                false => Verdict { remedy: DECODED.to_owned(), ..verdict },
            })
        }
        Err(silent) => judge_silent(library, &silent, has_gpu, "no decoder of NVIDIA's", "libnvcuvid1"),
    }
}

/// What being without NVDEC costs; a host needs none.
const DECODED: &str = "a client on this machine decodes by the CPU; a host needs none";

fn judge_silent(library: Library, silent: &Silent, has_gpu: bool, lack: &str, package: &str) -> Verdict {
    let cost = if library == Library::Nvdec { DECODED } else { SOFTWARE };
    let cause = match silent {
        Silent::NotLoaded(words) if !is_there(words) => {
            let found = format!("no {}", library.file());
            return match has_gpu {
                true => Verdict::degraded(found, format!("{lack}: {cost}; apt install {package}")),
                false => Verdict::degraded(format!("{found}, and no NVIDIA GPU that would need it"), cost),
            };
        }
        Silent::NotLoaded(words) => words.clone(),
        Silent::NoFunction(name) => format!("it has no {name}"),
        Silent::Refused(code) => format!("it answers with error {code}"),
    };
    let found = format!("{} does not work: {cause}", library.file());
    match has_gpu {
        true => Verdict::broken(found, format!("{ANEW}; until then {cost}")),
        false => Verdict::degraded(format!("{found}; no NVIDIA GPU needs it"), cost),
    }
}

/// Whether the loader's words are of a library that was found and did not load.
fn is_there(words: &str) -> bool {
    !words.contains("cannot open shared object file: No such file")
}

/// The driver's version in the name of the file that was loaded: libcuda.so.550.54.14.
fn loaded_version(view: &View, library: Library) -> Option<String> {
    let stem = library.file().trim_end_matches('1');
    let maps = view.read("/proc/self/maps").ok()?;
    let version = |line: &str| {
        let (_, version) = line.rsplit_once('/')?.1.split_once(stem)?;
        version.contains('.').then(|| version.to_owned())
    };
    maps.lines().find_map(version)
}

#[cfg(test)]
mod tests {
    use punktfunk_manage::model::CheckState;
    use stand_in_common::Loaded;

    use super::*;
    use crate::gpu::tests::NVRM;
    use crate::view::tests::machine;

    const CARD: ([u8; 16], &str) = ([9; 16], "NVIDIA H100");

    fn named((uuid, name): ([u8; 16], &str)) -> Named {
        (uuid, name.to_owned())
    }

    #[test]
    fn a_library_that_does_not_fit_the_kernel_is_broken() {
        let (_dir, view) = machine(&[
            ("/proc/driver/nvidia/version", NVRM),
            ("/proc/self/maps", "7f00-7f01 r--p 0 00:00 5 /usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15\n"),
        ]);
        let library = loaded_version(&view, Library::Cuda);
        assert_eq!(library.as_deref(), Some("550.54.15"));
        assert_eq!(loaded_version(&view, Library::Nvenc), None);
        let kernel = nvidia_version(&view);
        let devices = [("NVIDIA H100".to_owned(), true)];
        let verdict = judge_cuda("CUDA 12.4", &devices, library.clone(), kernel.clone(), true);
        assert_eq!(verdict.state, CheckState::Broken, "{verdict:?}");
        assert!(verdict.remedy.contains("start the machine anew"));
        assert_eq!(judge_nvenc(13 << 4, library, kernel.clone(), true).state, CheckState::Broken);
        let fits = judge_cuda("CUDA 12.4", &devices, kernel.clone(), kernel, true);
        assert_eq!(fits, Verdict::ok("CUDA 12.4: NVIDIA H100"));
    }

    #[test]
    fn a_driver_that_is_there_is_named_and_one_that_does_not_begin_is_broken() {
        let driver = Loaded::new(&["stand-in-cuda"]);
        let (_dir, with) = machine(&[("/proc/driver/nvidia/version", NVRM)]);
        let verdict = cuda(&with);
        assert!(verdict.state == CheckState::Ok && verdict.found.starts_with("CUDA 12.4: "), "{verdict:?}");
        for (fault, words) in [("cuInit=999", "nvidia-modprobe"), ("cuInit=803", "restart the machine")] {
            driver.fail(fault);
            let verdict = cuda(&with);
            assert!(verdict.state == CheckState::Broken && verdict.found.contains(words), "{verdict:?}");
            assert!(verdict.remedy.contains(SOFTWARE), "{verdict:?}");
            // Where there is no card, a driver that does not begin is nobody's loss.
            let (_dir, without) = machine(&[]);
            assert_eq!(cuda(&without).state, CheckState::Degraded);
        }
        driver.fail("");
        assert_eq!(driver.breaches(), 0);
    }

    #[test]
    fn cuda_without_a_device_or_without_semaphores_costs_the_encoder() {
        let none = judge_cuda("CUDA 12.4", &[], None, Some("1.2".to_owned()), true);
        assert!(
            none.state == CheckState::Degraded && none.remedy.contains("CUDA_VISIBLE_DEVICES"),
            "{none:?}"
        );
        let old = judge_cuda("CUDA 12.4", &[("a card".to_owned(), false)], None, None, true);
        assert!(old.state == CheckState::Degraded && old.found.contains("no timeline semaphores"), "{old:?}");
        assert_eq!(judge_cuda("CUDA 12.4", &[], None, None, false).state, CheckState::Degraded);
    }

    #[test]
    fn one_gpu_has_one_uuid_and_a_mismatch_is_named() {
        let other = ([1; 16], "llvmpipe");
        let same = judge_same(Ok(vec![named(CARD)]), Ok(vec![named(other), named(CARD)]), true);
        assert_eq!(same, Verdict::ok("NVIDIA H100 is one device to Vulkan and to CUDA"));
        let apart = judge_same(Ok(vec![named(CARD)]), Ok(vec![named(other)]), true);
        assert!(apart.state == CheckState::Degraded && apart.found.contains("llvmpipe"), "{apart:?}");
        let without = judge_same(Err(CudaError::Absent), Ok(vec![named(other)]), false);
        assert!(without.state == CheckState::Degraded && without.remedy == SOFTWARE, "{without:?}");
        let no_vulkan = GpuError::Loader { why: "none".to_owned() };
        assert_eq!(judge_same(Ok(vec![named(CARD)]), Err(no_vulkan), true).state, CheckState::Degraded);
    }

    #[test]
    fn what_is_absent_is_degraded_and_what_does_not_work_is_broken_where_a_gpu_is() {
        let absent =
            || Silent::NotLoaded("x: cannot open shared object file: No such file or directory".into());
        for library in [Library::Nvenc, Library::Nvdec] {
            for has_gpu in [false, true] {
                let verdict = judge_silent(library, &absent(), has_gpu, "none", "a-package");
                assert_eq!(verdict.state, CheckState::Degraded, "{verdict:?}");
                assert_eq!(verdict.remedy.contains("apt install a-package"), has_gpu, "{verdict:?}");
            }
            for fault in
                [Silent::NoFunction("f"), Silent::Refused(15), Silent::NotLoaded("wrong class".into())]
            {
                let verdict = judge_silent(library, &fault, true, "none", "a-package");
                assert_eq!(verdict.state, CheckState::Broken, "{verdict:?}");
                let verdict = judge_silent(library, &fault, false, "none", "a-package");
                assert_eq!(verdict.state, CheckState::Degraded, "{verdict:?}");
            }
        }
    }

    #[test]
    fn a_card_says_what_it_makes_and_one_without_an_engine_is_no_fault() {
        let driver = Loaded::new(&["stand-in-cuda", "stand-in-nvenc"]);
        let (_dir, view) = machine(&[("/proc/driver/nvidia/version", NVRM)]);
        let verdict = nvenc_codecs(&view);
        assert!(verdict.state == CheckState::Ok && verdict.found.contains("H.264 to "), "{verdict:?}");
        for (fault, state, words) in [
            ("nvEncOpenEncodeSessionEx=NV_ENC_ERR_NO_ENCODE_DEVICE", CheckState::Degraded, "no NVENC engine"),
            (
                "nvEncOpenEncodeSessionEx=NV_ENC_ERR_OUT_OF_MEMORY",
                CheckState::Degraded,
                "no more encoder sessions",
            ),
            ("nvEncOpenEncodeSessionEx=NV_ENC_ERR_GENERIC", CheckState::Broken, "nvEncOpenEncodeSessionEx"),
            ("cuInit=999", CheckState::Broken, "nvidia-modprobe"),
        ] {
            driver.fail(fault);
            let verdict = nvenc_codecs(&view);
            assert!(verdict.state == state && verdict.found.contains(words), "{fault}: {verdict:?}");
            assert!(verdict.remedy.contains(SOFTWARE), "{verdict:?}");
        }
        driver.fail("");
        assert_eq!(driver.breaches(), 0);
        assert_eq!(judge_codecs(Err(NvencError::Absent), false).state, CheckState::Degraded);
    }

    #[test]
    fn the_first_card_with_an_encoder_is_told_of_and_not_the_first_card() {
        let none = |name: &str| {
            let nothing = |codec| (codec, Err(NvencError::Absent));
            Ok((name.to_owned(), Codec::ALL.map(nothing).into()))
        };
        let some = |name: &str| Ok((name.to_owned(), vec![(Codec::H264, Ok("to 4096×4096".to_owned()))]));
        let name = |cards: Vec<Result<Told, NvencError>>| {
            first_with_an_encoder(cards.into_iter()).map(|told| told.map(|(name, _)| name).ok())
        };
        let lost = || Err(NvencError::from(CudaError::Absent));
        assert_eq!(name(vec![none("H100"), lost(), some("L4"), some("L40")]), Some(Some("L4".to_owned())));
        // Where none has one, the first one's words are told.
        assert_eq!(name(vec![none("H100"), none("A100")]), Some(Some("H100".to_owned())));
        assert_eq!(name(vec![lost(), none("A100")]), Some(None));
        assert_eq!(name(Vec::new()), None);
    }

    #[test]
    fn an_interface_that_is_too_old_is_broken() {
        let driver = || Some("550.54.14".to_owned());
        let older = judge_nvenc(12 << 4 | 1, driver(), driver(), true);
        assert!(older.state == CheckState::Ok && older.found.contains("driver 570"), "{older:?}");
        let newest = judge_nvenc(13 << 4, driver(), driver(), true);
        assert!(newest.state == CheckState::Ok && !newest.found.contains("570"), "{newest:?}");
        let old = judge_nvenc(11 << 4 | 1, driver(), driver(), true);
        assert!(old.state == CheckState::Broken && old.remedy.contains("535"), "{old:?}");
        assert_eq!(judge_nvenc(13 << 4, None, None, false).state, CheckState::Degraded);
    }

    #[test]
    fn without_a_driver_and_a_card_nothing_is_broken() {
        let (_dir, view) = machine(&[]);
        for verdict in [cuda(&view), same_gpu(&view), nvenc(&view), nvenc_codecs(&view), nvdec(&view)] {
            assert_eq!(verdict.state, CheckState::Degraded, "{verdict:?}");
            assert!(!verdict.remedy.contains("apt"), "{verdict:?}");
        }
    }
}
