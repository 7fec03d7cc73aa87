//! Sources whose pictures a thread of their own captures.
//!
//! What is it: a [`Source`] over the exchange that the thread puts its pictures into; what there is to capture, and
//! from whom, is an [`Origin`]. What does it promise: a start takes no longer than it was told, whatever the other side
//! does; no verb waits longer than it was told; a source that is dropped has ended its thread; a thread that panics is
//! an end that is told. What does it refuse: to wait for a thread that did not even begin in time; that one ends by
//! itself, as soon as what holds it up lets it go.

use std::fmt;
use std::io::{self, PipeReader, PipeWriter};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::exchange::{Captured, End, Exchange};
use crate::{CaptureError, Counters, Diagnosis, Mode, Patience, Picture, Pixels, Source};

/// What pictures are captured from, and what is particular to it.
pub trait Origin: fmt::Debug + Send + 'static {
    /// What a picture lies in.
    type Buffer: Holds + fmt::Debug + Send + 'static;

    /// What the thread tells of the origin once it captures.
    type Told: fmt::Debug + Send + 'static;

    /// The origin in words, with the mode of its pictures.
    fn describe(&self, mode: Mode) -> String;

    /// What a thread that has not begun in time waits for.
    fn silence() -> Diagnosis;

    /// No more dmabufs of this format with this modifier are wished for.
    fn decline(&self, _fourcc: u32, _modifier: u64) {}

    /// No more dmabufs are wished for.
    fn decline_all(&self) {}
}

/// What holds a picture.
pub trait Holds {
    /// The pixels.
    fn pixels(&self) -> Pixels<'_>;

    /// The format that they came in, for people.
    fn format_name(&self) -> &'static str;

    /// Whether it is memory of ours, to be used again; else it goes back to its producer by being dropped.
    fn is_ours(&self) -> bool {
        true
    }

    /// Bytes that the CPU copied to have it; none where its producer wrote it here.
    fn copied_bytes(&self) -> u64 {
        0
    }
}

/// A source of pictures with a thread of its own.
#[derive(Debug)]
pub struct ThreadedSource<O: Origin> {
    exchange: Arc<Exchange<O>>,
    lent: Option<Captured<O::Buffer>>,
    mode: Mode,
    _thread: CaptureThread,
    /// Let go after the thread has ended.
    pub(crate) origin: O,
}

impl<O: Origin> ThreadedSource<O> {
    /// Has `run` capture into `exchange` on a thread of its own, until what it is given to read is closed, and waits
    /// until it begins to, as long as `patience` lasts. `origin` makes one of what it tells then.
    ///
    /// # Errors
    /// The end that the thread came to instead, or [`CaptureError::Unusable`] where it came to none in time.
    pub(crate) fn start(
        exchange: Arc<Exchange<O>>,
        patience: &Patience,
        origin: impl FnOnce(O::Told) -> O,
        run: impl FnOnce(&Arc<Exchange<O>>, PipeReader) + Send + 'static,
    ) -> Result<Self, CaptureError> {
        let mut thread = CaptureThread::start(&exchange, run)?;
        let began = Instant::now();
        let waits = patience.left() + START_GRACE;
        loop {
            let left = waits.saturating_sub(began.elapsed());
            if let Some((told, mode)) = exchange.wait_begun(left.min(Patience::LOOK_INTERVAL))? {
                let source = Self { exchange, lent: None, mode, _thread: thread, origin: origin(told) };
                tracing::info!(source = source.describe(), "capture is ready");
                return Ok(source);
            }
            if left.is_zero() || patience.is_given_up() {
                thread.leave_behind();
                return Err(CaptureError::Unusable { diagnosis: O::silence() });
            }
        }
    }
}

/// The thread keeps the deadline itself and names the cause; it has this long to say so.
const START_GRACE: Duration = Duration::from_millis(100);

impl<O: Origin> Source for ThreadedSource<O> {
    fn describe(&self) -> String {
        let lent = self.lent.as_ref().map(|captured| &captured.buffer);
        let format = lent.map_or("", Holds::format_name);
        let comma = if format.is_empty() { "" } else { ", " };
        let way = if lent.is_none_or(Holds::is_ours) { "over shared memory" } else { "as dmabufs" };
        format!("{} {way}{comma}{format}", self.origin.describe(self.mode))
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn wait_picture(&mut self, timeout: Duration) -> Result<bool, CaptureError> {
        self.exchange.take_back(&mut self.lent);
        let is_there = self.exchange.wait(timeout)?;
        if let Some(mode) = self.exchange.newest_mode() {
            self.mode = mode;
        }
        Ok(is_there)
    }

    fn take_picture(&mut self) -> Result<Option<Picture<'_>>, CaptureError> {
        self.exchange.take(&mut self.lent)?;
        let Some(captured) = &self.lent else { return Ok(None) };
        // A newer one of another mode may have come since it was waited for.
        self.mode = captured.mode;
        Ok(Some(Picture {
            pixels: captured.buffer.pixels(),
            width: captured.mode.width(),
            height: captured.mode.height(),
            captured_at: captured.captured_at,
            number: captured.number,
        }))
    }

    fn give_back(&mut self) {
        self.exchange.take_back(&mut self.lent);
    }

    fn decline(&mut self, fourcc: u32, modifier: u64) {
        self.origin.decline(fourcc, modifier);
    }

    fn decline_all(&mut self) {
        self.origin.decline_all();
    }

    fn skip(&mut self) {
        self.exchange.take_back(&mut self.lent);
        self.exchange.skip();
    }

    fn counters(&self) -> Counters {
        self.exchange.counters()
    }
}

/// The thread, which ends when this is dropped.
#[derive(Debug)]
struct CaptureThread {
    /// Closed, it stops the thread.
    stop: Option<PipeWriter>,
    handle: Option<JoinHandle<()>>,
}

impl CaptureThread {
    fn start<O: Origin>(
        exchange: &Arc<Exchange<O>>,
        run: impl FnOnce(&Arc<Exchange<O>>, PipeReader) + Send + 'static,
    ) -> Result<Self, CaptureError> {
        let no_thread = |source| CaptureError::Read { name: "a thread for capturing".to_owned(), source };
        let (stopped, stop) = io::pipe().map_err(no_thread)?;
        let last_words = LastWords(Arc::clone(exchange));
        let run = move || run(&last_words.0, stopped);
        let handle = thread::Builder::new().name("capture".to_owned()).spawn(run).map_err(no_thread)?;
        Ok(Self { stop: Some(stop), handle: Some(handle) })
    }

    /// Does not wait for it: it is told to stop and hears of it later.
    fn leave_behind(&mut self) {
        self.stop = None;
        self.handle = None;
    }
}

impl Drop for CaptureThread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(handle) = self.handle.take() {
            // A panic of it has been told already, by `LastWords`.
            let _ = handle.join();
        }
    }
}

/// Tells of an end even where the thread panics: nobody waits for one that is gone.
struct LastWords<O: Origin>(Arc<Exchange<O>>);

impl<O: Origin> Drop for LastWords<O> {
    fn drop(&mut self) {
        // Only the first end is kept.
        self.0.end(End::Ended(Diagnosis::ThreadEnded { thread: "captures" }));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::mpsc;

    use super::*;
    use crate::PixelFormat;
    use crate::stamp::Stamp;

    /// A picture of one value.
    #[derive(Debug)]
    struct Grey([u8; 16 * 16 * 4]);

    impl Holds for Grey {
        fn pixels(&self) -> Pixels<'_> {
            Pixels::Memory { format: PixelFormat::Bgrx, stride: 64, bytes: &self.0 }
        }

        fn format_name(&self) -> &'static str {
            "GREY"
        }
    }

    /// Tells its name.
    #[derive(Debug)]
    struct Wall(&'static str);

    impl Origin for Wall {
        type Buffer = Grey;
        type Told = &'static str;

        fn describe(&self, mode: Mode) -> String {
            format!("{} {mode}", self.0)
        }

        fn silence() -> Diagnosis {
            Diagnosis::NoAnswer { request: "a knock" }
        }
    }

    const SOON: Duration = Duration::from_secs(5);

    fn mode() -> Mode {
        Mode::new(16, 16, 60_000).unwrap()
    }

    fn start(
        patience: Duration,
        run: impl FnOnce(&Arc<Exchange<Wall>>, PipeReader) + Send + 'static,
    ) -> Result<ThreadedSource<Wall>, CaptureError> {
        start_for(&patience.into(), run)
    }

    fn start_for(
        patience: &Patience,
        run: impl FnOnce(&Arc<Exchange<Wall>>, PipeReader) + Send + 'static,
    ) -> Result<ThreadedSource<Wall>, CaptureError> {
        ThreadedSource::start(Arc::new(Exchange::new(2)), patience, Wall, run)
    }

    fn publish(exchange: &Exchange<Wall>, value: u8) {
        exchange.publish(Grey([value; 1024]), mode(), Stamp::new(None, Instant::now));
    }

    #[test]
    fn pictures_come_until_the_source_goes_and_the_thread_goes_with_it() {
        let (tell, told) = mpsc::channel();
        let mut source = start(SOON, move |exchange, mut stop| {
            exchange.begin("a wall", mode());
            publish(exchange, 7);
            let _ = stop.read(&mut [0]);
            tell.send(()).unwrap();
        })
        .unwrap();
        assert_eq!(source.describe(), "a wall 16x16@60 over shared memory");
        assert!(source.wait_picture(SOON).unwrap());
        let picture = source.take_picture().unwrap().unwrap();
        let (_, stride, bytes) = picture.memory().unwrap();
        assert_eq!((bytes[0], stride, picture.number), (7, 64, 0));
        assert_eq!(source.describe(), "a wall 16x16@60 over shared memory, GREY");
        drop(source);
        told.try_recv().unwrap();
    }

    #[test]
    fn an_end_before_it_begins_is_the_starts_and_one_after_it_comes_after_the_pictures() {
        let error = start(SOON, |exchange, _| exchange.end(End::Unusable(Diagnosis::NoOutput))).unwrap_err();
        assert!(matches!(error, CaptureError::Unusable { diagnosis: Diagnosis::NoOutput }), "{error}");
        let mut source = start(SOON, |exchange, _| {
            exchange.begin("a wall", mode());
            publish(exchange, 1);
            exchange.end(End::Ended(Diagnosis::NoOutput));
        })
        .unwrap();
        assert!(source.next_picture(SOON).unwrap().is_some());
        let error = source.next_picture(SOON).unwrap_err();
        assert!(matches!(error, CaptureError::Ended { diagnosis: Diagnosis::NoOutput }), "{error}");
    }

    #[test]
    fn a_thread_that_panics_has_an_end() {
        let panics = |_: &Arc<Exchange<Wall>>, _| std::panic::resume_unwind(Box::new("the test's"));
        assert!(matches!(start(SOON, panics), Err(CaptureError::Ended { .. })));
        let mut source = start(SOON, |exchange, _| {
            exchange.begin("a wall", mode());
            std::panic::resume_unwind(Box::new("the test's"));
        })
        .unwrap();
        assert!(matches!(source.next_picture(SOON), Err(CaptureError::Ended { .. })));
    }

    #[test]
    fn a_thread_that_hangs_before_it_begins_costs_no_more_than_the_patience() {
        let (release, held) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let began = Instant::now();
        let error = start(Duration::from_millis(20), move |_, mut stop| {
            let _ = held.recv();
            // What it hears when it is let go.
            tell.send(stop.read(&mut [0]).unwrap()).unwrap();
        })
        .unwrap_err();
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert!(matches!(error, CaptureError::Unusable { diagnosis: Diagnosis::NoAnswer { .. } }), "{error}");
        drop(release);
        assert_eq!(told.recv_timeout(SOON), Ok(0));
    }

    #[test]
    fn a_start_that_nobody_waits_for_any_more_is_given_up() {
        let patience = Patience::from(20 * SOON);
        let waits = patience.clone();
        let (tell, told) = mpsc::channel();
        let began = Instant::now();
        let error = start_for(&patience, move |_, mut stop| {
            waits.give_up();
            tell.send(stop.read(&mut [0]).unwrap()).unwrap();
        })
        .unwrap_err();
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert!(matches!(error, CaptureError::Unusable { .. }), "{error}");
        assert_eq!(told.recv_timeout(SOON), Ok(0), "it is told to stop");
    }
}
