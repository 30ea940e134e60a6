//! The DPT head: four depths of tokens become maps of four resolutions, fused from the coarsest up.

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use parallax_nn::Tap;
use parallax_nn::ops::{
    ConvTranspose2d, Dense, Fuse, FusedConv2d, Window, bilinear_aligned, channels_first, joined,
};

use crate::config::{Config, Output};
use crate::layout::Layout;
use crate::motion::MotionModule;
use crate::past::Past;

/// Images whose finer maps are made together: those are the largest there are.
const TOGETHER: usize = 4;

/// The head.
#[derive(Debug)]
pub(crate) struct Head {
    projects: [Dense; 4],
    /// From 1 to 4 and from 1 to 2 pixels.
    finer: [ConvTranspose2d; 2],
    /// From 2 pixels to 1.
    coarser: FusedConv2d,
    /// To the fused maps' channels, finest first.
    laterals: [FusedConv2d; 4],
    /// Finest first.
    fusions: [Fusion; 4],
    output: FusedConv2d,
    depth: Last,
    sky: Option<Last>,
    motion: Option<[MotionModule; 4]>,
}

/// Maps of images by themselves, finest first. The two coarser are not yet brought to the fused maps'
/// channels: attention over time comes before that.
#[derive(Debug, Clone)]
pub(crate) struct Maps {
    pub(crate) fine: [Tensor; 2],
    pub(crate) coarse: [Tensor; 2],
    pub(crate) grid: (usize, usize),
}

impl Maps {
    /// Those of image `i`.
    pub(crate) fn image(&self, i: usize) -> Result<Self> {
        let one = |map: &Tensor| map.narrow(0, i, 1);
        let two =
            |maps: &[Tensor; 2]| Ok::<_, candle_core::Error>([one(&maps[0])?, one(&maps[1])?]);
        Ok(Self { fine: two(&self.fine)?, coarse: two(&self.coarse)?, grid: self.grid })
    }

    /// One of the maps of several images.
    fn joined(images: &[&Self], map: impl Fn(&Self) -> &Tensor) -> Result<Tensor> {
        joined(&images.iter().map(|maps| map(maps)).collect::<Vec<_>>())
    }
}

/// 3x3, ReLU, 3x3, around an identity; before the first a ReLU, too.
#[derive(Debug)]
struct Residual(FusedConv2d, FusedConv2d);

#[derive(Debug)]
struct Fusion {
    /// For the finer map, where one comes in.
    first: Option<Residual>,
    second: Residual,
    out: FusedConv2d,
}

/// The convolutions that give one number for each pixel.
#[derive(Debug)]
struct Last(FusedConv2d, FusedConv2d);

const SAME: Window = Window::new(3, 1, 1);
const POINT: Window = Window::new(1, 1, 0);

impl Head {
    pub(crate) fn new(config: &Config, layout: Layout, vb: &VarBuilder) -> Result<Self> {
        let root = layout.head(vb);
        let names = Names { layout, root };
        let (features, channels) = (config.features, config.reassembled);
        let project = |i: usize| -> Result<Dense> {
            let (vb, width) = (names.project(i), config.transformer.width);
            let weight = vb.get((channels[i], width, 1, 1), "weight")?;
            let weight = weight.reshape((channels[i], width))?;
            Dense::of(weight, Some(vb.get(channels[i], "bias")?))
        };
        let finer = |i: usize, scale| {
            ConvTranspose2d::new(channels[i], channels[i], scale, names.resize(i))
        };
        let down = Window::new(3, 2, 1);
        let sky = matches!(config.output, Output::ExponentialWithSky);
        Ok(Self {
            projects: [project(0)?, project(1)?, project(2)?, project(3)?],
            finer: [finer(0, 4)?, finer(1, 2)?],
            coarser: FusedConv2d::new(channels[3], channels[3], down, names.resize(3))?,
            laterals: each(|i| {
                FusedConv2d::without_bias(channels[i], features, SAME, names.lateral(i))
            })?,
            fusions: each(|i| Fusion::new(features, i, &names))?,
            output: FusedConv2d::new(features, features / 2, SAME, names.last(0, "output_conv1"))?,
            depth: Last::new(
                config,
                [names.last(1, "output_conv2.0"), names.last(2, "output_conv2.2")],
            )?,
            sky: sky
                .then(|| {
                    let vb = names.root.pp("scratch.sky_output_conv2");
                    Last::new(config, [vb.pp("0"), vb.pp("2")])
                })
                .transpose()?,
            motion: config
                .temporal
                .map(|temporal| {
                    let channels = [channels[2], channels[3], features, features];
                    each(|i| {
                        let vb = names.root.pp("motion_modules").pp(i);
                        MotionModule::new(channels[i], temporal, vb)
                    })
                })
                .transpose()?,
        })
    }

    /// Tokens (N, 1 + h w, C) of four depths to maps.
    pub(crate) fn maps(
        &self,
        tokens: &[Tensor; 4],
        grid: (usize, usize),
        tap: &mut Tap,
    ) -> Result<Maps> {
        let (h, w) = grid;
        let mut map = |i: usize| -> Result<Tensor> {
            // Without the class token.
            let map = self.projects[i].forward(&tokens[i].narrow(1, 1, h * w)?.contiguous()?)?;
            let (n, _, channels) = map.dims3()?;
            let map = channels_first(&map.reshape((n, h, w, channels))?)?;
            let map = match i {
                0 | 1 => self.finer[i].forward(&map)?,
                2 => map,
                _ => self.coarser.forward(&map)?,
            };
            tap(&format!("reassembled.{i}"), &map)?;
            Ok(map)
        };
        let maps = [map(0)?, map(1)?, map(2)?, map(3)?];
        let [first, second, third, fourth] = maps;
        let fine = [self.lateral(0, &first, tap)?, self.lateral(1, &second, tap)?];
        Ok(Maps { fine, coarse: [third, fourth], grid })
    }

    fn lateral(&self, i: usize, map: &Tensor, tap: &mut Tap) -> Result<Tensor> {
        let lateral = self.laterals[i].forward(map)?;
        tap(&format!("layer{}_rn", i + 1), &lateral)?;
        Ok(lateral)
    }

    /// What is kept of a shot that no frame was seen of; `None` without attention over time.
    pub(crate) fn past(&self) -> Result<Option<Past>> {
        let past = |modules: &[MotionModule; 4]| Ok(Past(each(|i| modules[i].past())?));
        self.motion.as_ref().map(past).transpose()
    }

    /// Maps of images to the last layers' numbers (N, 1, H, W), f32; patches are of `side` pixels. With a
    /// past it is one image, the next of its shot.
    pub(crate) fn fuse(
        &self,
        images: &[&Maps],
        side: usize,
        past: Option<&mut Past>,
        tap: &mut Tap,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let Some(first) = images.first() else { candle_core::bail!("no images") };
        let size = (first.grid.0 * side, first.grid.1 * side);
        let path = self.coarse_path(images, past, tap)?;
        let (mut depth, mut sky, mut done) = (Vec::new(), Vec::new(), 0);
        for images in images.chunks(TOGETHER) {
            let count = images.iter().map(|maps| maps.fine[0].dim(0)).sum::<Result<usize>>()?;
            let fine = [0, 1].map(|i| Maps::joined(images, |maps| &maps.fine[i]));
            let [first, second] = fine;
            let path = path.narrow(0, done, count)?;
            let features = self.fine_path(&path, &[first?, second?], size, tap)?;
            depth.push(self.depth.forward(&features)?);
            if let Some(last) = &self.sky {
                sky.push(last.forward(&features)?);
            }
            done += count;
        }
        let sky = if sky.is_empty() { None } else { Some(Tensor::cat(&sky, 0)?) };
        if let Some(sky) = &sky {
            tap("sky_logits", sky)?;
        }
        Ok((Tensor::cat(&depth, 0)?, sky))
    }

    /// The two coarser maps fused, as large as the second finest: where frames meet, they meet here.
    fn coarse_path(
        &self,
        images: &[&Maps],
        mut past: Option<&mut Past>,
        tap: &mut Tap,
    ) -> Result<Tensor> {
        // A coarse map after attention over time, where there is some.
        let mut moved = |i: usize, map: &Tensor, tap: &mut Tap| {
            let Some(modules) = &self.motion else { return Ok(map.clone()) };
            let past = past.as_deref_mut().map(|past| past.0[i].as_mut_slice());
            let moved = modules[i].forward(map, past)?;
            tap(&format!("motion.{i}"), &moved)?;
            Ok::<_, candle_core::Error>(moved)
        };
        let third = moved(0, &Maps::joined(images, |maps| &maps.coarse[0])?, tap)?;
        let fourth = moved(1, &Maps::joined(images, |maps| &maps.coarse[1])?, tap)?;
        let third = self.lateral(2, &third, tap)?;
        let fourth = self.lateral(3, &fourth, tap)?;
        let path = self.fusions[3].forward(&fourth, None, size(&third)?)?;
        tap("path_4", &path)?;
        let path = moved(2, &path, tap)?;
        let path = self.fusions[2].forward(&path, Some(&third), size(&images[0].fine[1])?)?;
        tap("path_3", &path)?;
        moved(3, &path, tap)
    }

    /// The finer maps fused into it, as large as the image.
    fn fine_path(
        &self,
        path: &Tensor,
        fine: &[Tensor; 2],
        image: (usize, usize),
        tap: &mut Tap,
    ) -> Result<Tensor> {
        let path = self.fusions[1].forward(path, Some(&fine[1]), size(&fine[0])?)?;
        tap("path_2", &path)?;
        let (h, w) = size(&fine[0])?;
        let path = self.fusions[0].forward(&path, Some(&fine[0]), (2 * h, 2 * w))?;
        tap("path_1", &path)?;
        let features = self.output.forward(&path)?;
        tap("output_conv1", &features)?;
        let features = bilinear_aligned(&features, image)?;
        tap("output_conv1_up", &features)?;
        Ok(features)
    }
}

impl Residual {
    fn new(features: usize, vb: [VarBuilder; 2]) -> Result<Self> {
        let [first, second] = vb;
        let conv = |vb| FusedConv2d::new(features, features, SAME, vb);
        Ok(Self(conv(first)?, conv(second)?))
    }

    /// With `path`, where there is one, added.
    fn forward(&self, x: &Tensor, path: Option<&Tensor>) -> Result<Tensor> {
        let both = Fuse { relu_before: true, relu_after: true, added: &[] };
        let inner = self.0.forward_fused(x, both)?;
        let added: Vec<&Tensor> = std::iter::once(x).chain(path).collect();
        self.1.forward_fused(&inner, Fuse { added: &added, ..Fuse::default() })
    }
}

impl Fusion {
    fn new(features: usize, i: usize, names: &Names) -> Result<Self> {
        let unit = |unit: usize| Residual::new(features, names.unit(i, unit));
        // The deepest has no finer map; its first unit is in files all the same.
        let first = match i {
            3 if !names.layout.keeps_unused() => None,
            3 => {
                unit(1)?;
                None
            }
            _ => Some(unit(1)?),
        };
        let out = FusedConv2d::new(features, features, POINT, names.fused(i))?;
        Ok(Self { first, second: unit(2)?, out })
    }

    /// What was fused so far with a finer map, of `size`.
    fn forward(
        &self,
        path: &Tensor,
        lateral: Option<&Tensor>,
        size: (usize, usize),
    ) -> Result<Tensor> {
        let path = match (lateral, &self.first) {
            (Some(lateral), Some(unit)) => unit.forward(lateral, Some(path))?,
            _ => path.clone(),
        };
        // A point's convolution commutes with interpolation, whose weights sum to one: it has fewer
        // points to see before.
        bilinear_aligned(&self.out.forward(&self.second.forward(&path, None)?)?, size)
    }
}

impl Last {
    fn new(config: &Config, [first, second]: [VarBuilder; 2]) -> Result<Self> {
        let inputs = config.features / 2;
        Ok(Self(
            FusedConv2d::new(inputs, config.hidden, SAME, first)?,
            FusedConv2d::new(config.hidden, 1, POINT, second)?,
        ))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.forward_reduced(x, &self.1)?.to_dtype(DType::F32)
    }
}

/// The head's names in a file.
struct Names<'a> {
    layout: Layout,
    root: VarBuilder<'a>,
}

impl<'a> Names<'a> {
    fn reassemble(&self, i: usize) -> VarBuilder<'a> {
        self.root.pp("neck.reassemble_stage.layers").pp(i)
    }

    fn project(&self, i: usize) -> VarBuilder<'a> {
        if self.layout.is_transformers() {
            return self.reassemble(i).pp("projection");
        }
        self.root.pp("projects").pp(i)
    }

    fn resize(&self, i: usize) -> VarBuilder<'a> {
        if self.layout.is_transformers() {
            return self.reassemble(i).pp("resize");
        }
        self.root.pp("resize_layers").pp(i)
    }

    fn lateral(&self, i: usize) -> VarBuilder<'a> {
        if self.layout.is_transformers() {
            return self.root.pp("neck.convs").pp(i);
        }
        self.root.pp(format!("scratch.layer{}_rn", i + 1))
    }

    fn fusion(&self, i: usize) -> VarBuilder<'a> {
        if self.layout.is_transformers() {
            return self.root.pp("neck.fusion_stage.layers").pp(3 - i);
        }
        self.root.pp(format!("scratch.refinenet{}", i + 1))
    }

    fn unit(&self, i: usize, unit: usize) -> [VarBuilder<'a>; 2] {
        let fusion = self.fusion(i);
        [1, 2].map(|conv| {
            if self.layout.is_transformers() {
                return fusion.pp(format!("residual_layer{unit}.convolution{conv}"));
            }
            fusion.pp(format!("resConfUnit{unit}.conv{conv}"))
        })
    }

    fn fused(&self, i: usize) -> VarBuilder<'a> {
        self.fusion(i).pp(if self.layout.is_transformers() { "projection" } else { "out_conv" })
    }

    fn last(&self, i: usize, name: &str) -> VarBuilder<'a> {
        if self.layout.is_transformers() {
            return self.root.pp(format!("head.conv{}", i + 1));
        }
        self.root.pp("scratch").pp(name)
    }
}

/// Rows and columns of maps.
fn size(maps: &Tensor) -> Result<(usize, usize)> {
    let (_, _, h, w) = maps.dims4()?;
    Ok((h, w))
}

/// Four of something.
fn each<T>(make: impl FnMut(usize) -> Result<T>) -> Result<[T; 4]> {
    let four = (0..4).map(make).collect::<Result<Vec<T>>>()?;
    <[T; 4]>::try_from(four).map_err(|_| candle_core::Error::Msg("four of four".to_owned()))
}
