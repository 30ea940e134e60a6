//! A handler that does what its job's input says, step by step.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream;
use parallax_runpod::{Handler, Job, JobContext, JobError, Output, Reply};
use serde_json::Value;

use crate::platform::Platform;

pub(crate) struct Mock {
    pub(crate) platform: Platform,
    /// Whether it answers in parts even where a job has none.
    pub(crate) generator: bool,
}

impl std::fmt::Debug for Mock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mock")
    }
}

impl Mock {
    pub(crate) fn new(platform: &Platform) -> Arc<Self> {
        let generator = platform.scenario()["generator"] == true;
        Arc::new(Self { platform: platform.clone(), generator })
    }
}

#[async_trait]
impl Handler for Mock {
    async fn run(&self, job: Job, context: JobContext) -> Result<Reply, JobError> {
        self.platform.happened("started");
        let steps = job.input["steps"].as_array().unwrap().clone();
        if self.generator || steps.iter().any(|step| step.get("yield").is_some()) {
            let platform = self.platform.clone();
            let at = Position { platform, context, steps: steps.into_iter() };
            let parts = stream::unfold(at, next);
            return Ok(Reply::parts(parts));
        }
        for step in &steps {
            if let Some(value) = step.get("return") {
                return Ok(Output::conventional(value.clone()).into());
            }
            if step.get("return_job").is_some() {
                return Ok(Output::new(serde_json::to_value(&job).unwrap()).into());
            }
            act(&self.platform, &context, step).await?;
        }
        Ok(Output::default().into())
    }
}

/// How far a script has come.
struct Position {
    platform: Platform,
    context: JobContext,
    steps: std::vec::IntoIter<Value>,
}

async fn next(mut at: Position) -> Option<(Result<Value, JobError>, Position)> {
    while let Some(step) = at.steps.next() {
        if let Some(value) = step.get("yield") {
            return Some((Ok(value.clone()), at));
        }
        if let Err(error) = act(&at.platform, &at.context, &step).await {
            return Some((Err(error), at));
        }
    }
    None
}

async fn act(platform: &Platform, context: &JobContext, step: &Value) -> Result<(), JobError> {
    if let Some(update) = step.get("progress") {
        context.progress(update.clone());
    } else if let Some(condition) = step.get("wait") {
        platform.condition(condition).await;
    } else if let Some(message) = step.get("raise") {
        return Err(JobError::new("<class 'ValueError'>", message.as_str().unwrap()));
    } else if step.get("panic").is_some() {
        panic!("out of ideas");
    } else if step.get("forever").is_some() {
        context.cancelled().cancelled().await;
        platform.happened("cancelled");
    } else if step.get("deaf").is_some() {
        std::future::pending::<()>().await;
    } else if step.get("busy").is_some() {
        // Keeps its thread as a handler does that computes where it should not.
        let until = platform.count("ping") + 3;
        let began = std::time::Instant::now();
        while platform.count("ping") < until {
            assert!(began.elapsed().as_secs() < 30, "no heartbeat came");
            std::thread::yield_now();
        }
    }
    Ok(())
}
