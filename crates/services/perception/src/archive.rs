//! ZIP archives of strangers: how large a list of files they have is looked at before it is read.
//!
//! The list (the central directory) is found by the record at the end (APPNOTE 4.3.14 to 4.3.16), which says how many
//! files and bytes it has. A reader that reads first and counts then fills its memory with the lists of archives that
//! are nothing else. So the records are looked at here, and while the archive is opened what lies before the list
//! reads as zeros: no record there is believed.

use std::fs::File;
use std::io::{BufReader, Error, Read, Result as IoResult, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parallax_serving::{Failure, FailureKind};
use zip::ZipArchive;

/// Files of an archive.
pub(crate) const MOST_FILES: u64 = 100_000;
/// Bytes of its list of files: each has 46 and its name.
const MOST_DIRECTORY: u64 = 32 << 20;
/// The record at the end, without its comment, and the longest comment.
const END: usize = 22;
const MOST_COMMENT: usize = 0xffff;
/// The records of archives with more files or bytes than the first kind can say.
const LOCATOR: usize = 20;
const END_64: usize = 56;
const END_64_SIGNATURE: &[u8] = b"PK\x06\x06";

/// An archive whose list of files was read.
pub(crate) type Archive = ZipArchive<Above>;

/// A file of which nothing before `floor` is read: zeros stand for it.
#[derive(Debug)]
pub(crate) struct Above {
    file: BufReader<File>,
    at: u64,
    floor: Arc<AtomicU64>,
}

impl Read for Above {
    fn read(&mut self, bytes: &mut [u8]) -> IoResult<usize> {
        let hidden = self.floor.load(Ordering::Relaxed).saturating_sub(self.at);
        if hidden > 0 && !bytes.is_empty() {
            let zeros = bytes.len().min(usize::try_from(hidden).unwrap_or(usize::MAX));
            bytes[..zeros].fill(0);
            self.seek(SeekFrom::Start(self.at + zeros as u64))?;
            return Ok(zeros);
        }
        let read = self.file.read(bytes)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Above {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

/// Opens the archive at `path`.
///
/// # Errors
/// `Invalid` when it is none, or has more files or a longer list of them than is allowed.
pub(crate) fn open(path: &Path) -> Result<Archive, Failure> {
    let told = |error: Error| Failure::internal(format!("open the archive: {error}"));
    let mut file = BufReader::new(File::open(path).map_err(told)?);
    let begins = directory(&mut file)?;
    file.rewind().map_err(told)?;
    let floor = Arc::new(begins.into());
    let above = Above { file, at: 0, floor: Arc::clone(&floor) };
    let archive = ZipArchive::new(above).map_err(|_| damaged())?;
    floor.store(0, Ordering::Relaxed);
    if archive.len() as u64 > MOST_FILES {
        return Err(too_many(archive.len() as u64));
    }
    Ok(archive)
}

/// Where the list of files begins, which is no longer than is allowed.
fn directory(file: &mut (impl Read + Seek)) -> Result<u64, Failure> {
    let length = file.seek(SeekFrom::End(0)).map_err(|_| damaged())?;
    let tail_from = length.saturating_sub((END + MOST_COMMENT + LOCATOR + END_64) as u64);
    let tail = part(file, tail_from, length)?;
    let last = tail.len().checked_sub(END).ok_or_else(damaged)?;
    let end = (0..=last).rev().find(|&at| {
        let comment = number(&tail, at + 20, 2);
        tail[at..].starts_with(b"PK\x05\x06") && comment == Some((tail.len() - at - END) as u64)
    });
    let end = end.ok_or_else(damaged)?;
    let mut records = end;
    let mut said = [number(&tail, end + 10, 2), number(&tail, end + 12, 4)];
    let saturated = said == [Some(0xffff), said[1]]
        || said[1] == Some(0xffff_ffff)
        || number(&tail, end + 16, 4) == Some(0xffff_ffff);
    let locator = end.checked_sub(LOCATOR).filter(|&at| tail[at..].starts_with(b"PK\x06\x07"));
    let large = locator.filter(|_| saturated);
    if let Some(locator) = large {
        // The record that it points to lies before it, in archives without a head of their own.
        records = locator.checked_sub(END_64).ok_or_else(damaged)?;
        if !tail[records..].starts_with(END_64_SIGNATURE) {
            return Err(damaged());
        }
        said = [number(&tail, records + 32, 8), number(&tail, records + 40, 8)];
    }
    let [Some(files), Some(bytes)] = said else { return Err(damaged()) };
    if files > MOST_FILES {
        return Err(too_many(files));
    }
    if bytes > MOST_DIRECTORY {
        let message =
            format!("the archive's list of files has {bytes} bytes; allowed are {MOST_DIRECTORY}");
        return Err(Failure::new(FailureKind::Invalid, message));
    }
    let begins = (tail_from + records as u64).checked_sub(bytes).ok_or_else(damaged)?;
    // Another record of the large kind could say of more files than are there.
    let all = part(file, begins, length)?;
    let others = all.windows(4).filter(|four| *four == END_64_SIGNATURE).count();
    if others != usize::from(large.is_some()) { Err(damaged()) } else { Ok(begins) }
}

fn part(file: &mut (impl Read + Seek), from: u64, to: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(from));
    let read = read.and_then(|_| file.take(to - from).read_to_end(&mut bytes));
    read.map_err(|_| damaged())?;
    Ok(bytes)
}

/// The number of `width` bytes at `at`.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + width)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn damaged() -> Failure {
    Failure::new(FailureKind::Invalid, "not a ZIP archive, or a damaged one")
}

fn too_many(files: u64) -> Failure {
    let message = format!("the archive has {files} files; allowed are {MOST_FILES}");
    Failure::new(FailureKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn archive(comment: &str) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for name in ["frame_0001.png", "frame_0002.png"] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(b"a picture").unwrap();
        }
        let _ = zip.set_comment(comment);
        zip.finish().unwrap().into_inner()
    }

    /// The records of an archive whose list has so many files and bytes, or says so.
    fn end_64(files: u64, bytes: u64, at: u64) -> Vec<u8> {
        let mut end = END_64_SIGNATURE.to_vec();
        end.extend(44u64.to_le_bytes());
        end.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        [files, files, bytes, at - bytes].iter().for_each(|n| end.extend(n.to_le_bytes()));
        end.extend(b"PK\x06\x07\0\0\0\0");
        end.extend(at.to_le_bytes());
        end.extend(1u32.to_le_bytes());
        end.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
        end
    }

    fn opened(bytes: &[u8]) -> Result<Archive, Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        open(file.path())
    }

    #[test]
    fn whole_archives_are_opened_and_read() {
        for bytes in [
            archive(""),
            archive("PK\x05\x06 is how it ends"),
            [b"a head".to_vec(), archive("x")].concat(),
        ] {
            let mut archive = opened(&bytes).unwrap();
            assert_eq!(archive.len(), 2);
            let mut text = String::new();
            archive.by_index(1).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "a picture");
        }
        let bytes = archive("");
        for broken in
            [&b""[..], b"PK", b"PK\x05\x06", &bytes[..bytes.len() - 1], &bytes[bytes.len() - END..]]
        {
            assert!(opened(broken).is_err());
        }
    }

    #[test]
    fn an_archive_that_is_nothing_but_a_list_is_refused_before_the_list_is_read() {
        /// Counts what is read.
        struct Counted<R>(R, u64);
        impl<R: Read> Read for Counted<R> {
            fn read(&mut self, bytes: &mut [u8]) -> IoResult<usize> {
                let read = self.0.read(bytes)?;
                self.1 += read as u64;
                Ok(read)
            }
        }
        impl<R: Seek> Seek for Counted<R> {
            fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
                self.0.seek(to)
            }
        }
        // Four gigabytes, of which the disk holds nothing.
        let length = 4u64 << 30;
        for (files, bytes, word) in
            [(length / 46, length, "files"), (10, length, "bytes"), (MOST_FILES + 1, 46, "files")]
        {
            let mut file = tempfile::tempfile().unwrap();
            file.set_len(length).unwrap();
            file.seek(SeekFrom::End(0)).unwrap();
            file.write_all(&end_64(files, bytes, length)).unwrap();
            let mut counted = Counted(file, 0);
            let failure = directory(&mut counted).unwrap_err();
            assert!(
                failure.message.contains(word) && failure.message.contains("allowed are"),
                "{failure}"
            );
            assert!(counted.1 < 100_000, "{} bytes were read", counted.1);
        }
    }

    #[test]
    fn no_record_but_the_last_is_believed() {
        // A list that is broken, so that a reader looks for another record: one that lies before the list, and one
        // within it.
        let fake = end_64(1 << 40, 46, 1 << 30);
        let broken = vec![b'x'; 46];
        let end = |bytes: usize, at: usize| {
            let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
            end.extend(u32::try_from(bytes).unwrap().to_le_bytes());
            end.extend(u32::try_from(at).unwrap().to_le_bytes());
            end.extend([0, 0]);
            end
        };
        let before = [&fake[..], &broken, &end(46, fake.len())].concat();
        assert_eq!(opened(&before).unwrap_err().kind, FailureKind::Invalid);
        let whole = archive("");
        let other = [&whole[..], &broken, &end(46, whole.len())].concat();
        assert!(opened(&other).is_err(), "a whole archive before the last record is not this one");
        let within = [&broken[..], &fake, &end(46 + fake.len(), 0)].concat();
        assert_eq!(opened(&within).unwrap_err().kind, FailureKind::Invalid);
    }

    #[test]
    fn the_large_record_counts_where_the_small_one_cannot() {
        let small = archive("");
        let end = small.len() - END;
        let list = number(&small, end + 12, 4).unwrap();
        let large = [&small[..end], &end_64(2, list, end as u64)].concat();
        assert_eq!(opened(&large).unwrap().len(), 2);
        let lies = [&small[..end], &end_64(MOST_FILES + 1, list, end as u64)].concat();
        assert!(opened(&lies).unwrap_err().message.contains("100001 files"));
    }
}
