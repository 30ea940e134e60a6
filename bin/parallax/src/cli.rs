//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use parallax_catalogue::{ALL, by_name};
use parallax_engine_spec::Dtype;
use parallax_stereo::Layout;

use crate::convert::network::{AUTOMATIC, NetworkArgs};
use crate::convert::options::{
    CodecChoice, DamagedArgs, DepthArgs, DeviceChoice, DrawingArgs, MemoryArgs, PairArgs,
    PictureArgs,
};
use crate::convert::part::PartArgs;
use crate::convert::staging::StagingArgs;
use crate::convert::without::Unwanted;
use crate::depth::DepthCommand;
use crate::inspect::InspectArgs;
use crate::perceive::PerceiveArgs;
use crate::preview::PreviewArgs;
use crate::search::SearchArgs;
use crate::serve::ServeArgs;
use crate::weights::names;

/// Ordinary video in, stereoscopic 3D out.
#[derive(Debug, Parser)]
#[command(version = parallax_process::version(), about, max_term_width = 100)]
pub(crate) struct Cli {
    /// Write a log to standard error; twice and three times for more.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Convert a video, a picture or a folder of them into stereoscopic ones.
    Convert(Box<ConvertArgs>),
    /// Write a video's depth to a file.
    Depth(DepthCommand),
    /// Say what a file is: streams, layout, and the parallax between its eyes.
    Inspect(InspectArgs),
    /// Look at films and pictures: a vector for each frame, shots, and which frames look alike.
    Perceive(PerceiveArgs),
    /// Find frames of films that were looked at by `perceive`: those that look like a picture.
    Search(SearchArgs),
    /// Show on one sheet of pictures what a conversion will look like.
    Preview(PreviewArgs),
    /// Show pages for a browser: drop films, look at them, convert and watch them.
    Serve(ServeArgs),
    /// Report what this machine has, what is missing and how to get it.
    Doctor(DoctorArgs),
    /// Download model weights, or check them.
    #[command(subcommand)]
    Weights(WeightsCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum WeightsCommand {
    /// Download models, by their names or for an engine. An interrupted download continues.
    #[command(after_help = format!("{}\n\n{FETCH_HELP}", names::table()))]
    Fetch(FetchArgs),
    /// Say which model is what, every tensor that is not as it should be, and the memory needed.
    ///
    /// Exits with 0 when everything is usable, 1 when something is missing or wrong, 2 on wrong usage.
    Check(CheckArgs),
}

const FETCH_HELP: &str = "\
Environment: HF_TOKEN, or HF_TOKEN_FILE for a file with it (read token of an account that accepted the
models' licences), HF_ENDPOINT (another hub), HF_HUB_OFFLINE (1: ask nobody), WEIGHTS_DIR, WEIGHTS_LOCK
(the lock file; defaults to weights.lock in that folder), WEIGHTS_MIRROR (copies in a place of your own).
Exit codes: 0 complete, 1 other failure, 2 wrong usage or setting, 3 access refused or not found,
4 hub out of reach, damaged downloads or offline, 5 no room, 6 not the file
that is pinned, 130 interrupted.";

#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// Models, engines, depth estimators and inpainters, as they are listed below.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(names::names()),
          hide_possible_values = true)]
    pub(crate) names: Vec<String>,

    /// Where the models go, each into a folder of its own. Defaults to the folder
    /// `parallax/weights` in the user's data folder.
    #[arg(long, value_name = "DIR", env = "WEIGHTS_DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// Pin a model that is fetched to a commit, a tag or a branch. Defaults to the commit that is in the
    /// folder, or else to the newest.
    #[arg(long, value_name = "MODEL=REVISION")]
    pub(crate) revision: Vec<String>,

    /// Take a model that is fetched from another repository.
    #[arg(long, value_name = "MODEL=OWNER/NAME")]
    pub(crate) repository: Vec<String>,

    /// Read every file again and download those that are damaged.
    #[arg(long)]
    pub(crate) verify: bool,

    /// Tries of a file in a row without progress before giving up.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) tries: u32,

    /// Ask nobody: only tell whether everything is there.
    #[arg(long)]
    pub(crate) offline: bool,

    /// Write events as JSON lines to standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The folder of all models, or of one. Defaults to that of `weights fetch`.
    #[arg(value_name = "DIR", env = "WEIGHTS_DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// The pictures whose conversion is planned.
    #[arg(long, default_value = "1920x1080", value_name = "WIDTHxHEIGHT", value_parser = parse_size)]
    pub(crate) size: (usize, usize),

    /// Free memory of the device that is planned for. Defaults to a few usual GPUs.
    #[arg(long, value_name = "GIB", value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) memory: Option<u64>,

    /// Read every value of every tensor, too, and compare every file with `weights.lock`: some gigabytes of the disk. A conversion does so before it
    /// begins.
    #[arg(long)]
    pub(crate) values: bool,

    /// Write the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// The video or the picture (JPEG, PNG, WebP) to convert, or a folder of them, of which all are
    /// converted that are not yet.
    pub(crate) input: PathBuf,

    /// The file to make (.mp4 or .mkv; .png or .jpg of a picture). Defaults to the input's name with a
    /// suffix that players recognise, beside the input: MP4, or Matroska where MP4 would lose a
    /// stream; JPEG of a JPEG, else PNG.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Of a folder, convert what is in the folders below it, too.
    #[arg(long)]
    pub(crate) recursive: bool,

    /// Leave a stream of the source out of the result: its number, as `parallax inspect` shows it,
    /// or all `audio`, `subtitles` or `attachments`. May be repeated.
    #[arg(long, value_name = "STREAM")]
    pub(crate) without: Vec<Unwanted>,

    /// How the two views share the picture: full-sbs, half-sbs, full-tb, half-tb, cross-eyed,
    /// right-only, rgbd, anaglyph, anaglyph-half-colour, anaglyph-optimised, anaglyph-dubois, vr180.
    #[arg(long, default_value = "full-sbs")]
    pub(crate) layout: Layout,

    /// What makes the second view: `auto` takes a depth network where the weights of one are here and
    /// `draft` elsewhere, and says which; `draft` guesses depth from classical cues, as a preview on any
    /// CPU; `depth-anything` estimates it by a network that sees frame by frame, and
    /// `video-depth-anything` by one that sees a shot's frames together; `stereocrafter` estimates it and
    /// fills what was hidden by diffusion, and needs in practice a GPU; `depth-from` takes the depth that --depth names; `copy` shows the same
    /// picture to both eyes.
    #[arg(long, default_value = AUTOMATIC, value_parser = parse_engine)]
    pub(crate) engine: String,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,

    #[command(flatten)]
    pub(crate) pair: PairArgs,

    /// The folder of all models, each in a folder of its repository's name. Defaults to that of `weights
    /// fetch`.
    #[arg(long, env = "WEIGHTS_DIR", value_name = "DIR")]
    pub(crate) weights: Option<PathBuf>,

    /// Have networks compute what the published programs compute, quirks included, for comparison: less
    /// stable over time, and `stereocrafter` cuts the right eye to multiples of 128.
    #[arg(long)]
    pub(crate) reference: bool,

    /// Denoising steps of the engine `stereocrafter`.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) steps: u32,

    /// Where networks compute.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Cpu)]
    pub(crate) device: DeviceChoice,

    /// The type that networks compute in. `auto` is f32 on the processor, which is all that depth networks
    /// know there, and f16 on a GPU.
    #[arg(long, value_enum, default_value_t = TypeChoice::Auto)]
    pub(crate) dtype: TypeChoice,

    #[command(flatten)]
    pub(crate) memory: MemoryArgs,

    #[command(flatten)]
    pub(crate) staging: StagingArgs,

    #[command(flatten)]
    pub(crate) depth: DepthArgs,

    #[command(flatten)]
    pub(crate) drawing: DrawingArgs,

    #[command(flatten)]
    pub(crate) pictures: PictureArgs,

    #[command(flatten)]
    pub(crate) part: PartArgs,

    #[command(flatten)]
    pub(crate) damaged: DamagedArgs,

    /// Seed of every random choice: the same seed gives the same file.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,

    /// Encoder.
    #[arg(long, value_enum, default_value_t = CodecChoice::Auto)]
    pub(crate) codec: CodecChoice,

    /// Constant quality of the encoder, 0 (best) to 51.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(0..=51))]
    pub(crate) crf: u8,

    /// Speed preset of the encoder.
    #[arg(long, default_value = "medium", value_parser = [
        "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower",
        "veryslow",
    ])]
    pub(crate) preset: String,

    /// Segments converted at the same time. Defaults to one for every four processors, and to 1 for
    /// the engine `stereocrafter`.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) jobs: Option<u32>,

    /// Least length of a segment: what an interruption can cost. Cuts fall on keyframes.
    #[arg(long, default_value_t = 10, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) segment_seconds: u32,

    /// Continue an interrupted conversion where it stopped.
    #[arg(long, conflicts_with = "restart")]
    pub(crate) resume: bool,

    /// Discard what an interrupted conversion left and start over.
    #[arg(long)]
    pub(crate) restart: bool,

    /// Replace the output if it exists.
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Where unfinished work is kept. Defaults to a hidden folder beside the output; it needs
    /// room for about twice the result
    /// and for the source, which is estimated before the first frame.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Start even when the disks have less room than the conversion is estimated to take.
    #[arg(long)]
    pub(crate) ignore_room: bool,

    /// Write events as JSON lines to standard output.
    #[arg(long)]
    pub(crate) json: bool,

    /// Stop as on Ctrl-C when standard input ends: for whoever starts conversions and may be killed.
    #[arg(long, hide = true)]
    pub(crate) stop_with_parent: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Write the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TypeChoice {
    /// Whatever suits the device.
    Auto,
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Half precision with the range of single precision; not on the processor.
    Bf16,
}

impl TypeChoice {
    pub(crate) fn dtype(self) -> Option<Dtype> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(Dtype::F32),
            Self::F16 => Some(Dtype::F16),
            Self::Bf16 => Some(Dtype::Bf16),
        }
    }
}

/// Sides of 1 to 16384 pixels.
fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let side = |side: &str| side.parse().ok().filter(|side| (1..=16384).contains(side));
    text.split_once('x')
        .and_then(|(width, height)| Some((side(width)?, side(height)?)))
        .ok_or_else(|| format!("{text:?}; allowed is WIDTHxHEIGHT with sides of 1 to 16384 pixels"))
}

fn parse_engine(text: &str) -> Result<String, String> {
    if text == AUTOMATIC || by_name(text).is_some() {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> =
        [AUTOMATIC].into_iter().chain(ALL.iter().map(|spec| spec.name)).collect();
    Err(format!("allowed are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for bad in [
            vec!["--disparity", "11"],
            vec!["--disparity", "NaN"],
            vec!["--disparity", "11%"],
            vec!["--disparity", "2em"],
            vec!["--disparity=-3px"],
            vec!["--convergence", "-0.1"],
            vec!["--convergence", "near"],
            vec!["--comfort=1"],
            vec!["--comfort=1,11"],
            vec!["--engine", "magic"],
            vec!["--depth-engine", "stereocrafter"],
            vec!["--inpaint", "depthcrafter"],
            vec!["--inpaint", "black", "--fill", "black"],
            vec!["--inpaint", "stereocrafter", "--engine", "draft"],
            vec!["--depth-engine", "draft", "--engine", "draft"],
            vec!["--layout", "sbs"],
            vec!["--crf", "52"],
            vec!["--damaged", "ignore"],
            vec!["--jobs", "0"],
            vec!["--steps", "0"],
            vec!["--device", "tpu"],
            vec!["--without", "video"],
            vec!["--resume", "--restart"],
            vec!["--start", "1:60"],
            vec!["--end=-1"],
            vec!["--fps", "0"],
            vec!["--max-height", "8"],
        ] {
            let args = ["parallax", "convert", "in.mp4"].into_iter().chain(bad.iter().copied());
            assert!(Cli::try_parse_from(args).is_err(), "{bad:?}");
        }
    }
}
