//! The report of a start: each thing that was looked at, one line each, and which of them failed.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::join_all;
use parallax_ports::Error;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info};

/// Time for all checks together, so that a start that cannot succeed ends within ten seconds.
const TIME: Duration = Duration::from_secs(8);

type Asked = Pin<Box<dyn Future<Output = parallax_ports::Result<()>> + Send>>;

/// Questions to ask at once.
#[derive(Default)]
pub(super) struct Checks(Vec<(Subject, Asked)>);

/// What a question is about.
#[derive(Debug)]
struct Subject {
    variable: &'static str,
    value: String,
    permission: &'static str,
}

impl Subject {
    /// Logs an answer; what to say of it when it was bad or did not come.
    fn answered(self, answer: Result<parallax_ports::Result<()>, Elapsed>) -> Option<String> {
        let Self { variable, value, permission } = self;
        let why = match answer {
            Ok(Ok(())) => {
                info!(variable, value, permission, "checked");
                return None;
            }
            Ok(Err(error)) => Error::chain(&error),
            Err(_) => format!("no answer within {} s: is it reachable?", TIME.as_secs()),
        };
        error!(variable, value, permission, why, "check failed");
        Some(format!("{variable} {value:?}: {why} (needs {permission})"))
    }
}

impl Checks {
    /// Adds a question about the value of a variable, which needs a permission.
    pub(super) fn add(
        &mut self,
        variable: &'static str,
        value: &str,
        permission: &'static str,
        asked: impl Future<Output = parallax_ports::Result<()>> + Send + 'static,
    ) {
        let subject = Subject { variable, value: value.to_owned(), permission };
        self.0.push((subject, Box::pin(asked)));
    }

    /// Asks everything and logs each answer.
    ///
    /// # Errors
    /// One message that names every variable whose answer was bad or did not come.
    pub(super) async fn run(self) -> Result<()> {
        let until = Instant::now() + TIME;
        let asked = self.0.into_iter().map(|(subject, question)| async move {
            subject.answered(timeout_at(until, question).await)
        });
        let failed: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
        if failed.is_empty() {
            return Ok(());
        }
        bail!("{}", failed.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_ports::Kind;

    #[tokio::test(start_paused = true)]
    async fn every_bad_answer_is_named_and_silence_is_bounded() {
        let mut checks = Checks::default();
        checks.add("A", "a", "x:Y", async { Ok(()) });
        checks.add("B", "b", "x:Y", async { Err(Error::new(Kind::Unauthorized, "denied")) });
        checks.add("C", "c", "x:Z", std::future::pending());
        let asked = Instant::now();
        let text = checks.run().await.unwrap_err().to_string();
        assert_eq!(asked.elapsed(), TIME);
        assert_eq!(
            text,
            "B \"b\": denied (needs x:Y); \
             C \"c\": no answer within 8 s: is it reachable? (needs x:Z)"
        );
    }
}
