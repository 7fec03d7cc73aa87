//! The boxes of a fragmented MP4 with one H.264 track (ISO/IEC 14496-12 section 8, 14496-15 section 5).
//!
//! Promises: plain bytes from plain values. Refuses nothing but what a 32-bit size cannot say.

use std::io;

use mp4_atom::{
    Avc1, Avcc, AvccExt, Codec, Dinf, Dref, DrefEntry, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Mfhd, Minf,
    Moof, Moov, Mvex, Mvhd, Stbl, Stco, Stsd, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry,
    TrunSamples, Url, Visual, Vmhd,
};
use punktfunk_codec::annexb::{Nal, NalKind, nals};

/// Ticks a second: the wire's own microseconds.
const TIMESCALE: u32 = 1_000_000;
const TRACK: u32 = 1;
/// Bytes of a box's size and name.
const BOX_HEADER_BYTES: usize = 8;
/// A picture that depends on no other and where a player may begin (14496-12 section 8.8.3.1).
const FLAGS_IDR: u32 = 0x0200_0000;
/// A picture that depends on others and where none may begin.
const FLAGS_OTHER: u32 = 0x0101_0000;
/// Profiles whose configuration says more of the colours (14496-15 section 5.3.3.1.2).
const PROFILES_HIGH: [u8; 4] = [100, 110, 122, 144];

/// The sample entry whose parameter sets are all in the header, which every player knows.
pub(super) const ENTRY_FIXED: [u8; 4] = *b"avc1";
/// The same entry where later ones may stand in front of their pictures (14496-15 section 5.4.2.1).
pub(super) const ENTRY_CHANGING: [u8; 4] = *b"avc3";

/// One picture of a fragment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) duration_us: u32,
    pub(super) size: u32,
    pub(super) is_idr: bool,
}

/// What a decoder has to know before the first slice.
pub(super) struct ParameterSets<'a> {
    sps: &'a [u8],
    pps: Vec<&'a [u8]>,
}

impl<'a> ParameterSets<'a> {
    /// Those of an access unit, if it has them.
    pub(super) fn of(au: &'a [u8]) -> Option<Self> {
        let of_kind = |kind| nals(au).filter(move |nal| nal.kind == kind).map(|nal| unit(&nal));
        // A profile, its constraints and a level follow the unit's first byte.
        let sps = of_kind(NalKind::Sps).find(|sps| (4..=usize::from(u16::MAX)).contains(&sps.len()))?;
        let pps: Vec<_> =
            of_kind(NalKind::Pps).filter(|pps| pps.len() <= usize::from(u16::MAX)).take(255).collect();
        (!pps.is_empty()).then_some(Self { sps, pps })
    }

    /// Copies of all of them.
    pub(super) fn to_vecs(&self) -> Vec<Vec<u8>> {
        [self.sps].iter().chain(&self.pps).map(|set| set.to_vec()).collect()
    }

    fn configuration(&self) -> Avcc {
        let [profile, constraints, level] = [self.sps[1], self.sps[2], self.sps[3]];
        Avcc {
            configuration_version: 1,
            avc_profile_indication: profile,
            profile_compatibility: constraints,
            avc_level_indication: level,
            length_size: 4,
            sequence_parameter_sets: vec![self.sps.to_vec()],
            picture_parameter_sets: self.pps.iter().map(|pps| pps.to_vec()).collect(),
            // 4:2:0 and eight bits, all that the decoder takes.
            ext: PROFILES_HIGH.contains(&profile).then(AvccExt::default),
        }
    }
}

/// The parameter sets of an access unit, one by one.
pub(super) fn sets(au: &[u8]) -> impl Iterator<Item = &[u8]> {
    nals(au).filter(|nal| matches!(nal.kind, NalKind::Sps | NalKind::Pps)).map(|nal| unit(&nal))
}

/// A unit without the zero bytes that Annex B allows behind it.
fn unit<'a>(nal: &Nal<'a>) -> &'a [u8] {
    let end = nal.payload.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &nal.payload[..end]
}

/// Appends an access unit as length-prefixed units, delimiters left out; how many bytes that is.
pub(super) fn put_au(au: &[u8], out: &mut Vec<u8>) -> u32 {
    let start = out.len();
    for nal in nals(au).filter(|nal| nal.kind != NalKind::Delimiter) {
        let unit = unit(&nal);
        if let (false, Ok(length)) = (unit.is_empty(), u32::try_from(unit.len())) {
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(unit);
        }
    }
    // An access unit has 64 MiB at most, and a start code three bytes at least.
    u32::try_from(out.len() - start).unwrap_or(u32::MAX)
}

/// Appends what stands before the first fragment; where in it the sample entry's name is.
pub(super) fn put_header(
    sets: &ParameterSets<'_>,
    sides: (u32, u32),
    out: &mut Vec<u8>,
) -> io::Result<usize> {
    let brand = |name: &[u8; 4]| FourCC::new(name);
    let file = Ftyp {
        major_brand: brand(b"iso6"),
        minor_version: 0,
        compatible_brands: vec![brand(b"iso6"), brand(b"avc1"), brand(b"mp41")],
    };
    let trex = Trex {
        track_id: TRACK,
        default_sample_description_index: 1,
        default_sample_duration: 0,
        default_sample_size: 0,
        default_sample_flags: FLAGS_OTHER,
    };
    let movie = Moov {
        mvhd: Mvhd {
            timescale: TIMESCALE,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: TRACK + 1,
            ..Mvhd::default()
        },
        mvex: Some(Mvex { mehd: None, trex: vec![trex] }),
        trak: vec![track(sets, sides)],
        ..Moov::default()
    };
    file.encode(out).map_err(io::Error::other)?;
    let movie_at = out.len();
    movie.encode(out).map_err(io::Error::other)?;
    // The file's brands have the same name; nothing in front of the entry has.
    let name = out[movie_at..].windows(ENTRY_FIXED.len()).position(|name| name == ENTRY_FIXED);
    name.map(|at| movie_at + at).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn track(sets: &ParameterSets<'_>, (width, height): (u32, u32)) -> Trak {
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    let (width, height) = (side(width), side(height));
    let coded = Avc1 {
        visual: Visual { data_reference_index: 1, width, height, ..Visual::default() },
        avcc: sets.configuration(),
        btrt: None,
        colr: None,
        pasp: None,
        taic: None,
        fiel: None,
        spatial: None,
    };
    let tables = Stbl {
        stsd: Stsd { codecs: vec![Codec::Avc1(coded)] },
        stco: Some(Stco::default()),
        ..Stbl::default()
    };
    Trak {
        tkhd: Tkhd {
            track_id: TRACK,
            enabled: true,
            in_movie: true,
            width: width.into(),
            height: height.into(),
            ..Tkhd::default()
        },
        mdia: Mdia {
            mdhd: Mdhd { timescale: TIMESCALE, language: "und".into(), ..Mdhd::default() },
            hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "punktfunk".into() },
            minf: Minf {
                vmhd: Some(Vmhd::default()),
                dinf: Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } },
                stbl: tables,
                ..Minf::default()
            },
        },
        ..Trak::default()
    }
}

/// Appends a fragment that begins at `first_us`: what is in it, then the media.
pub(super) fn put_fragment(
    number: u32,
    first_us: u64,
    samples: &[Sample],
    media: &[u8],
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let entries = samples.iter().map(|sample| TrunEntry {
        duration: Some(sample.duration_us),
        size: Some(sample.size),
        flags: Some(if sample.is_idr { FLAGS_IDR } else { FLAGS_OTHER }),
        cts: None,
    });
    let mut moof = Moof {
        mfhd: Mfhd { sequence_number: number },
        traf: vec![Traf {
            tfhd: Tfhd { track_id: TRACK, default_base_is_moof: true, ..Tfhd::default() },
            tfdt: Some(Tfdt { base_media_decode_time: first_us }),
            trun: vec![Trun { data_offset: Some(0), samples: TrunSamples::Explicit(entries.collect()) }],
            ..Traf::default()
        }],
    };
    let start = out.len();
    moof.encode(out).map_err(io::Error::other)?;
    // The media's place counts from the fragment's first byte; it is as long with the number in as without.
    let media_at = out.len() - start + BOX_HEADER_BYTES;
    moof.traf[0].trun[0].data_offset = Some(i32::try_from(media_at).map_err(io::Error::other)?);
    out.truncate(start);
    moof.encode(out).map_err(io::Error::other)?;
    let size = u32::try_from(BOX_HEADER_BYTES + media.len()).map_err(io::Error::other)?;
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(b"mdat");
    out.extend_from_slice(media);
    Ok(())
}
