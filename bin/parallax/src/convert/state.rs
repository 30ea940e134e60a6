//! The folder from which an interrupted conversion continues.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use parallax_job::JobId;
use parallax_local::StateDir;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::request::Request;

/// Written before anything else and removed after everything else: a folder without it holds
/// nothing of value.
const MANIFEST: &str = "conversion.json";
const MANIFEST_PARTIAL: &str = "conversion.partial";
/// Names the file that was delivered.
const DELIVERED: &str = "delivered";
const LOCK: &str = "lock";

/// What must be the same for a conversion to be continued.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    input: PathBuf,
    input_bytes: u64,
    input_modified_ms: u128,
    output: PathBuf,
    layout: String,
    engine: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    disparity_percent: f32,
    convergence: f32,
    depth: Option<String>,
    rendering: String,
    #[serde(default)]
    staging: String,
    pictures: String,
    full_chroma: bool,
    seed: u64,
    codec: String,
    crf: u8,
    preset: String,
    segment_seconds: u32,
}

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
        let path = &request.state_dir;
        let manifest = Manifest::of(request)?;
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
        let output = request.output.clone();
        let dir = StateDir::open_exclusive(path)?;
        let mut state = Self { dir, job_id: manifest.job_id()?, output, delivered: false };
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
        if found && request.resume {
            manifest.check_same(path)?;
            return Ok(state);
        }
        state.clear()?;
        let (partial, file) = (path.join(MANIFEST_PARTIAL), path.join(MANIFEST));
        fs::write(&partial, serde_json::to_vec_pretty(&manifest)?)
            .and_then(|()| fs::rename(&partial, &file))
            .with_context(|| format!("write {}", file.display()))?;
        Ok(state)
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

    /// Gives the final file, which is at `made`, its name and removes the folder.
    pub(crate) fn deliver(&self, made: &Path) -> Result<()> {
        let (output, beside) = (&self.output, self.beside());
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

    /// The output under a name that says that it is not finished, on the output's filesystem.
    fn beside(&self) -> PathBuf {
        let name = self.output.file_name().unwrap_or_default().to_string_lossy();
        self.output.with_file_name(format!(".{name}.partial"))
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
        remove_file(&self.beside())?;
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

impl Manifest {
    fn of(request: &Request) -> Result<Self> {
        let meta = fs::metadata(&request.input)
            .with_context(|| format!("{}: cannot be read", request.input.display()))?;
        let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            version: 2,
            input: request.input.clone(),
            input_bytes: meta.len(),
            input_modified_ms: modified.as_millis(),
            output: request.output.clone(),
            layout: request.layout.to_string(),
            engine: request.engine.name().to_owned(),
            model: request.model.clone(),
            disparity_percent: request.geometry.disparity_percent,
            convergence: request.geometry.convergence,
            depth: request.depth.clone(),
            rendering: format!("{:?}", request.rendering),
            staging: format!("{:?}", request.staging),
            pictures: format!("{:?}", request.pictures),
            full_chroma: request.full_chroma,
            seed: request.seed,
            codec: format!("{:?}", request.encode.codec),
            crf: request.encode.crf,
            preset: request.encode.preset.clone(),
            segment_seconds: request.segment_seconds,
        })
    }

    /// # Errors
    /// Names what differs from the manifest in the folder at `path`.
    fn check_same(&self, path: &Path) -> Result<()> {
        let file = path.join(MANIFEST);
        let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        let before: Self = serde_json::from_slice(&text).with_context(|| {
            format!("{} is damaged; pass --restart to start over", file.display())
        })?;
        if before != *self {
            bail!(
                "{}: belongs to another conversion: {}; pass --restart to start over",
                path.display(),
                before.difference(self)
            );
        }
        Ok(())
    }

    fn job_id(&self) -> Result<JobId> {
        let digest = Sha256::digest(serde_json::to_vec(self)?);
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("convert-{hex}").parse()?)
    }

    /// The fields in which two manifests differ, with both values.
    fn difference(&self, now: &Self) -> String {
        let fields = |manifest: &Self| match serde_json::to_value(manifest) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (before, now) = (fields(self), fields(now));
        let differ = before.iter().filter(|(name, value)| now.get(*name) != Some(value));
        let shown = differ.map(|(name, value)| {
            let now = now.get(name).map(ToString::to_string).unwrap_or_default();
            format!("{name} was {value} and is {now}")
        });
        shown.collect::<Vec<_>>().join(", ")
    }
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
        fs::hard_link(&made, state.beside()).unwrap();
        state.deliver(&made).unwrap();
        assert_eq!(fs::read(folder.path().join("out.mp4")).unwrap(), b"film");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_was_there_before_is_not_taken_for_the_delivered_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(folder.path());
        fs::write(&state.output, "older").unwrap();
        fs::write(state.beside(), "new").unwrap();
        let mark = identity(&fs::metadata(state.beside()).unwrap());
        fs::write(state.dir.path().join(DELIVERED), mark).unwrap();
        assert!(!state.is_delivered(), "killed before the rename");
        fs::rename(state.beside(), &state.output).unwrap();
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
}
