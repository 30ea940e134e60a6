//! The stereo engine that the settings name.

use std::fmt;
use std::sync::LazyLock;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use parallax_catalogue::of_any_film;
use parallax_engine_spec::{Choice, EngineSpec};

/// An engine of the catalogue, as a value of `SERVER_ENGINE`.
#[derive(Clone, Copy)]
pub(crate) struct EngineName(pub(crate) &'static EngineSpec);

impl fmt::Debug for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl ValueEnum for EngineName {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<EngineName>> =
            LazyLock::new(|| of_any_film().map(EngineName).collect());
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name).help(self.0.summary))
    }
}

impl EngineName {
    /// Whether it has networks, which run on a GPU unless the processor is asked for.
    pub(crate) fn has_a_device(self) -> bool {
        self.0.takes(Choice::Device)
    }

    /// Whether it is of no use without a GPU.
    pub(crate) fn needs_a_gpu(self) -> bool {
        self.0.takes(Choice::MemoryPlan)
    }
}
