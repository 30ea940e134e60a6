//! The download of all models: what is missing, whether it fits, file by file, until it is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::error::Error;
use crate::event::Event;
use crate::hub::{Announced, Hub};
use crate::lock::Lock;
use crate::lockfile::Lockfile;
use crate::model::Model;
use crate::partial::{self, Digest, Outcome, Partial};
use crate::pins::{self, Pin, Pins};
use crate::record::{Record, Verified};
use crate::retry::{Failure, Tries};
use crate::room;
use crate::settings::Settings;

/// Revision of a model that was never downloaded and whose revision nobody named.
const LATEST: &str = "main";
/// Pieces between the network and the disk.
const QUEUED: usize = 32;

/// Bring `models` into their folders, telling `tell` what happens.
///
/// A folder whose record is complete is left alone, without a question to the hub. Another process at
/// the same work is waited for, and its result taken.
///
/// # Errors
/// The first thing that trying again did not cure; what was verified before it stays.
///
/// # Cancel safety
/// Dropping the future stops the transfer; what came is continued by the next call.
pub async fn fetch(
    settings: &Settings,
    models: &[Model],
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Error> {
    let lockfile = Lockfile::read(&settings.lock(), settings.lock.is_some())?;
    let models: Vec<Model> =
        models.iter().map(|model| lockfile.pin(model)).collect::<Result<_, _>>()?;
    for model in &models {
        model.check().map_err(Error::Settings)?;
        if settings.mirror.is_some() && model.pins.is_none() {
            settings.endpoint()?;
            let (name, lock) = (&model.repository, settings.lock());
            let why = format!(
                "{}: nothing of {name}, and WEIGHTS_MIRROR is believed for what",
                lock.display()
            );
            return Err(Error::Settings(format!("{why} is pinned alone")));
        }
    }
    if !settings.verify && complete(settings, &models, tell)? {
        return Ok(());
    }
    if settings.offline {
        return offline(settings, &models, tell).await;
    }
    let hub = Hub::new(settings)?;
    fs::create_dir_all(&settings.dir).map_err(|source| io(&settings.dir, source))?;
    let lock = Lock::take(&settings.dir, || tell(Event::Waiting)).await?;
    // Whoever had the lock may have done the work.
    if !settings.verify && complete(settings, &models, tell)? {
        return Ok(());
    }
    let mut download = Download { settings, hub, lock, tell };
    let mut plans = Vec::new();
    for model in &models {
        plans.push(download.plan(model).await?);
    }
    let items = || plans.iter().flat_map(|plan| &plan.items);
    let total = items().map(|item| item.announced.size).sum();
    let missing = items().filter(|item| !item.there);
    let (mut files, mut bytes) = (0, 0);
    for item in missing {
        files += 1;
        bytes += item.announced.size.saturating_sub(item.left());
    }
    (download.tell)(Event::Planned { files, bytes, total });
    room::check(&settings.dir, bytes)?;
    let mut locked = lockfile.clone();
    for plan in plans {
        let repository = plan.model.repository.clone();
        let pins = download.bring(plan).await?;
        locked.models.insert(repository, pins);
    }
    if locked != lockfile {
        locked.write(&settings.lock())?;
    }
    Ok(())
}

/// Whether the records say that everything is there; tells it if so.
fn complete(
    settings: &Settings,
    models: &[Model],
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<bool, Error> {
    let mut told = Vec::new();
    for model in models {
        let folder = settings.dir.join(&model.folder);
        let record = Record::read(&folder);
        if !record.answers(model) || !record.missing(model, &folder).is_empty() {
            return Ok(false);
        }
        for (name, verified) in &record.files {
            agrees(model, name, &folder.join(name), verified)?;
        }
        told.push(Event::Complete { repository: record.repository, commit: record.commit });
    }
    told.into_iter().for_each(tell);
    Ok(true)
}

/// Compares what is known of the file at `path` with what is pinned of it.
fn agrees(model: &Model, name: &str, path: &Path, verified: &Verified) -> Result<(), Error> {
    let Some(pin) = model.pin(name) else { return Ok(()) };
    let found = pins::sha256(path, &verified.digest).map_err(|source| io(path, source))?;
    unchanged(model, name, &pin.sha256, found)
}

fn unchanged(model: &Model, name: &str, expected: &str, found: String) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    let what = format!("{}/{name}", model.repository);
    Err(Error::Changed { what, expected: expected.to_owned(), found })
}

/// As far as one gets without a hub: the records, and with `verify` the bytes.
async fn offline(
    settings: &Settings,
    models: &[Model],
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Error> {
    let mut missing = Vec::new();
    for model in models {
        let folder = settings.dir.join(&model.folder);
        let record = Record::read(&folder);
        if !record.answers(model) {
            let revision = model.revision.as_deref().unwrap_or("any revision");
            missing.push(format!("{} at {revision}", folder.display()));
            continue;
        }
        missing.extend(record.missing(model, &folder).iter().map(|p| p.display().to_string()));
        if settings.verify {
            for (name, verified) in record.files {
                let path = folder.join(&name);
                if path.is_file() && !matches(&path, &verified).await? {
                    missing.push(format!("{} (damaged)", path.display()));
                }
            }
        }
    }
    if !missing.is_empty() {
        return Err(Error::Offline { missing });
    }
    complete(settings, models, tell)?;
    Ok(())
}

/// Whether the file at `path` has the recorded bytes.
async fn matches(path: &Path, verified: &Verified) -> Result<bool, Error> {
    let (owned, verified) = (path.to_owned(), verified.clone());
    blocking(path, move || {
        let right = fs::metadata(&owned)?.len() == verified.size;
        Ok(right && partial::digest(&owned, &verified.digest)? == verified.digest.text())
    })
    .await
}

/// What is to be done for one model.
#[derive(Debug)]
struct Plan<'a> {
    model: &'a Model,
    folder: PathBuf,
    commit: String,
    items: Vec<Item>,
}

/// One file of it.
#[derive(Debug)]
struct Item {
    name: String,
    target: PathBuf,
    announced: Announced,
    there: bool,
}

impl Item {
    /// Bytes that an earlier transfer left.
    fn left(&self) -> u64 {
        let part = partial::part(&self.target, &self.announced.digest);
        fs::metadata(part).map_or(0, |meta| meta.len()).min(self.announced.size)
    }

    fn verified(&self) -> Verified {
        Verified { size: self.announced.size, digest: self.announced.digest.clone() }
    }
}

struct Download<'a> {
    settings: &'a Settings,
    hub: Hub,
    lock: Lock,
    tell: &'a mut (dyn FnMut(Event) + Send),
}

impl Download<'_> {
    /// Asks the hub for what it has of `model` and looks at what is there.
    async fn plan<'m>(&mut self, model: &'m Model) -> Result<Plan<'m>, Error> {
        let folder = self.settings.dir.join(&model.folder);
        let mut record = Record::read(&folder);
        let pinned = (record.repository == model.repository).then(|| record.commit.clone());
        let mut revision = model
            .revision
            .clone()
            .or(pinned.filter(|commit| !commit.is_empty()))
            .unwrap_or_else(|| LATEST.to_owned());
        let mut items = Vec::with_capacity(model.files.len());
        for paths in &model.files {
            let (name, announced) = self.announced(model, &revision, paths).await?;
            if let Some(pins) = &model.pins {
                unchanged(model, &name, &pins.commit, announced.commit.clone())?;
            }
            if let (Some(pin), Digest::Sha256(found)) = (model.pin(&name), &announced.digest) {
                unchanged(model, &name, &pin.sha256, found.clone())?;
            }
            // All files are those of one commit, also when the branch moves meanwhile.
            revision.clone_from(&announced.commit);
            let target = folder.join(&name);
            items.push(Item { name, target, announced, there: false });
        }
        if record.repository != model.repository || record.commit != revision {
            record.files.clear();
        }
        record.repository.clone_from(&model.repository);
        record.commit.clone_from(&revision);
        for item in &mut items {
            let verified = item.verified();
            let known = record.files.get(&item.name) == Some(&verified) && !self.settings.verify;
            let size = fs::metadata(&item.target).ok().map(|meta| meta.len());
            item.there = match size {
                Some(size) if size == verified.size => {
                    known || matches(&item.target, &verified).await?
                }
                _ => false,
            };
            if item.there {
                agrees(model, &item.name, &item.target, &verified)?;
                record.files.insert(item.name.clone(), verified);
            } else {
                record.files.remove(&item.name);
            }
        }
        let wanted = |name: &String, _: &mut Verified| items.iter().any(|item| item.name == *name);
        record.files.retain(wanted);
        fs::create_dir_all(&folder).map_err(|source| io(&folder, source))?;
        record.write(&folder)?;
        Ok(Plan { model, folder, commit: revision, items })
    }

    /// The first of `paths` that the repository has.
    async fn announced(
        &mut self,
        model: &Model,
        revision: &str,
        paths: &[String],
    ) -> Result<(String, Announced), Error> {
        // A better one that has come meanwhile is not the one that is pinned.
        let pinned = paths.iter().any(|path| model.pin(path).is_some());
        for path in paths.iter().filter(|path| !pinned || model.pin(path).is_some()) {
            let file = format!("{}/{path}", model.folder);
            let mut tries = Tries::new(self.settings, &file);
            let found = loop {
                match self.hub.announced(model, revision, path).await {
                    Ok(found) => break found,
                    Err(failure) => pause(&mut tries, failure, &file, self.tell).await?,
                }
            };
            if let Some(announced) = found {
                return Ok((path.clone(), announced));
            }
        }
        let what = format!("{}/{} at {revision}", model.repository, paths.join(" or "));
        Err(Error::NotFound { what, why: String::new() })
    }

    /// Brings what is missing; what the files are.
    async fn bring(&mut self, plan: Plan<'_>) -> Result<Pins, Error> {
        let Plan { model, folder, commit, items } = plan;
        let mut record = Record::read(&folder);
        for item in items.iter().filter(|item| !item.there) {
            self.file(model, &commit, item).await?;
            record.files.insert(item.name.clone(), item.verified());
            record.write(&folder)?;
        }
        let mut files = BTreeMap::new();
        for Item { name, target, announced, .. } in items {
            let (path, digest) = (target.clone(), announced.digest);
            let sha256 = blocking(&target, move || pins::sha256(&path, &digest)).await?;
            files.insert(name, Pin { size: Some(announced.size), sha256 });
        }
        (self.tell)(Event::Complete {
            repository: model.repository.clone(),
            commit: commit.clone(),
        });
        Ok(Pins { commit, files })
    }

    async fn file(&mut self, model: &Model, commit: &str, item: &Item) -> Result<(), Error> {
        let file = format!("{}/{}", model.folder, item.name);
        if let Some(parent) = item.target.parent() {
            fs::create_dir_all(parent).map_err(|source| io(parent, source))?;
        }
        let settings = self.settings;
        let mut tries = Tries::new(settings, &file);
        loop {
            let before = item.left();
            let Err(failure) = self.attempt(model, commit, item, &file).await else { break };
            if item.left() > before {
                tries.progressed();
            }
            pause(&mut tries, failure, &file, self.tell).await?;
        }
        (self.tell)(Event::Finished { file, size: item.announced.size });
        Ok(())
    }

    async fn attempt(
        &mut self,
        model: &Model,
        commit: &str,
        item: &Item,
        file: &str,
    ) -> Result<(), Failure> {
        let (size, target) = (item.announced.size, item.target.clone());
        let digest = item.announced.digest.clone();
        let mut partial =
            blocking(&item.target, move || Partial::open(&target, &digest, size)).await?;
        (self.tell)(Event::Started { file: file.to_owned(), from: partial.written, size });
        if !partial.whole() || size == 0 {
            let range = (partial.written, size);
            let body = self.hub.open(model, commit, &item.name, range).await?;
            if body.start != partial.written {
                partial.reset().map_err(|source| io(&item.target, source))?;
            }
            partial = self.receive(body, partial, item, file).await?;
        }
        let target = item.target.clone();
        let pin = model.pin(&item.name).map(|pin| pin.sha256.clone());
        let sha256 = pin.clone();
        let outcome =
            blocking(&item.target, move || partial.finish(&target, sha256.as_deref())).await?;
        match outcome {
            Outcome::Kept => Ok(()),
            Outcome::Unlike(found) => {
                let expected = pin.as_deref().unwrap_or_default();
                Ok(unchanged(model, &item.name, expected, found)?)
            }
            Outcome::Discarded(found) => {
                let expected = item.announced.digest.text().to_owned();
                Err(Failure::Corrupt { expected, found })
            }
        }
    }

    /// Everything that comes, onto the disk. A thread of its own writes and digests.
    async fn receive(
        &mut self,
        mut body: crate::hub::Body,
        mut partial: Partial,
        item: &Item,
        file: &str,
    ) -> Result<Partial, Failure> {
        let size = item.announced.size;
        let mut at = partial.written;
        let (pieces, mut queue) = mpsc::channel::<bytes::Bytes>(QUEUED);
        // The thread may outlive a cancelled download by a few pieces: the folder stays locked as long.
        let lock = self.lock.clone();
        let writer = spawn_blocking(move || {
            let _lock = lock;
            while let Some(piece) = queue.blocking_recv() {
                partial.write(&piece)?;
            }
            Ok::<_, std::io::Error>(partial)
        });
        let ended = loop {
            match body.chunk().await {
                Ok(Some(piece)) => {
                    at += piece.len() as u64;
                    if at > size {
                        let why = format!("more than the announced {size} bytes came");
                        break Err(Error::Answer { what: file.to_owned(), why }.into());
                    }
                    if pieces.send(piece).await.is_err() {
                        break Ok(());
                    }
                    (self.tell)(Event::Progress { file: file.to_owned(), at, size });
                }
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            }
        };
        drop(pieces);
        let written = writer.await.map_err(|error| io(&item.target, std::io::Error::other(error)));
        let partial = written?.map_err(|source| io(&item.target, source))?;
        ended?;
        if partial.whole() {
            return Ok(partial);
        }
        let why = format!("the connection ended at byte {} of {size}", partial.written);
        Err(Failure::Transient { why, after: None })
    }
}

async fn pause(
    tries: &mut Tries<'_>,
    failure: Failure,
    file: &str,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Error> {
    let (why, after) = tries.after(failure)?;
    tell(Event::Retrying { file: file.to_owned(), why, after });
    tokio::time::sleep(after).await;
    Ok(())
}

/// `work` on the disk, off the runtime's threads.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    done.map_err(|source| io(path, source))
}

fn io(path: &Path, source: std::io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}
