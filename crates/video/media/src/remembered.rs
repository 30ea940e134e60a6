//! What ffprobe said of files that have not changed since.
//!
//! One conversion asks the same of the same file in several places: before the first frame, when it is
//! cut and when it is joined. A list of packets costs a reading of the whole file, so it is kept.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::Limits;
use crate::media::Media;
use crate::packets::Packet;

/// Files whose headers are kept.
const FILMS: usize = 16;
/// Files whose packets are kept.
const LISTS: usize = 2;
/// Packets of the longest list that is kept: some five hours of film, 40 MB.
const MOST_PACKETS: usize = 500_000;

/// Packets of one stream, and what ffprobe complained of meanwhile.
pub(crate) type Listed = (Vec<Packet>, String);

/// Answers about files as they are now. Shared by clones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remembered {
    films: Arc<Mutex<Recent<Media>>>,
    lists: Arc<Mutex<Recent<Listed>>>,
}

impl Remembered {
    /// The headers of the file at `path`, named as it is named now.
    pub(crate) fn film(&self, path: &Path, limits: &Limits) -> Option<Media> {
        let found = recent(&self.films).get(&State::of(path, limits, None)?)?;
        Some(Media { path: path.to_owned(), ..(*found).clone() })
    }

    /// Keeps the headers that were read of a file.
    pub(crate) fn keep_film(&self, media: &Media, limits: &Limits, before: Option<State>) {
        recent(&self.films).put(before, State::of(&media.path, limits, None), FILMS, media.clone());
    }

    /// The packets of the main video of `media`.
    pub(crate) fn list(&self, media: &Media, limits: &Limits) -> Option<Arc<Listed>> {
        recent(&self.lists).get(&State::of(&media.path, limits, Some(media.video.index))?)
    }

    /// Keeps the packets that were read of the main video of `media`.
    pub(crate) fn keep_list(
        &self,
        media: &Media,
        limits: &Limits,
        before: Option<State>,
        listed: &Listed,
    ) {
        if listed.0.len() <= MOST_PACKETS {
            let now = State::of(&media.path, limits, Some(media.video.index));
            recent(&self.lists).put(before, now, LISTS, listed.clone());
        }
    }
}

fn recent<T>(shared: &Mutex<Recent<T>>) -> std::sync::MutexGuard<'_, Recent<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file's identity and state, and what else an answer depends on.
///
/// Links to one file are one file, under whatever names; but ffmpeg looks at the ending of a name
/// where the bytes leave open what they are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    file: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    ending: Option<OsString>,
    limits: Limits,
    stream: Option<u32>,
}

impl State {
    /// Of the file at `path` now; `None` when it cannot be looked at.
    pub(crate) fn of(path: &Path, limits: &Limits, stream: Option<u32>) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            file: (meta.dev(), meta.ino()),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            ending: path.extension().map(ToOwned::to_owned),
            limits: limits.clone(),
            stream,
        })
    }
}

/// The last few answers.
#[derive(Debug)]
struct Recent<T>(VecDeque<(State, Arc<T>)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Recent<T> {
    fn get(&mut self, state: &State) -> Option<Arc<T>> {
        let place = self.0.iter().position(|(known, _)| known == state)?;
        let entry = self.0.remove(place)?;
        let answer = Arc::clone(&entry.1);
        self.0.push_front(entry);
        Some(answer)
    }

    /// Only an answer about a file that was the same before and after is worth keeping.
    fn put(&mut self, before: Option<State>, now: Option<State>, most: usize, answer: T) {
        let Some(state) = now.filter(|now| before.as_ref() == Some(now)) else { return };
        self.0.retain(|(known, _)| known.file != state.file || known.stream != state.stream);
        self.0.push_front((state, Arc::new(answer)));
        self.0.truncate(most);
    }
}
