//! The whole network.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use parallax_nn::Tap;

use crate::config::{Config, Output};
use crate::encoder::Encoder;
use crate::head::{Head, Maps};
use crate::layout::Layout;
use crate::past::Past;

/// A network of the family.
#[derive(Debug)]
pub struct DepthNetwork {
    config: Config,
    encoder: Encoder,
    head: Head,
}

/// What the network makes of images.
#[derive(Debug, Clone)]
pub struct Depth {
    /// (N, 1, H, W), f32. What it means, [`Config::output`] says.
    pub depth: Tensor,
    /// How much of each pixel is sky, (N, 1, H, W), at least 0; of networks that tell it.
    pub sky: Option<Tensor>,
}

/// What an image alone decides, before frames meet: worth keeping while windows overlap.
#[derive(Debug, Clone)]
pub struct Features(pub(crate) Maps);

impl DepthNetwork {
    /// Reads the tensors of a file with the names of `layout`.
    ///
    /// # Errors
    /// Those of `vb`, and a configuration that fits nothing.
    pub fn new(config: &Config, layout: Layout, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(&config.transformer, layout, &vb)?,
            head: Head::new(config, layout, &vb)?,
            config: config.clone(),
        })
    }

    /// What it was built by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Normalised images (N, 3, H, W), whose sides are multiples of the patch's, to their depth; with
    /// attention over time they are consecutive frames.
    ///
    /// # Errors
    /// When the shapes do not fit, or more frames come than are seen together.
    pub fn forward(&self, images: &Tensor, tap: &mut Tap) -> Result<Depth> {
        let features = self.features(images, tap)?;
        self.depth(&features, tap)
    }

    /// The part of [`DepthNetwork::forward`] that looks at each image alone, image by image.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn features(&self, images: &Tensor, tap: &mut Tap) -> Result<Vec<Features>> {
        let (n, _, height, width) = images.dims4()?;
        let grid = self.config.grid((height, width))?;
        let tokens = self.encoder.forward(images, &self.config.taken, tap)?;
        let maps = self.head.maps(&tokens, grid, tap)?;
        (0..n).map(|i| Ok(Features(maps.image(i)?))).collect()
    }

    /// The rest of [`DepthNetwork::forward`], for images of one size.
    ///
    /// # Errors
    /// As [`DepthNetwork::forward`].
    pub fn depth(&self, features: &[Features], tap: &mut Tap) -> Result<Depth> {
        let maps: Vec<&Maps> = features.iter().map(|features| &features.0).collect();
        self.of(&maps, None, tap)
    }

    /// What is kept of a shot that no frame was seen of.
    ///
    /// # Errors
    /// When the network has no attention over time.
    pub(crate) fn past(&self) -> Result<Past> {
        let Some(past) = self.head.past()? else { bail!("a network without attention over time") };
        Ok(past)
    }

    /// The depth of a shot's next frame, which joins those before.
    pub(crate) fn next(&self, frame: &Features, past: &mut Past, tap: &mut Tap) -> Result<Depth> {
        self.of(&[&frame.0], Some(past), tap)
    }

    fn of(&self, maps: &[&Maps], past: Option<&mut Past>, tap: &mut Tap) -> Result<Depth> {
        let patch = self.config.transformer.patch;
        let (logits, sky) = self.head.fuse(maps, patch, past, tap)?;
        tap("logits", &logits)?;
        let depth = match self.config.output {
            Output::Relative => logits.relu()?,
            Output::Metric { farthest } => (candle_nn::ops::sigmoid(&logits)? * farthest)?,
            Output::ExponentialWithSky => logits.exp()?,
        };
        tap("output", &depth)?;
        let sky = sky.map(|logits| logits.relu()).transpose()?;
        Ok(Depth { depth, sky })
    }
}
