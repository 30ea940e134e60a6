//! What stands in an engine's way, by the flags of this command.

use std::path::Path;

use anyhow::{Context, Error, Result, bail, ensure};
use parallax_engine_spec::{Choice, Device, Published, Refused};

/// Whether there is a folder to look for the models of an engine in, all of them or one of them.
///
/// # Errors
/// Names the option.
pub(crate) fn weights_are_named(
    engine: &str,
    models: &[&Published],
    one_of_them: bool,
    folder: Option<&Path>,
) -> Result<()> {
    let (count, Some(first)) = (models.len(), models.first()) else { return Ok(()) };
    if let (None, true) = (folder, one_of_them) {
        let name = first.name;
        bail!("the engine {engine} needs a model: `parallax weights fetch {name}` brings one");
    }
    let folder = folder.with_context(|| {
        let models = match count {
            1 => "model".to_owned(),
            2 => "two models".to_owned(),
            3 => "three models".to_owned(),
            more => format!("{more} models"),
        };
        format!("the engine {engine} needs --weights DIR (or WEIGHTS_DIR) with its {models} in it")
    })?;
    ensure!(folder.is_dir(), "--weights {}: not a folder", folder.display());
    Ok(())
}

/// Names the flag that is to blame.
pub(crate) fn told(refused: Refused, weights: Option<&Path>, device: Device) -> Error {
    let flag = match refused.choice {
        None => return Error::new(refused),
        Some(Choice::Weights) => {
            let folder = weights.unwrap_or_else(|| "".as_ref());
            format!("--weights {}", folder.display())
        }
        Some(Choice::Device) => format!("--device {device}"),
        Some(Choice::Dtype) => "--dtype".to_owned(),
        Some(Choice::MemoryPlan) => "--memory-plan".to_owned(),
        Some(Choice::MemoryLimit) => "--memory-limit".to_owned(),
        Some(Choice::Reference) => "--reference".to_owned(),
        Some(Choice::Steps) => "--steps".to_owned(),
        Some(Choice::Depth) => "--depth".to_owned(),
        Some(Choice::Model) => "--depth-model".to_owned(),
        Some(Choice::DepthSize) => "--depth-size".to_owned(),
        Some(Choice::DepthCurve) => "--depth-curve".to_owned(),
        Some(Choice::DepthEvery) => "--depth-every".to_owned(),
        Some(Choice::DepthMode) => "--depth-mode".to_owned(),
    };
    Error::new(refused).context(flag)
}
