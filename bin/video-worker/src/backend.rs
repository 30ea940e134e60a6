//! The values of `INFERENCE_BACKEND`.

use std::fmt;
use std::sync::LazyLock;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use parallax_catalogue::self_contained;
use parallax_engine_spec::EngineSpec;

/// What turns segments into results.
#[derive(Clone, Copy)]
pub(crate) enum Backend {
    /// Copies each segment: dry runs and load tests.
    Stub,
    /// An inference server, or several.
    Http,
    /// An asynchronous SageMaker endpoint.
    Sagemaker,
    /// An engine of the catalogue, in this process. Those with weights are the server's, whatever else
    /// is linked here.
    Engine(&'static EngineSpec),
}

impl Backend {
    fn name(self) -> &'static str {
        match self {
            Self::Stub => "stub",
            Self::Http => "http",
            Self::Sagemaker => "sagemaker",
            Self::Engine(engine) => engine.name,
        }
    }

    /// The name of the permits' pool, where no endpoint gives it one.
    pub(crate) fn pool(self) -> &'static str {
        match self {
            Self::Engine(_) => "engine",
            other => other.name(),
        }
    }

    fn help(self) -> String {
        match self {
            Self::Stub => "Copies each segment: dry runs and load tests".to_owned(),
            Self::Http => "An inference server, or several".to_owned(),
            Self::Sagemaker => "An asynchronous SageMaker endpoint".to_owned(),
            Self::Engine(engine) => format!("The {} engine, in this process", engine.name),
        }
    }
}

impl PartialEq for Backend {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ValueEnum for Backend {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<Backend>> = LazyLock::new(|| {
            let services = [Backend::Stub, Backend::Http, Backend::Sagemaker];
            services.into_iter().chain(self_contained().map(Backend::Engine)).collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.help()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_services_and_engines_without_weights() {
        let names: Vec<_> = Backend::value_variants().iter().map(|b| b.name()).collect();
        assert_eq!(names, ["stub", "http", "sagemaker", "draft", "copy"]);
    }
}
