//! A session's source on its way to be ready: desktop, capture, encoder, and what the two ends agree on.
//!
//! Promises: everything that takes time is done on a thread of its own and after the session before has gone,
//! so that at Start only the pipeline is missing. Refuses to begin for a client that has left meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

use punktfunk_capture::{CaptureError, Mode};
use punktfunk_control::{Codec, Hello};
use punktfunk_proto::Negotiated;
use punktfunk_seal::{Cipher, CipherPreference, CipherReason};

use crate::agreement::{agree, agree_cipher};
use crate::closing::Closing;
use crate::encode::{Fitting, PicturesConfig};
use crate::error::HostError;
use crate::pick::picked;
use crate::redundancy::Redundancy;
use crate::screen::Screen;
use crate::source::{SourceSpec, prepare};
use crate::ways::{Fall, News, Open};

/// What the operator set for every session's opening.
#[derive(Clone)]
pub struct OpeningConfig {
    /// Where pictures come from.
    pub source: SourceSpec,
    /// Who opens the ways there.
    pub doors: Arc<dyn Open>,
    /// The most slices of an access unit.
    pub slices: u16,
    /// The redundancy where the client does not ask for its own.
    pub redundancy: Redundancy,
    /// What media may be sealed with.
    pub ciphers: CipherPreference,
}

/// A source being made ready.
pub struct Opening {
    thread: JoinHandle<Result<Opened, HostError>>,
    abandoned: Arc<AtomicBool>,
    waits: Receiver<String>,
}

/// A source that is ready to stream.
pub struct Opened {
    /// The source with its encoder; its pictures begin when the pipeline first waits for one.
    pub fitting: Fitting,
    /// What is shown.
    pub screen: Screen,
    /// The pictures' mode.
    pub mode: Mode,
    /// How they are encoded.
    pub codec: Codec,
    /// The source in words, fallbacks included.
    pub source: String,
    /// The encoder in words.
    pub encoder: String,
    /// Each time that one way took another's place.
    pub falls: Vec<Fall>,
    /// What becomes of the source in mid-stream.
    pub news: Option<Receiver<News>>,
    /// What the pipeline is bounded by.
    pub negotiated: Negotiated,
    /// Whether its redundancy is all that was agreed on, or the most.
    pub redundancy: Redundancy,
    /// What media is sealed with, and why.
    pub cipher: (Cipher, CipherReason),
}

impl Opening {
    /// Begins once `before` is gone. A compositor takes a second to start; QUIC goes on meanwhile.
    pub fn start(config: OpeningConfig, hello: Hello, before: Closing) -> Self {
        let abandoned = Arc::new(AtomicBool::new(false));
        let is_abandoned = Arc::clone(&abandoned);
        let (tell, waits) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            before.wait();
            if is_abandoned.load(Ordering::Relaxed) {
                return Err(HostError::Impossible("the client left before its source was opened".into()));
            }
            // Nobody may listen any more; then nobody has to know.
            open(&config, &hello, |text| drop(tell.send(text.to_owned())))
        });
        Self { thread, abandoned, waits }
    }

    /// Whether [`Opening::join`] returns at once.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// What takes its time and may want a person, told once.
    pub fn poll_waits(&self) -> Option<String> {
        self.waits.try_recv().ok()
    }

    /// Says that nobody waits for it any more: what has not begun does not begin.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// The source, once it is ready.
    ///
    /// # Errors
    /// The source or its encoder cannot be had, or the client cannot take what it gives; nothing is left of
    /// it then.
    pub fn join(self) -> Result<Opened, HostError> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(HostError::Impossible("preparing the source panicked; our fault".into())))
    }
}

impl Opened {
    /// Ends the capture, and then what was captured. Takes a moment where that is a compositor.
    pub fn close(self) {
        drop(self.fitting);
        self.screen.close();
    }
}

/// Opens the source for a client. Takes as long as a compositor takes to start.
///
/// # Errors
/// As [`Opening::join`].
pub fn open(config: &OpeningConfig, hello: &Hello, waits: impl FnMut(&str)) -> Result<Opened, HostError> {
    let (width, height, refresh_mhz) = (hello.mode.width, hello.mode.height, hello.mode.refresh_mhz);
    let wanted = Mode::new(width, height, refresh_mhz).map_err(CaptureError::from)?;
    let slices = config.slices.min(hello.slices_max).max(1);
    let source = match &hello.compositor {
        Some(name) => picked(&config.source, name, &punktfunk_display::probe())?,
        None => config.source.clone(),
    };
    let mut prepared = prepare(&source, wanted, slices, &config.doors, waits)?;
    let redundancy = config.redundancy.for_client(hello);
    let cipher = agree_cipher(hello, &config.ciphers)?;
    let negotiated = agree(hello, &prepared, slices, redundancy)?;
    let (mode, codec, falls) = (prepared.mode, prepared.codec, prepared.falls.clone());
    let (source, encoder) = (prepared.source.clone(), prepared.encoder.clone());
    let news = prepared.news.take();
    let (fitting, desktop) = prepared.fit(PicturesConfig::new(&negotiated, redundancy))?;
    let screen = Screen::new(desktop);
    Ok(Opened { fitting, screen, mode, codec, source, encoder, falls, news, negotiated, redundancy, cipher })
}
