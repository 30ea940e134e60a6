//! The pages as a whole: what they are told, and what runs behind them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parallax_secret::Secret;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::events;
use crate::films::Films;
use crate::folder::Folder;
use crate::look::EngineChoice;
use crate::queue::Queue;
use crate::runner::Runner;
use crate::upload::Uploads;
use crate::viewer::Viewer;

/// What pages are told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where films, results and the queue are kept; made where it is missing.
    pub folder: PathBuf,
    /// The program whose command `convert` makes the results.
    pub program: PathBuf,
    /// The engines to choose from, the one that is chosen first at the beginning.
    pub engines: Vec<EngineChoice>,
    /// Bytes of the largest film that is taken.
    pub largest_upload: u64,
    /// Names by which the server may be asked for, beside addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// Films, a queue and the pages that show them.
#[derive(Debug, Clone)]
pub struct Pages {
    pub(crate) access: Arc<Access>,
    pub(crate) engines: Arc<[EngineChoice]>,
    pub(crate) films: Arc<Films>,
    pub(crate) folder: Arc<Folder>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) runner: Arc<Runner>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) viewer: Arc<dyn Viewer>,
    /// One preview is drawn at a time: it uses all processors.
    pub(crate) drawing: Arc<Semaphore>,
    pub(crate) readers: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
}

impl Pages {
    /// Opens the folder, with whatever an earlier process left in it. Streams of events end with `stop`.
    ///
    /// # Errors
    /// When the folder cannot be read and written, or another process has it.
    pub fn open(
        settings: Settings,
        viewer: Arc<dyn Viewer>,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let Settings { folder, program, engines, largest_upload, hosts } = settings;
        let folder = Arc::new(Folder::open(&folder)?);
        let films = Arc::new(Films::open(folder.films())?);
        let queue = Arc::new(Queue::open(folder.jobs())?);
        let both = (films.clone(), queue.clone());
        let runner = Runner::new(program, folder.clone(), both, viewer.clone());
        let uploads = Uploads::new(folder.clone(), films.clone(), viewer.clone(), largest_upload);
        Ok(Self {
            access: Arc::new(Access::new(hosts)),
            engines: engines.into(),
            films,
            folder,
            queue,
            runner: Arc::new(runner),
            uploads: Arc::new(uploads),
            viewer,
            drawing: Arc::new(Semaphore::new(1)),
            readers: Arc::new(Semaphore::new(events::MOST)),
            stop,
        })
    }

    /// The secret of the link that opens the pages, `/?token=…`, and of each one that takes its place when it
    /// was used.
    pub fn links(&self) -> watch::Receiver<Secret> {
        self.access.links()
    }

    /// Works the queue off until the token that the pages were opened with is cancelled.
    pub async fn run(&self) {
        self.runner.run(self.stop.clone()).await;
    }
}
