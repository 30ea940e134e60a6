//! The one loop that receives from a queue: admit, receive, handle, settle.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parallax_ports::Message;
use tokio::task::JoinSet;
use tracing::warn;

use crate::Role;
use crate::delays::PAUSED;
use crate::inbox::Quiet;
use crate::mailbox::Mailbox;
use crate::outcome::Outcome;
use crate::pulse::Pulse;
use crate::retry::Backoff;
use crate::stop::{Stop, propagate, reap};

/// Decides what becomes of a queue's messages.
pub(crate) trait Handler: Send + Sync + 'static {
    /// What comes with a message from the loop's [`Intake`]: a permit, or nothing.
    type Pass: Send + 'static;

    /// Handles one message. What it answers is carried out on the queue.
    fn handle(&self, message: &Message, pass: Self::Pass) -> impl Future<Output = Outcome> + Send;
}

/// Decides how much is received, and when.
pub(crate) trait Intake: Send {
    /// What each message is given.
    type Pass: Send + 'static;

    /// Whether messages are handled beside each other, each in a task; otherwise one after the other,
    /// and nothing is received meanwhile.
    const CONCURRENT: bool;

    /// Nothing is received for a while: what is held for that is given back.
    fn stand_by(&mut self, round: &Round<'_>) -> impl Future<Output = ()> + Send;

    /// Waits until messages may be received.
    fn admit(
        &mut self,
        running: &mut JoinSet<()>,
        round: &Round<'_>,
    ) -> impl Future<Output = Admission> + Send;

    /// Messages were received. Answers how long the loop then rests.
    fn received(
        &mut self,
        messages: &[Message],
        round: &Round<'_>,
    ) -> impl Future<Output = Option<Duration>> + Send;

    /// What the next of the received messages is given.
    fn pass(&mut self) -> Self::Pass;

    /// Nothing is received any more, while so many messages are still handled.
    fn close(&mut self, running: usize) -> impl Future<Output = ()> + Send;
}

/// Whether to receive now.
pub(crate) enum Admission {
    /// At most so many messages.
    Receive(usize),
    /// Not in this round.
    Skip,
    /// Who was asked did not answer as he should: not for a while.
    Failed,
}

/// One round of the loop.
pub(crate) struct Round<'a> {
    pub(crate) pulse: &'a Pulse,
    pub(crate) stop: &'a Stop,
    /// How long its receive waits for messages.
    pub(crate) wait: Duration,
}

/// Receives until a soft stop, then waits for what is still handled.
pub(crate) async fn consume<H: Handler, I: Intake<Pass = H::Pass>>(
    mailbox: Mailbox,
    role: Role,
    mut intake: I,
    handler: Arc<H>,
    stop: Stop,
) {
    let context = mailbox.context.clone();
    let pulse = Pulse::register(&context.ports, &context.config, role);
    let mut tasks = JoinSet::new();
    let mut backoff = Backoff::new();
    let mut quiet = Quiet::default();
    while !stop.soft.is_cancelled() {
        pulse.tick();
        reap(&mut tasks);
        let round = Round { pulse: &pulse, stop: &stop, wait: quiet.wait(&context.config) };
        context.switchboard.refresh(&pulse, &stop).await;
        if stop.soft.is_cancelled() {
            continue;
        }
        if context.switchboard.is_paused(role) {
            intake.stand_by(&round).await;
            stop.pause(PAUSED).await;
            continue;
        }
        let most = match intake.admit(&mut tasks, &round).await {
            Admission::Receive(most) => most,
            Admission::Skip => continue,
            Admission::Failed => {
                stop.pause(backoff.next(&context)).await;
                continue;
            }
        };
        let receive = mailbox.receive(most, round.wait, &stop);
        let messages = match pulse.ask("queue", round.wait, receive).await {
            Ok(messages) => messages,
            Err(error) => {
                warn!(queue = mailbox.inbox.name, error = %error.chain(), "could not receive");
                stop.pause(backoff.next(&context)).await;
                continue;
            }
        };
        backoff.reset();
        quiet.learn(&messages);
        let rest = intake.received(&messages, &round).await;
        for message in messages {
            let work = dispose(mailbox.clone(), handler.clone(), message, intake.pass());
            match I::CONCURRENT {
                true => drop(tasks.spawn(work)),
                false => pulse.during(work).await,
            }
        }
        if let Some(rest) = rest {
            stop.pause(rest).await;
        }
    }
    pulse.finish();
    intake.close(tasks.len()).await;
    while let Some(done) = tasks.join_next().await {
        propagate(done);
    }
}

async fn dispose<H: Handler>(mailbox: Mailbox, handler: Arc<H>, message: Message, pass: H::Pass) {
    let outcome = handler.handle(&message, pass).await;
    mailbox.settle(&message, outcome).await;
}

/// One message after the other.
#[derive(Debug)]
pub(crate) struct OneByOne;

impl Intake for OneByOne {
    type Pass = ();

    const CONCURRENT: bool = false;

    async fn stand_by(&mut self, _: &Round<'_>) {}

    async fn admit(&mut self, _: &mut JoinSet<()>, _: &Round<'_>) -> Admission {
        Admission::Receive(1)
    }

    async fn received(&mut self, _: &[Message], _: &Round<'_>) -> Option<Duration> {
        None
    }

    fn pass(&mut self) {}

    async fn close(&mut self, _: usize) {}
}
