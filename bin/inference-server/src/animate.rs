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
        parallax_animate::model(choice(&settings.models.segment_model)),
        animate_model(choice(&settings.models.animate_model)),
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
    of("SERVER_SEGMENT_MODEL", &settings.models.segment_model, model_names().collect())?;
    of("SERVER_ANIMATE_MODEL", &settings.models.animate_model, animate_model_names().collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Cli;

    #[test]
    fn a_network_is_named_for_the_service_that_has_it() {
        let checked = |arguments: &str| {
            let arguments = format!("inference-server {arguments}");
            check(&Cli::try_parse_from(arguments.split(' ')).unwrap().settings)
                .map_err(|error| error.to_string())
        };
        for good in [
            "--services stereo",
            "--services animate",
            "--services stereo,animate --animate-model svd-14",
        ] {
            assert_eq!(checked(good), Ok(()), "{good}");
        }
        for (wrong, told) in [
            (
                "--services animate --animate-model svd",
                "SERVER_ANIMATE_MODEL \"svd\": allowed are svd-xt, svd-14",
            ),
            ("--animate-model svd-xt", "SERVER_ANIMATE_MODEL is for the service animate"),
            ("--segment-model sam2.1-tiny", "SERVER_SEGMENT_MODEL is for the service animate"),
            ("--services animate --segment-model svd-xt", "allowed are sam2.1-tiny"),
        ] {
            let error = checked(wrong).unwrap_err();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }
}
