//! Dmabufs into lavapipe: a producer's buffers by `/dev/udmabuf`, imported, kept, evicted, and refused where they
//! contradict themselves.
//!
//! Wants a kernel with udmabuf and a Mesa whose lavapipe imports dmabufs (25 and later): `cargo xtask vm` has both. All of it
//! is emulated there, and so each test makes do with one shader.

mod drm;
mod lavapipe;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use punktfunk_gpu::format::{Colour, Fourcc, LINEAR, Order, OutputFormat};
use punktfunk_gpu::producer::Produced;
use punktfunk_gpu::reference::{self, Source};
use punktfunk_gpu::{
    Dmabuf, DmabufPlane, Done, GpuError, Handover, Importer, Input, OutputSpec, SyncPoint, Syncobjs,
};

const SPEC: OutputSpec =
    OutputSpec { width: 64, height: 48, format: OutputFormat::Nv12, colour: Colour::BT709, buffers: 2 };

/// Bytes from row to row: lavapipe wants multiples of 64.
const STRIDE: u32 = 512;

/// Bytes before the picture in its buffer.
const OFFSET: u32 = 4096;

/// A producer's buffer: the memory that it draws to, and the dmabuf of it.
struct Buffer {
    memory: File,
    dmabuf: OwnedFd,
}

impl Buffer {
    fn new(bytes: u64) -> Self {
        /// `struct udmabuf_create`.
        #[repr(C)]
        struct Create {
            memfd: u32,
            flags: u32,
            offset: u64,
            size: u64,
        }
        /// `_IOW('u', 0x42, struct udmabuf_create)`, and its flag for a descriptor that programs do not inherit.
        const CREATE: libc::c_ulong = 0x4018_7542;
        const CLOEXEC: u32 = 1;
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name ends with a zero, and the descriptor is new.
        let memory = unsafe { File::from_raw_fd(libc::memfd_create(c"producer".as_ptr(), flags)) };
        memory.set_len(bytes).expect("there is memory");
        let device =
            File::options().read(true).write(true).open("/dev/udmabuf").expect("the kernel has udmabuf");
        // SAFETY: the descriptors are open; the structure is the call's and stands until it returns.
        let dmabuf = unsafe {
            assert_eq!(libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK), 0);
            let memfd = memory.as_raw_fd().cast_unsigned();
            let create = Create { memfd, flags: CLOEXEC, offset: 0, size: bytes };
            libc::ioctl(device.as_raw_fd(), CREATE, &raw const create)
        };
        assert!(dmabuf >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the descriptor is new.
        Self { memory, dmabuf: unsafe { OwnedFd::from_raw_fd(dmabuf) } }
    }

    /// One that holds a picture.
    fn with_picture(seed: u64) -> Self {
        let buffer = Self::new(u64::from(OFFSET + STRIDE * SPEC.height).next_multiple_of(4096));
        buffer.draw(seed);
        buffer
    }

    fn draw(&self, seed: u64) {
        let bytes = lavapipe::bytes(&words(seed), SPEC.width, STRIDE as usize);
        self.memory.write_all_at(&bytes, OFFSET.into()).expect("it has room");
    }

    fn plane(&self) -> DmabufPlane<'_> {
        DmabufPlane { fd: self.dmabuf.as_fd(), offset: OFFSET, stride: STRIDE }
    }
}

fn words(seed: u64) -> Vec<u32> {
    lavapipe::words(Order::Bgr8, SPEC.width, SPEC.height, seed)
}

fn input<'a>(buffer: u64, planes: &'a [DmabufPlane<'a>]) -> Dmabuf<'a> {
    let (fourcc, modifier) = (Fourcc::XRGB8888, LINEAR);
    let (width, height) = (SPEC.width, SPEC.height);
    Dmabuf { buffer, fourcc, modifier, width, height, planes, acquire: None, release: None, overlay: None }
}

fn importer() -> Importer {
    Importer::new(&lavapipe::device(), SPEC, Handover::Mapped).expect("the output can be")
}

/// Converts a picture and compares it with the oracle's.
fn check(importer: &mut Importer, dmabuf: Dmabuf<'_>, seed: u64) {
    let ticket = importer.convert(&Input::Dmabuf(dmabuf)).expect("it is imported");
    importer.wait(ticket).expect("it is made");
    let words = words(seed);
    let (width, height) = (SPEC.width, SPEC.height);
    let source = Source { order: Order::Bgr8, width, height, words: &words, overlay: None };
    let expected = reference::convert(&source, &SPEC, SPEC.place(width, height).expect("it fits"));
    let difference = reference::difference(&SPEC, importer.mapped(ticket).expect("it is there"), &expected);
    assert!(difference <= 1, "{difference}");
    importer.release(ticket, Done::Now).expect("it was lent");
}

/// Converts a picture that nobody looks at.
fn make(importer: &mut Importer, dmabuf: Dmabuf<'_>) {
    let ticket = importer.convert(&Input::Dmabuf(dmabuf)).expect("it is imported");
    importer.wait(ticket).expect("it is made");
    importer.release(ticket, Done::Now).expect("it was lent");
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("there is a /proc").count()
}

#[test]
#[ignore = "wants udmabuf and a newer Mesa: cargo xtask vm"]
fn a_buffer_is_imported_once_kept_and_let_go() {
    let device = lavapipe::device();
    let formats = device.import_formats();
    eprintln!("{}: {formats:x?}", device.description());
    assert!(
        formats
            .iter()
            .any(|(fourcc, modifiers)| { *fourcc == Fourcc::XRGB8888.0 && modifiers.contains(&LINEAR) })
    );
    let mut importer = importer();
    let buffer = Buffer::with_picture(1);
    let planes = [buffer.plane()];
    check(&mut importer, input(7, &planes), 1);
    // The producer draws the next picture into the same memory: what is kept shows it.
    buffer.draw(2);
    check(&mut importer, input(7, &planes), 2);
    let counters = importer.counters();
    assert_eq!((counters.imports, counters.cache_hits, counters.bytes_copied), (1, 1, 0), "{counters:?}");
    assert_eq!((counters.implicit_acquires, counters.unguarded_acquires), (2, 0), "{counters:?}");
    assert_eq!(counters.host_waits_acquire, 0);

    // The same number with another layout is imported anew, and the image holds the memory by itself.
    let moved = [DmabufPlane { offset: OFFSET + 64, ..buffer.plane() }];
    make(&mut importer, Dmabuf { width: 48, ..input(7, &moved) });
    assert_eq!(importer.counters().imports, 2);
    importer.forget(7).unwrap();
    let before = open_descriptors();
    for number in 100..140 {
        let buffer = Buffer::with_picture(number);
        make(&mut importer, input(number, &[buffer.plane()]));
    }
    let counters = importer.counters();
    let kept = punktfunk_gpu::limits::IMPORTS_MAX as u64;
    assert_eq!((counters.imports, counters.evictions), (42, 40 - kept), "{counters:?}");
    (100..140).for_each(|number| importer.forget(number).unwrap());
    assert_eq!(open_descriptors(), before, "each import has its own descriptor, or none, and gives it back");
}

#[test]
#[ignore = "wants udmabuf and a newer Mesa: cargo xtask vm"]
fn what_contradicts_itself_is_refused_by_name_and_harms_nothing() {
    let mut importer = importer();
    let buffer = Buffer::with_picture(3);
    let other = Buffer::with_picture(4);
    let plane = buffer.plane();
    let null = File::open("/dev/null").unwrap();
    let before = open_descriptors();
    let mut number = 0;
    let mut refused = |dmabuf: Dmabuf<'_>| {
        number += 1;
        importer.convert(&Input::Dmabuf(Dmabuf { buffer: number, ..dmabuf })).unwrap_err()
    };
    for planes in [
        &[][..],
        &[plane, plane],
        &[plane, other.plane()],
        &[DmabufPlane { fd: null.as_fd(), ..plane }],
        &[DmabufPlane { fd: buffer.memory.as_fd(), ..plane }],
        &[DmabufPlane { offset: u32::MAX, ..plane }],
        &[DmabufPlane { offset: OFFSET + 4096 * 8, ..plane }],
        &[DmabufPlane { offset: OFFSET + 2, ..plane }],
        &[DmabufPlane { stride: 0, ..plane }],
        &[DmabufPlane { stride: 252, ..plane }],
        &[DmabufPlane { stride: 258, ..plane }],
        &[DmabufPlane { stride: u32::MAX - 3, ..plane }],
    ] {
        let error = refused(input(0, planes));
        assert!(matches!(error, GpuError::Plane { .. }), "{planes:?}: {error}");
    }
    let planes = [plane];
    for (width, height) in [(0, 48), (64, 0), (u32::MAX, 48), (64, u32::MAX), (16_385, 16)] {
        let error = refused(Dmabuf { width, height, ..input(0, &planes) });
        assert!(matches!(error, GpuError::Size { .. }), "{width}x{height}: {error}");
    }
    let error = refused(Dmabuf { height: 4096, width: 1024, ..input(0, &planes) });
    assert!(matches!(error, GpuError::Plane { .. } | GpuError::Size { .. }), "{error}");
    for modifier in [0x00ff_ffff_ffff_ffff, 0x0300_0000_0060_6010] {
        let error = refused(Dmabuf { modifier, ..input(0, &planes) });
        assert!(matches!(error, GpuError::Modifier { .. }), "{error}");
        assert!(error.to_string().contains("0x0000000000000000"), "it says what would do: {error}");
    }
    let error = refused(Dmabuf { fourcc: Fourcc::YUV420, ..input(0, &planes) });
    assert!(matches!(error, GpuError::Format { .. }), "{error}");
    assert_eq!((importer.counters().imports, importer.counters().conversions), (0, 0));
    assert_eq!(open_descriptors(), before);
    check(&mut importer, input(1, &planes), 3);
}

/// A timeline of DRM's, by the virtual machine's own GPU.
struct Syncobj {
    node: File,
    handle: u32,
    fd: OwnedFd,
}

#[repr(C)]
struct Words<const COUNT: usize>([u32; COUNT]);

impl Syncobj {
    fn new() -> Self {
        let node =
            File::options().read(true).write(true).open("/dev/dri/renderD128").expect("there is a GPU");
        let mut create = Words([0; 2]);
        call(&node, 0xc008_64bf, &mut create);
        let handle = create.0[0];
        let mut to_fd = Words([handle, 0, u32::MAX, 0]);
        call(&node, 0xc010_64c1, &mut to_fd);
        // SAFETY: the descriptor is new.
        let fd = unsafe { OwnedFd::from_raw_fd(to_fd.0[2].cast_signed()) };
        Self { node, handle, fd }
    }

    fn at(&self, point: u64) -> SyncPoint<'_> {
        SyncPoint { syncobj: self.fd.as_fd(), point }
    }

    fn array(&self, kind: libc::c_ulong, point: &mut u64) {
        let (handles, points) = (&raw const self.handle as u64, &raw mut *point as u64);
        let [low, high] = [handles as u32, (handles >> 32) as u32];
        let mut array = Words([low, high, points as u32, (points >> 32) as u32, 1, 0]);
        call(&self.node, kind, &mut array);
    }

    fn signal(&self, mut point: u64) {
        self.array(0xc018_64cd, &mut point);
    }

    /// The point that it has come to.
    fn value(&self) -> u64 {
        let mut point = 0;
        self.array(0xc018_64cb, &mut point);
        point
    }
}

fn call<const COUNT: usize>(node: &File, kind: libc::c_ulong, words: &mut Words<COUNT>) {
    // SAFETY: the words are of the call's structure and stand until it returns.
    let answer = unsafe { libc::ioctl(node.as_raw_fd(), kind, &raw mut *words) };
    assert_eq!(answer, 0, "{kind:x}: {}", std::io::Error::last_os_error());
}

#[test]
#[ignore = "wants udmabuf and a newer Mesa: cargo xtask vm"]
fn a_producers_points_are_waited_for_and_brought_up() {
    let mut importer = importer();
    let buffer = Buffer::with_picture(5);
    let planes = [buffer.plane()];
    let (acquire, release) = (Syncobj::new(), Syncobj::new());
    let dmabuf = Dmabuf { acquire: Some(acquire.at(1)), release: Some(release.at(4)), ..input(1, &planes) };
    // Nobody has promised the point yet: after a bounded wait the picture is passed over.
    let late = importer.convert(&Input::Dmabuf(dmabuf)).unwrap_err();
    assert!(matches!(late, GpuError::Late { .. }), "{late}");
    assert_eq!(release.value(), 0);
    acquire.signal(1);
    check(&mut importer, dmabuf, 5);
    assert_eq!(release.value(), 4, "{:?}", importer.counters());
    assert_eq!(importer.counters().explicit_acquires, 2);
    // What is no timeline is named.
    let wrong = SyncPoint { syncobj: buffer.dmabuf.as_fd(), point: 1 };
    let refused = importer.convert(&Input::Dmabuf(Dmabuf { acquire: Some(wrong), ..dmabuf })).unwrap_err();
    assert!(matches!(refused, GpuError::System { .. }), "{refused}");
}

#[test]
#[ignore = "wants udmabuf and a newer Mesa: cargo xtask vm"]
fn what_the_gpu_itself_exports_it_imports() {
    let device = lavapipe::device();
    let produced =
        Produced::new(&device, Fourcc::XRGB8888, &[LINEAR], (SPEC.width, SPEC.height), &words(6)).unwrap();
    assert_eq!(produced.modifier(), LINEAR);
    let planes = produced.planes();
    let mut importer = Importer::new(&device, SPEC, Handover::Mapped).unwrap();
    check(&mut importer, input(1, &planes), 6);
    drop(planes);
    drop(produced);
}

#[test]
#[ignore = "wants a node of DRM's: cargo xtask vm"]
fn a_producers_timeline_is_signalled_where_no_gpu_does() {
    let node = Syncobjs::any().unwrap();
    let timeline = drm::Timeline::new(node.path());
    assert_eq!(timeline.point(), 0);
    let signal = |point| node.signal(SyncPoint { syncobj: timeline.fd.as_fd(), point });
    for (signalled, is) in [(7, 7), (9, 9), (9, 9)] {
        signal(signalled).unwrap();
        assert_eq!(timeline.point(), is);
    }
    // What a GPU has signalled further on by itself is not set back.
    signal(8).unwrap();
    assert!(timeline.point() >= 9, "{}", timeline.point());
    let file = File::open("/dev/null").unwrap();
    let refused = node.signal(SyncPoint { syncobj: file.as_fd(), point: 1 }).unwrap_err();
    assert!(matches!(refused, GpuError::System { .. }), "{refused}");
}
