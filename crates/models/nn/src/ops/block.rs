//! A transformer's block: attention among all tokens and a network of each, around identities; with rotary
//! positions and a gated network where a model has them.
//!
//! On the processor it is two passes over the tokens. Whatever is between them and within them belongs to a
//! few tokens at a time and stays in the second-level cache, so that little but the block's output is
//! written to memory.

use std::sync::{Mutex, PoisonError};

use candle_core::{Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::activation::silu;
use super::attention::self_attention;
use super::dense::{Dense, Then, Weights};
use super::f32_op::{F32Op, apply1, is_cpu_f32};
use super::norm::{LayerNorm, RowNorm};
use super::packed::Rows;
use super::rotary::Rotary;
use super::rowwise::{Known, LONGEST, QUERIES, Scratch, Tokens};

/// A block's layers.
#[derive(Debug)]
pub struct Layers {
    /// Before the attention.
    pub norm1: LayerNorm,
    /// Queries, keys and values as one product.
    pub qkv: Dense,
    /// After the attention.
    pub projection: Dense,
    /// Before the network of each token.
    pub norm2: LayerNorm,
    /// Its first layer; GELU follows, unless the block is gated.
    pub fc1: Dense,
    /// Its second.
    pub fc2: Dense,
}

/// A block of a transformer.
#[derive(Debug)]
pub struct TransformerBlock {
    heads: usize,
    layers: Layers,
    /// Whose SiLU `fc1` is multiplied by, in place of its GELU.
    gate: Option<Dense>,
    /// Both norms, on the processor.
    norms: Option<[RowNorm; 2]>,
}

/// Memory that blocks use one after the other.
#[derive(Debug, Default)]
pub struct Space(Mutex<Between>);

/// What is between the two passes.
#[derive(Debug, Default)]
struct Between {
    qkv: Vec<f32>,
    known: Known,
}

impl TransformerBlock {
    /// Of layers whose widths fit.
    ///
    /// # Errors
    /// When they do not.
    pub fn new(heads: usize, layers: Layers) -> Result<Self> {
        let packed = layers.packed();
        let norms = match packed {
            Some(_) => Some([layers.norm1.rows()?, layers.norm2.rows()?]),
            None => None,
        };
        if let (Some([qkv, projection, fc1, fc2]), Some([norm1, norm2])) = (packed, &norms) {
            let width = qkv.inputs();
            let shapes = [qkv, projection, fc1, fc2].map(|layer| (layer.inputs(), layer.outputs()));
            let hidden = fc1.outputs();
            let fitting = [(width, 3 * width), (width, width), (width, hidden), (hidden, width)];
            let norms = [norm1, norm2].iter().all(|norm| norm.channels() == width);
            if shapes != fitting || !norms || !width.is_multiple_of(heads) {
                bail!("{heads} heads in a block of layers {shapes:?}");
            }
        }
        Ok(Self { heads, layers, gate: None, norms })
    }

    /// [`TransformerBlock::new`] with a gated network: `fc2(silu(gate(x)) fc1(x))`.
    ///
    /// # Errors
    /// When the layers' widths do not fit.
    pub fn gated(heads: usize, layers: Layers, gate: Dense) -> Result<Self> {
        let shape = |layer: &Dense| layer.weights().map(|w| (w.inputs(), w.outputs()));
        if shape(&gate) != shape(&layers.fc1) {
            bail!("a gate of {:?} beside a layer of {:?}", shape(&gate), shape(&layers.fc1));
        }
        Ok(Self { gate: Some(gate), ..Self::new(heads, layers)? })
    }

    /// Tokens (N, S, C) to the same.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor, space: &Space) -> Result<Tensor> {
        self.run(x, None, space)
    }

    /// [`TransformerBlock::forward`] with queries and keys turned by their tokens' places.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward_turned(&self, x: &Tensor, rotary: &Rotary, space: &Space) -> Result<Tensor> {
        let (_, tokens, width) = x.dims3()?;
        rotary.check(tokens, width / self.heads)?;
        self.run(x, Some(rotary), space)
    }

    fn run(&self, x: &Tensor, rotary: Option<&Rotary>, space: &Space) -> Result<Tensor> {
        let Layers { norm1, qkv, projection, norm2, fc1, fc2 } = &self.layers;
        if let (Some(packed), Some(norms), true) =
            (self.layers.packed(), &self.norms, is_cpu_f32(x))
            && x.dim(1)? <= LONGEST
        {
            let gate = self.gate.as_ref().and_then(Dense::weights);
            return apply1(&Fused { heads: self.heads, packed, gate, norms, rotary, space }, x);
        }
        let mut qkv = qkv.forward(&norm1.forward(x)?)?;
        if let Some(rotary) = rotary {
            qkv = rotary.turned(&qkv)?;
        }
        let x = projection.forward_add(&self_attention(&qkv, self.heads)?, x)?;
        let normed = norm2.forward(&x)?;
        let hidden = match &self.gate {
            Some(gate) => (silu(&gate.forward(&normed)?)? * fc1.forward(&normed)?)?,
            None => fc1.forward_gelu(&normed)?,
        };
        fc2.forward_add(&hidden, &x)
    }
}

impl Layers {
    /// Those that are packed, if all are.
    fn packed(&self) -> Option<[&Weights; 4]> {
        let Self { qkv, projection, fc1, fc2, .. } = self;
        Some([qkv.weights()?, projection.weights()?, fc1.weights()?, fc2.weights()?])
    }
}

struct Fused<'a> {
    heads: usize,
    packed: [&'a Weights; 4],
    gate: Option<&'a Weights>,
    norms: &'a [RowNorm; 2],
    rotary: Option<&'a Rotary>,
    space: &'a Space,
}

/// One thread's working memory: what a few tokens become on their way.
#[derive(Default)]
struct Few {
    attention: Scratch,
    attended: Vec<f32>,
    normed: Vec<f32>,
    moved: Vec<f32>,
    gate: Vec<f32>,
    hidden: Vec<f32>,
}

impl F32Op<1> for Fused<'_> {
    fn name(&self) -> &'static str {
        "transformer block"
    }

    fn compute(&self, [x]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        let (rows, tokens, width) = shape.dims3()?;
        let [qkv, ..] = self.packed;
        if width != qkv.inputs() || tokens == 0 {
            bail!("a block of a width of {} applied to {:?}", qkv.inputs(), shape.dims());
        }
        let mut between = self.space.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Between { qkv, known } = &mut *between;
        qkv.resize(3 * x.len(), 0.0);
        // More tokens at a time read the weights less often, where that leaves no thread idle.
        let each = x.len() / width / rayon::current_num_threads();
        let few = QUERIES * [4, 2].into_iter().find(|n| each >= 3 * n * QUERIES).unwrap_or(1);
        self.before(x, qkv, few * width);
        let part = |i: usize| Rows { data: &qkv[i * width..], stride: 3 * width };
        let sizes = Tokens { rows, queries: tokens, keys: tokens, inner: width };
        known.pack(part(1), part(2), sizes, self.heads);
        let mut y = vec![0f32; x.len()];
        let mut work = Vec::new();
        for (row, y) in y.chunks_mut(tokens * width).enumerate() {
            work.extend(y.chunks_mut(few * width).enumerate().map(|(i, y)| (row, i * few, y)));
        }
        work.into_par_iter().for_each_init(Few::default, |scratch, (row, first, y)| {
            let at = row * tokens + first;
            for (i, y) in y.chunks_mut(QUERIES * width).enumerate() {
                scratch.attended.resize(few * width, 0.0);
                let attended = &mut scratch.attended[i * QUERIES * width..][..y.len()];
                let q = Rows { data: &qkv[(at + i * QUERIES) * 3 * width..], stride: 3 * width };
                scratch.attention.attend(q, known.row(row), attended);
            }
            self.after(scratch, &x[at * width..][..y.len()], y);
        });
        Ok((y, shape.clone()))
    }
}

impl Fused<'_> {
    /// Tokens to their queries, keys and values, `few` elements at a time.
    fn before(&self, x: &[f32], y: &mut [f32], few: usize) {
        let [qkv, ..] = self.packed;
        let width = qkv.inputs();
        let tasks = y.par_chunks_mut(3 * few).zip(x.par_chunks(few)).enumerate();
        tasks.for_each_init(Vec::new, |normed, (task, (y, x))| {
            normed.resize(x.len(), 0.0);
            self.norms[0].apply(x, normed);
            qkv.apply(normed, y, None, Then::Nothing);
            if let Some(rotary) = self.rotary {
                rotary.turn(y, task * (few / width), width);
            }
        });
    }

    /// The rest, of tokens `x` that have attended.
    fn after(&self, scratch: &mut Few, x: &[f32], y: &mut [f32]) {
        let [_, projection, fc1, fc2] = self.packed;
        let Few { attended, normed, moved, gate, hidden, .. } = scratch;
        moved.resize(x.len(), 0.0);
        projection.apply(attended, moved, Some(x), Then::Nothing);
        normed.resize(x.len(), 0.0);
        self.norms[1].apply(moved, normed);
        hidden.resize(x.len() / fc1.inputs() * fc1.outputs(), 0.0);
        let then = match self.gate {
            Some(layer) => {
                gate.resize(hidden.len(), 0.0);
                layer.apply(normed, gate, None, Then::Nothing);
                Then::Gated(gate)
            }
            None => Then::Gelu,
        };
        fc1.apply(normed, hidden, None, then);
        fc2.apply(hidden, y, Some(moved), Then::Nothing);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;
    use candle_nn::VarBuilder;
    use parallax_test_networks::{assert_close, random};

    use super::*;

    const WIDTH: usize = 40;
    const HEADS: usize = 2;

    /// One layer's tensors by name, small enough that nothing saturates.
    fn tensors() -> Vec<(&'static str, Tensor)> {
        let small = |shape: &[usize]| (random(shape).unwrap() * 0.2).unwrap();
        let mut all = Vec::new();
        for (weight, bias, outputs, inputs) in [
            ("qkv.weight", "qkv.bias", 3 * WIDTH, WIDTH),
            ("projection.weight", "projection.bias", WIDTH, WIDTH),
            ("fc1.weight", "fc1.bias", 72, WIDTH),
            ("gate.weight", "gate.bias", 72, WIDTH),
            ("fc2.weight", "fc2.bias", WIDTH, 72),
        ] {
            all.extend([(weight, small(&[outputs, inputs])), (bias, small(&[outputs]))]);
        }
        for (weight, bias) in [("norm1.weight", "norm1.bias"), ("norm2.weight", "norm2.bias")] {
            all.extend([(weight, random(WIDTH).unwrap()), (bias, small(&[WIDTH]))]);
        }
        all
    }

    fn block(tensors: &[(&'static str, Tensor)], dtype: DType) -> TransformerBlock {
        let (layers, _) = layers(tensors, dtype);
        TransformerBlock::new(HEADS, layers).unwrap()
    }

    fn gated(tensors: &[(&'static str, Tensor)], dtype: DType) -> TransformerBlock {
        let (layers, gate) = layers(tensors, dtype);
        TransformerBlock::gated(HEADS, layers, gate).unwrap()
    }

    /// The layers, and a gate.
    fn layers(tensors: &[(&'static str, Tensor)], dtype: DType) -> (Layers, Dense) {
        let of = |(name, t): &(&str, Tensor)| ((*name).to_owned(), t.to_dtype(dtype).unwrap());
        let all = tensors.iter().map(of).collect();
        let vb = VarBuilder::from_tensors(all, dtype, &candle_core::Device::Cpu);
        let norm = |name: &str| LayerNorm::new(WIDTH, 1e-6, vb.pp(name)).unwrap();
        let dense = |inputs: usize, outputs: usize, name: &str| {
            Dense::new(inputs, outputs, vb.pp(name)).unwrap()
        };
        let layers = Layers {
            norm1: norm("norm1"),
            qkv: dense(WIDTH, 3 * WIDTH, "qkv"),
            projection: dense(WIDTH, WIDTH, "projection"),
            norm2: norm("norm2"),
            fc1: dense(WIDTH, 72, "fc1"),
            fc2: dense(72, WIDTH, "fc2"),
        };
        (layers, dense(WIDTH, 72, "gate"))
    }

    #[test]
    fn it_is_its_layers_one_after_the_other() {
        let tensors = tensors();
        let (fast, plain) = (block(&tensors, DType::F32), block(&tensors, DType::F64));
        assert!(fast.norms.is_some() && plain.norms.is_none());
        let space = Space::default();
        for shape in [(2, 130, WIDTH), (1, 1, WIDTH), (1, 49, WIDTH), (1, 700, WIDTH)] {
            let x = random(shape).unwrap();
            let want = plain.forward(&x.to_dtype(DType::F64).unwrap(), &Space::default()).unwrap();
            // In memory that held what came before.
            let got = fast.forward(&x, &space).unwrap();
            assert_close("block", &got, &want.to_dtype(DType::F32).unwrap(), 1e-5, 2e-5);
        }
    }

    /// Angles for the tokens after a prefix of five.
    fn rotary(tokens: usize, dtype: DType) -> Rotary {
        let half = WIDTH / HEADS / 2;
        let angles: Vec<f32> =
            (0..(tokens - 5) * half).map(|i| (i * i % 97) as f32 * 0.1).collect();
        Rotary::new(5, half, &angles, (&candle_core::Device::Cpu, dtype)).unwrap()
    }

    #[test]
    fn a_turned_and_gated_one_is_its_layers_too() {
        let tensors = tensors();
        let (fast, plain) = (gated(&tensors, DType::F32), gated(&tensors, DType::F64));
        // Of several sequences, whose ends lie within what is computed together; and a prefix alone but one.
        for shape in [(3, 131, WIDTH), (1, 6, WIDTH), (2, 49, WIDTH), (1, 4100, WIDTH)] {
            let x = random(shape).unwrap();
            let turned = |block: &TransformerBlock, x: &Tensor, dtype: DType| {
                block.forward_turned(x, &rotary(shape.1, dtype), &Space::default()).unwrap()
            };
            let want = turned(&plain, &x.to_dtype(DType::F64).unwrap(), DType::F64);
            let want = want.to_dtype(DType::F32).unwrap();
            assert_close("block", &turned(&fast, &x, DType::F32), &want, 1e-5, 2e-5);
        }
    }

    #[test]
    fn a_turn_keeps_the_prefix_and_the_values_and_rotates_halves() {
        let half = WIDTH / HEADS / 2;
        let quarter = vec![std::f32::consts::FRAC_PI_2; half];
        let rotary =
            Rotary::new(1, half, &quarter, (&candle_core::Device::Cpu, DType::F32)).unwrap();
        let before: Vec<f32> = (0..2 * 3 * WIDTH).map(|i| i as f32).collect();
        let mut after = before.clone();
        rotary.turn(&mut after, 0, WIDTH);
        assert_eq!(after[..3 * WIDTH], before[..3 * WIDTH], "the prefix");
        let (was, is) = (&before[3 * WIDTH..], &after[3 * WIDTH..]);
        assert_eq!(is[2 * WIDTH..], was[2 * WIDTH..], "the values");
        for head in 0..2 * HEADS {
            for i in 0..half {
                let (a, b) = (head * 2 * half + i, head * 2 * half + half + i);
                assert!(
                    (is[a] + was[b]).abs() < 1e-3 && (is[b] - was[a]).abs() < 1e-3,
                    "{head} {i}"
                );
            }
        }
        let tokens =
            Tensor::from_vec(before, (1, 2, 3 * WIDTH), &candle_core::Device::Cpu).unwrap();
        let same = rotary.turned(&tokens).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(same, after);
    }

    #[test]
    fn positions_of_others_are_refused() {
        let block = block(&tensors(), DType::F32);
        let x = random((1, 9, WIDTH)).unwrap();
        let other = rotary(10, DType::F32);
        assert!(block.forward_turned(&x, &other, &Space::default()).is_err());
        let on = (&candle_core::Device::Cpu, DType::F32);
        let wide = Rotary::new(5, WIDTH, &[0.0; 4 * WIDTH], on).unwrap();
        assert!(block.forward_turned(&x, &wide, &Space::default()).is_err());
        assert!(Rotary::new(5, 4, &[0.0; 9], on).is_err());
    }

    #[test]
    fn tokens_do_not_depend_on_threads() {
        let (plain, gated) = (block(&tensors(), DType::F32), gated(&tensors(), DType::F32));
        let (x, rotary) = (random((2, 450, WIDTH)).unwrap(), rotary(450, DType::F32));
        // One thread takes four times as many tokens at a time as five.
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let run = || {
                let turned = gated.forward_turned(&x, &rotary, &Space::default()).unwrap();
                [plain.forward(&x, &Space::default()).unwrap(), turned]
            };
            pool.install(run).map(|y| y.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        };
        assert_eq!(with(1), with(5));
    }

    #[test]
    fn widths_that_do_not_fit_are_refused() {
        let block = block(&tensors(), DType::F32);
        assert!(block.forward(&random((1, 4, WIDTH + 1)).unwrap(), &Space::default()).is_err());
        let (whole, gate) = layers(&tensors(), DType::F32);
        let narrow = whole.projection.clone();
        assert!(TransformerBlock::gated(HEADS, whole, narrow).is_err());
        let Layers { norm1, qkv, norm2, fc2, .. } = block.layers;
        let layers = Layers { norm1, qkv, projection: gate.clone(), norm2, fc1: gate, fc2 };
        assert!(TransformerBlock::new(HEADS, layers).is_err());
    }
}
