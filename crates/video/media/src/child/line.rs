//! Lines of standard error: what they are to us, and how much of one is kept.

use std::io::{BufRead, Read};

/// Bytes of one line of standard error that are kept.
const LINE_BYTES: u64 = 4096;

/// What a line of standard error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Words that may explain a failure.
    Words,
    /// Of no use.
    Noise,
    /// A sign that the work goes on.
    Progress,
}

impl From<bool> for Line {
    /// Whether somebody took it.
    fn from(taken: bool) -> Self {
        if taken { Line::Noise } else { Line::Words }
    }
}

/// The next line without its end, and its bytes; what exceeds the bound is dropped. `None` at the
/// end.
pub(crate) fn bounded_line(reader: &mut impl BufRead) -> Option<(String, u64)> {
    let mut line = Vec::new();
    let mut read = reader.take(LINE_BYTES).read_until(b'\n', &mut line).ok()?;
    if read == 0 {
        return None;
    }
    let mut whole = line.ends_with(b"\n");
    let mut bytes = read as u64;
    // Bounded in time too: a line without end is given up, in pieces that count as lines.
    while !whole && read > 0 && bytes < 256 * LINE_BYTES {
        let mut rest = Vec::new();
        read = reader.take(LINE_BYTES).read_until(b'\n', &mut rest).ok()?;
        bytes += read as u64;
        whole = rest.ends_with(b"\n");
    }
    Some((String::from_utf8_lossy(&line).trim_end().to_owned(), bytes))
}
