//! A session's source on its way to be ready: desktop, capture, encoder, and what the two ends agree on.
//!
//! Promises: everything that takes time is done on a thread of its own and after the session before has gone, so that at
//! Start only the pipeline is missing; a Hello is answered in the time that its client waits, whatever the session
//! before does; what nobody waits for any more is given up. Refuses, before anything is started or asked for, a Hello
//! that no source could serve.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use punktfunk_capture::{CaptureError, Mode, Patience};
use punktfunk_control::Hello;
use punktfunk_proto::Negotiated;
use punktfunk_seal::{Cipher, CipherPreference, CipherReason};

use crate::agreement::{agree, agree_cipher, agree_without_pictures, check};
use crate::closing::Closing;
use crate::encode::{Coding, CodingWish, Codings, Encoders, Fitting, PicturesConfig, Source, WireRate};
use crate::error::HostError;
use crate::pick::picked;
use crate::redundancy::Redundancy;
use crate::screen::Screen;
use crate::source::{Fitted, Means, SourceSpec, prepare};
use crate::ways::{Fall, News, OPENING_MAX, Open};

/// What the operator set for every session's opening.
#[derive(Clone)]
pub struct OpeningConfig {
    /// Where pictures come from.
    pub source: SourceSpec,
    /// Who opens the ways there.
    pub doors: Arc<dyn Open>,
    /// What encodes their pictures.
    pub encoders: Arc<Encoders>,
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
    patience: Patience,
    waits: Receiver<String>,
}

/// A source that is ready to stream.
pub struct Opened {
    /// The source with its encoder; its pictures begin when the pipeline first waits for one.
    pub fitting: Fitting,
    /// What each change of mode and rate is held to: the coding that was agreed on.
    pub codings: Codings,
    /// What is shown.
    pub screen: Screen,
    /// The pictures' mode.
    pub mode: Mode,
    /// How they are encoded.
    pub coding: Coding,
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
    /// Begins once `before` is gone, for a Hello that came at `now`. A compositor takes a second to start; QUIC goes on
    /// meanwhile.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(
        config: OpeningConfig,
        hello: Hello,
        before: Closing,
        now: Instant,
    ) -> Result<Self, HostError> {
        let patience = Patience::until(now + OPENING_MAX);
        let waited = patience.clone();
        let (tell, waits) = mpsc::channel();
        let run = move || {
            if !before.wait(&waited) {
                return Err(HostError::Late("what the session before had has not ended yet".into()));
            }
            // Nobody may listen any more; then nobody has to know.
            open(&config, &hello, &waited, |text| drop(tell.send(text.to_owned())))
        };
        let thread = thread::Builder::new().name("opening".to_owned()).spawn(run).map_err(|source| {
            HostError::from(CaptureError::Read { name: "a thread for the source".to_owned(), source })
        })?;
        Ok(Self { thread, patience, waits })
    }

    /// Whether [`Opening::join`] returns at once.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// What takes its time and may want a person, told once each.
    pub fn poll_waits(&self) -> Option<String> {
        self.waits.try_recv().ok()
    }

    /// Says that nobody waits for it any more: what has not begun does not begin, and what has is given up.
    pub fn abandon(&self) {
        self.patience.give_up();
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
pub fn open(
    config: &OpeningConfig,
    hello: &Hello,
    patience: &Patience,
    waits: impl FnMut(&str),
) -> Result<Opened, HostError> {
    let (width, height, refresh_mhz) = (hello.mode.width, hello.mode.height, hello.mode.refresh_mhz);
    let wanted = Mode::new(width, height, refresh_mhz).map_err(CaptureError::from)?;
    let redundancy = config.redundancy.for_client(hello);
    if hello.without_pictures {
        return open_nothing(hello, wanted, redundancy, config);
    }
    let slices = config.slices.min(hello.slices_max).max(1);
    let source = match &hello.compositor {
        Some(name) => picked(&config.source, name, &punktfunk_display::probe())?,
        None => config.source.clone(),
    };
    let codings = check(hello, &source, redundancy, &config.encoders)?;
    let cipher = agree_cipher(hello, &config.ciphers)?;
    let means = Means { doors: &config.doors, codings: &codings, patience };
    let mut prepared = prepare(&source, wanted, slices, means, waits)?;
    let negotiated = agree(hello, &prepared, slices, redundancy)?;
    let (mode, coding, falls) = (prepared.mode, prepared.coding, prepared.falls.clone());
    let (source, news) = (prepared.source.clone(), prepared.news.take());
    let Fitted { fitting, desktop, encoder } =
        prepared.fit(PicturesConfig::new(&negotiated, redundancy, coding))?;
    let screen = Screen::new(desktop);
    Ok(Opened {
        fitting,
        codings: codings.only(coding),
        screen,
        mode,
        coding,
        source,
        encoder,
        falls,
        news,
        negotiated,
        redundancy,
        cipher,
    })
}

/// A session that is there to be tested: no source is asked, and nobody either.
fn open_nothing(
    hello: &Hello,
    mode: Mode,
    redundancy: Redundancy,
    config: &OpeningConfig,
) -> Result<Opened, HostError> {
    let (negotiated, coding) = agree_without_pictures(hello, mode.refresh_mhz(), redundancy)?;
    let wire = WireRate {
        kbps: negotiated.bitrate_kbps,
        redundancy_per_mille: redundancy.per_mille_at_start(),
        shard_bytes: negotiated.shard_bytes_max,
    };
    Ok(Opened {
        fitting: Fitting::new(Source::Nothing),
        codings: Codings::new(Arc::clone(&config.encoders), CodingWish::only(coding), wire),
        screen: Screen::None,
        mode,
        coding,
        source: "no pictures: the session is there for a speed test".to_owned(),
        encoder: "none".to_owned(),
        falls: Vec::new(),
        news: None,
        negotiated,
        redundancy,
        cipher: agree_cipher(hello, &config.ciphers)?,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use punktfunk_capture::card::Card;
    use punktfunk_control::Codec;

    use super::*;
    use crate::ways::{Refused, Way, WayOpened};

    /// A card that hangs for as long as somebody waits, if `hangs`; and the ways that were asked for.
    struct Stub {
        hangs: Mutex<bool>,
        asked: Mutex<Vec<Way>>,
    }

    impl Open for Stub {
        fn open(
            &self,
            way: &Way,
            mode: Mode,
            _: &Codings,
            patience: &Patience,
        ) -> Result<WayOpened, Refused> {
            self.asked.lock().unwrap().push(way.clone());
            while *self.hangs.lock().unwrap() && !patience.is_given_up() && !patience.left().is_zero() {
                thread::sleep(Duration::from_millis(5));
            }
            let card = Card::new(mode, Instant::now()).map_err(HostError::from)?;
            Ok(WayOpened { text: "a stand-in".into(), source: Box::new(card), desktop: None })
        }
    }

    fn config(hangs: bool) -> (OpeningConfig, Arc<Stub>) {
        let stub = Arc::new(Stub { hangs: Mutex::new(hangs), asked: Mutex::default() });
        let config = OpeningConfig {
            source: SourceSpec::Sway,
            doors: Arc::clone(&stub) as Arc<dyn Open>,
            encoders: Arc::default(),
            slices: 4,
            redundancy: Redundancy::fixed(100),
            ciphers: CipherPreference::new(true, None),
        };
        (config, stub)
    }

    fn hello() -> Hello {
        Hello::new("test", punktfunk_control::Mode { width: 320, height: 180, refresh_mhz: 60_000 }, 20_000)
    }

    fn start(config: &OpeningConfig, before: &Closing, now: Instant) -> Opening {
        Opening::start(config.clone(), hello(), before.clone(), now).unwrap()
    }

    #[test]
    fn a_client_that_leaves_holds_up_neither_the_next_one_nor_the_end() {
        let (config, stub) = config(true);
        let mut closing = Closing::default();
        for _ in 0..3 {
            let opening = start(&config, &closing, Instant::now());
            while stub.asked.lock().unwrap().is_empty() {
                thread::sleep(Duration::from_millis(1));
            }
            stub.asked.lock().unwrap().clear();
            opening.abandon();
            closing.then(move || drop(opening.join()));
        }
        *stub.hangs.lock().unwrap() = false;
        let began = Instant::now();
        start(&config, &closing, began).join().unwrap().close();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert!(closing.wait(&Patience::until(began + Duration::from_secs(1))), "nothing is left");
    }

    #[test]
    fn a_hello_is_answered_in_time_whatever_the_session_before_does() {
        let (config, stub) = config(false);
        let (mut closing, (go, goes)) = (Closing::default(), mpsc::channel::<()>());
        closing.then(move || _ = goes.recv());
        let early = Instant::now() - OPENING_MAX + Duration::from_millis(100);
        let error = start(&config, &closing, early).join().err().expect("no time is left");
        assert!(matches!(error, HostError::Late(_)), "{error}");
        assert!(stub.asked.lock().unwrap().is_empty());
        drop(go);
        start(&config, &closing, Instant::now()).join().unwrap().close();
    }

    #[test]
    fn nothing_is_opened_for_a_client_that_could_not_be_served() {
        let (mut config, stub) = config(false);
        config.ciphers = CipherPreference::new(true, Some(Cipher::Aes128Gcm));
        let patience = Patience::until(Instant::now() + OPENING_MAX);
        for hello in [
            Hello { ciphers: vec![Cipher::ChaCha20Poly1305], ..hello() },
            Hello { shard_bytes_max: 100, ..hello() },
            Hello { codecs: Vec::new(), ..hello() },
        ] {
            let error = open(&config, &hello, &patience, |_| ()).err().expect("no agreement");
            assert!(matches!(error, HostError::Unagreed { .. }), "{error}");
        }
        // Nor for one that is there to be tested.
        let testing = Hello { without_pictures: true, codecs: vec![Codec::Pattern], ..hello() };
        config.ciphers = CipherPreference::new(true, None);
        let opened = open(&config, &testing, &patience, |_| ()).unwrap();
        assert_eq!((opened.coding.codec, opened.negotiated.slices_max), (Codec::Pattern, 1));
        assert!(opened.source.starts_with("no pictures"), "{}", opened.source);
        opened.close();
        for strange in
            [Hello { codecs: Vec::new(), ..testing.clone() }, Hello { shard_bytes_max: 1, ..testing }]
        {
            assert!(open(&config, &strange, &patience, |_| ()).is_err());
        }
        assert!(stub.asked.lock().unwrap().is_empty());
        open(&config, &hello(), &patience, |_| ()).unwrap().close();
        assert_eq!(*stub.asked.lock().unwrap(), [Way::Own]);
    }
}
