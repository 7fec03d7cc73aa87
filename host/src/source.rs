//! Where a session's pictures come from: the source asked for, made ready, and fitted to an encoder.
//!
//! Promises: a source is tried as far as its first picture before the client is welcomed, so that what cannot be
//! had is a refusal with a reason; what takes the place of another is said in the Welcome and counted.
//! Refuses: source descriptions that it does not know, by name.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use punktfunk_capture::card::Card;
use punktfunk_capture::file::Y4m;
use punktfunk_capture::{CaptureError, Mode, Patience, Source};
use punktfunk_codec::bitstream::BitstreamSpec;
use punktfunk_control::Codec;

use crate::desktop::{self, Desktop};
use crate::encode::{self, AnnexB, Bitstream, Coding, Codings, Encoding, Fitting, Pictures, PicturesConfig};
use crate::error::HostError;
use crate::ways::{Begun, Chain, Fall, News, Open, Way, left_out, ways_of};

/// A source as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// The desktop that is there, else one of our own, else the card.
    Auto,
    /// The desktop that is there, through PipeWire; the text names a node.
    PipeWire(Option<String>),
    /// A monitor of GNOME's, asked of its compositor itself; the text names a connector.
    Mutter(Option<String>),
    /// A monitor that GNOME's compositor makes, at the client's mode.
    MutterVirtual,
    /// A desktop: the one that is there, else one of our own. The text names an output.
    Wayland(Option<String>),
    /// A desktop of our own, at the client's mode.
    Sway,
    /// The moving test card.
    Card,
    /// A Y4M or H.264 file.
    File(PathBuf),
    /// Verifiable access units without an encoder.
    Bitstream(BitstreamSpec),
    /// Several of the above, each in place of the one before where that cannot be had, or ends.
    Several(Vec<SourceSpec>),
}

impl FromStr for SourceSpec {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        match (kind, rest) {
            ("auto", None) => Ok(Self::Auto),
            ("sway", None) => Ok(Self::Sway),
            ("card", None) => Ok(Self::Card),
            ("pipewire", node) if node != Some("") => Ok(Self::PipeWire(node.map(str::to_owned))),
            ("mutter", connector) if connector != Some("") => Ok(Self::Mutter(connector.map(str::to_owned))),
            ("mutter-virtual", None) => Ok(Self::MutterVirtual),
            ("wayland", output) => Ok(Self::Wayland(output.map(str::to_owned))),
            ("file", Some(path)) if !path.is_empty() => Ok(Self::File(path.into())),
            ("bitstream", rest) => BitstreamSpec::parse(rest.unwrap_or(""))
                .map(Self::Bitstream)
                .map_err(|error| HostError::Usage(error.to_string())),
            _ => Err(HostError::Usage(format!(
                "--source {text:?} is unknown; the sources are auto, pipewire[:NODE], mutter[:CONNECTOR], \
                 mutter-virtual, wayland[:OUTPUT], sway, card, file:PATH and bitstream:KEY=VALUE,…"
            ))),
        }
    }
}

impl SourceSpec {
    /// What one or several `--source` say together.
    ///
    /// # Errors
    /// One is unknown, or is a file or a bitstream among others: these neither replace a screen nor are replaced.
    pub fn of(texts: &[String]) -> Result<Self, HostError> {
        let mut specs = texts.iter().map(|text| text.parse()).collect::<Result<Vec<Self>, _>>()?;
        if let [_] = specs[..] {
            return Ok(specs.remove(0));
        }
        if specs.iter().any(|spec| matches!(spec, Self::File(_) | Self::Bitstream(_))) {
            return Err(HostError::Usage(
                "a file or a bitstream is a --source by itself: nothing takes its place".into(),
            ));
        }
        Ok(Self::Several(specs))
    }

    /// Refuses what no client could be shown, as far as that can be known before one is there: a missing
    /// compositor, a file that is none.
    ///
    /// # Errors
    /// Names what is missing or malformed.
    pub fn check(&self, slices: u16) -> Result<(), HostError> {
        match self {
            Self::Wayland(output) => desktop::check(output.as_deref()),
            Self::File(path) => {
                let any = Mode::new(1280, 720, 60_000).map_err(CaptureError::from)?;
                open_file(path, any, slices).map(drop)
            }
            Self::PipeWire(_) | Self::Mutter(_) | Self::MutterVirtual if !cfg!(feature = "pipewire") => {
                Err(HostError::NotBuilt { what: "PipeWire" })
            }
            Self::Mutter(_) | Self::MutterVirtual => desktop::check_mutter(),
            Self::Sway => desktop::check_own(),
            Self::Auto | Self::Several(_) => {
                if let Some(said) = left_out(self, desktop::look_around()) {
                    tracing::warn!("{said}");
                }
                Ok(())
            }
            Self::PipeWire(_) | Self::Card | Self::Bitstream(_) => Ok(()),
        }
    }
}

impl SourceSpec {
    /// The codec that it has of its own; none: its pictures are encoded.
    pub fn codec(&self) -> Option<Codec> {
        match self {
            Self::Bitstream(_) => Some(Codec::Pattern),
            Self::File(path) if !is_y4m(path) => Some(Codec::H264),
            Self::Auto
            | Self::PipeWire(_)
            | Self::Mutter(_)
            | Self::MutterVirtual
            | Self::Wayland(_)
            | Self::Sway
            | Self::Card
            | Self::File(_)
            | Self::Several(_) => None,
        }
    }
}

fn is_y4m(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "y4m")
}

/// A source that is ready to be fitted to its encoder.
pub struct Prepared {
    kind: Kind,
    codings: Codings,
    /// What is shown, kept alive with the session; None for sources that need no desktop.
    pub desktop: Option<Desktop>,
    /// The pictures' mode.
    pub mode: Mode,
    /// How they are encoded.
    pub coding: Coding,
    /// The source in words, fallbacks included.
    pub source: String,
    /// The encoder in words.
    pub encoder: String,
    /// Largest access unit that is sure to come, in bytes; 0 where the rate decides.
    pub au_bytes_max: usize,
    /// Who decides on the rate.
    pub rate: Rate,
    /// Each time that one way took another's place.
    pub falls: Vec<Fall>,
    /// What becomes of the source in mid-stream; none of one that has no other way.
    pub news: Option<Receiver<News>>,
}

/// A source with its encoder.
pub struct Fitted {
    /// The two.
    pub fitting: Fitting,
    /// What is shown, or the card's modes.
    pub desktop: Option<Desktop>,
    /// The encoder in words.
    pub encoder: String,
}

/// Who decides on a stream's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// The client.
    Asked,
    /// The source, which has a rate of its own.
    Own {
        /// Mean bytes of an access unit.
        au_bytes_mean: u64,
        /// Slices of an access unit.
        slices: u16,
    },
}

enum Kind {
    Card,
    Pictures(Box<dyn Source>),
    AnnexB(Box<AnnexB>),
    Bitstream(BitstreamSpec),
}

/// What a source is made ready with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Who opens the ways to it.
    pub doors: &'a Arc<dyn Open>,
    /// What its pictures may be coded as.
    pub codings: &'a Codings,
    /// How long somebody waits for it.
    pub patience: &'a Patience,
}

/// Makes a source ready for a client that asks for `wanted` in at most `slices` slices; `waits` is told what takes its time.
///
/// # Errors
/// The source cannot be had; the text says why.
pub fn prepare(
    spec: &SourceSpec,
    wanted: Mode,
    slices: u16,
    means: Means<'_>,
    waits: impl FnMut(&str),
) -> Result<Prepared, HostError> {
    match spec {
        SourceSpec::Card => prepare_card(wanted, means.codings),
        SourceSpec::File(path) => prepare_file(path, wanted, slices, means.codings),
        SourceSpec::Bitstream(bitstream) => prepare_bitstream(*bitstream, wanted, means.codings),
        SourceSpec::Auto
        | SourceSpec::PipeWire(_)
        | SourceSpec::Mutter(_)
        | SourceSpec::MutterVirtual
        | SourceSpec::Wayland(_)
        | SourceSpec::Sway
        | SourceSpec::Several(_) => prepare_ways(ways_of(spec, desktop::look_around()), wanted, means, waits),
    }
}

/// Makes ready the first of `ways` that gives a picture.
fn prepare_ways(
    ways: Vec<Way>,
    wanted: Mode,
    means: Means<'_>,
    waits: impl FnMut(&str),
) -> Result<Prepared, HostError> {
    let doors = (Arc::clone(means.doors), means.codings.clone());
    let Begun { mut chain, desktop, text, news } = Chain::begin(ways, wanted, doors, means.patience, waits)?;
    let (mode, falls) = (chain.mode(), chain.falls());
    let coding = means.codings.agree(Some(mode))?;
    chain.hold_to(coding);
    let pictures = pictures(Kind::Pictures(Box::new(chain)), mode, text, (means.codings, coding));
    Ok(Prepared { desktop, falls, news: Some(news), ..pictures })
}

fn pictures(kind: Kind, mode: Mode, source: String, (codings, coding): (&Codings, Coding)) -> Prepared {
    Prepared {
        kind,
        codings: codings.only(coding),
        desktop: None,
        mode,
        coding,
        source,
        encoder: String::new(),
        au_bytes_max: 0,
        rate: Rate::Asked,
        falls: Vec::new(),
        news: None,
    }
}

fn prepare_card(mode: Mode, codings: &Codings) -> Result<Prepared, HostError> {
    // The encoder's No comes before a canvas of that size is painted.
    let coding = codings.agree(Some(mode))?;
    Ok(pictures(Kind::Card, mode, format!("test card {mode}"), (codings, coding)))
}

/// A file that holds pictures, or a stream.
enum Opened {
    Pictures(Box<dyn Source>),
    Stream(Box<AnnexB>),
}

fn open_file(path: &Path, wanted: Mode, slices: u16) -> Result<Opened, HostError> {
    Ok(match is_y4m(path) {
        true => Opened::Pictures(Box::new(Y4m::open(path, Some(wanted.refresh_mhz()), Instant::now())?)),
        false => Opened::Stream(Box::new(AnnexB::open(path, wanted.refresh_mhz(), slices)?)),
    })
}

fn prepare_file(path: &Path, wanted: Mode, slices: u16, codings: &Codings) -> Result<Prepared, HostError> {
    let file = match open_file(path, wanted, slices)? {
        Opened::Pictures(file) => {
            let (mode, text) = (file.mode(), file.describe());
            let coding = codings.agree(Some(mode))?;
            return Ok(pictures(Kind::Pictures(file), mode, text, (codings, coding)));
        }
        Opened::Stream(file) => file,
    };
    let mode = file.mode();
    let text = format!("H.264 file {} {}", path.display(), mode);
    Ok(Prepared {
        encoder: "none: the file's own stream is passed through".into(),
        au_bytes_max: file.au_bytes_max(),
        rate: Rate::Own { au_bytes_mean: file.au_bytes_mean(), slices: file.slices_max() },
        ..pictures(Kind::AnnexB(file), mode, text, (codings, Coding::usual(Codec::H264)))
    })
}

fn prepare_bitstream(spec: BitstreamSpec, wanted: Mode, codings: &Codings) -> Result<Prepared, HostError> {
    let mode = Mode::new(wanted.width(), wanted.height(), spec.refresh_mhz())
        .map_err(|error| HostError::Impossible(error.to_string()))?;
    let text = format!(
        "verifiable bitstream, {} Mbit/s at {} Hz in {} slices",
        spec.rate_bps() as f64 / 1e6,
        f64::from(spec.refresh_mhz()) / 1e3,
        spec.slices()
    );
    Ok(Prepared {
        encoder: "none: the access units are made to be checked".into(),
        au_bytes_max: spec.au_bytes_max(),
        rate: Rate::Own {
            au_bytes_mean: spec.rate_bps() * 125 / u64::from(spec.refresh_mhz()),
            slices: spec.slices(),
        },
        ..pictures(Kind::Bitstream(spec), mode, text, (codings, Coding::usual(Codec::Pattern)))
    })
}

impl Prepared {
    /// Fits the source to its encoder. The desktop, or the card's modes, stay with the caller.
    ///
    /// # Errors
    /// The encoder or the card cannot do the mode.
    pub fn fit(mut self, config: PicturesConfig) -> Result<Fitted, HostError> {
        let source: Box<dyn Source> = match self.kind {
            Kind::Bitstream(spec) => {
                let source = encode::Source::Bitstream(Box::new(Bitstream::new(spec)));
                let (desktop, encoder) = (self.desktop, self.encoder);
                return Ok(Fitted { fitting: Fitting::new(source), desktop, encoder });
            }
            Kind::AnnexB(file) => {
                let (desktop, encoder) = (self.desktop, self.encoder);
                let fitting = Fitting::new(encode::Source::AnnexB(file));
                return Ok(Fitted { fitting, desktop, encoder });
            }
            Kind::Card => {
                let card = Card::new(self.mode, Instant::now())?;
                self.desktop = Some(Desktop::Card(card.modes()));
                Box::new(card)
            }
            Kind::Pictures(source) => source,
        };
        let encoders = self.codings.encoders();
        let (encoder, why_lesser) = encoders.open(self.mode, config.payload_kbps(), &config)?;
        let mut text = encoders.describe_session(self.coding, self.mode, config.slices);
        let encoding = Encoding::new(encoder, Arc::clone(encoders), config);
        if let Some(why) = why_lesser {
            encoding.count_lesser();
            text = format!("openh264 in software on the CPU ({why})");
        }
        let source = encode::Source::Pictures(Box::new(Pictures::new(source, encoding)));
        Ok(Fitted { fitting: Fitting::new(source), desktop: self.desktop, encoder: text })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use punktfunk_engine::{Encode, Wait};
    use punktfunk_proto::Negotiated;

    use super::*;
    use crate::encode::{CodingWish, WireRate};
    use crate::redundancy::Redundancy;
    use crate::ways::{Doors, OPENING_MAX};

    fn prepare(spec: &SourceSpec, wanted: Mode, slices: u16) -> Result<Prepared, HostError> {
        let doors: Arc<dyn Open> = Arc::new(Doors::default());
        let patience = Patience::until(Instant::now() + OPENING_MAX);
        let wire = WireRate { kbps: 20_000, redundancy_per_mille: 100, shard_bytes: 1152 };
        let wish = CodingWish::only(Coding::usual(Codec::H264));
        let codings = Codings::new(Arc::default(), wish, wire);
        let means = Means { doors: &doors, codings: &codings, patience: &patience };
        super::prepare(spec, wanted, slices, means, |_| ())
    }

    #[test]
    fn each_source_parses_and_an_unknown_one_is_named() {
        assert_eq!("auto".parse::<SourceSpec>().unwrap(), SourceSpec::Auto);
        assert_eq!("card".parse::<SourceSpec>().unwrap(), SourceSpec::Card);
        assert_eq!("wayland:DP-1".parse::<SourceSpec>().unwrap(), SourceSpec::Wayland(Some("DP-1".into())));
        assert_eq!("file:a:b.y4m".parse::<SourceSpec>().unwrap(), SourceSpec::File("a:b.y4m".into()));
        assert!(matches!("bitstream:rate=1G,fps=120".parse::<SourceSpec>(), Ok(SourceSpec::Bitstream(_))));
        assert_eq!("pipewire:42".parse::<SourceSpec>().unwrap(), SourceSpec::PipeWire(Some("42".into())));
        assert_eq!("mutter".parse::<SourceSpec>().unwrap(), SourceSpec::Mutter(None));
        assert_eq!("mutter:DP-1".parse::<SourceSpec>().unwrap(), SourceSpec::Mutter(Some("DP-1".into())));
        assert_eq!("mutter-virtual".parse::<SourceSpec>().unwrap(), SourceSpec::MutterVirtual);
        for wrong in [
            "",
            "mutter:",
            "mutter-virtual:DP-1",
            "pipewire:",
            "Card",
            "file:",
            "file",
            "card:x",
            "bitstream:rate=",
            "bitstream:colour=red",
        ] {
            assert!(matches!(wrong.parse::<SourceSpec>(), Err(HostError::Usage(_))), "{wrong:?}");
        }
        let text = "pipes".parse::<SourceSpec>().unwrap_err().to_string();
        assert!(text.contains("pipes") && text.contains("wayland"), "{text}");
    }

    #[test]
    fn a_file_stands_alone() {
        let of = |texts: [&str; 2]| SourceSpec::of(&texts.map(str::to_owned));
        for with in ["file:a.y4m", "bitstream:rate=1M"] {
            let error = of([with, "card"]).unwrap_err();
            assert!(matches!(&error, HostError::Usage(text) if text.contains("by itself")), "{error}");
        }
        assert!(matches!(of(["wayland", "card"]), Ok(SourceSpec::Several(specs)) if specs.len() == 2));
    }

    #[test]
    fn what_the_encoder_or_the_card_cannot_do_is_said_before_the_welcome() {
        let negotiated = Negotiated::new(1408, 20_000, 60_000, 4, 100, 4 << 20).unwrap();
        for (mode, said) in [("8192x8192@60", "too large"), ("160x90@60", "at least 320x180")] {
            let coding = Coding::usual(Codec::H264);
            let config = PicturesConfig::new(&negotiated, Redundancy::fixed(100), coding);
            let prepared = prepare(&SourceSpec::Card, mode.parse().unwrap(), 4);
            let error = prepared.and_then(|card| card.fit(config)).err().expect("no such card");
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn a_missing_or_malformed_file_is_named() {
        let wanted = Mode::new(320, 180, 60_000).unwrap();
        for name in ["nowhere.y4m", "nowhere.h264"] {
            let error = prepare(&SourceSpec::File(name.into()), wanted, 4).err().expect("no such file");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn pictures_begin_when_the_stage_first_waits_for_one() {
        for spec in ["card", "bitstream:rate=1M,fps=60,slices=1"] {
            let negotiated = Negotiated::new(1408, 20_000, 60_000, 1, 100, 4 << 20).unwrap();
            let wanted = Mode::new(320, 180, 60_000).unwrap();
            let prepared = prepare(&spec.parse().unwrap(), wanted, 1).unwrap();
            let coding = Coding::usual(Codec::H264);
            let Fitted { mut fitting, .. } =
                prepared.fit(PicturesConfig::new(&negotiated, Redundancy::fixed(100), coding)).unwrap();
            // The client takes its time to say Start.
            std::thread::sleep(Duration::from_millis(200));
            let waits = Instant::now();
            while fitting.wait_picture(Duration::from_secs(1)).unwrap() == Wait::Nothing {}
            // A machine that is busy elsewhere lets pictures pass from now on, but none from before.
            let passed = waits.elapsed().as_millis() as u64 * 60 / 1000;
            assert!(fitting.counts().superseded <= passed, "{spec}: {:?}, {passed}", fitting.counts());
        }
    }
}
