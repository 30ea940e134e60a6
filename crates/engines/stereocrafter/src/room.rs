//! Whether pieces of a given size fit into what is free, and what does where they do not.

use crate::footprint::Footprint;
use crate::plan::{Job, Plan, Residency, SHARE};

/// Pieces of a size that was asked for do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "too little memory: {found} MiB are free, and pictures of {width}x{height} take {needed} MiB ({pieces}); \
     {advice}"
)]
pub struct Full {
    /// MiB that the pieces take.
    pub needed: u64,
    /// MiB that are free.
    pub found: u64,
    /// Columns of the picture.
    pub width: usize,
    /// Rows of the picture.
    pub height: usize,
    /// The pieces, in words.
    pub pieces: String,
    /// What to do.
    pub advice: String,
}

impl Job {
    /// Which networks can be in memory together while `plan` is worked on in `free` bytes: both stages'
    /// with room to spare, or else one stage's.
    ///
    /// # Errors
    /// When neither fits, with what does.
    pub fn residency(
        &self,
        plan: &Plan,
        free: u64,
        footprint: &Footprint,
    ) -> Result<Residency, Full> {
        let peak = |residency| self.peak(&Plan { residency, ..plan.clone() }, footprint);
        if peak(Residency::Both) <= (free as f64 * SHARE) as u64 {
            return Ok(Residency::Both);
        }
        let least = peak(Residency::ByStage);
        if least <= free {
            return Ok(Residency::ByStage);
        }
        let fits = |gib: &u64| self.plan(gib << 30, footprint).is_ok();
        let advice = match (1..=free >> 30).rev().find(fits) {
            Some(gib) => format!(
                "--memory-plan {gib} (SERVER_MEMORY_PLAN) fits into it, and gives other pixels"
            ),
            None if self.plan(free, footprint).is_ok() => {
                "--memory-plan auto fits into it, and gives other pixels".to_owned()
            }
            None => "no memory plan fits into it".to_owned(),
        };
        Err(Full {
            needed: least.div_ceil(1 << 20),
            found: free >> 20,
            width: self.picture.width,
            height: self.picture.height,
            pieces: plan.pieces(),
            advice,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::USUAL_BYTES;
    use crate::plan::tests::{GIB, footprint, job};
    use crate::size::Size;

    #[test]
    fn what_is_free_decides_who_is_in_memory_and_nothing_else() {
        let (job, footprint) = (job(1920, 1080), footprint());
        let plan = job.plan(USUAL_BYTES, &footprint).unwrap();
        let of = |gib: u64| job.residency(&plan, gib * GIB, &footprint);
        assert_eq!(of(140), Ok(Residency::Both));
        // What a card of 24 GB has free beside a desktop.
        assert_eq!(job.residency(&plan, 22 * GIB, &footprint), Ok(Residency::ByStage));
        let full = of(15).unwrap_err();
        assert!(full.needed > full.found && full.found == 15 << 10, "{full:?}");
        let text = full.to_string();
        assert!(text.contains("--memory-plan 15") && text.contains(&plan.pieces()), "{text}");
        assert!(of(3).unwrap_err().to_string().contains("no memory plan fits"));
        let small = Footprint { shared: 1 << 20, depth: 1 << 20, inpainting: 1 << 20, ..footprint };
        let job = Job { picture: Size::new(128, 96), depth: Size::new(128, 128), ..job };
        let error = job.residency(&Plan::default(), GIB / 2, &small).unwrap_err().to_string();
        assert!(error.contains("--memory-plan auto"), "{error}");
    }
}
