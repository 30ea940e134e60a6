//! Embedded adapters: SQLite queue and ledger, filesystem objects.
