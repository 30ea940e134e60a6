//! The engine that makes no depth: both eyes see the source.
//!
//! For tests, dry runs and the stub backend: the whole pipeline at no cost, and every pair flat.

use parallax_frame::Frame;
use tokio_util::sync::CancellationToken;

use crate::{Capabilities, Clip, Engine, Error, Run, Session, StereoPair};

/// `copy`: left and right are the source frame.
#[derive(Debug, Clone, Copy, Default)]
pub struct Copy;

impl Capabilities for Copy {}

impl Engine for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn start(&self, _clip: &Clip, run: &Run) -> Result<Box<dyn Session>, Error> {
        run.geometry.validate()?;
        if run.rendering.depth_picture {
            return Err(Error::Unsupported("engine copy makes no depth to show".to_owned()));
        }
        Ok(Box::new(CopySession { cancel: run.cancel.clone() }))
    }
}

struct CopySession {
    cancel: CancellationToken,
}

impl Session for CopySession {
    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(vec![StereoPair { left: frame.clone(), right: frame }])
    }

    fn finish(&mut self) -> Result<Vec<StereoPair>, Error> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(Vec::new()) }
    }
}
