//! The H.264 encoder: a picture in, an access unit lent out, slice by slice.
//!
//! One that recovers ([`Encoder::recovering`]) keeps long-term references: every ninth picture or later is marked, and is
//! what a loss goes back to once it has settled, half a second later; before that it is the one before, or the IDR.

use openh264_sys2::{
    CAMERA_VIDEO_REAL_TIME, CM_BT709, CONSTANT_ID, CP_BT709, ELevelIdc, LEVEL_4_1, LEVEL_4_2, LEVEL_5_0,
    LEVEL_5_1, LEVEL_5_2, LOW_COMPLEXITY, PRO_BASELINE, RC_BITRATE_MODE, SEncParamExt, SM_FIXEDSLCNUM_SLICE,
    SM_SINGLE_SLICE, TRC_BT709, VF_UNDEF,
};

use super::raw::RawEncoder;
use super::references::LongTerms;
use crate::error::{check_picture_size, check_setting, macroblocks};
use crate::limits::{
    BITRATE_KBPS_MAX, BITRATE_KBPS_MIN, LIBRARY_RATE_MHZ_MAX, REFRESH_MHZ_MAX, REFRESH_MHZ_MIN, SIDE_MIN,
    SLICES_MAX,
};
use crate::{CodecError, I420};

/// What an [`Encoder`] is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderConfig {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Pictures a second, in millihertz.
    pub refresh_mhz: u32,
    /// Target rate in kbit/s of access-unit bytes.
    pub bitrate_kbps: u32,
    /// Slices a picture; small pictures get fewer.
    pub slices: u16,
}

/// A low-latency H.264 encoder for pictures of one size: constrained baseline, one reference, no threads.
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    level: Level,
    raw: RawEncoder,
    /// What is kept to recover by; none for an encoder that does not.
    long_terms: Option<LongTerms>,
    /// The next picture is ordered to refer to what is kept.
    recovers: bool,
    /// The library freed its state after an error; the next picture takes a new object.
    broken: bool,
    slice_ends: Vec<usize>,
}

impl Encoder {
    /// An encoder whose first access unit is an IDR.
    ///
    /// # Errors
    /// [`CodecError::Size`], [`CodecError::TooLarge`], [`CodecError::Setting`], [`CodecError::Library`].
    pub fn new(config: EncoderConfig) -> Result<Self, CodecError> {
        Self::made(config, None)
    }

    /// The same; it can leave pictures out that were lost, see [`Encoder::leave_out`].
    ///
    /// # Errors
    /// As of [`Encoder::new`].
    pub fn recovering(config: EncoderConfig) -> Result<Self, CodecError> {
        Self::made(config, Some(LongTerms::default()))
    }

    fn made(config: EncoderConfig, long_terms: Option<LongTerms>) -> Result<Self, CodecError> {
        let EncoderConfig { width, height, .. } = config;
        if width % 2 != 0 || height % 2 != 0 || width < SIDE_MIN || height < SIDE_MIN {
            return Err(CodecError::Size { width, height });
        }
        check_picture_size(width, height)?;
        check_setting("refresh_mhz", config.refresh_mhz, REFRESH_MHZ_MIN, REFRESH_MHZ_MAX)?;
        check_setting("bitrate_kbps", config.bitrate_kbps, BITRATE_KBPS_MIN, BITRATE_KBPS_MAX)?;
        check_setting("slices", config.slices, 1_u16, SLICES_MAX)?;
        let level = Level::needed(&config);
        let raw = RawEncoder::new(|params| configure(params, &config, level, long_terms.is_some()))?;
        Ok(Self {
            config,
            level,
            raw,
            long_terms,
            recovers: false,
            broken: false,
            slice_ends: Vec::with_capacity(usize::from(SLICES_MAX)),
        })
    }

    /// What the encoder was made for, with the bitrate of now.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Encodes one picture at once. `pts_us` is the capture time in microseconds; it does not go into the stream.
    ///
    /// # Errors
    /// [`CodecError::SizeChanged`]; [`CodecError::Library`], after which the next access unit is an IDR.
    pub fn encode(
        &mut self,
        picture: &I420<'_>,
        pts_us: u64,
        force_idr: bool,
    ) -> Result<Encoded<'_>, CodecError> {
        let (expected, came) = ((self.config.width, self.config.height), (picture.width(), picture.height()));
        if expected != came {
            return Err(CodecError::SizeChanged { expected, came });
        }
        if self.broken {
            let recovers = self.long_terms.is_some();
            self.raw = RawEncoder::new(|params| configure(params, &self.config, self.level, recovers))?;
            self.broken = false;
        }
        if let Some(word) = self.long_terms.as_mut().and_then(LongTerms::poll_word) {
            self.raw.tell(word)?;
        }
        let pts_ms = i64::try_from(pts_us / 1000).unwrap_or(i64::MAX);
        let is_ordered = std::mem::take(&mut self.recovers) && !force_idr;
        if let Err(error) = self.raw.encode(picture, pts_ms, force_idr) {
            self.broken = true;
            return Err(error);
        }
        let Self { raw, slice_ends, long_terms, .. } = self;
        slice_ends.clear();
        let mut end = 0;
        let bytes = raw.au(|nal_bytes, is_slice| {
            end += nal_bytes;
            if is_slice {
                slice_ends.push(end);
            }
        })?;
        let is_back = long_terms.as_mut().is_some_and(|long_terms| long_terms.handle_au(bytes));
        Ok(Encoded { bytes, slice_ends, idr: raw.is_idr(), recovery_point: is_ordered && is_back })
    }

    /// The client misses the oldest of the `newest` pictures that were encoded last, and with it all of them. Whether the
    /// next picture can do without: it is a recovery point then ([`Encoded::is_recovery_point`] has the last word), and
    /// none after it refers to one of them either. Else it is to be an IDR.
    ///
    /// # Errors
    /// [`CodecError::Library`].
    pub fn leave_out(&mut self, newest: u64) -> Result<bool, CodecError> {
        let Some(long_terms) = self.long_terms.as_mut().filter(|_| !self.broken) else { return Ok(false) };
        let (is_there, word) = long_terms.leave_out(newest);
        let idr_pic_id = long_terms.idr_pic_id();
        if let Some(word) = word {
            self.raw.tell(word)?;
        }
        if is_there {
            self.raw.recover(idr_pic_id)?;
        }
        self.recovers = is_there;
        Ok(is_there)
    }

    /// The most that [`Encoder::set_bitrate`] takes, in kbit/s: what the level written into the parameter sets allows,
    /// 50,000 at least. More takes a new encoder.
    pub fn bitrate_kbps_max(&self) -> u32 {
        self.level.bitrate_kbps_max
    }

    /// Sets the target rate in kbit/s from the next picture on; no IDR comes of it, and the parameter sets stay.
    ///
    /// # Errors
    /// [`CodecError::Setting`] outside of 100 kbit/s to [`Encoder::bitrate_kbps_max`]; [`CodecError::Library`].
    pub fn set_bitrate(&mut self, kbps: u32) -> Result<(), CodecError> {
        check_setting("bitrate_kbps", kbps, BITRATE_KBPS_MIN, self.bitrate_kbps_max())?;
        self.config.bitrate_kbps = kbps;
        if self.broken {
            return Ok(());
        }
        self.raw.set_bitrate(library_bps(&self.config))
    }
}

/// One access unit, lent by the encoder until its next verb.
#[derive(Debug, Clone, Copy)]
pub struct Encoded<'a> {
    bytes: &'a [u8],
    slice_ends: &'a [usize],
    idr: bool,
    recovery_point: bool,
}

impl<'a> Encoded<'a> {
    /// The slices in order, each a group of Annex B NAL units with start codes; parameter sets go with the first.
    /// Their concatenation is the access unit.
    pub fn slices(&self) -> Slices<'a> {
        Slices { bytes: self.bytes, begin: 0, ends: self.slice_ends.iter() }
    }

    /// The whole access unit.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the access unit is an IDR.
    pub fn is_idr(&self) -> bool {
        self.idr
    }

    /// Whether it refers to none of the pictures that were left out before it ([`Encoder::leave_out`]).
    pub fn is_recovery_point(&self) -> bool {
        self.recovery_point
    }

    /// Whether the encoder made nothing of this picture. Its rate control is told never to skip, so this is
    /// an honest outcome that should not happen; there are no slices then.
    pub fn skipped(&self) -> bool {
        self.slice_ends.is_empty()
    }
}

/// The slices of one access unit, in order.
#[derive(Debug, Clone)]
pub struct Slices<'a> {
    bytes: &'a [u8],
    begin: usize,
    ends: std::slice::Iter<'a, usize>,
}

impl<'a> Iterator for Slices<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = *self.ends.next()?;
        let begin = std::mem::replace(&mut self.begin, end);
        Some(&self.bytes[begin..end])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl ExactSizeIterator for Slices<'_> {}

/// Pictures between two marks at least. The next one waits for the one before to settle anyway.
const MARK_PERIOD: u32 = 8;

/// Settings for the least latency; each line says why where it is not plain.
fn configure(params: &mut SEncParamExt, config: &EncoderConfig, level: Level, recovers: bool) {
    let bps = library_bps(config);
    // Screen content mode cannot do without scene-change IDRs (`ParamValidation`), which would burst unasked.
    params.iUsageType = CAMERA_VIDEO_REAL_TIME;
    params.bEnableSceneChangeDetect = false;
    params.iPicWidth = config.width as i32;
    params.iPicHeight = config.height as i32;
    params.fMaxFrameRate = library_rate_hz(config);
    params.iTargetBitrate = bps;
    // Holds the rate by quantisation alone; a skipped picture would be a lost one.
    params.iRCMode = RC_BITRATE_MODE;
    params.bEnableFrameSkip = false;
    params.iComplexityMode = LOW_COMPLEXITY;
    // Never an IDR but the first and those that are asked for.
    params.uiIntraPeriod = 0;
    // Two long-term ones beside the newest are what the library keeps, no other number.
    params.iNumRefFrame = if recovers { 3 } else { 1 };
    params.iLTRRefNum = if recovers { 2 } else { 0 };
    params.iLtrMarkPeriod = MARK_PERIOD;
    // Parameter sets that come again with a later IDR are the same, so that any copy of them stays valid.
    params.eSpsPpsIdStrategy = CONSTANT_ID;
    params.iMultipleThreadIdc = 1;
    params.bEnableLongTermReference = recovers;
    params.bEnableDenoise = false;
    // Guesses which macroblocks are background and skips them: wrong on a desktop.
    params.bEnableBackgroundDetection = false;
    params.bEnableAdaptiveQuant = false;
    let layer = &mut params.sSpatialLayers[0];
    layer.iVideoWidth = config.width as i32;
    layer.iVideoHeight = config.height as i32;
    layer.fFrameRate = library_rate_hz(config);
    layer.iSpatialBitrate = bps;
    layer.uiProfileIdc = PRO_BASELINE;
    layer.uiLevelIdc = level.idc;
    layer.sSliceArgument.uiSliceMode = if config.slices > 1 { SM_FIXEDSLCNUM_SLICE } else { SM_SINGLE_SLICE };
    layer.sSliceArgument.uiSliceNum = u32::from(config.slices);
    // What `convert` makes: BT.709, limited range.
    layer.bVideoSignalTypePresent = true;
    layer.uiVideoFormat = VF_UNDEF as u8;
    layer.bFullRange = false;
    layer.bColorDescriptionPresent = true;
    layer.uiColorPrimaries = CP_BT709 as u8;
    layer.uiTransferCharacteristics = TRC_BT709 as u8;
    layer.uiColorMatrix = CM_BT709 as u8;
}

/// The library reckons with at most 60 pictures a second.
fn library_rate_hz(config: &EncoderConfig) -> f32 {
    config.refresh_mhz.min(LIBRARY_RATE_MHZ_MAX) as f32 / 1000.0
}

/// The rate in bit/s to tell the library, so that at its idea of the picture rate each picture gets its true share.
fn library_bps(config: &EncoderConfig) -> i32 {
    let bps = u64::from(config.bitrate_kbps) * 1000;
    let reckoned_mhz = u64::from(config.refresh_mhz.min(LIBRARY_RATE_MHZ_MAX));
    i32::try_from(bps * reckoned_mhz / u64::from(config.refresh_mhz)).unwrap_or(i32::MAX)
}

/// A level of H.264 (table A-1) that the encoder writes into its parameter sets.
#[derive(Debug, Clone, Copy)]
struct Level {
    idc: ELevelIdc,
    macroblocks_per_second_max: u64,
    macroblocks_max: u64,
    bitrate_kbps_max: u32,
}

/// From the level that every decoder of today reads, so that a live change of bitrate has room to 50 Mbit/s.
const LEVELS: [Level; 5] = [
    Level::new(LEVEL_4_1, 245_760, 8_192, 50_000),
    Level::new(LEVEL_4_2, 522_240, 8_704, 50_000),
    Level::new(LEVEL_5_0, 589_824, 22_080, 135_000),
    Level::new(LEVEL_5_1, 983_040, 36_864, 240_000),
    Level::new(LEVEL_5_2, 2_073_600, 36_864, 240_000),
];

impl Level {
    const fn new(
        idc: ELevelIdc,
        macroblocks_per_second_max: u64,
        macroblocks_max: u64,
        bitrate_kbps_max: u32,
    ) -> Self {
        Self { idc, macroblocks_per_second_max, macroblocks_max, bitrate_kbps_max }
    }

    /// The lowest level that is enough; 5.2, the library's highest, where none is (more than 2,073,600 macroblocks a
    /// second: decoders of such rates look at the sides, not at the level).
    fn needed(config: &EncoderConfig) -> Self {
        let macroblocks = macroblocks(config.width, config.height);
        let per_second = (macroblocks * u64::from(config.refresh_mhz)).div_ceil(1000);
        let enough = |level: &&Self| {
            macroblocks <= level.macroblocks_max
                && per_second <= level.macroblocks_per_second_max
                && config.bitrate_kbps <= level.bitrate_kbps_max
        };
        let [.., highest] = LEVELS;
        LEVELS.iter().find(enough).copied().unwrap_or(highest)
    }
}
