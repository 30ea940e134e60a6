//! The folder from which an interrupted conversion continues.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use parallax_job::JobId;
use parallax_local::StateDir;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pipeline::Embedded;
use super::request::Request;

const MANIFEST: &str = "conversion.json";

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
    disparity_percent: f32,
    convergence: f32,
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
}

impl State {
    /// Makes the folder, or opens the one that an interruption left.
    ///
    /// # Errors
    /// When it is in use, when there is one and neither `--resume` nor `--restart` was passed, or
    /// when it belongs to another conversion.
    pub(crate) fn open(request: &Request) -> Result<Self> {
        let path = &request.state_dir;
        let manifest = Manifest::of(request)?;
        let file = path.join(MANIFEST);
        let found = file.exists();
        if found && !request.resume && !request.restart {
            bail!(
                "{}: an earlier conversion was interrupted; pass --resume to continue it or \
                 --restart to discard it",
                path.display()
            );
        }
        let foreign = path.exists() && !found && path.read_dir()?.next().is_some();
        let mut dir = StateDir::open_exclusive(path)?;
        if foreign && !path.join("parallax.db").exists() && !only_lock(path)? {
            bail!("{}: is not a state folder of a conversion", path.display());
        }
        if found && request.restart {
            // The lock shows that nobody uses it.
            drop(dir);
            fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
            dir = StateDir::open_exclusive(path)?;
        } else if found {
            let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            let before: Manifest = serde_json::from_slice(&text).with_context(|| {
                format!("{} is damaged; pass --restart to start over", file.display())
            })?;
            if before != manifest {
                bail!(
                    "{}: belongs to another conversion: {}; pass --restart to start over",
                    path.display(),
                    before.difference(&manifest)
                );
            }
        }
        if !file.exists() {
            let partial = file.with_extension("partial");
            fs::write(&partial, serde_json::to_vec_pretty(&manifest)?)
                .and_then(|()| fs::rename(&partial, &file))
                .with_context(|| format!("write {}", file.display()))?;
        }
        Ok(Self { dir, job_id: manifest.job_id()?, output: request.output.clone() })
    }

    /// An empty folder for temporary files.
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        let path = self.dir.path().join("scratch");
        // Left behind by a process that was killed.
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("empty {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    fn delivered_mark(&self) -> PathBuf {
        self.dir.path().join("delivered")
    }

    /// Whether an earlier process delivered the output and was stopped before it could clean up.
    pub(crate) fn already_delivered(&self) -> Result<bool> {
        Ok(self.delivered_mark().exists() && self.output.exists())
    }

    /// Gives the final file its name and removes the folder.
    pub(crate) fn deliver(&self, request: &Request, embedded: &Embedded) -> Result<()> {
        let made = embedded.final_file(&self.job_id)?;
        let output = &request.output;
        let context = || format!("write {}", output.display());
        if fs::hard_link(&made, self.beside()).is_err() {
            // Another filesystem, or one without links.
            fs::copy(&made, self.beside()).with_context(context)?;
            fs::File::open(self.beside()).and_then(|f| f.sync_all()).with_context(context)?;
        }
        fs::write(self.delivered_mark(), "").with_context(context)?;
        fs::rename(self.beside(), output).with_context(context)?;
        self.remove()
    }

    /// The output under a name that says that it is not finished, on the output's filesystem.
    fn beside(&self) -> PathBuf {
        let name = self.output.file_name().unwrap_or_default().to_string_lossy();
        self.output.with_file_name(format!(".{name}.partial"))
    }

    /// Removes the folder and everything in it.
    pub(crate) fn remove(&self) -> Result<()> {
        if self.beside().exists() {
            fs::remove_file(self.beside()).ok();
        }
        fs::remove_dir_all(self.dir.path())
            .with_context(|| format!("remove {}", self.dir.path().display()))
    }
}

fn only_lock(path: &Path) -> Result<bool> {
    for entry in path.read_dir()? {
        if entry?.file_name() != "lock" {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Manifest {
    fn of(request: &Request) -> Result<Self> {
        let meta = fs::metadata(&request.input)
            .with_context(|| format!("{}: cannot be read", request.input.display()))?;
        let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            version: 1,
            input: request.input.clone(),
            input_bytes: meta.len(),
            input_modified_ms: modified.as_millis(),
            output: request.output.clone(),
            layout: request.layout.to_string(),
            engine: request.engine.name().to_owned(),
            disparity_percent: request.geometry.disparity_percent,
            convergence: request.geometry.convergence,
            seed: request.seed,
            codec: format!("{:?}", request.encode.codec),
            crf: request.encode.crf,
            preset: request.encode.preset.clone(),
            segment_seconds: request.segment_seconds,
        })
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
