//! The one error of this crate, sorted by what a caller does next.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The file is not a video, is damaged, truncated, over a limit or unsupported: permanent.
    Input,
    /// `ffmpeg` or `ffprobe` is missing, or lacks something this crate needs.
    Tool,
    /// No space left on the device.
    Space,
    /// Reading or writing failed for another reason.
    Io,
    /// What this program made is not as it should be. Permanent: the same input is made alike.
    Output,
    /// The caller's token was cancelled.
    Cancelled,
}

/// Why a media operation failed. The message names the file, what was found and what is allowed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    #[source]
    source: Option<io::Error>,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What to do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// A permanent fault of the file at `path`.
    pub fn input(path: &Path, what: impl std::fmt::Display) -> Self {
        Self::new(Kind::Input, format!("{}: {what}", show_path(path)))
    }

    /// A failed file operation; a full disk is told apart.
    pub(crate) fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Kind::Space,
            _ => Kind::Io,
        };
        Self { kind, message: format!("{doing} {}", show_path(path)), source: Some(source) }
    }

    /// For a file that this program made itself: whatever is wrong with it, no input is at fault.
    pub(crate) fn of_own_file(self) -> Self {
        match self.kind {
            Kind::Input => Self { kind: Kind::Output, ..self },
            _ => self,
        }
    }

    /// The same error in other words: `say` is given its message.
    #[must_use]
    pub fn saying(self, say: impl FnOnce(&str) -> String) -> Self {
        Self { message: say(&self.message), ..self }
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(Kind::Cancelled, "cancelled")
    }
}

/// A path for an error message: control characters escaped, and bounded.
pub fn show_path(path: &Path) -> String {
    escape(&path.to_string_lossy(), 600)
}

/// Untrusted text for an error message: control characters escaped, at most `limit` characters.
pub(crate) fn escape(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == limit {
            out.push('…');
            break;
        }
        if c.is_control() {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_no_control_characters_and_are_bounded() {
        let hostile = format!("a\n\x1b[31m{}", "x".repeat(1000));
        let shown = escape(&hostile, 40);
        assert!(shown.starts_with("a\\n\\u{1b}[31mx"), "{shown}");
        assert!(shown.chars().count() < 60);
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Error::io("write", Path::new("a"), full).kind(), Kind::Space);
    }
}
