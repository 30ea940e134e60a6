//! The seams of the system: queue, objects, ledger, backend, metrics.
