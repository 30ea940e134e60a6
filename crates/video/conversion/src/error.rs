//! Why a conversion failed, and how that looks to the ports.

use std::path::Path;

use parallax_ports as ports;
use parallax_stereo as stereo;

use crate::film::without_paths;

/// Why a conversion failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading the input or writing the output.
    #[error(transparent)]
    Media(#[from] parallax_media::Error),
    /// The engine or the packing.
    #[error("engine: {0}")]
    Engine(#[from] stereo::Error),
}

impl Error {
    /// Whether the caller's token ended it.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Error::Media(error) => error.kind() == parallax_media::Kind::Cancelled,
            Error::Engine(error) => matches!(error, stereo::Error::Cancelled),
        }
    }

    /// Whether another try will not help: the input is at fault, or what is made of it every time.
    pub fn is_permanent(&self) -> bool {
        match self {
            Error::Media(error) => {
                matches!(error.kind(), parallax_media::Kind::Input | parallax_media::Kind::Output)
            }
            Error::Engine(error) => {
                matches!(error, stereo::Error::Unsupported(_) | stereo::Error::NotFinite { .. })
            }
        }
    }

    /// The same error with what `name` makes of their names in place of paths of files in `folder`.
    pub(crate) fn naming(self, folder: &Path, name: impl Fn(&str) -> String) -> Self {
        let say = |text: &str| without_paths(text, folder, name);
        match self {
            Error::Media(error) => Error::Media(error.saying(say)),
            other => other,
        }
    }

    /// The message and what is behind it, on one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl From<Error> for ports::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            error if error.is_cancelled() => ports::Kind::Cancelled,
            error if error.is_permanent() => ports::Kind::Rejected,
            // No room, no program: not the segment's fault, and nothing was written.
            Error::Media(error)
                if matches!(
                    error.kind(),
                    parallax_media::Kind::Space | parallax_media::Kind::Tool
                ) =>
            {
                ports::Kind::Unavailable
            }
            _ => ports::Kind::Internal,
        };
        ports::Error::new(kind, error.chain())
    }
}

impl From<Error> for ports::MediaError {
    fn from(error: Error) -> Self {
        if error.is_permanent() {
            return ports::MediaError::Input(error.chain());
        }
        ports::MediaError::Port(error.into())
    }
}
