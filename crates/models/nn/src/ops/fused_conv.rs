//! Convolutions with what comes before and after them, for networks that see image after image.
//!
//! On the processor maps are channels last in memory, though (N, C, H, W) by their shape: products over
//! channels and everything that is done to a pixel run along them. Other devices keep candle's order.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::conv::{Conv2d, Padding};
use super::f32_op::{F32Op, apply1, apply2, apply3, is_cpu_f32};
use super::packed::{Packed, Product, Rows};
use super::winograd::{Around, Filters, Images, convolved};

/// Pixels of a task of convolutions that gather their inputs: whole tiles of the product.
const PIXELS: usize = 48;

/// What comes before and after a convolution.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fuse<'a> {
    /// Whether negative inputs count as nothing.
    pub relu_before: bool,
    /// Whether negative outputs become nothing.
    pub relu_after: bool,
    /// Maps of the output's shape that are added to it at last.
    pub added: &'a [&'a Tensor],
}

/// A [`Conv2d`] that has laid out its weights where it runs on the processor, where it keeps them in that form
/// alone.
#[derive(Debug, Clone)]
pub struct FusedConv2d(Body);

#[derive(Debug, Clone)]
enum Body {
    Fast(Arc<Fast>),
    Plain(Conv2d),
}

#[derive(Debug)]
struct Fast {
    weights: Weights,
    bias: Vec<f32>,
}

#[derive(Debug)]
enum Weights {
    Winograd(Filters),
    /// Any kernel, by rows of what lies under it.
    Gathered {
        packed: Packed,
        kernel: usize,
        stride: usize,
        padding: Padding,
    },
}

/// What a convolution slides over its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: usize,
    /// Samples from one output to the next.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: Padding,
}

impl Window {
    /// `kernel` rows and columns at every `stride`th sample, with as many zeros on each side.
    pub const fn new(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel, stride, padding: Padding::same(padding) }
    }
}

impl FusedConv2d {
    /// Reads `weight` (out, in, kernel, kernel) and `bias` (out).
    ///
    /// # Errors
    /// Those of `vb`.
    pub fn new(inputs: usize, outputs: usize, window: Window, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get((outputs, inputs, window.kernel, window.kernel), "weight")?;
        Self::of(weight, vb.get(outputs, "bias")?, window)
    }

    /// Reads `weight` only.
    ///
    /// # Errors
    /// Those of `vb`.
    pub fn without_bias(
        inputs: usize,
        outputs: usize,
        window: Window,
        vb: VarBuilder,
    ) -> Result<Self> {
        let weight = vb.get((outputs, inputs, window.kernel, window.kernel), "weight")?;
        let bias = Tensor::zeros(outputs, weight.dtype(), weight.device())?;
        Self::of(weight, bias, window)
    }

    /// Of a weight (out, in, kernel, kernel) and a bias (out).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn of(weight: Tensor, bias: Tensor, window: Window) -> Result<Self> {
        let Window { kernel, stride, padding } = window;
        // What only records which tensors are read holds none, but one number for all of it.
        if !is_cpu_f32(&weight) || !weight.is_contiguous() {
            return Ok(Self(Body::Plain(Conv2d::of(weight, bias, (stride, padding)))));
        }
        let (outputs, inputs, ..) = weight.dims4()?;
        let weights = if window == Window::new(3, 1, 1) {
            let data = weight.flatten_all()?.to_vec1::<f32>()?;
            Weights::Winograd(Filters::new(&data, (outputs, inputs)))
        } else {
            // (C', C, k, k) -> (C', k, k, C)
            let data = weight.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1::<f32>()?;
            let under = inputs * kernel * kernel;
            let rows = Rows { data: &data, stride: under };
            let packed = Packed::of_outputs(rows, (outputs, under));
            Weights::Gathered { packed, kernel, stride, padding }
        };
        let bias = bias.to_vec1()?;
        Ok(Self(Body::Fast(Arc::new(Fast { weights, bias }))))
    }

    /// `(N, C, H, W)` to `(N, C', H', W')`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_fused(x, Fuse::default())
    }

    /// [`FusedConv2d::forward`] with what `fuse` asks for; at most two maps are added.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward_fused(&self, x: &Tensor, fuse: Fuse<'_>) -> Result<Tensor> {
        let fast = match &self.0 {
            Body::Fast(fast) => fast,
            Body::Plain(conv) => return plain(conv, x, fuse),
        };
        let op = Fused { fast, relu: [fuse.relu_before, fuse.relu_after], reduce: None };
        let x = channels_last(x)?;
        let y = match fuse.added {
            [] => apply1(&op, &x)?,
            [one] => apply2(&op, &x, &channels_last(one)?)?,
            [one, other] => apply3(&op, &x, &channels_last(one)?, &channels_last(other)?)?,
            more => bail!("{} maps to add", more.len()),
        };
        channels_first(&y)
    }

    /// The convolution's positive part, and of that each pixel's sum by the weights of `last`, which has one
    /// output and sees single pixels.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward_reduced(&self, x: &Tensor, last: &Self) -> Result<Tensor> {
        let (Body::Fast(fast), Body::Fast(sums)) = (&self.0, &last.0) else {
            return last
                .forward(&self.forward_fused(x, Fuse { relu_after: true, ..Fuse::default() })?);
        };
        let (Weights::Winograd(_), Weights::Gathered { packed, kernel: 1, stride: 1, .. }) =
            (&fast.weights, &sums.weights)
        else {
            bail!("a reduction of another kernel");
        };
        if packed.outputs() != 1 || packed.inputs() != fast.bias.len() {
            bail!("a reduction of {} to {}", packed.inputs(), packed.outputs());
        }
        let reduce = Some((packed.first_column(), sums.bias[0]));
        let y = apply1(&Fused { fast, relu: [false, true], reduce }, &channels_last(x)?)?;
        channels_first(&y)
    }
}

fn plain(conv: &Conv2d, x: &Tensor, fuse: Fuse<'_>) -> Result<Tensor> {
    let y = if fuse.relu_before { conv.forward(&x.relu()?)? } else { conv.forward(x)? };
    let y = if fuse.relu_after { y.relu()? } else { y };
    fuse.added.iter().try_fold(y, |y, added| y + *added)
}

/// (N, C, H, W) to (N, H, W, C), which costs nothing where it is so in memory.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 2, 3, 1))?.contiguous()
}

/// (N, H, W, C) to (N, C, H, W): in memory only where other devices want it so.
pub fn channels_first(x: &Tensor) -> Result<Tensor> {
    let x = x.permute((0, 3, 1, 2))?;
    if is_cpu_f32(&x) { Ok(x) } else { x.contiguous() }
}

/// The maps of several images (N, C, H, W) as one, however they lie in memory.
pub fn joined(maps: &[&Tensor]) -> Result<Tensor> {
    match maps {
        [one] => Ok((*one).clone()),
        [one, ..] if is_cpu_f32(one) => {
            let last = maps.iter().map(|map| channels_last(map)).collect::<Result<Vec<_>>>()?;
            channels_first(&Tensor::cat(&last, 0)?)
        }
        _ => Tensor::cat(maps, 0),
    }
}

struct Fused<'a> {
    fast: &'a Fast,
    relu: [bool; 2],
    reduce: Option<(Vec<f32>, f32)>,
}

impl Fused<'_> {
    /// `x` and what is added are (N, H, W, C).
    fn run<const N: usize>(
        &self,
        args: [&[f32]; N],
        shapes: [&Shape; N],
    ) -> Result<(Vec<f32>, Shape)> {
        let (n, height, width, channels) = shapes[0].dims4()?;
        let x = Images { data: args[0], height, width };
        let (inputs, outputs, (h, w)) = match &self.fast.weights {
            Weights::Winograd(filters) => (filters.inputs(), filters.outputs(), (height, width)),
            Weights::Gathered { packed, kernel, stride, padding } => {
                let room = padding.before + padding.after;
                if height + room < *kernel || width + room < *kernel {
                    bail!("a convolution of {kernel}x{kernel} on {:?}", shapes[0].dims());
                }
                let out = |side: usize| (side + room - kernel) / stride + 1;
                let under = packed.inputs() / (kernel * kernel);
                (under, packed.outputs(), (out(height), out(width)))
            }
        };
        if inputs != channels {
            bail!("convolution of {inputs} channels applied to {channels}");
        }
        let out = Shape::from((n, h, w, outputs));
        if shapes[1..].iter().any(|shape| shape.dims() != out.dims()) {
            bail!("added to {:?}: {shapes:?}", out.dims());
        }
        let (relu, bias) = (self.relu, self.fast.bias.as_slice());
        let added = [args.get(1).copied(), args.get(2).copied()];
        let reduce = self.reduce.as_ref().map(|(weights, shift)| (weights.as_slice(), *shift));
        let around = Around { bias, relu, added, reduce };
        match &self.fast.weights {
            Weights::Winograd(filters) => {
                let channels = if reduce.is_some() { 1 } else { outputs };
                Ok((convolved(filters, x, around), Shape::from((n, h, w, channels))))
            }
            Weights::Gathered { packed, kernel, stride, padding } => {
                let window = Gather { kernel: *kernel, stride: *stride, before: padding.before };
                Ok((gathered(packed, x, (h, w), window, around), out))
            }
        }
    }
}

impl F32Op<1> for Fused<'_> {
    fn name(&self) -> &'static str {
        "fused conv2d"
    }

    fn compute(&self, args: [&[f32]; 1], shapes: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        self.run(args, shapes)
    }
}

impl F32Op<2> for Fused<'_> {
    fn name(&self) -> &'static str {
        "fused conv2d"
    }

    fn compute(&self, args: [&[f32]; 2], shapes: [&Shape; 2]) -> Result<(Vec<f32>, Shape)> {
        self.run(args, shapes)
    }
}

impl F32Op<3> for Fused<'_> {
    fn name(&self) -> &'static str {
        "fused conv2d"
    }

    fn compute(&self, args: [&[f32]; 3], shapes: [&Shape; 3]) -> Result<(Vec<f32>, Shape)> {
        self.run(args, shapes)
    }
}

/// Where a kernel lies.
#[derive(Clone, Copy)]
struct Gather {
    kernel: usize,
    stride: usize,
    before: usize,
}

impl Gather {
    /// What lies under the kernel at an output pixel.
    fn fill(self, image: Images<'_>, channels: usize, (oy, ox): (usize, usize), row: &mut [f32]) {
        for (ky, line) in row.chunks_exact_mut(self.kernel * channels).enumerate() {
            let y = (oy * self.stride + ky).wrapping_sub(self.before);
            for (kx, pixel) in line.chunks_exact_mut(channels).enumerate() {
                let x = (ox * self.stride + kx).wrapping_sub(self.before);
                if y < image.height && x < image.width {
                    let at = (y * image.width + x) * channels;
                    pixel.copy_from_slice(&image.data[at..][..channels]);
                } else {
                    pixel.fill(0.0);
                }
            }
        }
    }
}

/// To (N, h, w, C') by one product of what lies under the kernel.
fn gathered(
    packed: &Packed,
    x: Images<'_>,
    (h, w): (usize, usize),
    window: Gather,
    around: Around<'_>,
) -> Vec<f32> {
    let (under, outputs) = (packed.inputs(), packed.outputs());
    let channels = under / (window.kernel * window.kernel);
    let image = x.height * x.width * channels;
    let mut y = vec![0f32; x.data.len() / image * h * w * outputs];
    let task = |rows: &mut Vec<f32>, (i, y): (usize, &mut [f32])| {
        let count = y.len() / outputs;
        rows.resize(count * under, 0.0);
        for (row, at) in rows.chunks_exact_mut(under).zip(i * PIXELS..) {
            let data = &x.data[at / (h * w) * image..][..image];
            window.fill(Images { data, ..x }, channels, (at % (h * w) / w, at % w), row);
            if around.relu[0] {
                row.iter_mut().for_each(|value| *value = value.max(0.0));
            }
        }
        let left = Rows { data: rows, stride: under };
        Product { left, rows: count, packed, out: y, stride: outputs }.run(
            #[inline(always)]
            |row, column, piece| {
                let at = (i * PIXELS + row) * outputs + column;
                for (j, value) in piece.iter_mut().enumerate() {
                    *value += around.bias[column + j];
                    if around.relu[1] {
                        *value = value.max(0.0);
                    }
                    for added in around.added.iter().flatten() {
                        *value += added[at + j];
                    }
                }
            },
        );
    };
    y.par_chunks_mut(PIXELS * outputs).enumerate().for_each_init(Vec::new, task);
    y
}

#[cfg(test)]
mod tests {
    use candle_core::DType;
    use parallax_test_networks::random;

    use super::*;

    fn off(got: &Tensor, want: &Tensor) -> f32 {
        assert_eq!(got.dims(), want.dims());
        let off = (got - want).unwrap().abs().unwrap().flatten_all().unwrap();
        off.max(0).unwrap().to_scalar().unwrap()
    }

    /// The layer in f64, by candle's own operations.
    fn wide(layer: [&Tensor; 2], window: Window, x: &Tensor, fuse: Fuse<'_>) -> Tensor {
        let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
        let conv = FusedConv2d::of(wide(layer[0]), wide(layer[1]), window).unwrap();
        assert!(matches!(conv.0, Body::Plain(_)));
        let added: Vec<Tensor> = fuse.added.iter().map(|t| wide(t)).collect();
        let added: Vec<&Tensor> = added.iter().collect();
        let y = conv.forward_fused(&wide(x), Fuse { added: &added, ..fuse }).unwrap();
        y.to_dtype(DType::F32).unwrap()
    }

    #[test]
    fn it_is_the_convolution_with_what_is_around_it() {
        for (n, inputs, outputs, (h, w), kernel, stride, padding) in [
            (1, 1, 1, (1, 1), 3, 1, 1),
            (2, 3, 5, (7, 11), 3, 1, 1),
            (1, 64, 64, (9, 130), 3, 1, 1),
            (1, 20, 33, (4, 5), 3, 1, 1),
            (3, 4, 2, (9, 6), 3, 2, 1),
            (2, 20, 70, (5, 13), 1, 1, 0),
        ] {
            let window = Window::new(kernel, stride, padding);
            let x = random((n, inputs, h, w)).unwrap();
            let weight = random((outputs, inputs, kernel, kernel)).unwrap();
            let bias = random(outputs).unwrap();
            let conv = FusedConv2d::of(weight.clone(), bias.clone(), window).unwrap();
            let plain = conv.forward(&x).unwrap();
            let [one, other] = [0; 2].map(|_| random(plain.dims()).unwrap());
            let both: &[&Tensor] = &[&one, &other];
            let scale = ((inputs * kernel * kernel) as f32).sqrt();
            for added in [&both[..0], &both[..1], both] {
                for relu in [[false, false], [true, false], [false, true], [true, true]] {
                    let fuse = Fuse { relu_before: relu[0], relu_after: relu[1], added };
                    let got = conv.forward_fused(&x, fuse).unwrap();
                    let want = wide([&weight, &bias], window, &x, fuse);
                    let off = off(&got, &want);
                    assert!(off < 8e-6 * scale, "{n} {inputs} {outputs} {h}x{w} {relu:?}: {off}");
                }
            }
        }
    }

    #[test]
    fn pixels_are_reduced_as_by_a_layer_of_their_own() {
        for (hidden, (h, w)) in [(8, (5, 6)), (32, (9, 21)), (40, (1, 3))] {
            let layer = |outputs: usize, inputs: usize, kernel: usize| {
                let weight = random((outputs, inputs, kernel, kernel)).unwrap();
                (weight, random(outputs).unwrap())
            };
            let (weight, bias) = layer(hidden, 7, 3);
            let first = FusedConv2d::of(weight, bias, Window::new(3, 1, 1)).unwrap();
            let (weight, bias) = layer(1, hidden, 1);
            let last = FusedConv2d::of(weight, bias, Window::new(1, 1, 0)).unwrap();
            let x = random((2, 7, h, w)).unwrap();
            let fuse = Fuse { relu_after: true, ..Fuse::default() };
            let want = last.forward(&first.forward_fused(&x, fuse).unwrap()).unwrap();
            let got = first.forward_reduced(&x, &last).unwrap();
            assert!(off(&got, &want) < 2e-4, "{hidden}");
            assert!(last.forward_reduced(&x, &first).is_err());
        }
    }

    #[test]
    fn results_do_not_depend_on_threads() {
        let x = random((2, 20, 37, 41)).unwrap();
        let layer = |kernel: usize, stride: usize, padding: usize| {
            let weight = random((24, 20, kernel, kernel)).unwrap();
            let window = Window::new(kernel, stride, padding);
            FusedConv2d::of(weight, random(24).unwrap(), window).unwrap()
        };
        for conv in [layer(3, 1, 1), layer(3, 2, 1), layer(1, 1, 0)] {
            let with = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let y = pool.install(|| conv.forward(&x)).unwrap();
                y.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            assert_eq!(with(1), with(5));
        }
    }

    #[test]
    fn maps_are_joined_however_they_lie() {
        let first = random((1, 3, 4, 5)).unwrap();
        let other = random((2, 3, 4, 5)).unwrap();
        let last = channels_first(&channels_last(&other).unwrap()).unwrap();
        let want = Tensor::cat(&[&first, &other], 0).unwrap();
        assert_eq!(off(&joined(&[&first, &last]).unwrap(), &want), 0.0);
    }
}
