//! The network of `segment` as a model of the pool.

use anyhow::{Result, bail};
use parallax_animate::{Choice, ModelChoice, model_names};
use parallax_serving::Model;

use crate::config::{Device, ServiceName, Settings};

/// The network that the settings name. Nothing is opened before it is asked for.
pub(crate) fn model(settings: &Settings) -> Model {
    parallax_animate::model(ModelChoice {
        dir: settings.weights_dir.clone(),
        name: settings.segment_model.clone(),
        device: match settings.device() {
            Device::Cuda => Choice::Cuda,
            Device::Cpu => Choice::Cpu,
        },
    })
}

/// Whether the settings of `segment` go together.
///
/// # Errors
/// Names the variable, what was found and what is allowed.
pub(crate) fn check(settings: &Settings) -> Result<()> {
    let Some(name) = settings.segment_model.as_deref() else { return Ok(()) };
    if !model_names().any(|known| known == name) {
        let known: Vec<&str> = model_names().collect();
        bail!("SERVER_SEGMENT_MODEL {name:?}: allowed are {}", known.join(", "));
    }
    if !settings.offers(ServiceName::Animate) {
        bail!(
            "SERVER_SEGMENT_MODEL is for the service animate, which SERVER_SERVICES does not name"
        );
    }
    Ok(())
}
