//! Why a file is not read.

use std::path::Path;

use crate::error::Error;

/// What the reader of one file says; [`Refusal::of`] adds which file.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The system cannot read it.
    Io(std::io::Error),
    /// Its pickle names something that no state dict is made of, most likely to have it called.
    Calls(String),
    /// Anything else that is not as it should be.
    Odd(String),
}

impl Refusal {
    pub(super) fn odd(why: impl Into<String>) -> Self {
        Self::Odd(why.into())
    }

    /// The same, of the tensor `name`.
    pub(super) fn in_tensor(self, name: &str) -> Self {
        match self {
            Self::Odd(why) => Self::Odd(format!("{name}: {why}")),
            other => other,
        }
    }

    pub(super) fn of(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Io(source) => Error::Io { path, source },
            Self::Calls(name) => Error::Calls { path, name },
            Self::Odd(why) => Error::Malformed { path, why },
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
