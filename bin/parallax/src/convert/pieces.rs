//! Converted segments that an earlier process left, looked at before anything is built on them.
//!
//! A power cut or a disk that fails leaves files that are empty, cut off or full of zeros under their final
//! names.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use parallax_media::{Kind, Result, Tools, probe, scan};
use tokio_util::sync::CancellationToken;

/// What filesystems hand out and lose at once. No coded picture and no index has as many zeros in a row.
const BLOCK: usize = 4096;

/// What is wrong with the converted segment at `path`; `None` when it can be joined.
///
/// # Errors
/// When that cannot be found out.
pub(super) fn damage(tools: &Tools, path: &Path) -> Result<Option<&'static str>> {
    if !path.exists() {
        return Ok(Some("its file is gone"));
    }
    // Whatever the disk says against reading it, it is not there to be joined.
    if !File::open(path).and_then(|file| is_whole(&file)).unwrap_or(false) {
        return Ok(Some("parts of its file are gone"));
    }
    let cancel = CancellationToken::new();
    let packets = probe(tools, path, &cancel).and_then(|media| scan(tools, &media, &cancel));
    match packets {
        Ok(packets) if packets.frame_times().is_some_and(|times| !times.is_empty()) => Ok(None),
        Ok(_) => Ok(Some("no picture can be found in its file")),
        Err(error) if error.kind() == Kind::Input => Ok(Some("its file cannot be read")),
        Err(error) => Err(error),
    }
}

/// Whether an MP4 ends where its last box does, and no block of it was never written.
fn is_whole(mut file: &File) -> std::io::Result<bool> {
    let length = file.metadata()?.len();
    let mut at = 0;
    while at < length {
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        let read = file.take(16).read(&mut head)?;
        let (short, long) = head.split_at(8);
        let size = match u32::from_be_bytes([short[0], short[1], short[2], short[3]]) {
            1 if read == 16 => u64::from_be_bytes(long.try_into().unwrap_or_default()),
            size => u64::from(size),
        };
        if read < 8 || size < 8 {
            return Ok(false);
        }
        at = at.saturating_add(size);
    }
    if at != length || length == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(0))?;
    let mut blocks = std::io::BufReader::with_capacity(256 * BLOCK, file);
    let mut block = [0; BLOCK];
    for _ in 0..length / BLOCK as u64 {
        blocks.read_exact(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn whole(bytes: &[u8]) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        is_whole(&file).unwrap()
    }

    #[test]
    fn files_that_lost_blocks_or_their_end_are_told_from_whole_ones() {
        let mut film = b"\0\0\0\x08free\0\0\x40\x08mdat".to_vec();
        film.resize(16 + 0x4000, 7);
        assert!(whole(&film));
        assert!(!whole(&[]));
        assert!(!whole(&film[..film.len() - 1]), "cut off");
        assert!(!whole(&film[..12]), "cut off in a box's head");
        assert!(!whole(&vec![0; film.len()]), "zeros");
        film[BLOCK..2 * BLOCK].fill(0);
        assert!(!whole(&film), "a block was never written");
    }
}
