//! Perception as the settings choose it.

use anyhow::{Context, Result};
use parallax_aws::Aws;
use parallax_nn::device::Choice;
use parallax_perception::{Choosable, Error, Perception, Surroundings};

use crate::config::{Device, ServiceName, Settings};
use crate::stores;

/// The operations, where they are offered. The model's files are looked at here, so that a missing one ends the
/// start; it is read when it is first needed.
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
    let name = settings.perception_model.as_deref();
    let model = Choosable::find(&settings.weights_dir, name, device);
    let model = model.map_err(|error| {
        let variable = match error {
            Error::Unknown(_) => "SERVER_PERCEPTION_MODEL",
            Error::Device(_) => "SERVER_DEVICE",
            _ => "WEIGHTS_DIR",
        };
        anyhow::Error::new(error).context(variable)
    });
    let model = model.context("perception")?;
    let shelf = stores::shelf(settings, aws)?;
    Ok(Some(Perception::keeping(around, model, shelf)))
}
