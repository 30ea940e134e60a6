//! The engine on its way from a user's choices to something that converts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device};
use parallax_engine_spec::{
    self as spec, Choice, Choices, Dtype, MemoryPlan, Prepared, Published, Refused, WeightBytes,
};
use parallax_nn::device::{self, free_bytes};
use parallax_stereo::{Capabilities, DepthModel, Engine, Error, InpaintModel, Reach, Run};
use parallax_weights::fingerprint;

use crate::engine::{DepthHalf, InpaintHalf, Options, StereoCrafter};
use crate::folders::Folders;
use crate::footprint::Footprint;
use crate::memory::{Memory, footprint};
use crate::plan::{Pieces, Plan, USUAL_BYTES};
use crate::precision::Precision;
use crate::published;
use crate::size::Size;
use crate::stages::Stages;

/// Digits of the weights' fingerprint that tell them from others.
const SHOWN: usize = 16;

/// The engine, or one stage of it, with a user's choices.
#[derive(Debug)]
pub(crate) struct Chosen(pub(crate) Choices, pub(crate) Stages);

impl Chosen {
    fn steps(&self) -> usize {
        self.0.steps.map_or_else(|| Options::default().steps, |steps| steps as usize)
    }

    fn choice(&self) -> device::Choice {
        match self.0.device {
            spec::Device::Cpu => device::Choice::Cpu,
            spec::Device::Cuda => device::Choice::Cuda,
        }
    }

    fn dtype(&self) -> Option<DType> {
        self.0.dtype.map(|dtype| match dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::Bf16 => DType::BF16,
        })
    }

    fn weights(&self) -> Result<&Path, Refused> {
        let missing = || Refused::of(Choice::Weights, "it is missing");
        self.0.weights.as_deref().ok_or_else(missing)
    }

    /// Bytes that work is cut for, unless that is what is free.
    fn planned_bytes(&self) -> Option<u64> {
        match self.0.memory_plan {
            Some(MemoryPlan::Auto) => None,
            Some(MemoryPlan::Gib(gib)) => Some(gib << 30),
            None => Some(USUAL_BYTES),
        }
    }

    fn options(&self, pieces: Pieces) -> Options {
        Options {
            reference: self.0.reference,
            steps: self.steps(),
            stages: self.1,
            dtype: self.dtype(),
            pieces,
            memory_limit: self.0.memory_limit,
        }
    }

    /// How work on pictures of `size` is cut: once, for every segment and whoever resumes.
    fn plan(&self, device: &Device, precision: Precision, size: Size) -> Result<Plan, Refused> {
        let memory = Memory::of_stages(&Folders::within(self.weights()?), self.1, precision, size)
            .map_err(|error| Refused::of(Choice::Weights, error))?;
        let limit = self.0.memory_limit.unwrap_or(u64::MAX);
        let free = free_bytes(device).unwrap_or(u64::MAX).min(limit);
        let plan = match self.planned_bytes() {
            None => memory.plan(free).map_err(Refused::new)?,
            Some(bytes) => memory
                .plan(bytes)
                .map_err(|short| Refused::of(Choice::MemoryPlan, short.of_a_plan()))?,
        };
        memory.residency(&plan, free).map_err(Refused::new)?;
        Ok(plan)
    }
}

impl Capabilities for Chosen {
    fn reach(&self, run: &Run) -> Reach {
        self.options(Pieces::default()).reach(run)
    }

    fn check(&self, run: &Run) -> Result<(), Error> {
        self.options(Pieces::default()).check(run)
    }
}

impl Chosen {
    /// Its device, open, and how work on `pictures` is cut.
    fn opening(&self, pictures: Option<(u32, u32)>) -> Result<Opening, Refused> {
        let device = device::open(self.choice()).map_err(|e| Refused::of(Choice::Device, e))?;
        let precision = Precision::on(&device, self.dtype())
            .map_err(|error| Refused::of(Choice::Dtype, error))?;
        let plan = match pictures {
            // The reference's pieces have their sizes.
            Some((width, height)) if !self.0.reference => {
                let size = Size::new(width as usize, height as usize);
                Some(self.plan(&device, precision, size)?)
            }
            _ => None,
        };
        let cut = plan.as_ref().map_or_else(|| "its own pieces".to_owned(), Plan::pieces);
        let mode = if self.0.reference { "reference" } else { "default" };
        let pieces = match (plan, self.planned_bytes()) {
            (Some(plan), _) => Pieces::Of(plan),
            (None, Some(bytes)) => Pieces::For(bytes),
            (None, None) => Pieces::For(free_bytes(&device).unwrap_or(USUAL_BYTES)),
        };
        Ok(Opening {
            folder: self.weights()?.to_owned(),
            device,
            precision,
            options: self.options(pieces),
            words: format!(
                "{mode}, {} steps, {}, {}, {cut}",
                self.steps(),
                self.choice(),
                precision.denoiser.as_str()
            ),
        })
    }

    fn own_words(&self) -> String {
        let plan = self.0.memory_plan.unwrap_or(MemoryPlan::Gib(USUAL_BYTES >> 30));
        format!(" steps {} reference {} memory plan {plan}", self.steps(), self.0.reference)
    }
}

/// The engine on its device, before its weights are read.
#[derive(Debug)]
struct Opening {
    folder: PathBuf,
    device: Device,
    precision: Precision,
    options: Options,
    /// What besides the weights decides results.
    words: String,
}

impl Opening {
    fn folders(&self) -> Folders {
        Folders::within(&self.folder)
    }

    fn own_identity(&self) -> Result<Option<String>, Refused> {
        let print =
            fingerprint(&self.folder).map_err(|error| Refused::of(Choice::Weights, error))?;
        let (shown, words) = (self.folder.display(), &self.words);
        Ok(Some(format!("{shown} ({}), {words}", &print[..SHOWN])))
    }

    fn own_weight_bytes(&self) -> Result<WeightBytes, Refused> {
        let (footprint, _) = footprint(&self.folders(), self.options.stages, self.precision)
            .map_err(|error| Refused::of(Choice::Weights, error))?;
        let Footprint { shared, depth, inpainting, .. } = footprint;
        let least = shared + depth.max(inpainting);
        // A stage that is not there counts as the other one.
        let both = self.options.stages == Stages::Both;
        Ok(WeightBytes { least, whole: if both { shared + depth + inpainting } else { least } })
    }

    fn own_room(&self) -> Option<u64> {
        let device = device::memory(&self.device).map(|(_, all)| all);
        let room = device.or_else(|| free_bytes(&self.device));
        room.into_iter().chain(self.options.memory_limit).min()
    }

    fn own_memory(&self) -> Option<spec::DeviceMemory> {
        let device = self.device.clone();
        device::memory(&device)?;
        Some(Arc::new(move || device::memory(&device).map(|(taken, _)| taken)))
    }
}

/// The engine and its stages are selected and prepared alike; what is opened differs.
macro_rules! opens {
    ($part:ty, $opened:ty) => {
        impl spec::Selection<$part> for Chosen {
            fn prepare(
                &self,
                pictures: Option<(u32, u32)>,
            ) -> Result<Box<dyn Prepared<$part>>, Refused> {
                Ok(Box::new(self.opening(pictures)?))
            }

            fn words(&self) -> String {
                self.own_words()
            }
        }

        impl Prepared<$part> for Opening {
            fn open(&self) -> Result<Arc<$part>, Refused> {
                let opened = <$opened>::open(&self.folders(), &self.device, self.options.clone());
                Ok(Arc::new(opened.map_err(|error| Refused::of(Choice::Weights, error))?))
            }

            fn identity(&self) -> Result<Option<String>, Refused> {
                self.own_identity()
            }

            fn models(&self) -> Vec<&'static Published> {
                published::of(self.options.stages).iter().collect()
            }

            fn weight_bytes(&self) -> Result<WeightBytes, Refused> {
                self.own_weight_bytes()
            }

            fn room(&self) -> Option<u64> {
                self.own_room()
            }

            fn memory(&self) -> Option<spec::DeviceMemory> {
                self.own_memory()
            }
        }
    };
}

opens!(dyn Engine, StereoCrafter);
opens!(dyn DepthModel, DepthHalf);
opens!(dyn InpaintModel, InpaintHalf);
