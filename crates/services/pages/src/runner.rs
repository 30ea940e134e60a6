//! Works the queue off, one conversion at a time: one uses all processors.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::child::{self, Ending};
use crate::films::Films;
use crate::folder::Folder;
use crate::job::{Job, Made, State};
use crate::queue::{Error, Queue};
use crate::viewer::{Kind, Viewer};

/// After the queue could not be written.
const AGAIN: Duration = Duration::from_secs(5);

/// Runs conversions.
#[derive(Debug)]
pub(crate) struct Runner {
    /// Has the command `convert`.
    pub(crate) program: PathBuf,
    pub(crate) folder: Arc<Folder>,
    pub(crate) films: Arc<Films>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) viewer: Arc<dyn Viewer>,
    /// The job that is converting, and what stops it.
    running: Mutex<Option<(String, CancellationToken)>>,
}

impl Runner {
    pub(crate) fn new(
        program: PathBuf,
        folder: Arc<Folder>,
        (films, queue): (Arc<Films>, Arc<Queue>),
        viewer: Arc<dyn Viewer>,
    ) -> Self {
        Self { program, folder, films, queue, viewer, running: Mutex::new(None) }
    }

    /// Stops a job that waits or is converting; what is done of it is kept.
    pub(crate) fn stop(&self, id: &str) -> Result<(), Error> {
        let running = self.running();
        if self.queue.stop(id)? == State::Converting
            && let Some((_, stop)) = running.as_ref().filter(|(running, _)| running == id)
        {
            stop.cancel();
        }
        Ok(())
    }

    /// The job whose turn it is, and what stops it.
    fn next(&self, stop: &CancellationToken) -> Result<Option<(Job, CancellationToken)>, Error> {
        // Held while it is taken, so that whoever stops it finds how.
        let mut running = self.running();
        let Some(job) = self.queue.take()? else { return Ok(None) };
        let own = stop.child_token();
        *running = Some((job.id.clone(), own.clone()));
        Ok(Some((job, own)))
    }

    fn running(&self) -> MutexGuard<'_, Option<(String, CancellationToken)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Converts what waits until `stop` is cancelled. What it is at then goes on the next time.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut changed = self.queue.watch();
        while !stop.is_cancelled() {
            changed.mark_unchanged();
            match self.next(&stop) {
                Ok(Some((job, own))) => self.convert(job, &own, &stop).await,
                Ok(None) => tokio::select! {
                    () = stop.cancelled() => {}
                    _ = changed.changed() => {}
                },
                Err(error) => {
                    // Full, most likely: there is nothing to convert without a word on disk.
                    tracing::error!(error = %chain(&error), "the queue");
                    stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
                }
            }
        }
    }

    async fn convert(&self, job: Job, own: &CancellationToken, stop: &CancellationToken) {
        let ending = self.run_child(&job, own).await;
        *self.running() = None;
        let ending = ending.unwrap_or_else(|error| Ending::Failed(error.to_string()));
        let changed = match ending {
            Ending::Stopped if stop.is_cancelled() => {
                self.queue.ended(&job.id, |job| job.state = State::Waiting)
            }
            Ending::Stopped => self.queue.ended(&job.id, |job| job.state = State::Stopped),
            Ending::Failed(why) => self.queue.ended(&job.id, |job| {
                job.state = State::Failed;
                job.notes = vec![why];
            }),
            Ending::Completed { output, frames, parallax_percent, warnings } => {
                let made = self.made(&job, &output, parallax_percent).await;
                self.queue.ended(&job.id, |job| match made {
                    Ok(made) => {
                        job.state = State::Done;
                        job.progress.frames = frames;
                        job.progress.total = frames;
                        job.notes = warnings;
                        job.result = Some(made);
                    }
                    Err(why) => {
                        job.state = State::Failed;
                        job.notes = vec![why];
                    }
                })
            }
        };
        if let Err(error) = changed {
            tracing::error!(job = job.id, error = %chain(&error), "the queue");
        }
    }

    async fn run_child(&self, job: &Job, stop: &CancellationToken) -> io::Result<Ending> {
        let folder = self.folder.result(&job.id);
        let input = folder.join(&job.name);
        fs::create_dir_all(&folder)?;
        if !input.exists() {
            let film = self.films.get(&job.film);
            let film = film.ok_or_else(|| io::Error::other("the film was deleted"))?;
            link(&self.films.path(&film), &input)?;
        }
        let mut options = job.look.options();
        if job.kind == Kind::Film {
            // Goes on where there is something to go on from.
            options.push("--resume".to_owned());
        }
        let told = |progress| self.queue.progressed(&job.id, progress);
        child::convert(&self.program, &input, &options, stop, told).await
    }

    /// What was made, once it is sure to be there.
    async fn made(
        &self,
        job: &Job,
        output: &Path,
        parallax_percent: Option<(f64, f64)>,
    ) -> Result<Made, String> {
        let folder = self.folder.result(&job.id);
        let name = output.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let path = folder.join(&name);
        let bytes = fs::metadata(&path).map_err(|error| format!("{name}: {error}"))?.len();
        // The film is still among the films; its second name has served.
        let _ = fs::remove_file(folder.join(&job.name));
        let viewer = self.viewer.clone();
        let seen =
            tokio::task::spawn_blocking(move || viewer.describe(&path, &CancellationToken::new()));
        let description = seen.await.map_err(|error| error.to_string())?;
        let description = description.map_err(|error| error.to_string())?;
        Ok(Made { name, bytes, description, parallax_percent })
    }
}

/// A second name of `from`, or where the disk has no such things, a link to it.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| std::os::unix::fs::symlink(from, to))
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}
