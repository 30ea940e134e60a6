//! Trouble that no retry of the worker will end soon, told to the person at once.
//!
//! A daemon waits until a disk has room again. Somebody at a terminal wants to know.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use parallax_job::{JobId, Mode};
use parallax_ports::{
    Assembler, Chunker, Custody, Cut, Error, InferenceBackend, Invocation, Invoked, Kind,
    MediaError, Result,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Holds the first trouble.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarm(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    why: Mutex<Option<String>>,
    raised: Notify,
}

impl Alarm {
    /// Waits for trouble.
    pub(crate) async fn raised(&self) -> String {
        loop {
            let raised = self.0.raised.notified();
            if let Some(why) = &*self.0.why.lock().unwrap_or_else(PoisonError::into_inner) {
                return why.clone();
            }
            raised.await;
        }
    }

    fn look(&self, error: &Error) {
        if !matches!(error.kind(), Kind::Unavailable | Kind::Unauthorized) {
            return;
        }
        let mut why = self.0.why.lock().unwrap_or_else(PoisonError::into_inner);
        why.get_or_insert_with(|| error.chain());
        drop(why);
        self.0.raised.notify_waiters();
    }

    fn look_media(&self, error: &MediaError) {
        if let MediaError::Port(error) = error {
            self.look(error);
        }
    }
}

/// A port whose trouble raises the alarm.
#[derive(Debug)]
pub(crate) struct Alarmed<P>(pub(crate) P, pub(crate) Alarm);

#[async_trait]
impl<B: InferenceBackend> InferenceBackend for Alarmed<B> {
    fn custody(&self) -> Custody {
        self.0.custody()
    }

    async fn invoke(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<Invoked> {
        self.0.invoke(invocation, cancel).await.inspect_err(|error| self.1.look(error))
    }
}

#[async_trait]
impl<C: Chunker> Chunker for Alarmed<C> {
    async fn plan(
        &self,
        job_id: &JobId,
        mode: Mode,
        cancel: &CancellationToken,
    ) -> std::result::Result<Box<dyn Cut>, MediaError> {
        let cut = self.0.plan(job_id, mode, cancel).await;
        let cut = cut.inspect_err(|error| self.1.look_media(error))?;
        Ok(Box::new(AlarmedCut(cut, self.1.clone())))
    }
}

struct AlarmedCut(Box<dyn Cut>, Alarm);

#[async_trait]
impl Cut for AlarmedCut {
    fn total(&self) -> u32 {
        self.0.total()
    }

    async fn publish(&self, cancel: &CancellationToken) -> std::result::Result<(), MediaError> {
        self.0.publish(cancel).await.inspect_err(|error| self.1.look_media(error))
    }
}

#[async_trait]
impl<A: Assembler> Assembler for Alarmed<A> {
    async fn assemble(
        &self,
        job_id: &JobId,
        total: u32,
        cancel: &CancellationToken,
    ) -> std::result::Result<(), MediaError> {
        let done = self.0.assemble(job_id, total, cancel).await;
        done.inspect_err(|error| self.1.look_media(error))
    }
}
