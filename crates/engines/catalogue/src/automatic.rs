//! The engine for a user who names none.

use std::path::Path;

use parallax_engine_spec::{Device, EngineSpec, Published};

/// What was chosen.
#[derive(Debug, Clone, Copy)]
pub struct Automatic {
    /// The engine.
    pub engine: &'static EngineSpec,
    /// The model of it that is there; `None` for an engine without any.
    pub model: Option<&'static Published>,
    /// A model that would give a better engine.
    pub better: Option<&'static Published>,
}

/// Engines that are worth watching at a speed that is bearable, best first. A GPU has time to see frames
/// together; a processor sees them one by one.
const fn best_first(device: Device) -> [&'static str; 2] {
    match device {
        Device::Cpu => ["depth-anything", "video-depth-anything"],
        Device::Cuda => ["video-depth-anything", "depth-anything"],
    }
}

/// The best engine whose weights are in `folder` and that `device` runs at a usable speed; the first
/// engine of all where there is none. Of a model that is `named` it is the engine, whether its weights are there
/// or not. It is the same whatever else the machine does.
pub fn automatic(folder: Option<&Path>, device: Device, named: Option<&str>) -> Automatic {
    let engines = || best_first(device).into_iter().filter_map(crate::by_name);
    let has = |engine: &&'static EngineSpec| {
        let models = engine.weights.map_or(&[][..], |weights| weights.models);
        models.iter().find(|model| named == Some(model.name))
    };
    if let Some((engine, model)) = engines().find_map(|engine| Some((engine, has(&engine)?))) {
        return Automatic { engine, model: Some(model), better: None };
    }
    for engine in engines() {
        let models = engine.weights.map_or(&[][..], |weights| weights.models);
        let model =
            models.iter().find(|model| folder.is_some_and(|folder| is_there(model, folder)));
        if model.is_some() {
            return Automatic { engine, model, better: None };
        }
    }
    let better = engines().find_map(|engine| engine.weights?.models.first());
    Automatic { engine: &crate::ALL[0], model: None, better }
}

/// Whether every file of a model is in its folder.
pub fn is_there(model: &Published, folder: &Path) -> bool {
    let folder = folder.join(model.folder());
    model.files.iter().all(|paths| paths.iter().any(|path| folder.join(path).is_file()))
}
