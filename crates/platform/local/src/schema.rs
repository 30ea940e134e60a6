//! The tables, and how an older file becomes a newer one.
//!
//! Rows of the ledger are stored as JSON beside the columns that are searched by: the shapes
//! belong to `parallax_ports::ledger`, and a field that is added there needs no migration.

use rusqlite::{Connection, TransactionBehavior};

/// Marks a SQLite file as ours: "PLLX".
const APPLICATION_ID: i64 = 0x504c_4c58;

/// Each entry takes the schema one version further; entries are never changed, only added.
const MIGRATIONS: [&str; 3] = [
    "
    CREATE TABLE messages (
        -- Ids are never used again, so that an old receipt cannot name a new message.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        body TEXT NOT NULL,
        attributes TEXT NOT NULL,
        sent_at INTEGER NOT NULL,
        visible_at INTEGER NOT NULL,
        receive_count INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX messages_by_visibility ON messages (queue, visible_at, id);

    CREATE TABLE holders (
        id TEXT PRIMARY KEY,
        row TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE segments (
        job_id TEXT NOT NULL,
        total INTEGER NOT NULL,
        idx INTEGER NOT NULL,
        mode TEXT NOT NULL,
        state TEXT NOT NULL,
        next_at INTEGER NOT NULL,
        row TEXT NOT NULL,
        PRIMARY KEY (job_id, total, idx, mode)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX segments_by_index ON segments (job_id, idx);
    CREATE INDEX segments_waiting ON segments (next_at) WHERE state = 'retry_wait';

    CREATE TABLE locations (
        location TEXT PRIMARY KEY,
        segment TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE completions (
        job_id TEXT NOT NULL,
        idx INTEGER NOT NULL,
        total INTEGER NOT NULL,
        row TEXT NOT NULL,
        PRIMARY KEY (job_id, idx)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE jobs (
        job_id TEXT PRIMARY KEY,
        status TEXT NOT NULL,
        row TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX jobs_by_status ON jobs (status);

    CREATE TABLE triggers (
        job_id TEXT PRIMARY KEY,
        row TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE paused_roles (
        role TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE replicas (
        id TEXT PRIMARY KEY,
        seen INTEGER NOT NULL,
        row TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE acts (
        -- Numbers are never used again: nobody's act takes the place of another.
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        row TEXT NOT NULL
    ) STRICT;
",
];

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// One of ours of this version or older, or empty.
    Ours,
    /// Written by a newer program.
    Newer { version: i64, known: i64 },
    /// Another program's database.
    Foreign,
}

pub(crate) fn inspect(db: &Connection) -> rusqlite::Result<Found> {
    // One snapshot: another process may be making the tables just now.
    let snapshot = db.unchecked_transaction()?;
    let number = |sql: &str| snapshot.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = number("PRAGMA user_version")?;
    let known = MIGRATIONS.len() as i64;
    let application = number("PRAGMA application_id")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(match application {
        APPLICATION_ID if version > known => Found::Newer { version, known },
        APPLICATION_ID => Found::Ours,
        0 if version == 0 && tables == 0 => Found::Ours,
        _ => Found::Foreign,
    })
}

/// Brings the file to this version. Safe to run in several processes at once.
pub(crate) fn migrate(db: &mut Connection) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(0).min(MIGRATIONS.len());
    for step in &MIGRATIONS[done..] {
        transaction.execute_batch(step)?;
    }
    if done < MIGRATIONS.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    }
    transaction.commit()
}
