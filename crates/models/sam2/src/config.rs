//! What tells the networks of the family apart.

use candle_core::{Result, bail};

/// Times that a side is halved between the finest stage and the coarsest.
const HALVINGS: usize = 3;
/// Pixels of a patch's side at the finest stage.
pub(crate) const PATCH: usize = 4;

/// Masks of one prompt: one for itself, and three of which the best is taken.
pub(crate) const MASKS: usize = 4;

/// A network.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Pixels of the side of the square that pictures are resized to.
    pub image_size: usize,
    /// The encoder of pictures.
    pub backbone: Hiera,
    /// Channels of the maps that the neck gives, and of a token.
    pub width: usize,
    /// Stages, finest 0, that take part in the sums from the coarsest down; the coarsest is one of them.
    pub top_down: Vec<usize>,
    /// Channels of a mask prompt on its way, before the last layer.
    pub mask_channels: usize,
    /// Added to variances where mask prompts are normalised.
    pub prompt_epsilon: f64,
    /// The decoder of masks.
    pub decoder: Decoder,
    /// The networks that follow a mask through a clip.
    pub memory: Memory,
}

/// A Hiera encoder (Ryali et al. 2023, arXiv:2306.00989) of four stages, each of half the sides of the one
/// before.
#[derive(Debug, Clone, PartialEq)]
pub struct Hiera {
    /// Width of a token, by stage.
    pub widths: [usize; 4],
    /// Heads of attention, by stage.
    pub heads: [usize; 4],
    /// Blocks, by stage.
    pub blocks: [usize; 4],
    /// Tokens of a window's side, by stage. A stage's first block has the window of the stage before.
    pub windows: [usize; 4],
    /// Blocks, counted over all stages from 0, whose attention is among all tokens.
    pub global: Vec<usize>,
    /// Rows and columns of the table of positions that is stretched over the picture.
    pub background: (usize, usize),
    /// Hidden width of a block's network, relative to the token's.
    pub mlp_ratio: usize,
    /// Added to variances.
    pub epsilon: f64,
}

/// The decoder of masks.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoder {
    /// Layers of attention between tokens and picture.
    pub layers: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Hidden width of a layer's network.
    pub hidden: usize,
    /// By how much attention between tokens and picture is narrower than a token.
    pub narrowing: usize,
    /// Hidden width of the network that scores masks.
    pub score_hidden: usize,
    /// Layers of the network that scores masks.
    pub score_layers: usize,
    /// The logit that a mask's area must not depend on, where one mask is asked for.
    pub stability_delta: f64,
    /// The least ratio of the areas above and below it for a mask to be stable; `None` where the first mask
    /// is always taken.
    pub stability: Option<f64>,
}

/// The networks that follow a mask through a clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// Layers of attention to what is remembered.
    pub layers: usize,
    /// Hidden width of a layer's network.
    pub hidden: usize,
    /// Channels of what is remembered of a frame.
    pub channels: usize,
    /// Frames that are remembered, the one at hand included.
    pub frames: usize,
    /// Frames that were pointed at and are looked at, nearest first; `None` for all.
    pub prompted: Option<usize>,
    /// Frames whose pointers are remembered, the one at hand included.
    pub pointers: usize,
    /// What masks, 0 to 1, are multiplied by on their way in.
    pub mask_scale: f64,
    /// What is added to them then.
    pub mask_bias: f64,
    /// When the best of three masks is taken, and not the one for itself.
    pub several: Several,
    /// How often masks are halved on their way in, and have four times the channels each time.
    pub halvings: usize,
    /// Blocks that mix a frame with its mask.
    pub fuser_layers: usize,
    /// Hidden width of these blocks.
    pub fuser_hidden: usize,
    /// Whether an object that is hidden has a mark of its own.
    pub occlusion: bool,
    /// Whether pointers to objects tell how long ago they were.
    pub pointer_times: bool,
}

/// When the best of three masks is taken, and not the one for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Several {
    /// Ever.
    pub ever: bool,
    /// In frames that are seen in the light of memory, too.
    pub followed: bool,
    /// Where so many points are given, at least and at most.
    pub points: (usize, usize),
}

impl Several {
    /// For an object at which so many points are, by itself or in the light of memory.
    pub(crate) fn at(&self, first: bool, points: usize) -> bool {
        let (least, most) = self.points;
        self.ever && (first || self.followed) && (least..=most).contains(&points)
    }
}

impl Hiera {
    fn of(widths: [usize; 4], heads: [usize; 4], blocks: [usize; 4], global: [usize; 3]) -> Self {
        Self {
            widths,
            heads,
            blocks,
            windows: [8, 4, 14, 7],
            global: global.to_vec(),
            background: (7, 7),
            mlp_ratio: 4,
            epsilon: 1e-6,
        }
    }
}

impl Config {
    fn published(backbone: Hiera) -> Self {
        Self {
            image_size: 1024,
            backbone,
            width: 256,
            top_down: vec![2, 3],
            mask_channels: 16,
            prompt_epsilon: 1e-6,
            decoder: Decoder {
                layers: 2,
                heads: 8,
                hidden: 2048,
                narrowing: 2,
                score_hidden: 256,
                score_layers: 3,
                stability_delta: 0.05,
                stability: Some(0.98),
            },
            memory: Memory {
                layers: 4,
                hidden: 2048,
                channels: 64,
                frames: 7,
                prompted: None,
                pointers: 16,
                mask_scale: 20.0,
                mask_bias: -10.0,
                several: Several { ever: true, followed: true, points: (0, 1) },
                halvings: 4,
                fuser_layers: 2,
                fuser_hidden: 1024,
                occlusion: true,
                pointer_times: true,
            },
        }
    }

    /// SAM 2.1 Hiera tiny.
    pub fn tiny() -> Self {
        let widths = [96, 192, 384, 768];
        Self::published(Hiera::of(widths, [1, 2, 4, 8], [1, 2, 7, 2], [5, 7, 9]))
    }

    /// SAM 2.1 Hiera small.
    pub fn small() -> Self {
        let widths = [96, 192, 384, 768];
        Self::published(Hiera::of(widths, [1, 2, 4, 8], [1, 2, 11, 2], [7, 10, 13]))
    }

    /// SAM 2.1 Hiera base+.
    pub fn base_plus() -> Self {
        let widths = [112, 224, 448, 896];
        let hiera = Hiera::of(widths, [2, 4, 8, 16], [2, 3, 16, 3], [12, 16, 20]);
        Self::published(Hiera { background: (14, 14), ..hiera })
    }

    /// SAM 2.1 Hiera large.
    pub fn large() -> Self {
        let widths = [144, 288, 576, 1152];
        let hiera = Hiera::of(widths, [2, 4, 8, 16], [2, 6, 36, 4], [23, 33, 43]);
        Self::published(Hiera { windows: [8, 4, 16, 8], ..hiera })
    }

    /// The published network whose first stage has this width and that has so many blocks.
    pub(crate) fn of_sizes(width: usize, blocks: usize) -> Option<Self> {
        [Self::tiny(), Self::small(), Self::base_plus(), Self::large()].into_iter().find(|config| {
            let hiera = &config.backbone;
            hiera.widths[0] == width && hiera.blocks.iter().sum::<usize>() == blocks
        })
    }

    /// Cells of the side of the map that masks are decoded from.
    pub(crate) fn grid(&self) -> usize {
        self.image_size / (PATCH << 2)
    }

    /// Samples of the side of a mask before it is brought to a picture's size.
    pub fn mask_size(&self) -> usize {
        PATCH * self.grid()
    }

    /// Whether the sizes fit each other.
    pub(crate) fn check(&self) -> Result<()> {
        let hiera = &self.backbone;
        let whole = PATCH << HALVINGS;
        if self.image_size == 0 || !self.image_size.is_multiple_of(whole) {
            bail!("pictures of {}: allowed are multiples of {whole}", self.image_size);
        }
        let finest = self.image_size / PATCH;
        if hiera.windows[0] == 0 || !finest.is_multiple_of(hiera.windows[0]) {
            bail!("windows of {} in a picture of {finest} tokens", hiera.windows[0]);
        }
        if hiera.background.0 * hiera.background.1 == 0 {
            bail!("a table of positions without rows or columns");
        }
        for stage in 0..4 {
            let (width, heads) = (hiera.widths[stage], hiera.heads[stage]);
            if width == 0 || heads == 0 || !width.is_multiple_of(heads) {
                bail!("stage {stage}: {heads} heads of a width of {width}");
            }
            if hiera.blocks[stage] == 0 {
                bail!("stage {stage} has no blocks");
            }
            let shrinks = stage < HALVINGS;
            if shrinks && (hiera.windows[stage] == 0 || !hiera.windows[stage].is_multiple_of(2)) {
                bail!("stage {stage}: windows of {} are halved", hiera.windows[stage]);
            }
            if shrinks && width == hiera.widths[stage + 1] {
                bail!("stages {stage} and {} have the same width", stage + 1);
            }
        }
        if hiera.windows[3] == 0 {
            bail!("stage 3: windows of nothing");
        }
        let Decoder { heads, narrowing, layers, score_layers, .. } = self.decoder;
        let step = 8usize.max(heads * narrowing);
        if heads * narrowing * layers == 0 || score_layers < 2 {
            bail!("a decoder of {layers} layers and {heads} heads, narrower by {narrowing}");
        }
        if self.memory.halvings > 8 {
            bail!("masks that are halved {} times", self.memory.halvings);
        }
        if self.width == 0 || !self.width.is_multiple_of(step) || self.mask_channels < 4 {
            bail!("maps of {} channels, and mask prompts of {}", self.width, self.mask_channels);
        }
        Ok(())
    }
}
