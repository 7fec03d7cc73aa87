//! Codecs, profiles and presets: GUIDs.

/// A GUID, as Windows lays it out.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct GUID {
    pub Data1: u32,
    pub Data2: u16,
    pub Data3: u16,
    pub Data4: [u8; 8],
}

impl GUID {
    /// From the number that its text form spells.
    const fn of(number: u128) -> GUID {
        let tail = (number as u64).to_be_bytes();
        GUID {
            Data1: (number >> 96) as u32,
            Data2: (number >> 80) as u16,
            Data3: (number >> 64) as u16,
            Data4: tail,
        }
    }
}

pub const NV_ENC_CODEC_H264_GUID: GUID = GUID::of(0x6bc82762_4e63_4ca4_aa85_1e50f321f6bf);
pub const NV_ENC_CODEC_HEVC_GUID: GUID = GUID::of(0x790cdc88_4522_4d7b_9425_bda9975f7603);
pub const NV_ENC_CODEC_AV1_GUID: GUID = GUID::of(0x0a352289_0aa7_4759_862d_5d15cd16d254);
pub const NV_ENC_CODEC_PROFILE_AUTOSELECT_GUID: GUID = GUID::of(0xbfd6f8e7_233c_4341_8b3e_4818523803f4);
pub const NV_ENC_H264_PROFILE_BASELINE_GUID: GUID = GUID::of(0x0727bcaa_78c4_4c83_8c2f_ef3dff267c6a);
pub const NV_ENC_H264_PROFILE_MAIN_GUID: GUID = GUID::of(0x60b5c1d4_67fe_4790_94d5_c4726d7b6e6d);
pub const NV_ENC_H264_PROFILE_HIGH_GUID: GUID = GUID::of(0xe7cbc309_4f7a_4b89_af2a_d537c92be310);
/// Since 13.0.
pub const NV_ENC_H264_PROFILE_HIGH_10_GUID: GUID = GUID::of(0x8f0c337e_186c_48e9_a69d_7a8334089758);
pub const NV_ENC_H264_PROFILE_HIGH_444_GUID: GUID = GUID::of(0x7ac663cb_a598_4960_b844_339b261a7d52);
pub const NV_ENC_H264_PROFILE_PROGRESSIVE_HIGH_GUID: GUID = GUID::of(0xb405afac_f32b_417b_89c4_9abeed3e5978);
pub const NV_ENC_H264_PROFILE_CONSTRAINED_HIGH_GUID: GUID = GUID::of(0xaec1bd87_e85b_48f2_84c3_98bca6285072);
pub const NV_ENC_HEVC_PROFILE_MAIN_GUID: GUID = GUID::of(0xb514c39a_b55b_40fa_878f_f1253b4dfdec);
pub const NV_ENC_HEVC_PROFILE_MAIN10_GUID: GUID = GUID::of(0xfa4d2b6c_3a5b_411a_8018_0a3f5e3c9be5);
pub const NV_ENC_HEVC_PROFILE_FREXT_GUID: GUID = GUID::of(0x51ec32b5_1b4c_453c_9cbd_b616bd621341);
pub const NV_ENC_AV1_PROFILE_MAIN_GUID: GUID = GUID::of(0x5f2a39f5_f14e_4f95_9a9e_b76d568fcf97);
pub const NV_ENC_PRESET_P1_GUID: GUID = GUID::of(0xfc0a8d3e_45f8_4cf8_80c7_298871590ebf);
pub const NV_ENC_PRESET_P2_GUID: GUID = GUID::of(0xf581cfb8_88d6_4381_93f0_df13f9c27dab);
pub const NV_ENC_PRESET_P3_GUID: GUID = GUID::of(0x36850110_3a07_441f_94d5_3670631f91f6);
pub const NV_ENC_PRESET_P4_GUID: GUID = GUID::of(0x90a7b826_df06_4862_b9d2_cd6d73a08681);
pub const NV_ENC_PRESET_P5_GUID: GUID = GUID::of(0x21c6e6b4_297a_4cba_998f_b6cbde72ade3);
pub const NV_ENC_PRESET_P6_GUID: GUID = GUID::of(0x8e75c279_6299_4ab6_8302_0b215a335cf5);
pub const NV_ENC_PRESET_P7_GUID: GUID = GUID::of(0x84848c12_6f71_4c13_931b_53e283f57974);
