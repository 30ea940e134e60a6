//! Deliberate bugs that are another use of a port, or another setting: the loops run as they are.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{Segment, Uri};
use parallax_ports::{
    Custody, InferenceBackend, Invocation, Invoked, Kind, Message, Queue, Receipt, Result,
};
use parallax_worker::{Config, Mutant, Role, Roles};
use tokio_util::sync::CancellationToken;

/// The settings of a process with a bug.
pub fn config(config: Config) -> Config {
    match config.mutant {
        Some(Mutant::WaitOutUnanswered) => Config { unanswered: config.deadline, ..config },
        _ => config,
    }
}

/// The loops of a process with a bug.
pub fn roles(bug: Option<Mutant>) -> Roles {
    let left_out = match bug {
        Some(Mutant::NoReconcile) => Some(Role::Reconcile),
        _ => None,
    };
    Role::ALL.into_iter().filter(|role| Some(*role) != left_out).collect()
}

/// The queue of segments of a process with a bug.
pub fn segments(bug: Option<Mutant>, queue: Arc<dyn Queue>) -> Arc<dyn Queue> {
    match bug {
        Some(Mutant::DeleteFirst) => Arc::new(DeletesFirst(queue)),
        _ => queue,
    }
}

/// The dead letters of a process with a bug.
pub fn dead_letters(bug: Option<Mutant>, queue: Arc<dyn Queue>) -> Arc<dyn Queue> {
    match bug {
        Some(Mutant::DropPoison) => Arc::new(KeepsNothing),
        _ => queue,
    }
}

/// The backend of a process with a bug.
pub fn backend(
    bug: Option<Mutant>,
    backend: Arc<dyn InferenceBackend>,
) -> Arc<dyn InferenceBackend> {
    match bug {
        Some(
            bug @ (Mutant::RepeatAmbiguousInvoke | Mutant::ReuseAttempt | Mutant::AskBeforeRequest),
        ) => Arc::new(MisusedBackend { bug, backend }),
        _ => backend,
    }
}

/// [`Mutant::DeleteFirst`].
#[derive(Debug)]
struct DeletesFirst(Arc<dyn Queue>);

#[async_trait]
impl Queue for DeletesFirst {
    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>> {
        let messages = self.0.receive(max, wait, visibility).await?;
        for message in &messages {
            self.0.delete(&message.receipt).await?;
        }
        Ok(messages)
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        self.0.delete(receipt).await
    }

    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        self.0.change_visibility(receipt, visibility).await
    }

    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
        self.0.send(body, attributes).await
    }
}

/// [`Mutant::DropPoison`]: dead letters that nobody keeps.
#[derive(Debug)]
struct KeepsNothing;

#[async_trait]
impl Queue for KeepsNothing {
    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Message>> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: &Receipt) -> Result<()> {
        Ok(())
    }

    async fn change_visibility(&self, _: &Receipt, _: Duration) -> Result<()> {
        Ok(())
    }

    async fn send(&self, _: &str, _: &[(&str, &str)]) -> Result<()> {
        Ok(())
    }
}

/// A backend that is asked as it should not be.
#[derive(Debug)]
struct MisusedBackend {
    bug: Mutant,
    backend: Arc<dyn InferenceBackend>,
}

impl MisusedBackend {
    fn attempt(&self, invocation: &Invocation) -> Invocation {
        let attempt = if self.bug == Mutant::ReuseAttempt { 1 } else { invocation.attempt };
        Invocation { attempt, ..invocation.clone() }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl InferenceBackend for MisusedBackend {
    fn custody(&self) -> Custody {
        self.backend.custody()
    }

    fn attempt_name(&self, segment: &Segment, attempt: u32) -> Option<String> {
        self.backend.attempt_name(segment, attempt)
    }

    fn request_at(&self, segment: &Segment) -> Option<Uri> {
        self.backend.request_at(segment)
    }

    async fn prepare(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<()> {
        match self.bug {
            Mutant::AskBeforeRequest => Ok(()),
            _ => self.backend.prepare(&self.attempt(invocation), cancel).await,
        }
    }

    async fn invoke(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<Invoked> {
        let answer = self.backend.invoke(&self.attempt(invocation), cancel).await;
        if self.bug == Mutant::AskBeforeRequest {
            let _ = self.backend.prepare(invocation, cancel).await;
        }
        let ambiguous = matches!(&answer, Err(error) if error.kind() == Kind::Timeout);
        let again = self.bug == Mutant::RepeatAmbiguousInvoke;
        if ambiguous && again && self.custody() == Custody::Backend {
            return self.backend.invoke(invocation, cancel).await;
        }
        answer
    }
}
