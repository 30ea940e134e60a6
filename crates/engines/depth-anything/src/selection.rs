//! The engines on their way from a user's choices to something that converts.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};
use parallax_engine_spec::{
    self as spec, Choice, Choices, DepthMode, Dtype, Prepared, Published, Refused, WeightBytes,
};
use parallax_nn::device::{self, free_bytes};
use parallax_stereo::{Capabilities, ChainOptions, DepthModel, Engine, Error, Reach, Run};
use parallax_weights::fingerprint;

use crate::engine::{self, DepthAnything};
use crate::failure::unsupported;
use crate::family::{Chosen, Family};
use crate::options::Options;

/// Digits of the weights' fingerprint that tell them from others.
const SHOWN: usize = 16;

/// An engine with a user's choices.
#[derive(Debug)]
pub(crate) struct Selected(pub(crate) Choices, pub(crate) Family);

impl Selected {
    fn options(&self) -> Options {
        let Choices { depth_size, depth_curve, depth_every, depth_mode, reference, .. } = &self.0;
        let every = depth_every.unwrap_or(ChainOptions::default().every);
        let curve = depth_curve.unwrap_or_default();
        let chain = ChainOptions { curve, every, ..ChainOptions::default() };
        let mode = depth_mode.unwrap_or_default();
        Options { side: *depth_size, chain, mode, reference: *reference }
    }

    fn weights(&self) -> Result<&Path, Refused> {
        let missing = || Refused::of(Choice::Weights, "it is missing");
        self.0.weights.as_deref().ok_or_else(missing)
    }

    fn opening(&self) -> Result<Opening, Refused> {
        let (choice, family) = (self.0.device, self.1);
        let device = device::open(match choice {
            spec::Device::Cpu => device::Choice::Cpu,
            spec::Device::Cuda => device::Choice::Cuda,
        });
        let device = device.map_err(|error| Refused::of(Choice::Device, error))?;
        let dtype = dtype(&device, self.0.dtype)?;
        let options = self.options();
        options.validate()?;
        let chosen = family.choose(self.weights()?, self.0.model.as_deref())?;
        Ok(Opening { chosen, family, device, dtype, options, choice })
    }
}

/// The type to compute in on a device.
fn dtype(device: &Device, chosen: Option<Dtype>) -> Result<DType, Refused> {
    Ok(match chosen {
        None if device.is_cuda() => DType::F16,
        None | Some(Dtype::F32) => DType::F32,
        Some(Dtype::F16) if device.is_cuda() => DType::F16,
        Some(Dtype::Bf16) if device.is_cuda() => DType::BF16,
        Some(_) => {
            return Err(Refused::of(Choice::Dtype, "the processor computes in f32 alone here"));
        }
    })
}

impl Capabilities for Selected {
    fn reach(&self, run: &Run) -> Reach {
        engine::reach(self.1, &self.options(), run)
    }

    fn check(&self, _run: &Run) -> Result<(), Error> {
        unsupported(self.options().validate())
    }
}

/// An engine on its device, before its weights are read.
#[derive(Debug)]
struct Opening {
    chosen: Chosen,
    family: Family,
    device: Device,
    dtype: DType,
    options: Options,
    choice: spec::Device,
}

impl Opening {
    fn opened(&self) -> Result<DepthAnything, Refused> {
        let kind = (&self.device, self.dtype);
        DepthAnything::open(&self.chosen, self.family, kind, self.options).map_err(of_weights)
    }

    fn in_words(&self) -> Result<Option<String>, Refused> {
        let folder = &self.chosen.folder;
        let print = fingerprint(folder).map_err(|error| Refused::of(Choice::Weights, error))?;
        let (name, dtype) = (self.chosen.published.name, self.dtype.as_str());
        let words = words(&self.options);
        Ok(Some(format!("{name} ({}),{words}, {}, {dtype}", &print[..SHOWN], self.choice)))
    }

    fn bytes(&self) -> Result<WeightBytes, Refused> {
        let (checkpoint, _) = engine::open(&self.chosen, &self.options).map_err(of_weights)?;
        let whole = checkpoint.plan(self.dtype).resident_bytes;
        Ok(WeightBytes { least: whole, whole })
    }
}

fn of_weights(error: parallax_weights::Error) -> Refused {
    Refused::of(Choice::Weights, error)
}

/// What decides results besides the weights and the device; each word follows a space.
fn words(options: &Options) -> String {
    let Options { side, chain, mode, reference } = options;
    let side = side.map_or_else(|| "usual".to_owned(), |side| side.to_string());
    let (curve, every) = (chain.curve, chain.every);
    let mode = match mode {
        DepthMode::Windows => String::new(),
        DepthMode::Streaming => format!(" {mode}"),
    };
    format!(" size {side} curve {curve} every {every} reference {reference}{mode}")
}

/// The engine and its depth alone are selected and prepared alike.
macro_rules! opens {
    ($part:ty) => {
        impl spec::Selection<$part> for Selected {
            fn prepare(
                &self,
                _pictures: Option<(u32, u32)>,
            ) -> Result<Box<dyn Prepared<$part>>, Refused> {
                Ok(Box::new(self.opening()?))
            }

            fn words(&self) -> String {
                let model = self.0.model.as_deref().unwrap_or("any");
                format!(" model {model}{}", words(&self.options()))
            }
        }

        impl Prepared<$part> for Opening {
            fn open(&self) -> Result<Arc<$part>, Refused> {
                Ok(Arc::new(self.opened()?))
            }

            fn identity(&self) -> Result<Option<String>, Refused> {
                self.in_words()
            }

            fn models(&self) -> Vec<&'static Published> {
                vec![self.chosen.published]
            }

            fn weight_bytes(&self) -> Result<WeightBytes, Refused> {
                self.bytes()
            }

            fn room(&self) -> Option<u64> {
                let device = device::memory(&self.device).map(|(_, all)| all);
                device.or_else(|| free_bytes(&self.device))
            }

            fn memory(&self) -> Option<spec::DeviceMemory> {
                let device = self.device.clone();
                device::memory(&device)?;
                Some(Arc::new(move || device::memory(&device).map(|(taken, _)| taken)))
            }
        }
    };
}

opens!(dyn Engine);
opens!(dyn DepthModel);
