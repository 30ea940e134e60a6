//! Work that is done again: in f32 where the networks' type was too narrow, with fewer networks in memory
//! where there was no room. Neither changes what else is computed, and both are told.

use parallax_stereo::{Error, NotFinite, Retry, Run, Stage};

use super::desk::Desk;
use super::failure::{out_of_memory, told};
use crate::finite::{NoNumbers, found};
use crate::precision::Precision;

/// What to do when f32 gives no numbers either.
const DAMAGED: &str = "there is no wider type: the weights, or their configuration, are damaged; \
                       `parallax weights check --values` reads them all";

impl Desk {
    /// Does a piece of `stage`'s work, told whether in f32, until it is done or there is no other way to
    /// do it. `first` is the clip's number of the frame that the work counts as 0.
    pub(super) fn piece<T>(
        &self,
        run: &Run,
        (stage, first): (Stage, i64),
        mut work: impl FnMut(bool) -> candle_core::Result<T>,
    ) -> Result<T, Error> {
        let mut wide = false;
        loop {
            let error = match work(wide) {
                Ok(done) => return Ok(done),
                Err(_) if run.cancel.is_cancelled() => return Err(Error::Cancelled),
                Err(error) => error,
            };
            let retry = if let Some(numbers) = found(&error) {
                let what = self.described(stage, numbers, (first, wide));
                let narrow = numbers.network.has_a_choice() && self.precision != Precision::SINGLE;
                if wide || !narrow {
                    return Err(Error::NotFinite { what, advice: DAMAGED.to_owned() });
                }
                wide = true;
                Retry::Wider(what)
            } else if out_of_memory(&error) && self.can_make_room() {
                Retry::OutOfMemory(stage)
            } else {
                return Err(told(&error, &run.cancel));
            };
            tracing::warn!(%retry, "a piece of work is done again");
            run.watch.tell_retry(&retry);
        }
    }

    /// The reference draws noise as it goes along, so its work is not begun twice for want of room.
    fn can_make_room(&self) -> bool {
        !self.options.reference && self.models().make_room()
    }

    fn described(&self, stage: Stage, found: &NoNumbers, (first, wide): (i64, bool)) -> NotFinite {
        let own =
            if found.network.has_a_choice() && !wide { self.precision } else { Precision::SINGLE };
        NotFinite {
            stage,
            source: format!("{} in {}", found.network, own.denoiser.as_str()),
            place: found.place(first),
            found: found.found,
        }
    }
}
