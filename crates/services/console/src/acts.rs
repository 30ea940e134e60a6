//! Acts of an operator: what would be done, and doing it. They are the commands' own; each is written down before it
//! is begun, so that nothing is done that nobody can be asked about.

use std::sync::Arc;

use parallax_ports::{Act, Error, Result};
use parallax_web::Refusal;
use parallax_worker::{Delete, Redrive, Step, cancel, delete, redrive, switch};
use tokio::sync::Mutex;
use tracing::info;

use crate::deed::{Deed, Manner};
use crate::source::Source;
use crate::view::refusal;

/// The most dead letters that one act moves: as much as the command moves without being told.
const LETTERS: usize = 1000;
/// The longest outcome that is written down, in bytes.
const LONGEST_OUTCOME: usize = 4096;
/// The longest list of steps that is shown.
const MOST_STEPS: usize = 200;

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// Each step in the words of the command.
    pub(crate) lines: Vec<String>,
    /// Why it was not finished.
    pub(crate) error: Option<String>,
    /// Its number among the acts.
    pub(crate) number: Option<u64>,
}

/// Whoever does it.
#[derive(Debug)]
pub(crate) struct Acting {
    source: Arc<Source>,
    /// One act at a time: whoever presses twice finds what the first press did.
    turn: Mutex<()>,
}

impl Acting {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source, turn: Mutex::default() }
    }

    /// What `deed` would do now; nothing is changed. To look at dead letters hides them, so it takes its turn as
    /// an act does, and shows them again whether or not anybody still asks.
    pub(crate) async fn plan(self: Arc<Self>, deed: Deed, manner: Manner) -> Done {
        let planned = tokio::spawn(async move {
            let _turn = self.turn.lock().await;
            self.perform(&deed, &manner, true).await
        });
        planned.await.unwrap_or_else(|_| Done {
            lines: Vec::new(),
            error: Some("it could not be said what would be done".to_owned()),
            number: None,
        })
    }

    /// Writes down that `who` does it, does it, and writes down what came of it.
    ///
    /// # Errors
    /// When it could not be written down: then nothing was done.
    pub(crate) async fn act(
        self: Arc<Self>,
        deed: Deed,
        manner: Manner,
        who: String,
    ) -> std::result::Result<Done, Refusal> {
        // Whoever asked may leave; what was begun goes on to its end, and to its record.
        let done = tokio::spawn(async move {
            let _turn = self.turn.lock().await;
            let what = deed.command(&manner);
            let at = self.source.deployment.clock.now();
            let act = Act { at, who, what: self.source.redacted(&what), outcome: None };
            let acts = &self.source.deployment.acts;
            let number = acts.begin(&act).await.map_err(|error| {
                let refused = refusal(&error, |why| self.source.redacted(why));
                let why =
                    format!("it could not be written down, so nothing was done: {}", refused.why);
                Refusal::new(refused.status, why)
            })?;
            info!(number, who = act.who, what = act.what, "an operator acts");
            let mut done = self.perform(&deed, &manner, false).await;
            done.number = Some(number);
            if let Err(error) = acts.end(number, &done.outcome()).await {
                let why = self.source.redacted(&error.chain());
                done.lines.push(format!("what came of it could not be written down: {why}"));
            }
            Ok(done)
        });
        match done.await {
            Ok(done) => done,
            Err(_) => {
                let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
                Err(Refusal::new(
                    status,
                    "the act did not come to its end; asking again finishes it",
                ))
            }
        }
    }

    async fn perform(&self, deed: &Deed, manner: &Manner, dry_run: bool) -> Done {
        let mut lines = Vec::new();
        let ended = {
            let mut tell = |step: Step| lines.push(step.told(dry_run));
            self.steps(deed, manner, dry_run, &mut tell).await
        };
        let error = ended.err().map(|error| self.source.redacted(&error.chain()));
        if lines.is_empty() && error.is_none() {
            lines.push("there is nothing to do".to_owned());
        }
        let more = lines.len().saturating_sub(MOST_STEPS);
        lines.truncate(MOST_STEPS);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        let lines = lines.iter().map(|line| self.source.redacted(line)).collect();
        Done { lines, error, number: None }
    }

    async fn steps(
        &self,
        deed: &Deed,
        manner: &Manner,
        dry_run: bool,
        tell: &mut (dyn FnMut(Step) + Send),
    ) -> Result<()> {
        let operator = &self.source.deployment.operator;
        let now = self.source.deployment.clock.now();
        match deed {
            Deed::RedriveJob(_) | Deed::RedriveLetters => {
                let job = match deed {
                    Deed::RedriveJob(job) => Some(job.clone()),
                    _ => None,
                };
                let asked = Redrive { job, queue: None, limit: LETTERS, dry_run };
                redrive(operator, &asked, now, tell).await
            }
            Deed::Cancel(job) => {
                let because = manner.because.as_deref();
                cancel(operator, job, because, dry_run, now).await.map(tell)
            }
            Deed::Delete(job) => {
                if let Some(why) = &self.source.settings.never_ends_attempts {
                    return Err(Error::new(parallax_ports::Kind::Rejected, why.clone()));
                }
                let asked = Delete { job: job.clone(), force: manner.force, dry_run };
                delete(operator, &asked, now, tell).await
            }
            Deed::Pause(role) => switch(operator, *role, true, dry_run).await.map(tell),
            Deed::Resume(role) => switch(operator, *role, false, dry_run).await.map(tell),
        }
    }
}

impl Done {
    /// All of it as it is written down.
    fn outcome(&self) -> String {
        let error = self.error.iter().map(|error| format!("failed: {error}"));
        let mut text = self.lines.iter().cloned().chain(error).collect::<Vec<_>>().join("\n");
        if text.len() > LONGEST_OUTCOME {
            let mut end = LONGEST_OUTCOME;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push('…');
        }
        text
    }
}
