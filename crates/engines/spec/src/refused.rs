//! Why an engine cannot be opened.

use std::error::Error;
use std::fmt;

use crate::Choice;

/// Why an engine cannot be opened, and which of the user's choices is to blame. Shown as its cause.
#[derive(Debug)]
pub struct Refused {
    /// The option to name, if it is one's fault.
    pub choice: Option<Choice>,
    cause: Box<dyn Error + Send + Sync>,
}

impl Refused {
    /// For a cause that names itself.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { choice: None, cause: cause.into() }
    }

    /// For the choice that is to blame.
    pub fn of(choice: Choice, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { choice: Some(choice), cause: cause.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}
