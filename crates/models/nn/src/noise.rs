//! Normal noise that equals PyTorch's on the CPU for the same seed.
//!
//! The generator is MT19937 (Matsumoto and Nishimura 1998). PyTorch (`ATen/native/cpu/
//! DistributionTemplates.h`) draws tensors of 16 elements and more in blocks of 16 by Box-Muller in the
//! tensor's own type, and smaller ones element by element in double precision with a cached second value.

use candle_core::{Device, Result, Tensor};
use half::f16;

const N: usize = 624;
const M: usize = 397;
/// PyTorch's threshold between its two ways, and the size of a block.
const BLOCK: usize = 16;

/// A seeded stream of noise; each call goes on where the last one stopped.
///
/// ```
/// use candle_core::Device;
/// use parallax_nn::noise::Generator;
///
/// // The same seed gives the same noise, and goes on where it was.
/// let (mut a, mut b) = (Generator::new(7), Generator::new(7));
/// let first = a.randn(&[2, 3], &Device::Cpu)?.to_vec2::<f32>()?;
/// assert_eq!(first, b.randn(&[2, 3], &Device::Cpu)?.to_vec2::<f32>()?);
/// assert_ne!(first, a.randn(&[2, 3], &Device::Cpu)?.to_vec2::<f32>()?);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Generator {
    state: [u32; N],
    next: usize,
    cached: Option<f64>,
}

impl Generator {
    /// `torch.Generator().manual_seed(seed)`; only the low 32 bits count.
    pub fn new(seed: u64) -> Self {
        let mut state = [0u32; N];
        state[0] = seed as u32;
        for i in 1..N {
            let before = state[i - 1];
            state[i] = (before ^ (before >> 30)).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, next: N, cached: None }
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Uniform in [0, 1) from the low 53 bits of two draws.
    fn uniform_f64(&mut self) -> f64 {
        let high = u64::from(self.u32());
        let bits = (high << 32) | u64::from(self.u32());
        (bits & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }

    /// One value of the element-by-element way.
    fn normal_f64(&mut self) -> f64 {
        if let Some(value) = self.cached.take() {
            return value;
        }
        let (u1, u2) = (self.uniform_f64(), self.uniform_f64());
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let theta = 2.0 * std::f64::consts::PI * u1;
        self.cached = Some(radius * theta.sin());
        radius * theta.cos()
    }

    /// `torch.randn(count, dtype=torch.float32)`.
    pub fn normal_f32(&mut self, count: usize) -> Vec<f32> {
        if count < BLOCK {
            return (0..count).map(|_| self.normal_f64() as f32).collect();
        }
        // 24 random bits each.
        let uniform = |g: &mut Self| (g.u32() & 0x00ff_ffff) as f32 / 16_777_216.0;
        let pair = |u1: f32, u2: f32| {
            let radius = (-2.0 * (1.0 - u1).ln()).sqrt();
            let theta = 2.0 * std::f32::consts::PI * u2;
            (radius * theta.cos(), radius * theta.sin())
        };
        self.blocks(count, uniform, pair)
    }

    /// `torch.randn(count, dtype=torch.float16)`: another sequence than f32's, rounded at every step.
    pub fn normal_f16(&mut self, count: usize) -> Vec<f16> {
        if count < BLOCK {
            return (0..count).map(|_| f16::from_f64(self.normal_f64())).collect();
        }
        // 11 random bits each.
        let uniform = |g: &mut Self| f16::from_f32((g.u32() & 0x07ff) as f32 / 2048.0);
        let round = |x: f32| f16::from_f32(x).to_f32();
        let pair = |u1: f16, u2: f16| {
            let log = round(round(1.0 - u1.to_f32()).ln());
            let radius = round(round(-2.0 * log).sqrt());
            let theta = f16::from_f64(2.0 * std::f64::consts::PI * u2.to_f64()).to_f32();
            (f16::from_f32(radius * round(theta.cos())), f16::from_f32(radius * round(theta.sin())))
        };
        self.blocks(count, uniform, pair)
    }

    /// Uniforms for all, turned to normals in blocks of 16 whose halves are paired; when the last block
    /// is short, the last 16 elements are drawn again.
    fn blocks<T: Copy>(
        &mut self,
        count: usize,
        uniform: impl Fn(&mut Self) -> T,
        pair: impl Fn(T, T) -> (T, T),
    ) -> Vec<T> {
        let mut out: Vec<T> = (0..count).map(|_| uniform(self)).collect();
        let transform = |block: &mut [T]| {
            let (cosines, sines) = block.split_at_mut(BLOCK / 2);
            for (c, s) in cosines.iter_mut().zip(sines) {
                (*c, *s) = pair(*c, *s);
            }
        };
        out.chunks_exact_mut(BLOCK).for_each(transform);
        if !count.is_multiple_of(BLOCK) {
            let tail = &mut out[count - BLOCK..];
            tail.iter_mut().for_each(|x| *x = uniform(self));
            transform(tail);
        }
        out
    }

    /// Standard normal noise of `shape`, f32, equal to `torch.randn(shape, generator=...)` on the CPU.
    pub fn randn(&mut self, shape: &[usize], device: &Device) -> Result<Tensor> {
        let noise = self.normal_f32(shape.iter().product());
        Tensor::from_vec(noise, shape, &Device::Cpu)?.to_device(device)
    }
}
