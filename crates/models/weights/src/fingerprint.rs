//! Telling one set of weights from another without reading all of it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes that are looked at in each of three places of a weights file: its header, where names and
/// shapes are, its middle and its end. Enough to tell two sets of weights apart, and read at once.
const SAMPLE: u64 = 64 << 10;

/// How the files that are read end.
const READ: [&str; 3] = ["safetensors", "pth", "json"];

/// A digest of the names, sizes and samples of every file of weights or configuration below a folder:
/// whether results come of the same weights. It does not depend on where the folder lies or on times.
///
/// # Errors
/// When a folder or a file cannot be read.
pub fn fingerprint(folder: &Path) -> std::io::Result<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            // Follows links, as caches of models are made of them.
            if path.metadata()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| READ.iter().any(|read| e == *read)) {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut digest = Sha256::new();
    for path in files {
        let mut file = File::open(&path)?;
        let size = file.metadata()?.len();
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        digest.update(format!("{} {name} {size} ", name.len()));
        for start in [0, size / 2, size.saturating_sub(SAMPLE)] {
            file.seek(SeekFrom::Start(start))?;
            let mut sample = Vec::new();
            file.by_ref().take(SAMPLE).read_to_end(&mut sample)?;
            digest.update(&sample);
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_weights_have_another_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("unet")).unwrap();
        let file = folder.path().join("unet/model.safetensors");
        let write = |bytes: &[u8]| std::fs::write(&file, bytes).unwrap();
        let mut bytes = vec![7; 300_000];
        write(&bytes);
        let first = fingerprint(folder.path()).unwrap();
        assert_eq!(fingerprint(folder.path()).unwrap(), first);
        for place in [0, 150_000, 299_999] {
            bytes[place] = 8;
            write(&bytes);
            assert_ne!(fingerprint(folder.path()).unwrap(), first, "{place}");
            bytes[place] = 7;
        }
        write(&bytes[1..]);
        assert_ne!(fingerprint(folder.path()).unwrap(), first);
        write(&bytes);
        std::fs::write(folder.path().join("README.md"), "x").unwrap();
        assert_eq!(fingerprint(folder.path()).unwrap(), first, "only what is loaded counts");
        std::fs::write(folder.path().join("model.pth"), "x").unwrap();
        assert_ne!(fingerprint(folder.path()).unwrap(), first);
        assert!(fingerprint(&folder.path().join("none")).is_err());
    }
}
