//! The networks of `segment` and `animate` as models of the pool.

use anyhow::{Result, bail};
use parallax_animate::{Choice, ModelChoice, animate_model, animate_model_names, model_names};
use parallax_serving::Model;

use crate::config::{Device, ServiceName, Settings};

/// The networks that the settings name. Nothing is opened before it is asked for.
pub(crate) fn models(settings: &Settings) -> [Model; 2] {
    let choice = |name: &Option<String>| ModelChoice {
        dir: settings.weights_dir.clone(),
        name: name.clone(),
        device: match settings.device() {
            Device::Cuda => Choice::Cuda,
            Device::Cpu => Choice::Cpu,
        },
    };
    [
        parallax_animate::model(choice(&settings.segment_model)),
        animate_model(choice(&settings.animate_model)),
    ]
}

/// Whether the settings of the service go together.
///
/// # Errors
/// Names the variable, what was found and what is allowed.
pub(crate) fn check(settings: &Settings) -> Result<()> {
    let of = |variable: &str, name: &Option<String>, known: Vec<&str>| {
        let Some(name) = name.as_deref() else { return Ok(()) };
        if !known.contains(&name) {
            bail!("{variable} {name:?}: allowed are {}", known.join(", "));
        }
        if !settings.offers(ServiceName::Animate) {
            bail!("{variable} is for the service animate, which SERVER_SERVICES does not name");
        }
        Ok(())
    };
    of("SERVER_SEGMENT_MODEL", &settings.segment_model, model_names().collect())?;
    of("SERVER_ANIMATE_MODEL", &settings.animate_model, animate_model_names().collect())
}
