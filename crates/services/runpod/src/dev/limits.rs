//! How much is held, and for how long.

use std::time::Duration;

/// Bounds of the development API. Sizes are in bytes of JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Jobs that run at once; 0 counts as 1. Defaults to 1.
    pub concurrency: usize,
    /// Jobs that wait; further ones are refused with 429. Defaults to 64.
    pub queue: usize,
    /// Ended jobs that are kept. Defaults to 1000.
    pub kept: usize,
    /// Inputs of waiting and running jobs, and outputs, all together. Ended jobs make room; if
    /// that is not enough a job is refused with 429. Defaults to 256 MiB.
    pub memory: usize,
    /// Longest request to `run`. Defaults to the platform's 10 MB.
    pub run_body: usize,
    /// Longest request to `runsync`. Defaults to the platform's 20 MB.
    pub runsync_body: usize,
    /// Longest output of one job; beyond it the job fails. Defaults to 20 MB.
    pub output: usize,
    /// Requests whose body is being read at once. Defaults to 16.
    pub uploads: usize,
    /// Longest time that a request's body may take. Defaults to 30 s.
    pub upload: Duration,
    /// How long results of `run` are kept. Defaults to the platform's 30 min.
    pub keep_run: Duration,
    /// How long results of `runsync` are kept. Defaults to the platform's 1 min.
    pub keep_runsync: Duration,
    /// Longest run of a job that does not ask for another. Defaults to the platform's 600 s.
    pub execution: Duration,
    /// The most that a job may ask for by `policy.executionTimeout`. Defaults to 24 h.
    pub longest_execution: Duration,
    /// How long `runsync` waits before it answers that the job is not done. Defaults to 90 s.
    pub runsync_wait: Duration,
    /// How long a cancelled job may take to notice before it is dropped. Defaults to 10 s.
    pub stop_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 1,
            queue: 64,
            kept: 1000,
            memory: 256 << 20,
            run_body: 10_000_000,
            runsync_body: 20_000_000,
            output: 20_000_000,
            uploads: 16,
            upload: Duration::from_secs(30),
            keep_run: Duration::from_secs(30 * 60),
            keep_runsync: Duration::from_secs(60),
            execution: Duration::from_secs(600),
            longest_execution: Duration::from_secs(24 * 3600),
            runsync_wait: Duration::from_secs(90),
            stop_grace: Duration::from_secs(10),
        }
    }
}
