//! Whether an MPEG transport stream ends at the end of a packet, whatever it begins with, and whether
//! packets are missing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
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

/// Bytes at the beginning in which the first packet is looked for, and packets that show where.
const BEGINNING: u64 = 1 << 16;
const SHOWING: usize = 5;
/// The identifier of packets that only fill.
const FILLING: u16 = 0x1FFF;

/// Whether the stream at `path` lost packets, by their counters, or has some that cannot be read:
/// damaged, scrambled or not where they should be.
pub(super) fn is_broken(path: &Path) -> std::io::Result<bool> {
    let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut head = Vec::new();
    file.by_ref().take(BEGINNING).read_to_end(&mut head)?;
    let Some((start, length)) = first_packet(&head) else { return Ok(false) };
    let whole = (head.len() - start) / length * length;
    let (packets, rest) = head[start..].split_at(whole);
    let mut counters = Counters::default();
    if packets.chunks_exact(length).any(|packet| counters.is_broken(packet)) {
        return Ok(true);
    }
    let mut packet = vec![0; length];
    let mut bytes = rest.chain(file);
    loop {
        match bytes.read_exact(&mut packet) {
            Ok(()) if counters.is_broken(&packet) => return Ok(true),
            Ok(()) => {}
            // What the end is like is told elsewhere.
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(e) => return Err(e),
        }
    }
}

/// Where the first byte of ISO/IEC 13818-1 is, and the length of packets.
fn first_packet(head: &[u8]) -> Option<(usize, usize)> {
    (0..head.len()).find_map(|start| {
        let shows = |length: usize| {
            (0..SHOWING).all(|number| head.get(start + number * length) == Some(&SYNC))
        };
        let mut lengths = KINDS.iter().map(|(length, _)| *length as usize);
        lengths.find(|&length| shows(length)).map(|length| (start, length))
    })
}

/// The last counter of each stream.
#[derive(Debug, Default)]
struct Counters(HashMap<u16, u8>);

impl Counters {
    /// Whether something is wrong with a packet or before it.
    fn is_broken(&mut self, packet: &[u8]) -> bool {
        let stream = u16::from_be_bytes([packet[1], packet[2]]) & FILLING;
        let (damaged, scrambled) = (packet[1] & 0x80 != 0, packet[3] & 0xC0 != 0);
        if packet[0] != SYNC || damaged || scrambled {
            return true;
        }
        let (more, payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        let begins_anew = more && packet[4] > 0 && packet[5] & 0x80 != 0;
        let counter = packet[3] & 0x0F;
        let last = self.0.insert(stream, counter);
        // A packet may come twice, and one without payload does not count.
        let follows = |last: u8| counter == last || payload && counter == (last + 1) & 0x0F;
        stream != FILLING && !begins_anew && last.is_some_and(|last| !follows(last))
    }
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
