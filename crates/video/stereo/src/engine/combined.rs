//! An engine out of two halves.

use std::sync::Arc;

use super::capabilities::Capabilities;
use super::error::Error;
use super::estimator::DepthModel;
use super::inpainter::{InpaintModel, Inpainter};
use super::run::{Clip, Reach, Run};
use super::session::StereoSession;
use super::warp_fill::WarpFill;
use crate::{Engine, Session};

/// Any depth estimator with any inpainter.
#[derive(Debug, Clone)]
pub struct Combined {
    name: &'static str,
    depth: Arc<dyn DepthModel>,
    inpaint: Arc<dyn InpaintModel>,
}

impl Combined {
    /// The engine of that name, out of these.
    pub fn new(
        name: &'static str,
        depth: Arc<dyn DepthModel>,
        inpaint: Arc<dyn InpaintModel>,
    ) -> Self {
        Self { name, depth, inpaint }
    }
}

impl Capabilities for Combined {
    fn reach(&self, run: &Run) -> Reach {
        run.reach().and(self.depth.reach(run)).and(self.inpaint.reach(run))
    }

    fn check(&self, run: &Run) -> Result<(), Error> {
        self.depth.check(run)?;
        self.inpaint.check(run)
    }
}

impl Engine for Combined {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Session>, Error> {
        self.check(run)?;
        let estimator = self.depth.estimator(clip, run)?;
        let inpainter = self.inpaint.inpainter(clip, run)?;
        Ok(Box::new(StereoSession::with(estimator, inpainter, clip, run)?))
    }
}

/// The fills of the warp, which a run's rendering chooses among.
#[derive(Debug, Clone, Copy, Default)]
pub struct WarpFills;

impl Capabilities for WarpFills {}

impl InpaintModel for WarpFills {
    fn inpainter(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Inpainter>, Error> {
        Ok(Box::new(WarpFill::new(clip, run)?))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn two_halves_look_as_far_around_as_the_one_that_looks_further() {
        let none = Reach::default();
        let shot = Reach { back: Duration::from_secs(10), within_shot: true, ahead: 80 };
        let film = Reach { back: Duration::from_secs(5), within_shot: false, ahead: 7 };
        assert_eq!((none.and(shot), shot.and(none), shot.and(shot)), (shot, shot, shot));
        let both = Reach { back: shot.back, within_shot: false, ahead: 80 };
        assert_eq!((shot.and(film), film.and(shot)), (both, both));
    }
}
