//! The two kinds of result that the wire contract knows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a result shows its two views.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Red and cyan in one picture; what deployed callers expect when none is named.
    #[default]
    Anaglyph,
    /// Two views side by side.
    Sbs,
}

/// Text that is not a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mode {0:?}: allowed are \"anaglyph\" and \"sbs\"")]
pub struct ModeError(String);

impl Mode {
    /// The name in keys and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Anaglyph => "anaglyph",
            Mode::Sbs => "sbs",
        }
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        match text {
            "anaglyph" => Ok(Mode::Anaglyph),
            "sbs" => Ok(Mode::Sbs),
            other => Err(ModeError(other.chars().take(32).collect())),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
