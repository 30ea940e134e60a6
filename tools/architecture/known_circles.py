"""Imports that close a circle and are still to go: shorten this list, never lengthen it."""

# (importing file, file of the name, why it stands)
KNOWN = [
    ("bin/video-worker/src/platform/aws.rs", "bin/video-worker/src/platform/mod.rs", "a platform becomes one value"),
    ("bin/video-worker/src/platform/local.rs", "bin/video-worker/src/platform/mod.rs", "a platform becomes one value"),
    ("crates/core/worker/src/outcome.rs", "crates/core/worker/src/inbox.rs", "the worker is taken apart into its five parts"),
    ("crates/core/worker/src/outcome.rs", "crates/core/worker/src/mutant.rs", "the worker is taken apart into its five parts"),
    ("crates/core/worker/src/output_events.rs", "crates/core/worker/src/supervise.rs", "the worker is taken apart into its five parts"),
    ("crates/core/worker/src/pipeline.rs", "crates/core/worker/src/config.rs", "the worker is taken apart into its five parts"),
    ("crates/core/worker/src/pipeline.rs", "crates/core/worker/src/inbox.rs", "the worker is taken apart into its five parts"),
    ("crates/core/worker/src/pipeline.rs", "crates/core/worker/src/retry.rs", "the worker is taken apart into its five parts"),
    ("crates/core/worker/src/pipeline.rs", "crates/core/worker/src/trigger.rs", "the worker is taken apart into its five parts"),
    ("crates/core/worker/src/reassembly.rs", "crates/core/worker/src/supervise.rs", "the worker is taken apart into its five parts"),
    ("crates/core/worker/src/reconcile.rs", "crates/core/worker/src/supervise.rs", "the worker is taken apart into its five parts"),
    ("crates/core/worker/src/redrive/letters.rs", "crates/core/worker/src/redrive/mod.rs", "the worker is taken apart into its five parts"),
    ("crates/core/worker/src/supervise.rs", "crates/core/worker/src/chunking.rs", "the worker is taken apart into its five parts"),
    ("crates/core/worker/src/supervise.rs", "crates/core/worker/src/segments.rs", "the worker is taken apart into its five parts"),
    ("crates/platform/aws/src/ledger/decide.rs", "crates/platform/aws/src/ledger/mod.rs", "the ledger is rewritten"),
    ("crates/platform/aws/src/ledger/decide.rs", "crates/platform/aws/src/ledger/read.rs", "the ledger is rewritten"),
    ("crates/platform/aws/src/ledger/decide.rs", "crates/platform/aws/src/ledger/write.rs", "the ledger is rewritten"),
    ("crates/platform/aws/src/ledger/read.rs", "crates/platform/aws/src/ledger/mod.rs", "the ledger is rewritten"),
    ("crates/platform/aws/src/ledger/write.rs", "crates/platform/aws/src/ledger/mod.rs", "the ledger is rewritten"),
]
