//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use parallax_media::show_path;

use super::args::ENDING;

/// The analysis of the file at `input`, beside it.
pub(super) fn beside(input: &Path) -> PathBuf {
    let mut name = input.file_name().unwrap_or_default().to_owned();
    name.push(ENDING);
    input.with_file_name(name)
}

/// A name in the making, on the same filesystem; with the number of this process, so that two that write the same
/// file do not write into each other's.
fn partial(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

/// Writes all of them, and gives them their names in this order once all are written.
///
/// # Errors
/// Names the file; nothing is left of those that have no name yet.
pub(super) fn all(files: &[(&Path, Vec<u8>)]) -> Result<()> {
    let write = |(path, bytes): &(&Path, Vec<u8>)| {
        let mut file = std::fs::File::create(partial(path))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    let done = files.iter().try_for_each(|file| write(file).with_context(|| told(file.0)));
    let done = done.and_then(|()| {
        files.iter().try_for_each(|(path, _)| {
            std::fs::rename(partial(path), path).with_context(|| told(path))
        })
    });
    if done.is_err() {
        files.iter().for_each(|(path, _)| drop(std::fs::remove_file(partial(path))));
    }
    done
}

fn told(path: &Path) -> String {
    format!("write {}", show_path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_appear_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("a.json"), folder.path().join("none/b.html"));
        assert!(all(&[(&good, b"x".to_vec()), (&bad, b"y".to_vec())]).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // A folder that came under the first name while work was done.
        let taken = folder.path().join("taken.html");
        std::fs::create_dir_all(taken.join("in")).unwrap();
        assert!(all(&[(&taken, b"y".to_vec()), (&good, b"x".to_vec())]).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::remove_dir_all(taken).unwrap();
        all(&[(&good, b"x".to_vec())]).unwrap();
        assert_eq!(std::fs::read(&good).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_film_and_a_picture_of_one_name_have_analyses_of_their_own() {
        assert_eq!(beside(Path::new("a/b.mp4")), Path::new("a/b.mp4.perception.json"));
        assert_ne!(beside(Path::new("b.mp4")), beside(Path::new("b.jpg")));
    }
}
