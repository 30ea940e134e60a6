//! Perception as the settings choose it.

use anyhow::{Context, Result};
use parallax_aws::Aws;
use parallax_nn::device::Choice;
use parallax_perception::{Captions, Choosable, Error, Perception, Surroundings};

use crate::config::{Device, ServiceName, Settings};
use crate::stores;

/// The operations, where they are offered. The models' files are looked at here, so that wrong ones end the
/// start; each is read when it is first needed.
///
/// # Errors
/// Names the variable.
pub(crate) fn open(
    settings: &Settings,
    around: Surroundings,
    aws: &Aws,
) -> Result<Option<Perception>> {
    if !settings.offers(ServiceName::Perception) {
        return Ok(None);
    }
    let device = match settings.device() {
        Device::Cuda => Choice::Cuda,
        Device::Cpu => Choice::Cpu,
    };
    let weights = &settings.weights_dir;
    let model = Choosable::find(weights, settings.models.perception_model.as_deref(), device);
    let model = model.map_err(|error| blamed(error, "SERVER_PERCEPTION_MODEL"));
    let named = settings.models.caption_model.as_deref();
    let captions = match Captions::find(weights, named, device) {
        Ok(captions) => Some(captions),
        // Who asks for none, and has none, is told nothing in words.
        Err(Error::Absent { .. }) => None,
        Err(error) => return Err(blamed(error, "SERVER_CAPTION_MODEL")).context("perception"),
    };
    let shelf = stores::shelf(settings, aws)?;
    Ok(Some(Perception::new(around, model.context("perception")?, captions, shelf)))
}

/// With the variable that is to be looked at; `of_the_name` is that of the model's name.
fn blamed(error: Error, of_the_name: &'static str) -> anyhow::Error {
    let variable = match error {
        Error::Unknown { .. } => of_the_name,
        Error::Device(_) => "SERVER_DEVICE",
        _ => "WEIGHTS_DIR",
    };
    anyhow::Error::new(error).context(variable)
}
