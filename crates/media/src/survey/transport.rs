//! Whether an MPEG transport stream ends at the end of a packet, whatever it begins with.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Error, Result};

/// Lengths of packets, and where in each its first byte of ISO/IEC 13818-1 is: plain ones, those of
/// M2TS behind four bytes of time, those with sixteen bytes of error correction.
const KINDS: [(u64, u64); 3] = [(188, 0), (192, 4), (204, 0)];
/// The first byte of a packet.
const SYNC: u8 = 0x47;
/// Packets at the end that are looked at, and how many of them must be where they should: a few may
/// be damaged.
const LAST: u64 = 20;
const ENOUGH: u64 = 16;

/// Whether the stream at `path`, of so many `bytes`, ends with a whole packet.
pub(super) fn ends_whole(path: &Path, bytes: u64) -> Result<bool> {
    if KINDS.iter().any(|(length, _)| bytes.is_multiple_of(*length)) {
        return Ok(true);
    }
    let tail = tail(path, bytes).map_err(|e| Error::io("read", path, e))?;
    Ok(KINDS.iter().any(|&(length, at)| are_whole(&tail, length as usize, at as usize)))
}

/// The last bytes of a file, at most as many as twenty packets have.
fn tail(path: &Path, bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(bytes.saturating_sub(LAST * 204)))?;
    let mut tail = Vec::new();
    file.take(LAST * 204).read_to_end(&mut tail)?;
    Ok(tail)
}

fn are_whole(tail: &[u8], length: usize, at: usize) -> bool {
    let packets = || tail.rchunks_exact(length).take(LAST as usize);
    let whole = packets().filter(|packet| packet[at] == SYNC).count() as u64;
    whole >= ENOUGH.min(packets().count().max(1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty packets of a kind.
    fn packets(length: usize, at: usize) -> Vec<u8> {
        let mut packet = vec![0xA5; length];
        packet[at] = SYNC;
        packet.repeat(20)
    }

    #[test]
    fn packets_are_counted_from_the_end() {
        for (length, at) in KINDS {
            let (length, at) = (length as usize, at as usize);
            let mut stream = packets(length, at);
            assert!(are_whole(&stream, length, at));
            assert!(are_whole(&[&[1; 77][..], &stream].concat(), length, at), "{length}");
            stream.truncate(stream.len() - 50);
            assert!(!are_whole(&stream, length, at), "{length}");
        }
        assert!(!are_whole(&[], 188, 0));
    }
}
