//! What the ledger is made of: a client, its tables, and what it remembers of them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use parallax_job::JobId;
use parallax_ports::ledger::SegmentRow;
use parallax_ports::{Ids, Result};

use super::guess::Beliefs;
use super::keys;
use crate::error::translate;

/// Cuts whose item is known to be written, per process.
const CUTS_REMEMBERED: usize = 10_000;

/// Names of the four tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Jobs, with the index `status-created_at`.
    pub jobs: String,
    /// Segment completions; empty where another part alone writes and reads them.
    pub completions: String,
    /// Reassembly triggers.
    pub triggers: String,
    /// Inference invocations.
    pub invocations: String,
}

/// The tables, and the client that reaches them.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) client: Client,
    pub(super) tables: Tables,
    /// The name of the permits' pool.
    pub(super) pool: String,
    pub(super) ids: Arc<Ids>,
}

/// The ledger of one pool of permits.
#[derive(Debug, Clone)]
pub struct DynamoLedger {
    pub(super) store: Store,
    cuts: Arc<Mutex<HashSet<(JobId, String)>>>,
    pub(super) beliefs: Beliefs,
    pub(super) completes: bool,
}

impl DynamoLedger {
    /// The ledger in `tables`, with the permits of `pool`: the name of what they limit, such as an
    /// endpoint.
    pub fn new(client: Client, tables: Tables, pool: impl Into<String>) -> Self {
        let ids = Arc::new(Ids::random());
        Self {
            store: Store { client, tables, pool: pool.into(), ids },
            cuts: Arc::default(),
            beliefs: Beliefs::default(),
            completes: true,
        }
    }

    /// Leaves completions to a deployed part that writes them from its own queue, and announces
    /// no failure location to it: it would fail the job over an attempt that is to be retried.
    #[must_use]
    pub fn beside_a_completion_owner(mut self) -> Self {
        self.completes = false;
        self
    }

    /// Asks for a description of one table: does it exist, and may this process see it?
    ///
    /// # Errors
    /// `NotFound`, `Unauthorized` or `Unavailable`, naming the table.
    pub async fn check_table(&self, table: &str) -> Result<()> {
        let asked = self.store.client.describe_table().table_name(table).send().await;
        asked.map(drop).map_err(|error| translate(format!("look at table {table}"), error))
    }

    pub(super) fn knows_cut(&self, row: &SegmentRow) -> bool {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).contains(&cut_of(row))
    }

    pub(super) fn remember_cut(&self, row: &SegmentRow) {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        if cuts.len() >= CUTS_REMEMBERED {
            cuts.clear();
        }
        cuts.insert(cut_of(row));
    }
}

fn cut_of(row: &SegmentRow) -> (JobId, String) {
    (row.segment.job_id.clone(), keys::cut(row.segment.total, row.segment.mode))
}
