//! Observers of a run.

use std::fmt::{self, Debug};
use std::sync::Arc;

use super::finite::Retry;
use super::stage::Stage;
use crate::shot::ShotReport;

/// Somebody who is told of progress within an engine, or nobody.
#[derive(Clone, Default)]
pub struct Watch {
    frames: Option<Arc<FrameObserver>>,
    again: Option<Arc<RetryObserver>>,
    shots: Option<Arc<ShotObserver>>,
}

type FrameObserver = dyn Fn(Stage, u64) + Send + Sync;
type RetryObserver = dyn Fn(&Retry) + Send + Sync;
type ShotObserver = dyn Fn(&ShotReport) + Send + Sync;

impl Watch {
    /// Has `observer` told how many of the clip's frames a stage has done, whenever that changes. It
    /// must return quickly.
    pub fn new(observer: impl Fn(Stage, u64) + Send + Sync + 'static) -> Self {
        Self { frames: Some(Arc::new(observer)), ..Self::default() }
    }

    /// Has `observer` told, too, whenever a piece of work is done again, and why.
    #[must_use]
    pub fn with_retries(mut self, observer: impl Fn(&Retry) + Send + Sync + 'static) -> Self {
        self.again = Some(Arc::new(observer));
        self
    }

    /// Has `observer` told of every shot, once it is over. It must return quickly.
    #[must_use]
    pub fn with_shots(mut self, observer: impl Fn(&ShotReport) + Send + Sync + 'static) -> Self {
        self.shots = Some(Arc::new(observer));
        self
    }

    /// `frames` of the clip have passed `stage`.
    pub fn tell(&self, stage: Stage, frames: u64) {
        if let Some(observer) = &self.frames {
            observer(stage, frames);
        }
    }

    /// A piece of work is done again.
    pub fn tell_retry(&self, retry: &Retry) {
        if let Some(observer) = &self.again {
            observer(retry);
        }
    }

    /// A shot is over.
    pub fn tell_shot(&self, shot: &ShotReport) {
        if let Some(observer) = &self.shots {
            observer(shot);
        }
    }
}

impl Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let somebody = self.frames.is_some() || self.again.is_some() || self.shots.is_some();
        f.write_str(if somebody { "Watch(somebody)" } else { "Watch(nobody)" })
    }
}
