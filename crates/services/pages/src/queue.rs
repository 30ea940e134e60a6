//! The queue: one conversion after the other, kept on disk, and its changes in order.
//!
//! Every change has a number. A reader who names the last one that it saw is told of what changed since and
//! of nothing twice, however long it was away: what is kept is each job's latest state, not a history.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::folder::{self, now};
use crate::job::{Job, Progress, State};
use crate::names::{id, is_id};

/// Removed jobs that late readers can still be told of; to those who come later everything is told again.
const MOST_GONE: usize = 1000;
/// Jobs that a person keeps. More are refused, so that the page stays quick.
const MOST_JOBS: usize = 2000;

/// Why the queue does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no such conversion")]
    Unknown,
    #[error("{0}")]
    State(&'static str),
    #[error("the queue could not be written")]
    Folder(#[from] io::Error),
}

/// What changed, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// A job as it is now.
    Job(Box<Job>),
    /// A job that is no more.
    Gone(String),
}

/// The changes since a number, all of them or as far as they are known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Changes {
    /// The number of the last change there is.
    pub(crate) number: u64,
    /// What the reader knows is not enough to go on from: this is everything.
    pub(crate) whole: bool,
    /// Each with its number.
    pub(crate) changes: Vec<(u64, Change)>,
}

#[derive(Debug)]
pub(crate) struct Queue {
    folder: PathBuf,
    table: Mutex<Table>,
    /// The number of the last change.
    number: watch::Sender<u64>,
    /// Tells the numbers of this process from those of another one.
    pub(crate) epoch: String,
}

#[derive(Debug, Default)]
struct Table {
    number: u64,
    jobs: BTreeMap<String, (u64, Job)>,
    gone: VecDeque<(u64, String)>,
    /// Changes up to this one may be forgotten.
    forgotten: u64,
}

impl Queue {
    /// Those of an earlier process; what it was converting waits for its turn again.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        let mut table = Table::default();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if !is_id(&stem) {
                continue;
            }
            let mut job: Job = match folder::read(&path) {
                Ok(job) => job,
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "not a job");
                    continue;
                }
            };
            if job.id != stem {
                continue;
            }
            if job.state == State::Converting {
                job.state = State::Waiting;
            }
            table.number += 1;
            table.jobs.insert(stem, (table.number, job));
        }
        let number = watch::Sender::new(table.number);
        Ok(Self { folder, table: Mutex::new(table), number, epoch: id() })
    }

    /// Appends a job.
    pub(crate) fn add(&self, mut job: Job) -> Result<Job, Error> {
        let mut table = self.table();
        if table.jobs.len() >= MOST_JOBS {
            return Err(Error::State("there are as many conversions as may be; delete some"));
        }
        job.turn = table.last_turn() + 1;
        self.put(&mut table, job.clone())?;
        Ok(job)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Job> {
        self.table().jobs.get(id).map(|(_, job)| job.clone())
    }

    /// Newest first.
    pub(crate) fn all(&self) -> Vec<Job> {
        let mut all: Vec<Job> = self.table().jobs.values().map(|(_, job)| job.clone()).collect();
        all.sort_by(|a, b| b.asked.cmp(&a.asked).then_with(|| b.turn.cmp(&a.turn)));
        all
    }

    /// The one whose turn it is, which is converting from now on.
    pub(crate) fn take(&self) -> Result<Option<Job>, Error> {
        let mut table = self.table();
        let waiting = table.jobs.values().filter(|(_, job)| job.state == State::Waiting);
        let Some(next) = waiting.min_by_key(|(_, job)| job.turn) else { return Ok(None) };
        let mut job = next.1.clone();
        job.state = State::Converting;
        job.notes.clear();
        self.put(&mut table, job.clone())?;
        Ok(Some(job))
    }

    /// How far the job is; kept in memory only.
    pub(crate) fn progressed(&self, id: &str, progress: Progress) {
        let mut table = self.table();
        let number = table.number + 1;
        let Some((last, job)) = table.jobs.get_mut(id) else { return };
        job.progress = progress;
        *last = number;
        table.number = number;
        self.number.send_replace(number);
    }

    /// Changes the job that is converting, as its work ends: also where that cannot be written, on a full disk, or
    /// nobody could delete anything to make room. A process that starts after that lets it wait for its turn again.
    pub(crate) fn ended(&self, id: &str, change: impl FnOnce(&mut Job)) -> Result<(), Error> {
        let mut table = self.table();
        let (_, job) = table.jobs.get(id).ok_or(Error::Unknown)?;
        let mut job = job.clone();
        change(&mut job);
        job.progress.frames_per_second = None;
        job.progress.eta_seconds = None;
        let written = self.write(&job);
        self.know(&mut table, job);
        Ok(written?)
    }

    /// Takes a job that waits out of the line. Of one that is converting, the runner is told elsewhere.
    pub(crate) fn stop(&self, id: &str) -> Result<State, Error> {
        let mut table = self.table();
        let (_, job) = table.jobs.get(id).ok_or(Error::Unknown)?;
        let before = job.state;
        match before {
            State::Converting => {}
            State::Waiting => {
                let job = Job { state: State::Stopped, ..job.clone() };
                self.put(&mut table, job)?;
            }
            _ => return Err(Error::State("it is neither waiting nor converting")),
        }
        Ok(before)
    }

    /// Puts a job at the end of the line that was stopped or failed.
    pub(crate) fn resume(&self, id: &str) -> Result<(), Error> {
        let mut table = self.table();
        let (_, job) = table.jobs.get(id).ok_or(Error::Unknown)?;
        if !matches!(job.state, State::Stopped | State::Failed) {
            return Err(Error::State("it was neither stopped, nor did it fail"));
        }
        let turn = table.last_turn() + 1;
        let job = Job { state: State::Waiting, turn, ..job.clone() };
        self.put(&mut table, job)
    }

    /// Forgets a job that is over, after `also` removed what belongs to it.
    pub(crate) fn remove(
        &self,
        id: &str,
        also: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut table = self.table();
        let (_, job) = table.jobs.get(id).ok_or(Error::Unknown)?;
        if job.state.is_active() {
            return Err(Error::State("stop it first"));
        }
        also()?;
        fs::remove_file(self.folder.join(format!("{id}.json")))?;
        table.jobs.remove(id);
        table.number += 1;
        let number = table.number;
        table.gone.push_back((number, id.to_owned()));
        if table.gone.len() > MOST_GONE
            && let Some((forgotten, _)) = table.gone.pop_front()
        {
            table.forgotten = forgotten;
        }
        self.number.send_replace(number);
        Ok(())
    }

    /// What changed after the change `since`.
    pub(crate) fn since(&self, since: Option<u64>) -> Changes {
        let table = self.table();
        let known = since.filter(|since| (table.forgotten..=table.number).contains(since));
        let after = known.unwrap_or(0);
        let jobs = table.jobs.values().filter(|(number, _)| *number > after);
        let mut changes: Vec<(u64, Change)> =
            jobs.map(|(number, job)| (*number, Change::Job(Box::new(job.clone())))).collect();
        if known.is_some() {
            let gone = table.gone.iter().filter(|(number, _)| *number > after);
            changes.extend(gone.map(|(number, id)| (*number, Change::Gone(id.clone()))));
        }
        changes.sort_by_key(|(number, _)| *number);
        Changes { number: table.number, whole: known.is_none(), changes }
    }

    /// Tells when there are changes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }

    fn put(&self, table: &mut Table, job: Job) -> Result<(), Error> {
        self.write(&job)?;
        self.know(table, job);
        Ok(())
    }

    fn write(&self, job: &Job) -> io::Result<()> {
        folder::write(&self.folder.join(format!("{}.json", job.id)), job)
    }

    fn know(&self, table: &mut Table, job: Job) {
        table.number += 1;
        table.jobs.insert(job.id.clone(), (table.number, job));
        self.number.send_replace(table.number);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn last_turn(&self) -> u64 {
        self.jobs.values().map(|(_, job)| job.turn).max().unwrap_or(0)
    }
}

impl Job {
    /// A new one, for [`Queue::add`].
    pub(crate) fn of(film: &crate::films::Film, look: crate::look::Look) -> Self {
        Self {
            id: id(),
            film: film.id.clone(),
            name: film.name.clone(),
            kind: film.description.kind,
            look,
            state: State::Waiting,
            progress: Progress::default(),
            notes: Vec::new(),
            result: None,
            asked: now(),
            turn: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Look;
    use crate::viewer::Kind;

    fn job(name: &str) -> Job {
        let look = Look {
            engine: "draft".to_owned(),
            disparity_percent: 2.0,
            convergence: 0.5,
            layout: parallax_stereo::Layout::FullSbs,
        };
        Job {
            id: id(),
            film: id(),
            name: name.to_owned(),
            kind: Kind::Film,
            look,
            state: State::Waiting,
            progress: Progress::default(),
            notes: Vec::new(),
            result: None,
            asked: 0,
            turn: 0,
        }
    }

    #[test]
    fn a_reader_is_told_what_changed_since_and_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::open(folder.path().to_owned()).unwrap();
        let (a, b) = (queue.add(job("a")).unwrap(), queue.add(job("b")).unwrap());
        let first = queue.since(None);
        assert!(first.whole && first.changes.len() == 2);
        let last = first.changes[1].0;
        assert_eq!(
            queue.since(Some(last)),
            Changes { number: last, whole: false, changes: vec![] }
        );
        for frames in 1..=5 {
            queue.progressed(&b.id, Progress { frames, total: 9, ..Progress::default() });
        }
        queue.stop(&a.id).unwrap();
        queue.remove(&a.id, || Ok(())).unwrap();
        let since = queue.since(Some(last));
        let told: Vec<&Change> = since.changes.iter().map(|(_, change)| change).collect();
        let [Change::Job(now), Change::Gone(gone)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((now.progress.frames, gone), (5, &a.id));
        // A number of another process is one that this one has not reached.
        assert!(queue.since(Some(1000)).whole);
    }

    #[test]
    fn whoever_was_told_everything_is_not_told_it_again_however_much_was_removed() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::open(folder.path().to_owned()).unwrap();
        for _ in 0..=MOST_GONE {
            let gone = queue.add(job("a")).unwrap();
            queue.stop(&gone.id).unwrap();
            queue.remove(&gone.id, || Ok(())).unwrap();
        }
        let told = queue.since(None);
        assert!(told.whole && told.changes.is_empty());
        assert!(!queue.since(Some(told.number)).whole);
    }

    #[test]
    fn a_job_whose_end_cannot_be_written_has_ended_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::open(folder.path().to_owned()).unwrap();
        let id = queue.add(job("a")).unwrap().id;
        queue.take().unwrap();
        // Stands in for a full disk: nothing can be put in its place.
        let file = folder.path().join(format!("{id}.json"));
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir_all(file.join("full")).unwrap();
        let ended = queue.ended(&id, |job| job.state = State::Failed);
        assert!(matches!(ended, Err(Error::Folder(_))), "{ended:?}");
        assert_eq!(queue.get(&id).unwrap().state, State::Failed);
    }

    #[test]
    fn a_new_process_goes_on_with_what_was_converting_first() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::open(folder.path().to_owned()).unwrap();
        let names = ["a", "b", "c"].map(|name| queue.add(job(name)).unwrap().id);
        assert_eq!(queue.take().unwrap().unwrap().id, names[0]);
        queue.stop(&names[1]).unwrap();
        drop(queue);
        std::fs::write(folder.path().join("0123456789abcdef.json"), "{").unwrap();
        let queue = Queue::open(folder.path().to_owned()).unwrap();
        assert_eq!(queue.all().len(), 3, "what is no job is left out");
        assert_eq!(queue.take().unwrap().unwrap().name, "a");
        assert_eq!(queue.take().unwrap().unwrap().name, "c", "b was stopped by its owner");
        assert!(queue.take().unwrap().is_none());
        queue.resume(&names[1]).unwrap();
        assert_eq!(queue.take().unwrap().unwrap().name, "b");
        assert!(matches!(queue.remove(&names[1], || Ok(())), Err(Error::State(_))));
    }
}
