//! The static metadata of HDR10: how bright the mastering display was and how bright the film is.
//!
//! Both travel untouched in the integer units of H.265's SEI messages (H.265, D.3.28 and D.3.35),
//! so nothing is lost between the source's headers and the encoder's options.

use serde::{Deserialize, Serialize};

use crate::stereo_mode::StereoMode;

/// What the film was graded on: H.265 "mastering display colour volume".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Mastering {
    /// Chromaticity of red, green and blue as `(x, y)` in units of 1/50000.
    pub primaries: [(u32, u32); 3],
    /// Chromaticity of white as `(x, y)` in units of 1/50000.
    pub white: (u32, u32),
    /// Luminance of white and of black in units of 1/10000 cd/m².
    pub luminance: (u32, u32),
}

/// How bright the film gets: H.265 "content light level".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Light {
    /// Brightest pixel of all, cd/m².
    pub max_content: u32,
    /// Brightest mean of a frame, cd/m².
    pub max_average: u32,
}

/// Metadata that says anew for each scene or frame how it is to be shown. It describes the source's
/// pictures, so it goes with none that are made from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DynamicHdr {
    /// SMPTE ST 2094-40.
    Hdr10Plus,
    /// Dolby Vision, whose base layer can be watched without it.
    DolbyVision,
    /// Dolby Vision whose pictures have colours of their own, wrong without it (profile 5).
    DolbyVisionOnly,
    /// HDR Vivid.
    Vivid,
}

/// Static HDR metadata of a stream; each part may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize)]
pub struct Hdr {
    /// The mastering display.
    pub mastering: Option<Mastering>,
    /// Content light levels.
    pub light: Option<Light>,
}

/// One entry of ffprobe's `side_data_list`, as far as it matters here.
#[derive(Debug, Deserialize, Default)]
pub(crate) struct SideData {
    pub(crate) rotation: Option<f64>,
    #[serde(rename = "side_data_type")]
    pub(crate) name: Option<String>,
    /// Of "Stereo 3D".
    #[serde(rename = "type")]
    pub(crate) packing: Option<String>,
    pub(crate) inverted: Option<i64>,
    dv_profile: Option<u32>,
    dv_bl_signal_compatibility_id: Option<u32>,
    red_x: Option<String>,
    red_y: Option<String>,
    green_x: Option<String>,
    green_y: Option<String>,
    blue_x: Option<String>,
    blue_y: Option<String>,
    white_point_x: Option<String>,
    white_point_y: Option<String>,
    min_luminance: Option<String>,
    max_luminance: Option<String>,
    max_content: Option<u32>,
    max_average: Option<u32>,
}

impl Hdr {
    /// What a list of side data says.
    pub(crate) fn of(list: &[SideData]) -> Self {
        Self {
            mastering: list.iter().find_map(SideData::mastering),
            light: list.iter().find_map(SideData::light),
        }
    }

    /// This, completed by `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { mastering: self.mastering.or(other.mastering), light: self.light.or(other.light) }
    }

    /// Options of x265 that write it, to be joined by colons.
    pub(crate) fn x265_params(&self) -> Vec<String> {
        let mut params = Vec::new();
        if let Some(Mastering { primaries: [r, g, b], white: w, luminance: l }) = self.mastering {
            params.push(format!(
                "master-display=G({},{})B({},{})R({},{})WP({},{})L({},{})",
                g.0, g.1, b.0, b.1, r.0, r.1, w.0, w.1, l.0, l.1
            ));
        }
        if let Some(light) = self.light {
            params.push(format!("max-cll={},{}", light.max_content, light.max_average));
        }
        if !params.is_empty() {
            params.push("hdr10=1".to_owned());
        }
        params
    }

    /// The same for SVT-AV1, whose chromaticities and luminances are decimal fractions.
    pub(crate) fn svt_av1_params(&self) -> Vec<String> {
        let mut params = Vec::new();
        if let Some(Mastering { primaries: [r, g, b], white: w, luminance: l }) = self.mastering {
            let xy = |(x, y): (u32, u32)| {
                format!("({:.5},{:.5})", f64::from(x) / 50_000.0, f64::from(y) / 50_000.0)
            };
            let nits = |v: u32| f64::from(v) / 10_000.0;
            let luminance = format!("({:.4},{:.4})", nits(l.0), nits(l.1));
            params.push(format!(
                "mastering-display=G{}B{}R{}WP{}L{luminance}",
                xy(g),
                xy(b),
                xy(r),
                xy(w)
            ));
        }
        if let Some(light) = self.light {
            params.push(format!("content-light={},{}", light.max_content, light.max_average));
        }
        params
    }
}

impl DynamicHdr {
    /// What a list of side data holds, each kind once.
    pub(crate) fn of(list: &[SideData]) -> Vec<Self> {
        let mut found = Vec::new();
        for data in list {
            let kind = match data.name.as_deref().unwrap_or_default() {
                name if name.contains("2094-40") => Self::Hdr10Plus,
                name if name.contains("Vivid") => Self::Vivid,
                name if name.contains("DOVI") || name.contains("Dolby Vision") => {
                    let alone = data.dv_profile == Some(5)
                        || data.dv_bl_signal_compatibility_id == Some(0)
                            && data.dv_profile != Some(7);
                    if alone { Self::DolbyVisionOnly } else { Self::DolbyVision }
                }
                _ => continue,
            };
            if !found.contains(&kind) {
                found.push(kind);
            }
        }
        found
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hdr10Plus => "HDR10+",
            Self::DolbyVision | Self::DolbyVisionOnly => "Dolby Vision",
            Self::Vivid => "HDR Vivid",
        }
    }
}

impl SideData {
    /// Whether it says how to decrypt what it lies beside.
    pub(crate) fn is_key(&self) -> bool {
        self.name.as_deref().is_some_and(|name| name.starts_with("Encryption"))
    }

    /// What it says of two views, in ffmpeg's words.
    pub(crate) fn views(&self) -> Option<String> {
        let packing = self.packing.as_deref().filter(|packing| *packing != "2D")?;
        let order = if self.inverted.unwrap_or(0) != 0 { ", right view first" } else { "" };
        Some(format!("{}{order}", crate::error::escape(packing, 40)))
    }

    /// How two views share the picture, as far as this says it.
    pub(crate) fn stereo(&self) -> Option<StereoMode> {
        StereoMode::named(self.packing.as_deref()?, self.inverted.unwrap_or(0) != 0)
    }

    /// Whether it says that the picture is part of a sphere.
    pub(crate) fn is_sphere(&self) -> bool {
        self.name.as_deref().is_some_and(|name| name == "Spherical Mapping")
    }

    fn mastering(&self) -> Option<Mastering> {
        let xy = |x: &Option<String>, y: &Option<String>| {
            Some((units(x.as_deref()?, 50_000)?, units(y.as_deref()?, 50_000)?))
        };
        Some(Mastering {
            primaries: [
                xy(&self.red_x, &self.red_y)?,
                xy(&self.green_x, &self.green_y)?,
                xy(&self.blue_x, &self.blue_y)?,
            ],
            white: xy(&self.white_point_x, &self.white_point_y)?,
            luminance: (
                units(self.max_luminance.as_deref()?, 10_000)?,
                units(self.min_luminance.as_deref()?, 10_000)?,
            ),
        })
    }

    fn light(&self) -> Option<Light> {
        Some(Light { max_content: self.max_content?, max_average: self.max_average? })
    }
}

/// A fraction such as `13250/50000` in units of `1 / per_one`, rounded to nearest.
fn units(fraction: &str, per_one: u64) -> Option<u32> {
    let (num, den) = fraction.split_once('/')?;
    let (num, den): (u64, u64) = (num.parse().ok()?, den.parse().ok()?);
    let scaled = num.checked_mul(per_one)?.checked_add(den / 2)?.checked_div(den)?;
    u32::try_from(scaled).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_data_becomes_the_encoders_options_unchanged() {
        let json = r#"[{"side_data_type": "Display Matrix", "rotation": -90},
            {"red_x": "34000/50000", "red_y": "16000/50000", "green_x": "13250/50000",
             "green_y": "34500/50000", "blue_x": "7500/50000", "blue_y": "3000/50000",
             "white_point_x": "15635/50000", "white_point_y": "16450/50000",
             "min_luminance": "50/10000", "max_luminance": "1000/1"},
            {"max_content": 1000, "max_average": 400}]"#;
        let list: Vec<SideData> = serde_json::from_str(json).unwrap();
        let hdr = Hdr::of(&list);
        assert_eq!(
            hdr.x265_params(),
            [
                "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)\
                 L(10000000,50)",
                "max-cll=1000,400",
                "hdr10=1"
            ]
        );
        assert_eq!(hdr.svt_av1_params()[0].matches("0.68000,0.32000").count(), 1);
        assert!(Hdr::of(&list[..1]).x265_params().is_empty());
    }

    #[test]
    fn dynamic_metadata_is_told_by_its_kind() {
        let json = r#"[{"side_data_type": "HDR Dynamic Metadata SMPTE2094-40 (HDR10+)"},
            {"side_data_type": "Dolby Vision RPU Data"}, {"side_data_type": "Display Matrix"},
            {"side_data_type": "Dolby Vision Metadata"}]"#;
        let list: Vec<SideData> = serde_json::from_str(json).unwrap();
        assert_eq!(DynamicHdr::of(&list), [DynamicHdr::Hdr10Plus, DynamicHdr::DolbyVision]);
        for (profile, compatibility, kind) in [
            (5, 0, DynamicHdr::DolbyVisionOnly),
            (8, 1, DynamicHdr::DolbyVision),
            (7, 6, DynamicHdr::DolbyVision),
            (10, 0, DynamicHdr::DolbyVisionOnly),
        ] {
            let json = format!(
                r#"[{{"side_data_type": "DOVI configuration record", "dv_profile": {profile},
                "dv_bl_signal_compatibility_id": {compatibility}}}]"#
            );
            let list: Vec<SideData> = serde_json::from_str(&json).unwrap();
            assert_eq!(DynamicHdr::of(&list), [kind], "profile {profile}");
        }
    }

    #[test]
    fn packing_is_read_with_its_order() {
        let json = r#"[{"side_data_type": "Stereo 3D", "type": "side by side", "inverted": 1},
            {"side_data_type": "Stereo 3D", "type": "top and bottom", "inverted": 0},
            {"side_data_type": "Stereo 3D", "type": "checkerboard", "inverted": 0}]"#;
        let list: Vec<SideData> = serde_json::from_str(json).unwrap();
        let found: Vec<_> = list.iter().map(SideData::stereo).collect();
        let crossed = StereoMode::SideBySideRightFirst;
        assert_eq!(found, [Some(crossed), Some(StereoMode::TopBottom), None]);
    }

    #[test]
    fn hostile_fractions_are_no_numbers() {
        for bad in ["1/0", "x/2", "1", "99999999999999999999/1", "18446744073709551615/1"] {
            assert_eq!(units(bad, 50_000), None, "{bad}");
        }
    }
}
