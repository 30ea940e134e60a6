//! Groups of options of `parallax convert`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use parallax_catalogue::{ALL, ESTIMATORS, INPAINTERS, Selected, find};
use parallax_conversion::{Near, SourceLayout};
use parallax_engine_spec::{DepthSpec, Device, InpaintSpec, MemoryPlan};
use parallax_media::{Codec, Damaged};
use parallax_stereo::{Eyes, Fill, Rendering, Warping};

/// What happens to the source's pictures first, and how the result is called.
#[derive(Debug, Args)]
pub(crate) struct PictureArgs {
    /// What to do with interlaced video: `refuse` it, `deinterlace` it (as many frames, at the
    /// same times), or convert its frames `as-is` when they are whole pictures after all.
    #[arg(long, value_enum, default_value_t = Interlaced::Refuse)]
    pub(crate) interlaced: Interlaced,

    /// What the source is, when it holds two views already: the one eye of it to convert, such as
    /// `full-sbs-left`, `half-sbs-right`, `full-tb-left`, `half-tb-right` or `cross-eyed-left`, or `flat`
    /// for a file that says so wrongly. Without it a source that declares two views is refused.
    #[arg(long, value_name = "LAYOUT-EYE")]
    pub(crate) source_layout: Option<SourceLayout>,

    /// Cut black bars away. Without it the picture keeps its shape.
    #[arg(long)]
    pub(crate) crop_bars: bool,

    /// Give an anaglyph colour at full resolution (4:4:4): less ghosting, fewer players.
    #[arg(long)]
    pub(crate) full_chroma: bool,

    /// Name of the output when --output is not given; {stem} is the input's name, {tag} the
    /// suffix by which players tell the layout.
    #[arg(long, value_name = "TEMPLATE", default_value = "{stem}{tag}")]
    pub(crate) name: String,
}

/// What happens to a damaged source.
#[derive(Debug, Args)]
pub(crate) struct DamagedArgs {
    /// What to do where the video is damaged: `repair` it, so that the last good picture stands in for
    /// each that cannot be read and the end tells how many and where, or `refuse` it. A film of which
    /// more than a quarter cannot be read is refused in any case.
    #[arg(long, default_value = "repair", value_name = "repair|refuse")]
    pub(crate) damaged: Damaged,
}

/// How the eyes are drawn.
#[derive(Debug, Args)]
pub(crate) struct DrawingArgs {
    /// Which eye is drawn; the other one is the source. `both` share the parallax.
    #[arg(long, value_enum, default_value_t = EyesChoice::Right)]
    pub(crate) eyes: EyesChoice,

    /// How pixels are taken to the other eye: by `surface`, of which the nearest wins, or as the
    /// published pipeline's `reference` splatting does it, with its losses at the borders.
    #[arg(long, value_enum, default_value_t = WarpChoice::Surface)]
    pub(crate) warp: WarpChoice,

    /// What fills the holes that moved foreground uncovers: nothing (`black`), the background's edge
    /// drawn across (`stretch`), its mirror image (`mirror`), the background running on along its own
    /// edges (`continue`), its surroundings blurred (`smooth`), or what other frames saw there while the
    /// camera stands still, and else as `continue` (`temporal`).
    #[arg(long, value_enum, default_value_t = FillChoice::Continue)]
    pub(crate) fill: FillChoice,
}

impl DrawingArgs {
    pub(crate) fn rendering(&self) -> Rendering {
        Rendering {
            eyes: match self.eyes {
                EyesChoice::Right => Eyes::Right,
                EyesChoice::Left => Eyes::Left,
                EyesChoice::Both => Eyes::Both,
            },
            warping: match self.warp {
                WarpChoice::Surface => Warping::Surface,
                WarpChoice::Reference => Warping::Reference,
            },
            fill: self.fill.fill(),
            depth_picture: false,
        }
    }
}

/// An engine out of two halves.
#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    /// In place of --engine: what sees the depth (`draft`, `depth-anything`, `video-depth-anything`,
    /// `depthcrafter` or `depth-from`). Goes with any --inpaint.
    #[arg(long, value_name = "ESTIMATOR", conflicts_with = "engine", value_parser = parse_estimator)]
    pub(crate) depth_engine: Option<&'static DepthSpec>,

    /// In place of --engine: what fills the holes, one of those of --fill or `stereocrafter`, which
    /// invents what was hidden by diffusion and needs --weights. Goes with any --depth-engine.
    #[arg(long, value_name = "FILLER", conflicts_with_all = ["engine", "fill"],
        value_parser = Inpaint::parse)]
    pub(crate) inpaint: Option<Inpaint>,
}

/// What fills the holes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Inpaint {
    /// A fill of the warp.
    Fill(FillChoice),
    /// An inpainter of the catalogue.
    Model(&'static InpaintSpec),
}

impl PairArgs {
    /// The engine that both make together, `None` without either: depth is drafted and holes are filled
    /// as --fill says where only one half is named.
    pub(crate) fn selected(&self) -> Option<Selected> {
        if self.depth_engine.is_none() && self.inpaint.is_none() {
            return None;
        }
        let depth = self.depth_engine.or_else(|| find(ESTIMATORS, "draft"))?;
        let inpaint = match self.inpaint {
            Some(Inpaint::Model(model)) => Some(model),
            Some(Inpaint::Fill(_)) | None => None,
        };
        Some(Selected::pair(ALL, depth, inpaint))
    }

    /// The fill of the warp that --inpaint names.
    pub(crate) fn fill(&self) -> Option<Fill> {
        match self.inpaint {
            Some(Inpaint::Fill(fill)) => Some(fill.fill()),
            Some(Inpaint::Model(_)) | None => None,
        }
    }
}

impl Inpaint {
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(fill) = FillChoice::from_str(text, false) {
            return Ok(Self::Fill(fill));
        }
        if let Some(model) = find(INPAINTERS, text) {
            return Ok(Self::Model(model));
        }
        let fills = FillChoice::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let fills = fills.map(|fill| fill.get_name().to_owned());
        let models = INPAINTERS.iter().map(|spec| spec.name.to_owned());
        Err(format!("allowed are {}", fills.chain(models).collect::<Vec<_>>().join(", ")))
    }
}

fn parse_estimator(text: &str) -> Result<&'static DepthSpec, String> {
    let names = || ESTIMATORS.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ");
    find(ESTIMATORS, text).ok_or_else(|| format!("allowed are {}", names()))
}

/// What the engine `stereocrafter` does with memory.
#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    /// Memory in GiB that the engine `stereocrafter` cuts its work for. Pixels depend on it, so they are
    /// the same on every machine; one with less than that takes is told. `auto` cuts for what is free
    /// now, and a conversion that is resumed with other memory is refused. Defaults to 24.
    #[arg(long, value_name = "GIB|auto")]
    pub(crate) memory_plan: Option<MemoryPlan>,

    /// Memory in MiB of the device that the engine `stereocrafter` may take at most. No pixel depends on
    /// it. Defaults to what is free.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=4 << 20))]
    pub(crate) memory_limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceChoice {
    /// The processor.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
}

impl DeviceChoice {
    pub(crate) fn device(self) -> Device {
        match self {
            Self::Cpu => Device::Cpu,
            Self::Cuda => Device::Cuda,
        }
    }
}

/// Depth that the user brings.
#[derive(Debug, Args)]
pub(crate) struct DepthArgs {
    /// Depth for the `depth-from` engine, one plane for each frame: a grey video, a folder of PNG or
    /// EXR pictures, .npy or .npz.
    #[arg(long, value_name = "FILE", required_if_eq("engine", "depth-from"))]
    pub(crate) depth: Option<PathBuf>,

    /// What is near in that depth: `white` (large values) or `black`.
    #[arg(long, value_enum, default_value_t = NearChoice::White)]
    pub(crate) depth_near: NearChoice,

    /// That depth is the upper right picture of a video of two by two pictures, the grid of
    /// StereoCrafter's first step.
    #[arg(long)]
    pub(crate) depth_grid: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NearChoice {
    White,
    Black,
}

impl NearChoice {
    pub(crate) fn near(self) -> Near {
        match self {
            NearChoice::White => Near::White,
            NearChoice::Black => Near::Black,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Interlaced {
    Refuse,
    Deinterlace,
    AsIs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EyesChoice {
    Right,
    Left,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WarpChoice {
    Surface,
    Reference,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FillChoice {
    Black,
    Stretch,
    Mirror,
    Continue,
    Smooth,
    Temporal,
}

impl FillChoice {
    fn fill(self) -> Fill {
        match self {
            FillChoice::Black => Fill::Black,
            FillChoice::Stretch => Fill::Stretch,
            FillChoice::Mirror => Fill::Mirror,
            FillChoice::Continue => Fill::Continue,
            FillChoice::Smooth => Fill::Smooth,
            FillChoice::Temporal => Fill::Temporal,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodecChoice {
    /// H.264, or H.265 for HDR, more than 8 bits and pictures larger than 4096.
    Auto,
    /// H.264 by x264.
    H264,
    /// H.265 by x265.
    Hevc,
    /// AV1 by SVT-AV1.
    Av1,
    /// H.264 by an NVIDIA GPU.
    H264Nvenc,
    /// H.265 by an NVIDIA GPU.
    HevcNvenc,
}

impl CodecChoice {
    /// Encoders to try, best first; `large` says that H.264 does not suit the pictures.
    pub(crate) fn candidates(self, large: bool) -> &'static [Codec] {
        match self {
            CodecChoice::Auto if large => &[Codec::X265, Codec::X264],
            CodecChoice::Auto | CodecChoice::H264 => &[Codec::X264, Codec::X265],
            CodecChoice::Hevc => &[Codec::X265, Codec::X264],
            CodecChoice::Av1 => &[Codec::SvtAv1, Codec::X265, Codec::X264],
            CodecChoice::H264Nvenc => &[Codec::H264Nvenc, Codec::X264],
            CodecChoice::HevcNvenc => &[Codec::HevcNvenc, Codec::X265],
        }
    }
}
