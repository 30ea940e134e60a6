//! The models of Segment Anything 2.1: what is told of them before they are fetched, and how a folder of one is
//! looked at.
//!
//! They make no stereo, so there is no engine of this name: the server's operation `segment` reads them.

use std::path::Path;

use parallax_engine_spec::examine::{largest, one_network};
use parallax_engine_spec::{Licence, Needs, PartReport, Published, WeightsSpec};
use parallax_sam2::manifest::{self, Folder};
use parallax_weights::Error;

const MB: u64 = 1_000_000;

/// The models, smallest first: the one to begin with.
pub static MODELS: [Published; 4] = [
    Published::of(manifest::TINY, "SAM 2.1 tiny", 156 * MB, Licence::APACHE_2_0),
    Published::of(manifest::SMALL, "SAM 2.1 small", 184 * MB, Licence::APACHE_2_0),
    Published::of(manifest::BASE_PLUS, "SAM 2.1 base+", 324 * MB, Licence::APACHE_2_0),
    Published::of(manifest::LARGE, "SAM 2.1 large", 898 * MB, Licence::APACHE_2_0),
];

/// How they are fetched and checked.
pub const WEIGHTS: WeightsSpec = WeightsSpec {
    models: &MODELS,
    needs: Needs::One,
    recognise,
    examine: model,
    stages: |models| largest("segment", models),
    demands: |_, _, _| Ok(Vec::new()),
};

/// Which model a folder of its own holds: by its name, or by the sizes of its network.
fn recognise(dir: &Path) -> Option<&'static Published> {
    let folder = Folder::open(dir).ok()?;
    let named = |model: &&Published| dir.file_name().is_some_and(|name| name == model.folder());
    MODELS.iter().find(named).or_else(|| {
        let place = folder.published()?;
        MODELS.iter().find(|model| model.name == place.name)
    })
}

/// The parts of a model: its network.
fn model(_: &Published, folder: &Path, all: bool) -> Vec<PartReport> {
    let opened = || -> Result<_, Error> {
        let folder = Folder::open(folder)?;
        let inventory = folder.inventory()?;
        Ok((folder.checkpoint, inventory))
    };
    one_network(opened(), all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_known_by_its_name_and_damage_is_told() {
        let golden =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/sam2/tests/golden/plain");
        assert!(recognise(&golden).is_none(), "a network of no published size");
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sam2.1-hiera-small");
        std::fs::create_dir(&folder).unwrap();
        assert!(recognise(&folder).is_none(), "nothing there");
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(golden.join(file), folder.join(file)).unwrap();
        }
        let found = recognise(&folder).unwrap();
        assert_eq!(found.name, "sam2.1-small");
        let [report] = <[PartReport; 1]>::try_from(model(found, &folder, true)).unwrap();
        assert!(report.problems.is_empty() && report.network.is_some(), "{report:?}");
        let config = std::fs::read_to_string(golden.join("config.json")).unwrap();
        let other = config.replace("\"mlp_dim\": 40", "\"mlp_dim\": 41");
        assert_ne!(config, other);
        std::fs::write(folder.join("config.json"), other).unwrap();
        let report = model(found, &folder, true).remove(0);
        assert!(report.problems.concat().contains("mlp.proj_in"), "{report:?}");
    }
}
