//! One SQLite file and the connection to it.
//!
//! SQLite has one writer at a time, so one connection per process loses nothing. Callers take it in
//! the order in which they came and use it on a blocking thread; one that leaves before its turn
//! has done nothing.
//!
//! # Durability
//! The log is synced at checkpoints only (`synchronous = NORMAL`): a killed process loses nothing,
//! and a power cut loses the latest commits, in order, never the consistency. That is enough for
//! everything whose effects are in the same file or found again by looking at objects. It is not
//! enough where work was handed to another machine: such a record is written with
//! [`Sync::Full`], which syncs it and everything before it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parallax_ports::{Error, Kind, Result};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{Mutex, Notify};
use tokio::task::spawn_blocking;

use crate::error::sqlite;
use crate::schema::{self, Found};

/// How long a commit waits for other processes' commits, which take milliseconds.
const BUSY: Duration = Duration::from_secs(10);
/// Distinct statements in use stay below this.
const STATEMENTS: usize = 64;

/// How far a commit has to get before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Ordered after everything before it.
    Ordered,
    /// On the disk, with everything before it.
    Full,
}

/// An open database.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    /// Told of every change of visibility, so that waiting receivers look again.
    pub(crate) changed: Notify,
}

impl Database {
    /// Opens the file, makes it when there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// `Rejected` when the file is damaged, another program's or written by a newer version;
    /// `Unauthorized` when it cannot be opened; `Unavailable` when other processes keep it busy or
    /// the disk is full.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Arc<Self>> {
        let path = path.into();
        let of_thread = path.clone();
        let opened = spawn_blocking(move || connect(&of_thread)).await;
        let connection = Arc::new(Mutex::new(opened.map_err(|error| died(&path, error))??));
        Ok(Arc::new(Self { path, connection, changed: Notify::new() }))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `task` on the connection, outside of a transaction: for single statements that read.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |connection| task(connection)).await
    }

    /// Runs `task` in a transaction that has the write lock from its start.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        sync: Sync,
        task: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |connection| {
            if sync == Sync::Full {
                connection.pragma_update(None, "synchronous", "FULL")?;
            }
            let done = transact(connection, task);
            if sync == Sync::Full {
                connection.pragma_update(None, "synchronous", "NORMAL")?;
            }
            done
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut connection = self.connection.clone().lock_owned().await;
        let answer = spawn_blocking(move || task(&mut connection)).await;
        let answer = answer.map_err(|error| died(&self.path, error))?;
        answer.map_err(|error| sqlite(&self.path, error))
    }
}

fn transact<T>(
    connection: &mut Connection,
    task: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = task(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// The call's thread panicked, or the runtime is going down: its transaction was rolled back.
fn died(path: &Path, error: tokio::task::JoinError) -> Error {
    let text = format!("database {}: the call did not finish", path.display());
    Error::new(Kind::Internal, text).with_source(error)
}

fn connect(path: &Path) -> Result<Connection> {
    let failed = |error| sqlite(path, error);
    let refuse =
        |why: String| Error::new(Kind::Rejected, format!("database {} {why}", path.display()));
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Nothing is written before it is known whose file this is.
    match schema::inspect(&connection).map_err(failed)? {
        Found::Ours => {}
        Found::Foreign => return Err(refuse("belongs to another program".to_owned())),
        Found::Newer { version, known } => {
            return Err(refuse(format!(
                "has schema {version}, this program knows up to {known}: use the newer program"
            )));
        }
    }
    let check: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if check != "ok" {
        return Err(refuse(format!("is damaged ({check}); restore it from a copy or remove it")));
    }
    write_ahead(&connection).map_err(failed)?;
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20).map_err(failed)?;
    schema::migrate(&mut connection).map_err(failed)?;
    Ok(connection)
}

/// Turns the write-ahead log on. The switch itself does not wait for other processes that open
/// the same new file, so it is tried again.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let mut tries = 0;
    loop {
        let mode =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match mode {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && tries < 100 =>
            {
                tries += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
    }
}
