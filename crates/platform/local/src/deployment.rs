//! Everything that the pipeline needs on one machine, opened together.

use std::sync::Arc;

use parallax_job::Buckets;
use parallax_ports::{Clock, Queue, Result};

use crate::{Database, LocalObjects, SqliteLedger, SqliteQueue, StateDir, Transfer};

/// The embedded counterpart of a cloud deployment: two buckets, five queues and the ledger in one
/// state folder. Writing a source or a segment raises its event, as bucket notifications do.
#[derive(Debug)]
pub struct Deployment {
    /// Jobs, segments and permits.
    pub ledger: Arc<SqliteLedger>,
    /// Both buckets.
    pub objects: Arc<LocalObjects>,
    /// Their names and addresses.
    pub buckets: Buckets,
    /// Events of `input/`.
    pub chunking: Arc<SqliteQueue>,
    /// Events of `segments/`.
    pub segments: Arc<SqliteQueue>,
    /// Events of the output bucket.
    pub output_events: Arc<SqliteQueue>,
    /// Reassembly messages.
    pub reassembly: Arc<SqliteQueue>,
    /// Messages that could not be handled.
    pub dead_letters: Arc<SqliteQueue>,
    /// The time that all of them go by.
    pub clock: Arc<dyn Clock>,
}

impl Deployment {
    /// Opens the state folder's database and buckets, making what is missing.
    ///
    /// # Errors
    /// As the filesystem and SQLite say; `Rejected` for a damaged or newer database.
    pub async fn open(
        state: &StateDir,
        input: &str,
        output: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let db = Database::open(state.database()).await?;
        let queue = |name: &str| Arc::new(SqliteQueue::new(db.clone(), name, clock.clone()));
        let names = ["chunking", "segments", "output-events", "reassembly", "dead-letters"];
        let [chunking, segments, output_events, reassembly, dead_letters] = names.map(queue);
        let routes: Vec<(String, Arc<dyn Queue>)> = vec![
            (format!("{input}/input/"), chunking.clone()),
            (format!("{input}/segments/"), segments.clone()),
            (format!("{output}/jobs/"), output_events.clone()),
        ];
        let objects = LocalObjects::open(state.objects(), clock.clone(), routes)?
            .with_transfer(Transfer::Link);
        let buckets = Buckets { input: objects.bucket(input)?, output: objects.bucket(output)? };
        Ok(Self {
            ledger: Arc::new(SqliteLedger::new(db)),
            objects: Arc::new(objects),
            buckets,
            chunking,
            segments,
            output_events,
            reassembly,
            dead_letters,
            clock,
        })
    }

    /// Repairs at once what a dead predecessor left, instead of waiting for leases to end.
    ///
    /// # Errors
    /// `Rejected` when `sole` is not held exclusively: another process may be at work.
    pub async fn recover(&self, sole: &StateDir) -> Result<()> {
        self.ledger.recover_sole_owner(sole, self.clock.now()).await?;
        self.objects.sweep_partial(std::time::Duration::ZERO).await?;
        for queue in [&self.chunking, &self.segments, &self.output_events, &self.reassembly] {
            queue.release_all().await?;
        }
        Ok(())
    }
}
