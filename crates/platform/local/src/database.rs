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
//! [`Durability::Synced`], which syncs it and everything before it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
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
pub(crate) enum Durability {
    /// Ordered after everything before it.
    Ordered,
    /// On the disk, with everything before it.
    Synced,
}

/// An open database.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    open: Arc<Mutex<Open>>,
    /// Told of every change of visibility, so that waiting receivers look again.
    pub(crate) changed: Notify,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// What the connection is set to.
    durability: Durability,
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
        let connection = opened.map_err(|error| died(&path, error))??;
        let open = Open { connection, durability: Durability::Ordered };
        Ok(Arc::new(Self { path, open: Arc::new(Mutex::new(open)), changed: Notify::new() }))
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
        self.run(move |open| task(&open.connection)).await
    }

    /// Runs `task` in a transaction that has the write lock from its start.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        task: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |open| {
            if open.durability != durability {
                let level = match durability {
                    Durability::Ordered => "NORMAL",
                    Durability::Synced => "FULL",
                };
                open.connection.pragma_update(None, "synchronous", level)?;
                open.durability = durability;
            }
            let begin = TransactionBehavior::Immediate;
            let transaction = open.connection.transaction_with_behavior(begin)?;
            let done = task(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Open) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut open = self.open.clone().lock_owned().await;
        let answer = spawn_blocking(move || task(&mut open)).await;
        let answer = answer.map_err(|error| died(&self.path, error))?;
        answer.map_err(|error| sqlite(&self.path, error))
    }
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
    // What is known of somebody's films is nobody else's: a new file is its owner's alone, and SQLite gives
    // its log the same mode. Where this fails SQLite does too, and says it better.
    let _ = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{SqliteQueue, is_disk_full};
    use parallax_ports::{Queue, SystemClock};

    #[tokio::test]
    async fn what_is_known_of_films_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::open(folder.path().join("parallax.db")).await.unwrap();
        let queue = SqliteQueue::new(db.clone(), "work", Arc::new(SystemClock));
        queue.send("a film", &[]).await.unwrap();
        let mut found = 0;
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{:?}: {mode:o}", entry.path());
            found += 1;
        }
        assert!(found > 1, "a database and its log");
    }

    #[tokio::test]
    async fn a_full_disk_refuses_what_does_not_fit_and_keeps_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::open(folder.path().join("parallax.db")).await.unwrap();
        let limit = async |pages: i64| {
            db.read(move |c| c.pragma_update(None, "max_page_count", pages)).await.unwrap();
        };
        limit(40).await;
        let queue = SqliteQueue::new(db.clone(), "work", Arc::new(SystemClock));
        let body = "x".repeat(10_000);
        let mut sent = 0;
        let error = loop {
            match queue.send(&body, &[]).await {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), Kind::Unavailable, "{}", error.chain());
        assert!(is_disk_full(&error) && error.to_string().contains("parallax.db"));
        assert!(sent > 3);
        assert_eq!(queue.depth().await.unwrap().visible, sent);
        limit(1000).await;
        queue.send(&body, &[]).await.unwrap();
        assert_eq!(queue.depth().await.unwrap().visible, sent + 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_file_may_be_opened_by_many_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = folder.path().join(format!("{round}.db"));
            let opened: tokio::task::JoinSet<_> =
                (0..6).map(|_| Database::open(path.clone())).collect();
            for database in opened.join_all().await {
                database.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_caller_that_leaves_or_panics_takes_nobody_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::open(folder.path().join("parallax.db")).await.unwrap();
        let queue = SqliteQueue::new(db.clone(), "work", Arc::new(SystemClock));
        let slow = db.read(|_| {
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        });
        let (_, left) = tokio::join!(
            tokio::time::timeout(Duration::from_millis(10), slow),
            tokio::time::timeout(Duration::from_millis(20), queue.send("left", &[])),
        );
        assert!(left.is_err());
        let died = db
            .write::<()>(Durability::Synced, |tx| {
                tx.execute("DELETE FROM messages", [])?;
                panic!("on purpose")
            })
            .await;
        assert_eq!(died.unwrap_err().kind(), Kind::Internal);
        queue.send("stayed", &[]).await.unwrap();
        let bodies: Vec<_> = queue.peek(9).await.unwrap().into_iter().map(|e| e.body).collect();
        assert_eq!(bodies, ["stayed"], "who left before its turn has done nothing");
    }
}
