//! Euler's method along the noise levels of Karras et al. (arXiv:2206.00364), for networks that predict
//! velocity.
//!
//! diffusers `schedulers/scheduling_euler_discrete.py`, the part that Stable Video Diffusion uses:
//! `v_prediction`, Karras levels between explicit bounds, continuous timesteps, no churn.

use candle_core::{DType, Result, Tensor, bail};
use serde::Deserialize;

/// Exponent of the Karras levels.
const RHO: f64 = 7.0;

/// `scheduler/scheduler_config.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// `v_prediction`.
    pub prediction_type: String,
    /// True.
    #[serde(default)]
    pub use_karras_sigmas: bool,
    /// The lowest noise level but zero.
    pub sigma_min: Option<f64>,
    /// The highest noise level.
    pub sigma_max: Option<f64>,
    /// `continuous`: a timestep is a quarter of the logarithm of its level.
    #[serde(default = "discrete")]
    pub timestep_type: String,
    /// `leading` scales initial noise by `sqrt(sigma^2 + 1)`, the others by `sigma`.
    #[serde(default = "linspace")]
    pub timestep_spacing: String,
    /// `zero`.
    #[serde(default = "zero")]
    pub final_sigmas_type: String,
}

fn discrete() -> String {
    "discrete".into()
}

fn linspace() -> String {
    "linspace".into()
}

fn zero() -> String {
    "zero".into()
}

impl Config {
    /// The scheduler of the Stable Video Diffusion checkpoints.
    pub fn svd() -> Self {
        Self {
            prediction_type: "v_prediction".into(),
            use_karras_sigmas: true,
            sigma_min: Some(0.002),
            sigma_max: Some(700.0),
            timestep_type: "continuous".into(),
            timestep_spacing: "leading".into(),
            final_sigmas_type: zero(),
        }
    }
}

/// Noise levels and timesteps of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Falling levels, then zero: one more than there are steps.
    pub sigmas: Vec<f32>,
    /// What the network is told at each step.
    pub timesteps: Vec<f32>,
    /// Standard deviation of the latents before the first step.
    pub init_noise_sigma: f32,
}

impl Schedule {
    /// A run of `steps` steps.
    ///
    /// # Errors
    /// When the configuration asks for a variant that this family does not use, by name.
    pub fn new(cfg: &Config, steps: usize) -> Result<Self> {
        let expect = |field: &str, found: &str, wanted: &str| {
            if found != wanted {
                bail!("scheduler {field} is `{found}`; only `{wanted}` is implemented");
            }
            Ok(())
        };
        expect("prediction_type", &cfg.prediction_type, "v_prediction")?;
        expect("use_karras_sigmas", if cfg.use_karras_sigmas { "true" } else { "false" }, "true")?;
        expect("timestep_type", &cfg.timestep_type, "continuous")?;
        expect("final_sigmas_type", &cfg.final_sigmas_type, "zero")?;
        let (Some(low), Some(high)) = (cfg.sigma_min, cfg.sigma_max) else {
            bail!("scheduler sigma_min and sigma_max must be given");
        };
        if steps == 0 || !(low > 0.0 && high >= low) {
            bail!("{steps} steps between noise levels {high} and {low}");
        }
        let (low, high) = (low.powf(1.0 / RHO), high.powf(1.0 / RHO));
        let ramp = |i: usize| if steps > 1 { i as f64 / (steps - 1) as f64 } else { 0.0 };
        let mut sigmas: Vec<f32> =
            (0..steps).map(|i| (high + ramp(i) * (low - high)).powf(RHO) as f32).collect();
        let timesteps = sigmas.iter().map(|s| 0.25 * s.ln()).collect();
        let first = sigmas[0];
        let init_noise_sigma = match cfg.timestep_spacing.as_str() {
            "linspace" | "trailing" => first,
            _ => (first * first + 1.0).sqrt(),
        };
        sigmas.push(0.0);
        Ok(Self { sigmas, timesteps, init_noise_sigma })
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.timesteps.len()
    }

    fn level(&self, step: usize) -> Result<(f64, f64)> {
        match self.sigmas.get(step..step + 2) {
            Some(s) => Ok((f64::from(s[0]), f64::from(s[1]))),
            None => bail!("step {step} of {}", self.steps()),
        }
    }

    /// The latents as the network takes them at `step`: divided by `sqrt(sigma^2 + 1)`. Keeps the type.
    pub fn scale_input(&self, latents: &Tensor, step: usize) -> Result<Tensor> {
        let (sigma, _) = self.level(step)?;
        latents / (sigma * sigma + 1.0).sqrt()
    }

    /// Latents after `step`, given the network's `velocity` for them. Computed in f32, returned in
    /// `velocity`'s type.
    pub fn step(&self, velocity: &Tensor, step: usize, latents: &Tensor) -> Result<Tensor> {
        let (sigma, next) = self.level(step)?;
        let x = latents.to_dtype(DType::F32)?;
        let v = velocity.to_dtype(DType::F32)?;
        let clean =
            ((v * (-sigma / (sigma * sigma + 1.0).sqrt()))? + (&x / (sigma * sigma + 1.0))?)?;
        let derivative = ((&x - clean)? / sigma)?;
        (x + (derivative * (next - sigma))?)?.to_dtype(velocity.dtype())
    }
}
