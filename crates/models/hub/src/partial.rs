//! A file on its way: written under a temporary name, digested, compared, renamed.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// What a hub announces of a file's bytes, in lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Digest {
    /// Of large files: SHA-256 of the bytes.
    Sha256(String),
    /// Of small files: git's blob id, SHA-1 of a header with the size and the bytes.
    Git(String),
}

impl Digest {
    /// From an `ETag`, with or without quotes. `None` for anything else: it ends up in a file name.
    pub(crate) fn parse(etag: &str) -> Option<Self> {
        let text = etag.trim().trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        let hexadecimal = text.bytes().all(|b| b.is_ascii_hexdigit());
        match text.len() {
            64 if hexadecimal => Some(Self::Sha256(text)),
            40 if hexadecimal => Some(Self::Git(text)),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Sha256(text) | Self::Git(text) => text,
        }
    }

    fn hasher(&self, size: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Self::Git(_) => Hasher::Git(Sha1::new_with_prefix(format!("blob {size}\0"))),
        }
    }
}

#[derive(Debug)]
enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Git(hash) => hash.update(bytes),
        }
    }

    fn text(self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
        match self {
            Self::Sha256(hash) => hex(&hash.finalize()),
            Self::Git(hash) => hex(&hash.finalize()),
        }
    }
}

/// The digest, of the kind of `like`, of the file at `path`.
pub(crate) fn digest(path: &Path, like: &Digest) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = like.hasher(file.metadata()?.len());
    absorb(&mut file, &mut hasher)?;
    Ok(hasher.text())
}

fn absorb(file: &mut File, hasher: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(total),
            count => {
                hasher.update(&buffer[..count]);
                total += count as u64;
            }
        }
    }
}

/// The temporary name of `path`: another version of the file has another one.
pub(crate) fn part(path: &Path, digest: &Digest) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", digest.text()));
    path.with_file_name(name)
}

/// The bytes that have come so far.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    digest: Digest,
    pub(crate) written: u64,
    size: u64,
}

/// How a whole file ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has its name.
    Kept,
    /// It has gone; this was its digest.
    Discarded(String),
    /// It has gone: it was what was announced, and not what it must be. This was its SHA-256.
    Unlike(String),
}

impl Partial {
    /// Continues what an earlier transfer left of the file at `target`.
    pub(crate) fn open(target: &Path, digest: &Digest, size: u64) -> io::Result<Self> {
        let path = part(target, digest);
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut hasher = digest.hasher(size);
        let mut written = absorb(&mut file, &mut hasher)?;
        if written > size {
            file.set_len(0)?;
            file.rewind()?;
            (hasher, written) = (digest.hasher(size), 0);
        }
        Ok(Self { path, file, hasher, digest: digest.clone(), written, size })
    }

    /// Starts over.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        (self.hasher, self.written) = (self.digest.hasher(self.size), 0);
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn whole(&self) -> bool {
        self.written == self.size
    }

    /// Gives the whole file its name, or removes it if it is not what was announced, or has not the SHA-256
    /// that it must have.
    pub(crate) fn finish(self, target: &Path, sha256: Option<&str>) -> io::Result<Outcome> {
        let found = self.hasher.text();
        if found != self.digest.text() {
            fs::remove_file(&self.path)?;
            return Ok(Outcome::Discarded(found));
        }
        if let Some(sha256) = sha256 {
            let own = match &self.digest {
                Digest::Sha256(_) => found,
                Digest::Git(_) => digest(&self.path, &Digest::Sha256(String::new()))?,
            };
            if own != sha256 {
                fs::remove_file(&self.path)?;
                return Ok(Outcome::Unlike(own));
            }
        }
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        // The name is on disk when its folder is.
        if let Some(folder) = target.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(Outcome::Kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // `git hash-object` and `sha256sum` of "hello\n".
    const GIT: &str = "ce013625030ba8dba906f756967f9e9ca394464a";
    const SHA256: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

    #[test]
    fn only_digests_are_digests() {
        assert_eq!(Digest::parse(&format!("\"{SHA256}\"")), Some(Digest::Sha256(SHA256.into())));
        assert_eq!(Digest::parse(&format!("W/\"{GIT}\"")), Some(Digest::Git(GIT.into())));
        let traversal = format!("../../{}", &SHA256[6..]);
        for bad in ["", "\"\"", "../../etc/passwd", &traversal, &GIT[1..], "d41d8cd98f00b204-3"] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_file_is_continued_and_named_when_its_digest_agrees() {
        for digest in [Digest::Git(GIT.into()), Digest::Sha256(SHA256.into())] {
            let dir = tempfile::tempdir().unwrap();
            let target = dir.path().join("file");
            let mut partial = Partial::open(&target, &digest, 6).unwrap();
            partial.write(b"hel").unwrap();
            drop(partial);
            let mut partial = Partial::open(&target, &digest, 6).unwrap();
            assert_eq!((partial.written, partial.whole()), (3, false));
            partial.write(b"lo\n").unwrap();
            assert!(partial.whole() && !target.exists());
            assert_eq!(partial.finish(&target, None).unwrap(), Outcome::Kept);
            assert_eq!(fs::read(&target).unwrap(), b"hello\n");
            assert_eq!(super::digest(&target, &digest).unwrap(), digest.text());
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_damaged_file_never_gets_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let mut partial = Partial::open(&target, &Digest::Sha256(SHA256.into()), 6).unwrap();
        partial.write(b"hellO\n").unwrap();
        assert!(matches!(partial.finish(&target, None).unwrap(), Outcome::Discarded(_)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_longer_than_the_file_is_not_continued() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let digest = Digest::Git(GIT.into());
        fs::write(part(&target, &digest), b"hello\nhello").unwrap();
        let mut partial = Partial::open(&target, &digest, 6).unwrap();
        assert_eq!(partial.written, 0);
        partial.write(b"xyz").unwrap();
        partial.reset().unwrap();
        partial.write(b"hello\n").unwrap();
        assert_eq!(partial.finish(&target, None).unwrap(), Outcome::Kept);
        assert_eq!(fs::read(&target).unwrap(), b"hello\n");
    }
}
