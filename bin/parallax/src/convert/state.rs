//! The folder from which an interrupted or failed conversion continues.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use parallax_job::JobId;
use parallax_local::StateDir;
use parallax_media::show_path;

use super::manifest::{Frames, MANIFEST, MANIFEST_PARTIAL, Manifest, folder_beside, folder_name};
use super::request::Request;
use super::room::{Disks, Film, free, shown};

/// Names the file that was delivered.
const DELIVERED: &str = "delivered";
/// Says how the final file was joined.
const JOINED: &str = "joined";
const LOCK: &str = "lock";

/// A locked state folder with its job.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) dir: StateDir,
    pub(crate) job_id: JobId,
    output: PathBuf,
    delivered: bool,
}

impl State {
    /// Makes the folder, or opens the one that an interruption left.
    ///
    /// # Errors
    /// When it is in use, when there is one and neither `--resume` nor `--restart` was passed, or
    /// when it belongs to another conversion or to something else.
    pub(crate) fn open(request: &Request) -> Result<Self> {
        let frames = Frames::of(request)?;
        let path = &match &request.state_dir {
            Some(path) => path.clone(),
            None => folder_beside(&request.output, &frames, request.resume),
        };
        let was_there = path.exists();
        let found = path.join(MANIFEST).exists();
        if !found {
            only_ours(path)?;
        }
        if found && !request.resume && !request.restart {
            bail!(
                "{}: an earlier conversion was interrupted; pass --resume to continue it or \
                 --restart to discard it",
                path.display()
            );
        }
        let before = match found && request.resume {
            true => Some(Manifest::read(path)?),
            false => None,
        };
        if let Some(before) = &before {
            before.continues_as(&frames, !request.chosen.is_empty(), path)?;
        }
        if !request.ignore_room {
            let output = request.output.parent().unwrap_or(Path::new("."));
            let bytes = request.film.bytes;
            let disks = Disks { input: &request.input, state: path, output, bytes };
            disks.check(request.film.needs())?;
        }
        let output = request.output.clone();
        let dir = StateDir::open_exclusive(path)?;
        let mut state = Self { dir, job_id: frames.job_id()?, output, delivered: false };
        // Whoever is killed while removing the folder of a finished conversion leaves it without
        // a manifest.
        let removing = was_there && !found && !request.overwrite && state.output.exists();
        state.delivered = request.resume && (state.is_delivered() || removing);
        if state.delivered {
            return Ok(state);
        }
        if state.output.exists() && !request.overwrite {
            let output = state.output.display();
            if !found {
                state.remove()?;
                bail!(
                    "{output}: exists already, and there is nothing to resume; pass --overwrite to replace it"
                );
            }
            bail!("{output}: exists already; pass --overwrite to replace it");
        }
        match before {
            Some(before) => state.take_over(&before, frames)?,
            None => {
                state.clear()?;
                let begun = Manifest::new(&state.output, frames).write(path);
                if begun.is_err() && !was_there {
                    let _ = state.remove();
                }
                begun?;
            }
        }
        Ok(state)
    }

    /// Goes on from what `before` began, under this output's name.
    fn take_over(&self, before: &Manifest, frames: Frames) -> Result<()> {
        let now = Manifest::new(&self.output, frames);
        if before.output != now.output {
            // Nobody will finish it under the earlier name.
            remove_file(&unfinished(Path::new(&before.output)))?;
            now.write(self.dir.path())?;
        }
        Ok(())
    }

    /// An empty folder for temporary files.
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        let all = self.dir.path().join("scratch");
        // Left behind by a process that was killed. A child of it may still be writing there.
        let _ = fs::remove_dir_all(&all);
        let own = all.join(std::process::id().to_string());
        fs::create_dir_all(&own).with_context(|| format!("make {}", own.display()))?;
        Ok(own)
    }

    /// Where the chunker notes when segments begin.
    pub(crate) fn notes(&self) -> PathBuf {
        self.dir.path().join("starts")
    }

    /// Media steps tell of a full disk themselves; queues and ledger try again for as long as it
    /// takes, and nobody would hear of it.
    ///
    /// # Errors
    /// When a little more cannot be written.
    pub(crate) fn look_for_room(&self) -> Result<()> {
        let path = self.dir.path().join("room");
        let written = fs::write(&path, [0u8; 64 << 10]);
        let _ = fs::remove_file(&path);
        written.with_context(|| format!("{}: cannot be written to", self.dir.path().display()))
    }

    /// What the person should know of a disk that will be full before the film is made, once
    /// a `share` of it is converted to `results` bytes.
    pub(crate) fn look_ahead(&self, film: &Film, results: u64, share: f64) -> Option<String> {
        let left = film.measured(results, share).left_after(results);
        let free = free(self.dir.path()).ok().filter(|free| *free < left)?;
        let (percent, took) = ((share * 100.0).round(), shown(results));
        Some(format!(
            "{}: {percent} % of the film took {took}; by that about {} more are needed there, {} \
             are free: make room while it runs",
            show_path(self.dir.path()),
            shown(left),
            shown(free)
        ))
    }

    /// Whether an earlier process delivered the output and was stopped before it could clean up.
    pub(crate) fn already_delivered(&self) -> bool {
        self.delivered
    }

    /// The name stays with the file that was marked, whatever else gets the output's name.
    fn is_delivered(&self) -> bool {
        let mark = fs::read_to_string(self.dir.path().join(DELIVERED));
        let output = fs::metadata(&self.output).map(|meta| identity(&meta));
        matches!((mark, output), (Ok(mark), Ok(output)) if mark == output)
    }

    /// The mark of a final file that is joined as is asked for.
    pub(crate) fn mark(&self, request: &Request) -> Mark {
        Mark { file: self.dir.path().join(JOINED), choices: request.join_choices() }
    }

    /// Gives the final file, which is at `made`, its name and removes the folder.
    pub(crate) fn deliver(&self, made: &Path) -> Result<()> {
        let (output, beside) = (&self.output, unfinished(&self.output));
        let context = || format!("write {}", output.display());
        // Left behind by a process that was killed, and perhaps another name of `made`: writing
        // into it would destroy what is to be delivered.
        remove_file(&beside)?;
        if fs::hard_link(made, &beside).is_err() {
            // Another filesystem, or one without links.
            let copied = fs::copy(made, &beside)
                .and_then(|_| fs::File::open(&beside).and_then(|f| f.sync_all()));
            if let Err(error) = copied {
                let _ = fs::remove_file(&beside);
                return Err(error).with_context(context);
            }
        }
        let mark = identity(&fs::metadata(&beside).with_context(context)?);
        // Only for whoever is killed from here on.
        let _ = fs::write(self.dir.path().join(DELIVERED), mark);
        fs::rename(&beside, output).with_context(context)?;
        self.remove()
    }

    /// Removes the folder and everything in it.
    pub(crate) fn remove(&self) -> Result<()> {
        let path = self.dir.path();
        self.clear()?;
        fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))
    }

    /// Removes everything but the lock. The manifest goes last: as long as it is there, what is
    /// left can be resumed or restarted.
    fn clear(&self) -> Result<()> {
        remove_file(&unfinished(&self.output))?;
        let path = self.dir.path();
        let context = || format!("empty {}", path.display());
        // Before its log: a database without its log may be damaged, a log alone is ignored.
        remove_file(&self.dir.database())?;
        let mut last = Vec::new();
        for entry in path.read_dir().with_context(context)? {
            let entry = entry.with_context(context)?;
            if entry.file_name() == MANIFEST || entry.file_name() == DELIVERED {
                last.push(entry.path());
            } else if entry.file_type().with_context(context)?.is_dir() {
                fs::remove_dir_all(entry.path()).with_context(context)?;
            } else if entry.file_name() != LOCK {
                remove_file(&entry.path())?;
            }
        }
        last.sort();
        last.iter().try_for_each(|path| remove_file(path))
    }
}

/// Says that the final file was joined by certain choices. It is taken away before one is made
/// and set after that, so it never stands for another file.
#[derive(Debug)]
pub(crate) struct Mark {
    file: PathBuf,
    choices: String,
}

impl Mark {
    pub(crate) fn is_there(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|choices| choices == self.choices)
    }

    pub(crate) fn take_away(&self) -> Result<()> {
        remove_file(&self.file)
    }

    pub(crate) fn set(&self) -> Result<()> {
        fs::write(&self.file, &self.choices)
            .with_context(|| format!("write {}", self.file.display()))
    }
}

/// The output under a name that says that it is not finished, on the output's filesystem. Short,
/// because the output's name may be as long as names can be.
fn unfinished(output: &Path) -> PathBuf {
    output.with_file_name(format!("{}.partial", folder_name(output)))
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn identity(meta: &fs::Metadata) -> String {
    format!("{}:{}", meta.dev(), meta.ino())
}

/// Refuses a folder without a manifest that holds anything else: it will be removed in the end.
fn only_ours(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let entries =
        path.read_dir().with_context(|| format!("{}: cannot be listed", path.display()))?;
    for entry in entries {
        let name = entry?.file_name();
        if name != LOCK && name != MANIFEST_PARTIAL && name != DELIVERED {
            bail!("{}: is not the state folder of a conversion: it holds {name:?}", path.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(folder: &Path) -> State {
        let dir = StateDir::open_exclusive(folder.join("state")).unwrap();
        fs::write(dir.path().join(MANIFEST), "{}").unwrap();
        let (job_id, output) = ("job".parse().unwrap(), folder.join("out.mp4"));
        State { dir, job_id, output, delivered: false }
    }

    #[test]
    fn delivering_again_after_a_kill_delivers_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(folder.path());
        let made = state.dir.path().join("final.mp4");
        fs::write(&made, "film").unwrap();
        // Killed between the link and the rename.
        fs::hard_link(&made, unfinished(&state.output)).unwrap();
        state.deliver(&made).unwrap();
        assert_eq!(fs::read(folder.path().join("out.mp4")).unwrap(), b"film");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_was_there_before_is_not_taken_for_the_delivered_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(folder.path());
        fs::write(&state.output, "older").unwrap();
        let unfinished = unfinished(&state.output);
        fs::write(&unfinished, "new").unwrap();
        let mark = identity(&fs::metadata(&unfinished).unwrap());
        fs::write(state.dir.path().join(DELIVERED), mark).unwrap();
        assert!(!state.is_delivered(), "killed before the rename");
        fs::rename(&unfinished, &state.output).unwrap();
        assert!(state.is_delivered(), "killed after the rename");
    }

    #[test]
    fn somebody_elses_folder_is_neither_used_nor_touched() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("parallax.db"), "x").unwrap();
        let error = only_ours(folder.path()).unwrap_err().to_string();
        assert!(error.contains("parallax.db"), "{error}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        assert!(only_ours(&folder.path().join("missing")).is_ok());
    }

    #[test]
    fn a_final_file_counts_only_as_what_it_was_joined_as() {
        let folder = tempfile::tempdir().unwrap();
        let mark =
            |choices: &str| Mark { file: folder.path().join(JOINED), choices: choices.to_owned() };
        assert!(!mark("mp4").is_there());
        mark("mp4").set().unwrap();
        assert!(mark("mp4").is_there() && !mark("mkv").is_there());
        mark("mkv").take_away().unwrap();
        assert!(!mark("mp4").is_there());
    }
}
