//! The report of a start: each thing that was looked at, one line each, and which of them failed.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, bail};
use parallax_ports::Error;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info};

/// Time for all checks together, so that a start that cannot succeed ends within ten seconds.
const TIME: Duration = Duration::from_secs(8);

type Asked = Pin<Box<dyn Future<Output = parallax_ports::Result<()>> + Send>>;

/// Questions to ask at once.
#[derive(Default)]
pub(super) struct Checks(Vec<(Subject, Asked)>);

/// What a question is about.
#[derive(Debug, Clone)]
struct Subject {
    variable: &'static str,
    value: String,
    permission: &'static str,
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
        let mut asked = JoinSet::new();
        let mut failed = Vec::new();
        for (number, (subject, question)) in self.0.into_iter().enumerate() {
            asked.spawn(async move {
                let answer = timeout_at(until, question).await;
                (number, subject, answer)
            });
        }
        while let Some(done) = asked.join_next().await {
            let (number, Subject { variable, value, permission }, answer) = done?;
            let why = match answer {
                Ok(Ok(())) => {
                    info!(variable, value, permission, "checked");
                    continue;
                }
                Ok(Err(error)) => Error::chain(&error),
                Err(_) => format!("no answer within {} s: is it reachable?", TIME.as_secs()),
            };
            error!(variable, value, permission, why, "check failed");
            failed.push((number, format!("{variable} {value:?}: {why} (needs {permission})")));
        }
        failed.sort();
        if failed.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = failed.into_iter().map(|(_, text)| text).collect();
        bail!("{}", texts.join("; "))
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
