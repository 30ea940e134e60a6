//! Records of one length in a file without a name: gone when the process is, however it ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parallax_stereo::Error;

/// What is too large for memory, in order.
#[derive(Debug)]
pub(crate) struct Spill {
    file: File,
    length: usize,
    count: usize,
}

impl Spill {
    /// An empty one for records of `length` bytes in the folder `scratch`.
    pub(crate) fn create(scratch: &Path, length: usize) -> Result<Self, Error> {
        let file = tempfile::tempfile_in(scratch)
            .map_err(|e| Error::Failed(format!("scratch file in {}: {e}", scratch.display())))?;
        Ok(Self { file, length, count: 0 })
    }

    /// Records so far.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Appends the parts as one record.
    ///
    /// # Panics
    /// When they have another length than records have.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) -> Result<(), Error> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        assert_eq!(total, self.length, "length of a record");
        let mut at = (self.count * self.length) as u64;
        for part in parts {
            self.file.write_all_at(part, at).map_err(failed)?;
            at += part.len() as u64;
        }
        self.count += 1;
        Ok(())
    }

    /// Record `index`.
    pub(crate) fn get(&self, index: usize) -> Result<Vec<u8>, Error> {
        let mut record = vec![0; self.length];
        self.file.read_exact_at(&mut record, (index * self.length) as u64).map_err(failed)?;
        Ok(record)
    }
}

fn failed(error: io::Error) -> Error {
    Error::Failed(format!("scratch file: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::create(folder.path(), 3).unwrap();
        spill.push(&[b"a", b"bc"]).unwrap();
        spill.push(&[b"def"]).unwrap();
        assert_eq!(spill.len(), 2);
        assert_eq!((spill.get(1).unwrap(), spill.get(0).unwrap()), (b"def".into(), b"abc".into()));
        assert!(spill.get(2).is_err());
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        assert!(Spill::create(&folder.path().join("missing"), 3).is_err());
    }
}
