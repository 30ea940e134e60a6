//! Pictures and films as the network takes them: their sizes, and their patches.

use candle_core::{Device, Result, Tensor, bail};
use serde::Deserialize;

use crate::config::Config;
use crate::grid::{Grid, block_order};
use crate::resize::resized;

/// Longer sides so many times the shorter are refused.
const MOST_ASPECT: usize = 200;
/// Sides beyond which nothing is computed.
const MOST_SIDE: usize = 1 << 16;

/// A picture's or a film's patches.
#[derive(Debug, Clone)]
pub struct Patches {
    /// Numbers of each patch, (patches, 3 x 2 x 16 x 16), in blocks of those that become one token; f32.
    pub values: Tensor,
    /// How many there are.
    pub grid: Grid,
}

/// Least and most pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Pixels {
    /// At least so many.
    pub shortest_edge: usize,
    /// At most so many.
    pub longest_edge: usize,
}

/// A `preprocessor_config.json`. What a file is silent about is as transformers has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Preprocessing {
    /// Pixels of a picture.
    pub size: Pixels,
    /// Mean of red, green and blue of full light.
    pub image_mean: [f32; 3],
    /// Their deviation.
    pub image_std: [f32; 3],
    /// Pixels of a patch's side.
    pub patch_size: usize,
    /// Patches of a side that become one token.
    pub merge_size: usize,
    /// Frames of a patch.
    pub temporal_patch_size: usize,
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self {
            size: Pixels { shortest_edge: 65_536, longest_edge: 16_777_216 },
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
            patch_size: 16,
            merge_size: 2,
            temporal_patch_size: 2,
        }
    }
}

/// What of a `video_preprocessor_config.json` is not as of pictures.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct VideoPreprocessing {
    /// Pixels of all frames together.
    pub size: Pixels,
    /// Tokens that one frame may become at most, as the publisher's own tools have it.
    pub max_video_tokens: usize,
    /// Frames a second.
    pub fps: f64,
    /// The least frames, where there are so many.
    pub min_frames: usize,
    /// The most frames.
    pub max_frames: usize,
}

impl Default for VideoPreprocessing {
    fn default() -> Self {
        Self {
            size: Pixels { shortest_edge: 4_096, longest_edge: 25_165_824 },
            max_video_tokens: 768,
            fps: 2.0,
            min_frames: 4,
            max_frames: 768,
        }
    }
}

impl Preprocessing {
    /// Pixels of a token's side.
    pub fn factor(&self) -> usize {
        self.patch_size * self.merge_size
    }

    pub(crate) fn validate(&self, config: &Config) -> Result<()> {
        let vision = &config.vision_config;
        let own = [self.patch_size, self.merge_size, self.temporal_patch_size];
        let wanted = [vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size];
        if own != wanted {
            bail!(
                "patch_size, merge_size, temporal_patch_size {own:?}: the network's are {wanted:?}"
            );
        }
        if !self.image_std.iter().all(|&std| std > 0.0) {
            bail!("image_std {:?}: allowed are numbers above 0", self.image_std);
        }
        self.size.validate("size")
    }
}

impl Pixels {
    fn validate(self, name: &str) -> Result<()> {
        let Self { shortest_edge: least, longest_edge: most } = self;
        if least == 0 || least > most || most > 1 << 32 {
            bail!(
                "{name} {least} to {most}: allowed are rising numbers of pixels from 1 to {}",
                1u64 << 32
            );
        }
        Ok(())
    }
}

impl VideoPreprocessing {
    pub(crate) fn validate(&self) -> Result<()> {
        let Self { fps, min_frames, max_frames, .. } = self;
        if !(*fps > 0.0
            && fps.is_finite()
            && (1..=*max_frames).contains(min_frames)
            && *max_frames <= 1 << 16)
        {
            bail!(
                "fps {fps}, min_frames {min_frames}, max_frames {max_frames}: positive and rising"
            );
        }
        self.size.validate("size of films")
    }
}

/// The size (height, width) of a picture in whole tokens of `factor` pixels a side: each side rounded, halves to even,
/// and all of it brought within `pixels`.
///
/// # Errors
/// When a side is nothing, or more than 200 times the other.
pub fn smart_resize(size: (usize, usize), factor: usize, pixels: Pixels) -> Result<(usize, usize)> {
    fitted(size, 1, 1, factor, pixels)
}

/// The same for `frames` frames of a film, whose pixels count together. What is smaller than a token is enlarged first.
///
/// # Errors
/// As [`smart_resize`].
pub fn smart_resize_film(
    frames: usize,
    (height, width): (usize, usize),
    factor: usize,
    pixels: Pixels,
) -> Result<(usize, usize)> {
    let (mut h, mut w) = (height, width);
    if h > 0 && w > 0 && (h < factor || w < factor) {
        let scale = (factor as f64 / h as f64).max(factor as f64 / w as f64);
        (h, w) = ((h as f64 * scale) as usize, (w as f64 * scale) as usize);
    }
    let pairs = 2 * (frames as f64 / 2.0).round_ties_even() as usize;
    fitted((h, w), frames, pairs, factor, pixels)
}

/// `frames` decides how a size that does not fit is scaled, `counted` whether it fits.
fn fitted(
    (height, width): (usize, usize),
    frames: usize,
    counted: usize,
    factor: usize,
    pixels: Pixels,
) -> Result<(usize, usize)> {
    let (short, long) = (height.min(width), height.max(width));
    if short == 0 || long > MOST_SIDE || long > MOST_ASPECT * short {
        bail!(
            "a picture of {width}x{height}: sides are 1 to {MOST_SIDE}, the longer at most {MOST_ASPECT} times the shorter"
        );
    }
    let rounded = |side: usize| (side as f64 / factor as f64).round_ties_even() as usize * factor;
    let (h, w) = (rounded(height), rounded(width));
    let (all, found) = (frames as f64 * (height * width) as f64, counted * h * w);
    let (h, w) = if found > pixels.longest_edge {
        let shrink = (all / pixels.longest_edge as f64).sqrt();
        let cut = |side: usize| {
            ((side as f64 / shrink / factor as f64).floor() as usize * factor).max(factor)
        };
        (cut(height), cut(width))
    } else if found < pixels.shortest_edge {
        let grow = (pixels.shortest_edge as f64 / all).sqrt();
        let grown = |side: usize| (side as f64 * grow / factor as f64).ceil() as usize * factor;
        (grown(height), grown(width))
    } else {
        (h, w)
    };
    if h == 0 || w == 0 {
        bail!("a picture of {width}x{height}: it is not one token large");
    }
    Ok((h, w))
}

/// Red, green and blue of a picture in bytes, each row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb8 {
    channels: [Vec<u8>; 3],
    size: (usize, usize),
}

impl Rgb8 {
    /// Of channels of (height, width).
    ///
    /// # Errors
    /// When a channel has another number of samples.
    pub fn new(channels: [Vec<u8>; 3], size: (usize, usize)) -> Result<Self> {
        let (height, width) = size;
        if height * width == 0 || channels.iter().any(|channel| channel.len() != height * width) {
            bail!("a picture of {width}x{height} whose channels have another number of samples");
        }
        Ok(Self { channels, size })
    }

    /// Of channels of (height, width) in 0 to 1.
    ///
    /// # Errors
    /// As [`Rgb8::new`].
    pub fn of_light(channels: [&[f32]; 3], size: (usize, usize)) -> Result<Self> {
        let bytes = |channel: &[f32]| channel.iter().map(|v| (v * 255.0).round() as u8).collect();
        Self::new(channels.map(bytes), size)
    }

    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// The same in another size (height, width).
    pub fn resized(&self, size: (usize, usize)) -> Self {
        let channels = self.channels.each_ref().map(|channel| resized(channel, self.size, size));
        Self { channels, size }
    }
}

impl Preprocessing {
    /// A picture's patches, the picture being `size` large, or as [`smart_resize`] has it.
    ///
    /// # Errors
    /// When the size is refused.
    pub fn picture(&self, picture: &Rgb8, size: Option<(usize, usize)>) -> Result<Patches> {
        let size = match size {
            Some(size) => size,
            None => smart_resize(picture.size, self.factor(), self.size)?,
        };
        self.patches(&[picture.resized(size)])
    }

    /// The patches of frames of one size, which is in whole tokens; the last frame is repeated where their number is
    /// odd.
    ///
    /// # Errors
    /// When there are none, or their sizes are not so.
    pub fn patches(&self, frames: &[Rgb8]) -> Result<Patches> {
        let Some(last) = frames.last() else { bail!("a film without frames") };
        let ((height, width), side) = (last.size, self.patch_size);
        let fits = |side: usize| side > 0 && side.is_multiple_of(self.factor());
        if frames.iter().any(|frame| frame.size != last.size) || !fits(height) || !fits(width) {
            bail!("frames of {width}x{height}: of one size, in whole tokens of {}", self.factor());
        }
        let pairs = frames.len().div_ceil(self.temporal_patch_size);
        let grid = Grid { pairs, rows: height / side, columns: width / side };
        let scale = |channel: usize, v: u8| {
            (f32::from(v) / 255.0 - self.image_mean[channel]) / self.image_std[channel]
        };
        let order = block_order(grid, self.merge_size);
        let mut values = Vec::with_capacity(pairs * order.len() * 6 * side * side);
        for pair in 0..pairs {
            for &(row, column) in &order {
                for channel in 0..3 {
                    for frame in 0..self.temporal_patch_size {
                        let frame = frames.get(pair * self.temporal_patch_size + frame);
                        let samples = &frame.unwrap_or(last).channels[channel];
                        for y in row * side..(row + 1) * side {
                            let line = &samples[y * width + column * side..][..side];
                            values.extend(line.iter().map(|&v| scale(channel, v)));
                        }
                    }
                }
            }
        }
        let shape = (pairs * order.len(), values.len() / (pairs * order.len()));
        Ok(Patches { values: Tensor::from_vec(values, shape, &Device::Cpu)?, grid })
    }
}

impl Patches {
    /// Tokens that stand for it, where `merge` patches a side become one.
    pub(crate) fn tokens_of_a_pair(&self, merge: usize) -> usize {
        self.grid.rows * self.grid.columns / (merge * merge)
    }
}
