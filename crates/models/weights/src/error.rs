//! What can be wrong with a model folder.

use std::fmt;
use std::path::PathBuf;

/// How many names of a kind a message lists.
const LISTED: usize = 8;

/// Why a folder was not opened or a network not built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No folder of the layout holds this part.
    #[error("no {part} in {root}: looked for {tried:?}")]
    NoPart {
        /// What was sought.
        part: &'static str,
        /// The model folder.
        root: PathBuf,
        /// Files tried.
        tried: Vec<PathBuf>,
    },
    /// No weights in a folder.
    #[error("no weights in {dir}: looked for {tried:?}")]
    NoWeights {
        /// The folder.
        dir: PathBuf,
        /// File names tried.
        tried: Vec<String>,
    },
    /// Only pickled weights.
    #[error(
        "{path} is a pickle, which can run code when opened; only safetensors are read, and .pth files that \
         an engine names (get the safetensors variant of the model, or convert it)"
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// A pickle that is more than a description of tensors.
    #[error(
        "{path} is a pickle that wants to call `{name}`, which no state dict needs; it was not called, and \
         nothing of the file is used"
    )]
    Calls {
        /// The file.
        path: PathBuf,
        /// Module and name.
        name: String,
    },
    /// A file that cannot be read.
    #[error("read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that is not what its name says.
    #[error("{path}: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file for another network.
    #[error(transparent)]
    Mismatch(Box<Mismatch>),
    /// The constructor did not read what it declared.
    #[error("{what}: tensors not read exactly once: {}", listed(names))]
    Uneven {
        /// The network.
        what: String,
        /// Names with the number of reads.
        names: Vec<String>,
    },
    /// Values that are not numbers, or are none in the type that was asked for.
    #[error("{path}: {}", odd(tensors, dtype))]
    Values {
        /// The file or the folder of its shards.
        path: PathBuf,
        /// The type that was asked for.
        dtype: String,
        /// Every tensor that holds some.
        tensors: Vec<OddTensor>,
    },
    /// The tensor library's error.
    #[error("build {what}")]
    Build {
        /// The network.
        what: String,
        /// Its reason.
        source: candle_core::Error,
    },
}

/// A tensor with values that are not finite numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddTensor {
    /// Its name.
    pub name: String,
    /// Values that are not a number.
    pub nan: u64,
    /// Values that are infinite.
    pub infinite: u64,
    /// Finite values that the type that was asked for cannot hold.
    pub too_large: u64,
    /// All values.
    pub values: u64,
}

fn odd(tensors: &[OddTensor], dtype: &str) -> String {
    let line = |t: &OddTensor| {
        let of = [(t.nan, "NaN"), (t.infinite, "infinite"), (t.too_large, "too large")];
        let of = of.iter().filter(|(count, _)| *count > 0);
        let found: Vec<String> = of.map(|(count, what)| format!("{count} {what}")).collect();
        format!("{} ({} of {} values)", t.name, found.join(", "), t.values)
    };
    let lines: Vec<String> = tensors.iter().map(line).collect();
    if tensors.iter().all(|t| t.nan + t.infinite == 0) {
        return format!(
            "{} of its tensors hold values that {dtype} cannot: {}; choose f32 or bf16",
            tensors.len(),
            listed(&lines)
        );
    }
    format!(
        "{} of its tensors hold values that are no finite numbers: {}; the file is damaged, fetch it again",
        tensors.len(),
        listed(&lines)
    )
}

/// A file's tensors against those of the network that should be in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The file or the folder of its shards.
    pub path: PathBuf,
    /// The network that was wanted.
    pub expected: String,
    /// The network that the file seems to hold.
    pub found: String,
    /// Names that the file lacks.
    pub missing: Vec<String>,
    /// Names that the network does not have.
    pub extra: Vec<String>,
    /// Names with found and expected shapes.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl std::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.path.display(), self.expected, self.found)?;
        let mut list = |kind: &str, names: &[String]| match names.len() {
            0 => Ok(()),
            n => write!(f, "; {n} {kind}: {}", listed(names)),
        };
        list("missing", &self.missing)?;
        list("not of this network", &self.extra)?;
        let shapes: Vec<String> = self
            .misshapen
            .iter()
            .map(|(name, found, expected)| {
                format!("{name} is {} instead of {}", shape(found), shape(expected))
            })
            .collect();
        list("of another shape", &shapes)
    }
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

pub(crate) fn shape(dims: &[usize]) -> String {
    dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
