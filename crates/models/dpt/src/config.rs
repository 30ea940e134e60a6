//! What tells the networks of the family apart.

/// A network.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The encoder.
    pub transformer: Transformer,
    /// The blocks whose outputs the head takes, counted from 0.
    pub taken: [usize; 4],
    /// Channels of the four reassembled maps.
    pub reassembled: [usize; 4],
    /// Channels of the fused maps.
    pub features: usize,
    /// Channels before the last convolution.
    pub hidden: usize,
    /// What the last layer's numbers mean.
    pub output: Output,
    /// Attention over time in the head; `None` for networks of single pictures.
    pub temporal: Option<Temporal>,
}

/// A DINOv2 encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Transformer {
    /// Width of a token.
    pub width: usize,
    /// Heads of attention; the width is a multiple of their number.
    pub heads: usize,
    /// Blocks.
    pub blocks: usize,
    /// Hidden width of a block's network, relative to the token's.
    pub mlp_ratio: usize,
    /// Pixels of a patch's side.
    pub patch: usize,
    /// Patches of the side of the square that positions were learned on.
    pub table: usize,
    /// How positions are resized to other grids.
    pub positions: Positions,
    /// Added to variances in the blocks.
    pub block_epsilon: f64,
    /// Added to variances in the last norm.
    pub final_epsilon: f64,
}

/// How learned positions are resized to a grid of `n` patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// By the factor `(n + 0.1) / table`, as the authors' code has it.
    ByFactor,
    /// By the sizes, as transformers has it.
    BySize,
}

/// What the numbers of the last layer, `x`, mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    /// `max(x, 0)` is inverse depth of unknown scale and shift.
    Relative,
    /// `sigmoid(x)` times this is depth in metres.
    Metric {
        /// The farthest.
        farthest: f64,
    },
    /// `exp(x)` is depth of unknown scale; another branch tells the sky.
    ExponentialWithSky,
}

/// Attention over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Temporal {
    /// Heads of attention.
    pub heads: usize,
    /// Frames that are seen together at most.
    pub frames: usize,
}

/// What Video Depth Anything was published with.
const VIDEO: Temporal = Temporal { heads: 8, frames: 32 };

impl Transformer {
    /// One of the published widths, with heads of 64.
    fn of(width: usize, blocks: usize) -> Self {
        Self {
            width,
            heads: width / 64,
            blocks,
            mlp_ratio: 4,
            patch: 14,
            table: 37,
            positions: Positions::ByFactor,
            block_epsilon: 1e-6,
            final_epsilon: 1e-6,
        }
    }
}

impl Config {
    /// ViT-S: Depth Anything V2 Small, Distill Any Depth Small.
    pub fn small() -> Self {
        Self {
            transformer: Transformer::of(384, 12),
            taken: [2, 5, 8, 11],
            reassembled: [48, 96, 192, 384],
            features: 64,
            hidden: 32,
            output: Output::Relative,
            temporal: None,
        }
    }

    /// ViT-B: Depth Anything V2 Base.
    pub fn base() -> Self {
        let reassembled = [96, 192, 384, 768];
        Self { transformer: Transformer::of(768, 12), reassembled, features: 128, ..Self::small() }
    }

    /// ViT-L: Depth Anything V2 Large.
    pub fn large() -> Self {
        Self {
            transformer: Transformer::of(1024, 24),
            taken: [4, 11, 17, 23],
            reassembled: [256, 512, 1024, 1024],
            features: 256,
            ..Self::small()
        }
    }

    /// The same with the last four blocks taken: Depth Anything V1.
    #[must_use]
    pub fn with_last_blocks(mut self) -> Self {
        let blocks = self.transformer.blocks;
        self.taken = [4, 3, 2, 1].map(|back| blocks - back);
        self
    }

    /// The same with attention over time: Video Depth Anything.
    #[must_use]
    pub fn with_time(mut self) -> Self {
        self.temporal = Some(VIDEO);
        self
    }

    /// DA3MONO-LARGE.
    pub fn mono_large() -> Self {
        let mut config = Self::large();
        config.output = Output::ExponentialWithSky;
        config.transformer.final_epsilon = 1e-5;
        config
    }

    /// Patches (rows, columns) of images whose sides are those of `size`, (height, width) in pixels.
    ///
    /// # Errors
    /// When a side is no multiple of a patch's.
    pub fn grid(&self, (height, width): (usize, usize)) -> candle_core::Result<(usize, usize)> {
        let patch = self.transformer.patch;
        if height * width == 0 || !height.is_multiple_of(patch) || !width.is_multiple_of(patch) {
            candle_core::bail!("an image of {width}x{height}: its sides are multiples of {patch}");
        }
        Ok((height / patch, width / patch))
    }
}
