//! What this daemon's roles have no part in.

use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{JobId, Mode};
use parallax_ports::{
    Assembler, Chunker, Cut, Error, Kind, MediaError, Message, Queue, Receipt, Result,
};
use tokio_util::sync::CancellationToken;

/// Media steps and queues of a daemon whose roles have none: never called, and an error if they were.
#[derive(Debug)]
pub(super) struct Elsewhere;

impl Elsewhere {
    fn refuse() -> MediaError {
        Error::new(Kind::Rejected, "this daemon's roles have no media work").into()
    }

    fn no_messages<T>() -> Result<T> {
        Err(Error::new(Kind::Rejected, "this daemon's roles have no such queue"))
    }
}

#[async_trait]
impl Queue for Elsewhere {
    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Message>> {
        Self::no_messages()
    }

    async fn delete(&self, _: &Receipt) -> Result<()> {
        Self::no_messages()
    }

    async fn change_visibility(&self, _: &Receipt, _: Duration) -> Result<()> {
        Self::no_messages()
    }

    async fn send(&self, _: &str, _: &[(&str, &str)]) -> Result<()> {
        Self::no_messages()
    }
}

#[async_trait]
impl Chunker for Elsewhere {
    async fn plan(
        &self,
        _: &JobId,
        _: Mode,
        _: &CancellationToken,
    ) -> std::result::Result<Box<dyn Cut>, MediaError> {
        Err(Self::refuse())
    }
}

#[async_trait]
impl Assembler for Elsewhere {
    async fn assemble(
        &self,
        _: &JobId,
        _: u32,
        _: &CancellationToken,
    ) -> std::result::Result<(), MediaError> {
        Err(Self::refuse())
    }
}
