//! The parts of the loops, put together.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::attempts::Attempts;
use crate::breaker::Breaker;
use crate::chunking::Chunking;
use crate::consumer::{OneByOne, consume};
use crate::context::Context;
use crate::evidence::Evidence;
use crate::heartbeat::Heartbeat;
use crate::inference::InferenceResults;
use crate::jobs::Jobs;
use crate::mailbox::Mailbox;
use crate::output_events::{EventIntake, OutputEvents};
use crate::permits::{PermitIntake, PermitPool};
use crate::reassembly::Reassembly;
use crate::reconcile::Reconcile;
use crate::segments::Segments;
use crate::stop::Stop;
use crate::trigger::Trigger;
use crate::verdicts::Verdicts;
use crate::{Config, ConfigError, Inbox, Ports, Role};

/// Everything that the loops of a process share.
#[derive(Debug)]
pub struct Pipeline {
    pub(crate) context: Arc<Context>,
    permits: Arc<PermitPool>,
    verdicts: Arc<Verdicts>,
    evidence: Arc<Evidence>,
    attempts: Arc<Attempts>,
    jobs: Arc<Jobs>,
    trigger: Arc<Trigger>,
    /// Whether the backend takes work.
    breaker: Arc<Breaker>,
}

impl Pipeline {
    /// # Errors
    /// When the configuration does not hold together.
    pub fn new(ports: Ports, config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        let context = Arc::new(Context::new(ports, config));
        let permits = Arc::new(PermitPool::new(context.clone()));
        let verdicts = Arc::new(Verdicts::new(context.clone(), permits.clone()));
        let evidence = Arc::new(Evidence::new(context.clone(), verdicts.clone()));
        let breaker = Arc::new(Breaker::new("the backend"));
        let attempts = Arc::new(Attempts::new(
            context.clone(),
            permits.clone(),
            verdicts.clone(),
            evidence.clone(),
            breaker.clone(),
        ));
        let jobs = Arc::new(Jobs::new(context.clone()));
        let trigger = Arc::new(Trigger::new(context.clone()));
        Ok(Self { context, permits, verdicts, evidence, attempts, jobs, trigger, breaker })
    }

    /// Runs one loop until a stop has drained it.
    pub(crate) async fn run(&self, role: Role, stop: Stop) {
        match role {
            Role::Segments => self.segments(stop).await,
            Role::OutputEvents => self.output_events(stop).await,
            Role::Chunking => self.chunking(stop).await,
            Role::Reassembly => self.reassembly(stop).await,
            Role::Reconcile => self.reconcile().run(stop).await,
        }
    }

    /// Asks for the reassembly of jobs that were completed here, until `ending`.
    pub(crate) async fn run_trigger(&self, ending: CancellationToken) {
        self.trigger.run(ending).await;
    }

    fn mailbox(&self, inbox: &Inbox) -> Mailbox {
        Mailbox { context: self.context.clone(), inbox: inbox.clone() }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat::new(self.context.clone())
    }

    async fn segments(&self, stop: Stop) {
        let inbox = &self.context.ports.segments;
        let (context, permits) = (self.context.clone(), self.permits.clone());
        let intake = PermitIntake::new(context, permits, self.breaker.clone());
        let handler = Segments {
            context: self.context.clone(),
            permits: self.permits.clone(),
            attempts: self.attempts.clone(),
            inbox: inbox.clone(),
            stop: stop.clone(),
        };
        consume(self.mailbox(inbox), Role::Segments, intake, Arc::new(handler), stop).await;
    }

    async fn output_events(&self, stop: Stop) {
        let inbox = &self.context.ports.output_events;
        let services = Arc::new(Breaker::new("the ledger or the object store"));
        let intake = EventIntake::new(self.context.clone(), services.clone());
        let (context, evidence) = (self.context.clone(), self.evidence.clone());
        let handler = OutputEvents {
            context: self.context.clone(),
            evidence: self.evidence.clone(),
            results: InferenceResults::new(context, evidence, self.verdicts.clone()),
            jobs: self.jobs.clone(),
            heartbeat: self.heartbeat(),
            services,
            inbox: inbox.clone(),
        };
        consume(self.mailbox(inbox), Role::OutputEvents, intake, Arc::new(handler), stop).await;
    }

    async fn chunking(&self, stop: Stop) {
        let Some(inbox) = &self.context.ports.chunking else { return };
        let handler = Chunking {
            context: self.context.clone(),
            jobs: self.jobs.clone(),
            trigger: self.trigger.clone(),
            heartbeat: self.heartbeat(),
            inbox: inbox.clone(),
            stop: stop.clone(),
        };
        consume(self.mailbox(inbox), Role::Chunking, OneByOne, Arc::new(handler), stop).await;
    }

    async fn reassembly(&self, stop: Stop) {
        let inbox = &self.context.ports.reassembly;
        let handler = Reassembly {
            context: self.context.clone(),
            jobs: self.jobs.clone(),
            heartbeat: self.heartbeat(),
            inbox: inbox.clone(),
            stop: stop.clone(),
        };
        consume(self.mailbox(inbox), Role::Reassembly, OneByOne, Arc::new(handler), stop).await;
    }

    fn reconcile(&self) -> Reconcile {
        Reconcile {
            context: self.context.clone(),
            evidence: self.evidence.clone(),
            jobs: self.jobs.clone(),
            trigger: self.trigger.clone(),
            breaker: self.breaker.clone(),
        }
    }
}
