//! How much is worked on at once, from the memory that it is meant for.
//!
//! The most that a run takes is the networks in memory and the largest single piece of work:
//!
//! ```text
//! weights = shared + depth + inpainting          (both stages' networks resident)
//!         | shared + max(depth, inpainting)      (by stage)
//! depth   = window  * latents(depth size) * bytes per latent of a denoising step
//! inpaint = chunk   * latents(tile)       * bytes per latent of a denoising step
//! decode  = (decode + 2 * context) * pixels(decoded tile) * bytes per pixel of decoding
//! encode  = encode  * pixels(tile)        * bytes per pixel of encoding
//! peak    = weights + max(depth, inpaint, decode, encode)
//! ```
//!
//! Bytes per latent and pixel follow from the networks' widths by factors that were measured; see
//! [`Footprint::of`].
//!
//! Every size but which networks are in memory together changes pixels. So they follow from the picture and
//! from memory that a person names ([`Pieces`]), and what happens to be free decides only the rest: the same
//! job gives the same bytes on any machine, or is refused there.

use std::fmt;

use parallax_stereo::Stage;

use crate::decoding::spans;
use crate::footprint::Footprint;
use crate::size::Size;
use crate::tiles::Tiling;

/// Share of the free memory that a plan may take; the rest is fragmentation and other processes.
pub(crate) const SHARE: f64 = 0.9;

/// Frames of a depth window and how many windows share, from most to least.
const WINDOWS: [(usize, usize); 6] = [(70, 25), (50, 20), (35, 14), (24, 9), (16, 6), (8, 3)];
/// Frames inpainted together.
const CHUNKS: [usize; 4] = [23, 16, 12, 8];
/// Frames decoded together, frames on either side besides, and tiles along a side of the picture. Tiles
/// come last: they alone change what a picture looks like.
const DECODES: [(usize, usize, usize); 9] = [
    (8, 2, 1),
    (4, 2, 1),
    (2, 2, 1),
    (1, 1, 1),
    (2, 2, 2),
    (1, 1, 2),
    (1, 1, 3),
    (1, 1, 4),
    (1, 1, 8),
];
/// Most tiles along a side.
const MOST_TILES: usize = 8;

/// How large the pieces of work are. Pixels depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pieces {
    /// As large as so many bytes of a device's memory allow, whatever is free.
    For(u64),
    /// These; which networks are in memory is decided anew.
    Of(Plan),
}

impl Default for Pieces {
    fn default() -> Self {
        Self::For(USUAL_BYTES)
    }
}

/// Memory of the GPUs that most people have who have one for this.
pub const USUAL_BYTES: u64 = 24 << 30;

/// Which networks are in memory together. No pixel depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residency {
    /// Those of both stages.
    Both,
    /// Those of the stage at work; the other's denoiser is read again when its turn comes.
    ByStage,
}

/// How much is worked on at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Frames of a depth window.
    pub window: usize,
    /// Frames that depth windows share.
    pub window_overlap: usize,
    /// Tiles along each side of an inpainted picture.
    pub tiles: usize,
    /// Frames inpainted together.
    pub chunk: usize,
    /// Frames decoded together.
    pub decode: usize,
    /// Frames that decoding sees on either side besides.
    pub context: usize,
    /// Tiles along each side of a decoded picture.
    pub decode_tiles: usize,
    /// Which networks are in memory together.
    pub residency: Residency,
}

impl Default for Plan {
    /// All that the networks were trained for.
    fn default() -> Self {
        Self {
            window: WINDOWS[0].0,
            window_overlap: WINDOWS[0].1,
            tiles: 1,
            chunk: CHUNKS[0],
            decode: DECODES[0].0,
            context: DECODES[0].1,
            decode_tiles: DECODES[0].2,
            residency: Residency::Both,
        }
    }
}

impl Plan {
    /// All of it that pixels depend on, in words.
    pub fn pieces(&self) -> String {
        format!(
            "depth in windows of {} sharing {}, inpainting in {n}x{n} tiles and chunks of {}, decoding \
             {} frames with {} around them in {d}x{d} tiles",
            self.window,
            self.window_overlap,
            self.chunk,
            self.decode,
            self.context,
            n = self.tiles,
            d = self.decode_tiles,
        )
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let residency = match self.residency {
            Residency::Both => "both stages in memory",
            Residency::ByStage => "one stage in memory at a time",
        };
        write!(f, "{}, {residency}", self.pieces())
    }
}

/// What is to be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// Size at which depth is estimated.
    pub depth: Size,
    /// Size of the pictures.
    pub picture: Size,
    /// Pixels along a side of a latent.
    pub downsampling: usize,
}

/// Not even the least plan fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "too little memory: {found} MiB are free and a picture of {width}x{height} needs {needed} MiB at \
     the least"
)]
pub struct Short {
    /// MiB of the least plan.
    pub needed: u64,
    /// MiB that are free.
    pub found: u64,
    /// Columns of the picture.
    pub width: usize,
    /// Rows of the picture.
    pub height: usize,
}

impl Short {
    /// The same of memory that was named rather than found free.
    pub fn of_a_plan(&self) -> String {
        let Self { needed, found, width, height } = self;
        format!(
            "a memory plan of {found} MiB is too small: a picture of {width}x{height} needs {needed} MiB at \
             the least"
        )
    }
}

impl Job {
    fn tiling(count: usize) -> Tiling {
        Tiling { count, ..Tiling::default() }
    }

    /// Tiles along a side at most: narrower than two overlaps they would blend into their neighbours'
    /// neighbours.
    fn most_tiles(&self) -> usize {
        let shared = Tiling::default().overlap_px;
        let fits = |count: usize| {
            let side = self.picture.width.min(self.picture.height) + shared * (count - 1);
            side / count >= 2 * shared
        };
        (2..=MOST_TILES).take_while(|&count| fits(count)).last().unwrap_or(1)
    }

    /// Latents of the largest piece that is denoised in `tiles` by `tiles`.
    fn tile(&self, tiles: usize) -> Size {
        let tiling = Self::tiling(tiles);
        let padded = tiling.padded(self.picture, STEP_PX);
        let side = |side: usize| {
            let shared = tiling.overlap_px * (tiles - 1);
            (side + shared) / tiles
        };
        Size::new(side(padded.width), side(padded.height))
    }

    /// Bytes of the pieces of work of `stage` under `plan`.
    fn pieces(&self, stage: Stage, plan: &Plan, footprint: &Footprint) -> Vec<(Piece, u64)> {
        let latents = |size: Size| pixels(size) / (self.downsampling * self.downsampling) as u64;
        let decoded = |size: Size| {
            let side = |side: usize| {
                let spans = spans(side.div_ceil(self.downsampling), plan.decode_tiles);
                (spans[0].len() * self.downsampling) as u64
            };
            let frames = (plan.decode + 2 * plan.context) as u64;
            frames * side(size.width) * side(size.height) * footprint.decode_pixel
        };
        let (denoising, decoding, encoding) = match stage {
            Stage::Warp => return Vec::new(),
            Stage::Depth => (
                plan.window as u64 * latents(self.depth) * footprint.latent,
                decoded(self.depth),
                plan.decode as u64 * pixels(self.depth) * footprint.encode_pixel,
            ),
            Stage::Inpaint => {
                let tile = self.tile(plan.tiles);
                (
                    plan.chunk as u64 * latents(tile) * footprint.latent,
                    decoded(Self::tiling(plan.tiles).padded(self.picture, STEP_PX)),
                    ENCODED * pixels(tile) * footprint.encode_pixel,
                )
            }
        };
        // Frames are encoded as many at a time as are decoded, and tiles are encoded by themselves.
        let encoder = if stage == Stage::Depth { Piece::Decoding } else { Piece::Denoising };
        vec![(Piece::Denoising, denoising), (Piece::Decoding, decoding), (encoder, encoding)]
    }

    /// Bytes of the work of `stage` under `plan`, without weights.
    pub fn work(&self, stage: Stage, plan: &Plan, footprint: &Footprint) -> u64 {
        let pieces = self.pieces(stage, plan, footprint);
        pieces.into_iter().map(|(_, bytes)| bytes).max().unwrap_or(0)
    }

    /// The most that a run under `plan` takes, in bytes.
    pub fn peak(&self, plan: &Plan, footprint: &Footprint) -> u64 {
        let Footprint { shared, depth, inpainting, .. } = *footprint;
        let weights = match plan.residency {
            Residency::Both => shared + depth + inpainting,
            Residency::ByStage => shared + depth.max(inpainting),
        };
        let work = |stage| self.work(stage, plan, footprint);
        weights + work(Stage::Depth).max(work(Stage::Inpaint))
    }

    /// The largest plan that fits into `free` bytes: first one stage's networks go, then each stage's
    /// work is made smaller by itself.
    ///
    /// # Errors
    /// When none fits.
    pub fn plan(&self, free: u64, footprint: &Footprint) -> Result<Plan, Short> {
        let room = (free as f64 * SHARE) as u64;
        let mut plan = Plan::default();
        if self.peak(&plan, footprint) <= room {
            return Ok(plan);
        }
        plan.residency = Residency::ByStage;
        let weights = footprint.shared + footprint.depth.max(footprint.inpainting);
        for stage in [Stage::Depth, Stage::Inpaint] {
            while weights + self.work(stage, &plan, footprint) > room {
                plan = self.smaller(&plan, stage, footprint).ok_or_else(|| Short {
                    needed: (self.peak(&plan, footprint) as f64 / SHARE) as u64 >> 20,
                    found: free >> 20,
                    width: self.picture.width,
                    height: self.picture.height,
                })?;
            }
        }
        Ok(plan)
    }

    /// `plan` with the largest piece of `stage`'s work one notch smaller, or another where that one is at
    /// the end of its scale, or `None` where all are.
    fn smaller(&self, plan: &Plan, stage: Stage, footprint: &Footprint) -> Option<Plan> {
        if plan.residency == Residency::Both {
            return Some(Plan { residency: Residency::ByStage, ..plan.clone() });
        }
        let mut pieces = self.pieces(stage, plan, footprint);
        pieces.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        pieces.into_iter().find_map(|(piece, _)| match (piece, stage) {
            (Piece::Decoding, _) => self.less_decoded(plan, stage),
            (Piece::Denoising, Stage::Depth) => {
                let (window, window_overlap) =
                    *WINDOWS.iter().find(|(window, _)| *window < plan.window)?;
                Some(Plan { window, window_overlap, ..plan.clone() })
            }
            (Piece::Denoising, _) => self.less_inpainted(plan),
        })
    }

    fn less_decoded(&self, plan: &Plan, stage: Stage) -> Option<Plan> {
        let now = (plan.decode, plan.context, plan.decode_tiles);
        let at = DECODES.iter().position(|&notch| notch == now)?;
        let size = if stage == Stage::Depth { self.depth } else { self.picture };
        let long = size.width.max(size.height) / self.downsampling;
        let &(decode, context, decode_tiles) = DECODES[at + 1..]
            .iter()
            // Counts that make no smaller tiles are no notch.
            .find(|(.., tiles)| {
                *tiles <= plan.decode_tiles || spans(long, *tiles).len() == *tiles
            })?;
        Some(Plan { decode, context, decode_tiles, ..plan.clone() })
    }

    fn less_inpainted(&self, plan: &Plan) -> Option<Plan> {
        // Some counts pad more than they divide.
        let whole = |count| pixels(Self::tiling(count).padded(self.picture, STEP_PX));
        let divides = |&count: &usize| {
            pixels(self.tile(count)) < pixels(self.tile(plan.tiles))
                && whole(count) * 8 <= whole(plan.tiles) * 9
        };
        if let Some(tiles) = (plan.tiles + 1..=self.most_tiles()).find(divides) {
            return Some(Plan { tiles, ..plan.clone() });
        }
        let &chunk = CHUNKS.iter().find(|chunk| **chunk < plan.chunk)?;
        Some(Plan { chunk, ..plan.clone() })
    }
}

/// What can be made smaller by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Denoising,
    Decoding,
}

fn pixels(size: Size) -> u64 {
    (size.width * size.height) as u64
}

/// Sides of inpainted tiles are multiples of this.
pub(crate) const STEP_PX: usize = 64;
/// Frames that inpainting encodes together.
const ENCODED: u64 = 5;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::precision::Precision;
    use candle_core::DType;
    use parallax_svd::{unet, vae};
    use proptest::prelude::*;

    pub(crate) const GIB: u64 = 1 << 30;

    /// Full-size networks in half precision.
    pub(crate) fn footprint() -> Footprint {
        let weights = [1_459_639_294, 3_049_246_164, 3_049_251_924];
        let half = Precision { denoiser: DType::F16, decoder: DType::F16 };
        Footprint::of(weights, &unet::Config::svd(), &vae::Config::svd(), half)
    }

    pub(crate) fn job(width: usize, height: usize) -> Job {
        let picture = Size::new(width, height);
        Job { depth: crate::size::nearest_size(picture, 1024), picture, downsampling: 8 }
    }

    #[test]
    fn the_peak_is_the_weights_and_the_largest_piece_of_work() {
        let footprint = Footprint {
            shared: 10,
            depth: 100,
            inpainting: 200,
            latent: 7,
            encode_pixel: 0,
            decode_pixel: 1,
        };
        let job = Job { depth: Size::new(64, 128), picture: Size::new(100, 60), downsampling: 8 };
        let plan = Plan { window: 3, chunk: 50, decode: 1, context: 0, ..Plan::default() };
        // Depth: 3 windows of 8 by 16 latents, or 64 by 128 pixels; inpainting: 50 frames of 16 by 8.
        assert_eq!(job.work(Stage::Depth, &plan, &footprint), 64 * 128);
        assert_eq!(job.work(Stage::Inpaint, &plan, &footprint), 50 * 16 * 8 * 7);
        assert_eq!(job.peak(&plan, &footprint), 310 + 50 * 16 * 8 * 7);
        let by_stage = Plan { residency: Residency::ByStage, ..plan };
        assert_eq!(job.peak(&by_stage, &footprint), 210 + 50 * 16 * 8 * 7);
    }

    #[test]
    fn a_large_device_does_what_the_networks_were_trained_for() {
        assert_eq!(job(1024, 576).plan(140 * GIB, &footprint()).unwrap(), Plan::default());
    }

    #[test]
    fn less_room_gives_smaller_plans_and_none_names_what_is_missing() {
        let job = job(1920, 1080);
        let mut last = u64::MAX;
        for free in [320, 80, 48, 24, 16, 12] {
            let plan = job.plan(free * GIB, &footprint()).unwrap();
            let peak = job.peak(&plan, &footprint());
            assert!(peak <= free * GIB * 9 / 10 && peak <= last, "{free}: {plan}");
            last = peak;
        }
        let small = job.plan(12 * GIB, &footprint()).unwrap();
        assert_eq!(small.residency, Residency::ByStage);
        assert!(small.tiles > 1 && small.window < 70, "{small}");
        let error = job.plan(3 * GIB, &footprint()).unwrap_err().to_string();
        assert!(error.contains("3072 MiB") && error.contains("1920x1080"), "{error}");
    }

    #[test]
    fn the_scale_ends() {
        for stage in [Stage::Depth, Stage::Inpaint] {
            let (job, mut plan, mut notches) = (job(1920, 1080), Plan::default(), 0);
            let mut work = job.work(stage, &plan, &footprint());
            while let Some(next) = job.smaller(&plan, stage, &footprint()) {
                assert_ne!(next, plan);
                let now = job.work(stage, &next, &footprint());
                // More tiles may pad the whole a little more, which decoding sees.
                assert!(now <= work / 8 * 9, "{plan} to {next}");
                (plan, notches, work) = (next, notches + 1, now);
            }
            assert!((10..24).contains(&notches), "{notches}");
        }
        assert_eq!(job(200, 100).most_tiles(), 1);
    }

    proptest! {
        #[test]
        fn plans_fit(width in 64usize..4096, height in 64usize..4096, free in 8u64..200) {
            let job = job(width, height);
            if let Ok(plan) = job.plan(free * GIB, &footprint()) {
                prop_assert!(job.peak(&plan, &footprint()) <= free * GIB);
                prop_assert!(plan.window_overlap < plan.window);
                prop_assert!(plan.chunk > 3);
            }
        }
    }
}
