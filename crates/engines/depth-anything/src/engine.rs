//! The engines: a network, its options, and the way to disparity.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use parallax_dpt::{Config, DepthNetwork, Output, Positions, WindowOptions};
use parallax_engine_spec::{Choice, DepthMode, Refused};
use parallax_stereo::{
    Capabilities, Clip, DepthEstimator, DepthModel, DepthSession, Engine, Error, InverseDepth,
    Reach, Run, Session, SteadyDepth,
};
use parallax_weights as weights;

use crate::failure::unsupported;
use crate::family::{Chosen, Family};
use crate::input::Input;
use crate::options::Options;
use crate::single::Single;
use crate::video::{LAG, Streamed, Video};

/// A shot's first frame anchors all that is seen of it: whoever begins within the shot has to begin there. Longer
/// shots than this are anchored so long before, or every part of them would be seen from their beginning.
const ANCHOR: Duration = Duration::from_secs(120);

/// An engine of the family, its weights read.
#[derive(Debug)]
pub struct DepthAnything {
    family: Family,
    network: Arc<DepthNetwork>,
    device: Device,
    dtype: DType,
    options: Options,
}

impl DepthAnything {
    /// Reads the weights of a model from `root`, the folder of all models, onto a device: those of the model
    /// called `model`, or of the first that is there.
    ///
    /// # Errors
    /// When they are missing or those of another network.
    pub fn within(
        root: &Path,
        model: Option<&str>,
        family: Family,
        (device, dtype): (&Device, DType),
        options: Options,
    ) -> Result<Self, Refused> {
        let chosen = family.choose(root, model)?;
        let opened = Self::open(&chosen, family, (device, dtype), options);
        opened.map_err(|error| Refused::of(Choice::Weights, error))
    }

    pub(crate) fn open(
        chosen: &Chosen,
        family: Family,
        (device, dtype): (&Device, DType),
        options: Options,
    ) -> Result<Self, weights::Error> {
        let (checkpoint, config) = open(chosen, &options)?;
        let layout = chosen.model.layout;
        let build = |vb: VarBuilder| DepthNetwork::new(&config, layout, vb);
        // Their inventory says more than their values could.
        let inventory = weights::Inventory::of(build).map_err(|source| weights::Error::Build {
            what: chosen.published.title.into(),
            source,
        })?;
        checkpoint.check(chosen.published.title, &inventory)?;
        checkpoint.check_values(|_| dtype)?;
        let network = checkpoint.build(chosen.published.title, dtype, device, build)?;
        let network = Arc::new(network);
        Ok(Self { family, network, device: device.clone(), dtype, options })
    }

    fn network_of(&self, clip: &Clip) -> Result<Box<dyn InverseDepth>, Error> {
        let (network, options) = (Arc::clone(&self.network), &self.options);
        let config = network.config();
        let longer = config.output == Output::ExponentialWithSky;
        let rule = options.size_rule(self.family, self.device.is_cuda(), longer);
        let picture = (clip.format.width as usize, clip.format.height as usize);
        let size = rule.size(picture, config.transformer.patch);
        let kind = (&self.device, self.dtype);
        let input = Input::new(&clip.format, size, options.resampling(), kind)?;
        Ok(match self.family {
            Family::Single => Box::new(Single { network, input }),
            Family::Video => {
                let enlarged = options.reference.then_some((picture.1, picture.0));
                match options.mode {
                    DepthMode::Windows => {
                        let windows = WindowOptions { padded: options.reference, enlarged };
                        Box::new(Video::new(network, input, windows))
                    }
                    DepthMode::Streaming => Box::new(Streamed::new(network, input, enlarged)),
                }
            }
        })
    }

    fn steady(&self, clip: &Clip, run: &Run) -> Result<SteadyDepth<Box<dyn InverseDepth>>, Error> {
        SteadyDepth::new(self.network_of(clip)?, clip, run, self.options.chain)
    }
}

/// The weights of a model, not read yet, and the network that they are of.
pub(crate) fn open(
    chosen: &Chosen,
    options: &Options,
) -> Result<(weights::Checkpoint, Config), weights::Error> {
    // Transformers' own rule for what is published for transformers.
    let positions = if options.reference { Positions::BySize } else { Positions::ByFactor };
    chosen.model.open(&chosen.folder, positions)
}

/// How much of the film around a clip counts.
pub(crate) fn reach(family: Family, options: &Options, run: &Run) -> Reach {
    let reach = match family {
        Family::Single => options.chain.reach(0),
        Family::Video => {
            let lag = match options.mode {
                DepthMode::Windows => LAG,
                DepthMode::Streaming => 0,
            };
            Reach { back: ANCHOR, ..options.chain.reach(lag) }
        }
    };
    run.reach().and(reach)
}

impl Capabilities for DepthAnything {
    fn reach(&self, run: &Run) -> Reach {
        reach(self.family, &self.options, run)
    }

    fn check(&self, _run: &Run) -> Result<(), Error> {
        unsupported(self.options.validate())
    }
}

impl Engine for DepthAnything {
    fn name(&self) -> &'static str {
        self.family.name()
    }

    fn start(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Session>, Error> {
        Ok(Box::new(DepthSession::new(self.steady(clip, run)?, clip, run)?))
    }
}

impl DepthModel for DepthAnything {
    fn estimator(&self, clip: &Clip, run: &Run) -> Result<Box<dyn DepthEstimator>, Error> {
        Ok(Box::new(self.steady(clip, run)?))
    }
}
