//! What a person points at, as tokens and as a map.

use std::f32::consts::TAU;

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use parallax_nn::ops::{Dense, FusedConv2d, LayerNorm, Window, channels_last, gelu};
use parallax_nn::resize::resize_bilinear_antialiased;

use crate::config::Config;
use crate::layout::{IMAGE_CODE, Layout, PROMPT_CODE};
use crate::neck::point;

/// Corners of a box, whose kinds come behind as many kinds of points.
const CORNERS: usize = 2;
/// Kinds of points: not the object, the object, and the corners of a box.
const KINDS: usize = 4;

/// A point, in samples of the network's square picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// From the left.
    pub x: f32,
    /// From the top.
    pub y: f32,
    /// Whether it is on the object, or on what is none of it.
    pub inside: bool,
}

/// What is pointed at: one object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prompt {
    /// Points on it and beside it.
    pub points: Vec<Point>,
    /// Left, top, right and bottom of a box around it.
    pub bounds: Option<[f32; 4]>,
}

impl Point {
    /// The point of a picture of `width` x `height`, in the square of `side` that the network sees.
    #[must_use]
    pub fn in_square(self, (width, height): (usize, usize), side: usize) -> Self {
        let scale = |at: f32, length: usize| at * (side as f32 / length as f32);
        Self { x: scale(self.x, width), y: scale(self.y, height), ..self }
    }
}

impl Prompt {
    /// How many places are pointed at: a box has two.
    pub(crate) fn places(&self) -> usize {
        self.points.len() + self.bounds.map_or(0, |_| CORNERS)
    }

    /// The prompt of a picture of `width` x `height`, in the square of `side` that the network sees.
    #[must_use]
    pub fn in_square(&self, size: (usize, usize), side: usize) -> Self {
        let corner = |x, y| Point { x, y, inside: true }.in_square(size, side);
        Self {
            points: self.points.iter().map(|point| point.in_square(size, side)).collect(),
            bounds: self.bounds.map(|[left, top, right, bottom]| {
                let (first, last) = (corner(left, top), corner(right, bottom));
                [first.x, first.y, last.x, last.y]
            }),
        }
    }
}

/// Random Fourier features of places (Tancik et al. 2020, arXiv:2006.10739).
#[derive(Debug)]
struct Code {
    /// Of x, then of y.
    frequencies: [Vec<f32>; 2],
}

impl Code {
    fn new(width: usize, name: &str, vb: &VarBuilder) -> Result<Self> {
        let rows = vb.get((2, width / 2), name)?.to_dtype(DType::F32)?.to_vec2()?;
        let [x, y] = <[Vec<f32>; 2]>::try_from(rows)
            .map_err(|_| candle_core::Error::Msg(format!("{name} has not two rows")))?;
        Ok(Self { frequencies: [x, y] })
    }

    /// Appends that of a place whose coordinates are from 0 to 1 within the picture.
    fn push(&self, (x, y): (f32, f32), out: &mut Vec<f32>) {
        let (x, y) = (2.0 * x - 1.0, 2.0 * y - 1.0);
        let angles = self.frequencies[0].iter().zip(&self.frequencies[1]);
        let angles: Vec<f32> = angles.map(|(fx, fy)| TAU * (x * fx + y * fy)).collect();
        out.extend(angles.iter().map(|angle| angle.sin()));
        out.extend(angles.iter().map(|angle| angle.cos()));
    }
}

/// From a mask's logits to a map.
#[derive(Debug)]
struct MaskEmbedding {
    conv1: FusedConv2d,
    norm1: LayerNorm,
    conv2: FusedConv2d,
    norm2: LayerNorm,
    conv3: Dense,
}

impl MaskEmbedding {
    fn new(config: &Config, vb: &VarBuilder) -> Result<Self> {
        let (channels, epsilon) = (config.mask_channels, config.prompt_epsilon);
        let (few, halving) = (channels / 4, Window::new(2, 2, 0));
        Ok(Self {
            conv1: FusedConv2d::new(1, few, halving, vb.pp("conv1"))?,
            norm1: LayerNorm::new(few, epsilon, vb.pp("layer_norm1"))?,
            conv2: FusedConv2d::new(few, channels, halving, vb.pp("conv2"))?,
            norm2: LayerNorm::new(channels, epsilon, vb.pp("layer_norm2"))?,
            conv3: point(channels, config.width, &vb.pp("conv3"))?,
        })
    }

    /// (B, 1, 4 h, 4 w) to (B, h w, C).
    fn forward(&self, masks: &Tensor) -> Result<Tensor> {
        let x = channels_last(&self.conv1.forward(masks)?)?;
        let x = gelu(&self.norm1.forward(&x)?, false)?;
        let x = channels_last(&self.conv2.forward(&x.permute((0, 3, 1, 2))?.contiguous()?)?)?;
        let x = self.conv3.forward(&gelu(&self.norm2.forward(&x)?, false)?)?;
        x.flatten(1, 2)
    }
}

/// The encoder of prompts.
#[derive(Debug)]
pub(crate) struct PromptEncoder {
    code: Code,
    /// One row for each kind of point.
    kinds: Vec<Vec<f32>>,
    /// What stands where there is no point.
    nowhere: Vec<f32>,
    /// (1, 1, C): the map where there is no mask.
    no_mask: Tensor,
    mask: MaskEmbedding,
    /// (1, h w, C): where the cells of the picture are.
    pub(crate) places: Tensor,
    side: usize,
    mask_size: usize,
    device: Device,
    dtype: DType,
}

impl PromptEncoder {
    /// `vb` is the whole network's.
    pub(crate) fn new(config: &Config, layout: Layout, vb: &VarBuilder) -> Result<Self> {
        let width = config.width;
        let prompts = vb.pp("prompt_encoder");
        let code = |name: &str, there: bool| there.then(|| Code::new(width, name, vb)).transpose();
        let pictures = code(IMAGE_CODE, layout.image_code)?;
        let own = code(PROMPT_CODE, layout.prompt_code)?;
        // One stands for the other where a file has it once.
        let (Some(pictures_code), Some(code)) =
            (pictures.as_ref().or(own.as_ref()), own.as_ref().or(pictures.as_ref()))
        else {
            bail!("neither {IMAGE_CODE} nor {PROMPT_CODE}")
        };
        let places = places(pictures_code, config.grid(), vb)?;
        let code = Code { frequencies: code.frequencies.clone() };
        let row = |tensor: Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1();
        let kinds = if layout.original {
            let kind =
                |i: usize| row(prompts.pp("point_embeddings").pp(i).get((1, width), "weight")?);
            (0..KINDS).map(kind).collect::<Result<_>>()?
        } else {
            let kinds = prompts.get((KINDS, width), "point_embed.weight")?;
            kinds.to_dtype(DType::F32)?.to_vec2()?
        };
        Ok(Self {
            code,
            kinds,
            nowhere: row(prompts.get((1, width), "not_a_point_embed.weight")?)?,
            no_mask: prompts.get((1, width), "no_mask_embed.weight")?.unsqueeze(0)?,
            mask: MaskEmbedding::new(config, &prompts.pp("mask_embed"))?,
            places,
            side: config.image_size,
            mask_size: config.mask_size(),
            device: vb.device().clone(),
            dtype: vb.dtype(),
        })
    }

    /// The tokens (B, T, C) of prompts, each of which has a box or none has. Where they have points of different
    /// number, what is missing is filled with zeros, as the published processor does.
    pub(crate) fn tokens(&self, prompts: &[Prompt]) -> Result<Tensor> {
        let boxed = prompts.iter().filter(|prompt| prompt.bounds.is_some()).count();
        if prompts.is_empty() || (boxed != 0 && boxed != prompts.len()) {
            bail!("{boxed} of {} prompts have a box: allowed are all or none", prompts.len());
        }
        let most = prompts.iter().map(|prompt| prompt.points.len()).max().unwrap_or(0);
        let width = self.nowhere.len();
        // What closes every prompt, and stands for a point where there is nothing at all.
        let closing = if boxed == 0 && most == 0 { 2 } else { 1 };
        let tokens = most + closing + if boxed > 0 { CORNERS } else { 0 };
        let mut data = Vec::with_capacity(prompts.len() * tokens * width);
        for prompt in prompts {
            for point in &prompt.points {
                self.push((point.x, point.y), usize::from(point.inside), &mut data);
            }
            data.resize(data.len() + (most - prompt.points.len()) * width, 0.0);
            if let Some([left, top, right, bottom]) = prompt.bounds {
                self.push((left, top), CORNERS, &mut data);
                self.push((right, bottom), CORNERS + 1, &mut data);
            }
            for _ in 0..closing {
                data.extend_from_slice(&self.nowhere);
            }
        }
        let shape = (prompts.len(), tokens, width);
        Tensor::from_vec(data, shape, &self.device)?.to_dtype(self.dtype)
    }

    /// Appends a place in samples, of this kind.
    fn push(&self, (x, y): (f32, f32), kind: usize, out: &mut Vec<f32>) {
        let side = self.side as f32;
        let start = out.len();
        // Samples are meant by their centres.
        self.code.push(((x + 0.5) / side, (y + 0.5) / side), out);
        out[start..].iter_mut().zip(&self.kinds[kind]).for_each(|(out, kind)| *out += kind);
    }

    /// The map (1, 1, C) of no mask, or (B, h w, C) of the logits of masks (B, 1, h, w).
    pub(crate) fn map(&self, masks: Option<&Tensor>) -> Result<Tensor> {
        let Some(masks) = masks else { return Ok(self.no_mask.clone()) };
        let (_, channels, h, w) = masks.dims4()?;
        if channels != 1 {
            bail!("masks of {channels} channels");
        }
        let size = (self.mask_size, self.mask_size);
        if (h, w) == size {
            return self.mask.forward(masks);
        }
        self.mask.forward(&resize_bilinear_antialiased(masks, size)?.to_dtype(self.dtype)?)
    }
}

/// Where the cells of a grid are, (1, side side, C).
fn places(code: &Code, side: usize, vb: &VarBuilder) -> Result<Tensor> {
    let width = 2 * code.frequencies[0].len();
    let mut data = Vec::with_capacity(side * side * width);
    let centre = |i: usize| (i as f32 + 0.5) / side as f32;
    for y in 0..side {
        for x in 0..side {
            code.push((centre(x), centre(y)), &mut data);
        }
    }
    Tensor::from_vec(data, (1, side * side, width), vb.device())?.to_dtype(vb.dtype())
}
