//! How messages name what is worked on: as its user does, never by the path of a working copy.

use std::path::{Path, PathBuf};

/// A source as its user knows it.
#[derive(Debug, Clone)]
pub struct Film {
    /// What the user calls it.
    pub name: String,
    /// A file of our own that keeps where segments begin, for messages. It may be missing.
    pub notes: PathBuf,
}

impl Film {
    /// Notes when each segment begins, in milliseconds after the film's first frame. Only messages
    /// are poorer when that fails.
    pub(crate) fn note(&self, starts_ms: &[u64]) {
        let lines: String = starts_ms.iter().map(|start| format!("{start}\n")).collect();
        if let Err(error) = std::fs::write(&self.notes, lines) {
            tracing::debug!(%error, "where segments begin is not noted");
        }
    }

    /// When segment `index` begins.
    fn start_ms(&self, index: u32) -> Option<u64> {
        let notes = std::fs::read_to_string(&self.notes).ok()?;
        notes.lines().nth(index as usize)?.parse().ok()
    }

    /// A segment's place in the film: `film.mkv, from 00:01:30 (segment 3 of 12)`.
    pub(crate) fn place(&self, index: u32, total: u32) -> String {
        let from = self.start_ms(index).map_or_else(String::new, |ms| {
            let seconds = ms / 1000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            format!(", from {hours:02}:{minutes:02}:{:02}", seconds % 60)
        });
        format!("{}{from} (segment {} of {total})", self.name, u64::from(index) + 1)
    }
}

/// `text` with what `name` makes of their names in place of paths of files in `folder`.
pub(crate) fn without_paths(text: &str, folder: &Path, name: impl Fn(&str) -> String) -> String {
    let folder = format!("{}/", parallax_media::show_path(folder));
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(&folder) {
        told.push_str(before);
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
        let file = after[..end.unwrap_or(after.len())].trim_end_matches('.');
        told.push_str(&name(file));
        rest = &after[file.len()..];
    }
    told.push_str(rest);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_working_copies_give_way_to_names() {
        let text = "split /tmp/x/in.mp4: bad; /tmp/x/out.mp4.partial-a1: no space. See /tmp/x/y.";
        let told = without_paths(text, Path::new("/tmp/x"), |file| match file {
            "in.mp4" => "film.mkv".to_owned(),
            other => format!("<{other}>"),
        });
        assert_eq!(told, "split film.mkv: bad; <out.mp4.partial-a1>: no space. See <y>.");
    }

    #[test]
    fn a_place_tells_the_time_where_it_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let film = Film { name: "film.mkv".to_owned(), notes: folder.path().join("starts") };
        assert_eq!(film.place(2, 12), "film.mkv (segment 3 of 12)");
        film.note(&[0, 45_000, 3_690_400]);
        assert_eq!(film.place(2, 12), "film.mkv, from 01:01:30 (segment 3 of 12)");
        assert_eq!(film.place(3, 12), "film.mkv (segment 4 of 12)");
    }
}
