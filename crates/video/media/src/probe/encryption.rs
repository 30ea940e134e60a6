//! Files whose pictures are hidden, found without asking ffprobe, which reads them as damaged.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::movie::Movie;

/// The scheme that hides the pictures of the file at `path`, found without asking ffprobe, which
/// reads encrypted pictures as damaged ones.
pub(super) fn encryption(path: &Path, movie: Option<&Movie>) -> Result<Option<String>> {
    if let Some(movie) = movie {
        return Ok(movie.encrypted().map(str::to_owned));
    }
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
    file.take(1 << 20).read_to_end(&mut head).map_err(|e| Error::io("read", path, e))?;
    Ok(scrambled(&head).then(|| "scrambled transport stream".to_owned()))
}

/// The refusal of a file whose pictures `scheme` hides.
pub(super) fn encrypted(path: &Path, scheme: &str) -> Error {
    Error::input(path, format!("encrypted ({scheme}): a decrypted copy is needed"))
}

/// Whether more than half of the packets of an MPEG transport stream that begins with `head` are
/// scrambled (ISO/IEC 13818-1, 2.4.3.3).
fn scrambled(head: &[u8]) -> bool {
    // M2TS puts four bytes before each packet.
    for (length, before) in [(188, 0), (192, 4)] {
        let packets = || head.chunks_exact(length).map(|chunk| &chunk[before..]);
        let whole = packets().filter(|packet| packet[0] == 0x47).count();
        if whole >= 5 && whole == packets().count() {
            let hidden = packets().filter(|packet| packet[3] & 0xC0 != 0).count();
            return 2 * hidden > whole;
        }
    }
    false
}
