//! Trying a plan on the real muxer: real headers and a few packets of every stream, beside pictures
//! like those of the final file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::candidate::Candidate;
use super::mux_plan::MuxPlan;
use crate::child;
use crate::error::{Error, Kind, Result};
use crate::media::Media;
use crate::programs::{Tools, file_url};
use crate::window::Window;

/// Bytes that one attempt writes, about.
const BYTES: &str = "1000000";
/// Seconds of the source that one attempt reads at most.
const SECONDS: &str = "20";
/// The longest attempt. Streams that are hardly ever heard of keep ffmpeg reading; by then it has
/// long written the headers, which is what a muxer refuses.
const LONGEST: Duration = Duration::from_secs(15);

/// Where a plan is tried.
#[derive(Debug, Clone, Copy)]
pub struct Scratch<'a> {
    /// A short film whose pictures are like those of the final file: see [`crate::sample`].
    pub sample: &'a Path,
    /// A folder for passing files.
    pub folder: &'a Path,
}

#[derive(Debug)]
pub(super) struct Trial<'a> {
    pub(super) tools: &'a Tools,
    pub(super) media: &'a Media,
    pub(super) scratch: Scratch<'a>,
    pub(super) cancel: &'a CancellationToken,
}

impl Trial<'_> {
    /// What speaks against `plan`; `None` when the muxer takes it.
    pub(super) fn attempt(&self, plan: &MuxPlan) -> Result<Option<String>> {
        let out = self.out(plan)?;
        let mut command = self.tools.ffmpeg();
        self.tools.guard(&mut command);
        command.arg("-i").arg(file_url(self.scratch.sample));
        self.tools.guard(&mut command);
        command.args(["-t", SECONDS, "-i"]).arg(file_url(&self.media.path));
        plan.inputs(self.media, self.tools, &["-t", SECONDS], &mut command);
        plan.arguments(self.media, self.tools, (false, Window::default()), &mut command);
        command.args(["-flush_packets", "1", "-fs", BYTES]).arg(file_url(&out));
        let ended = child::run(&mut command, self.cancel, Some(LONGEST), |_| Ok(()))?;
        let begun = std::fs::metadata(&out).is_ok_and(|file| file.len() > 0);
        // Nobody else looks into it, and its folder goes soon.
        let _ = std::fs::remove_file(&out);
        if ended.timed_out() && begun {
            return Ok(None);
        }
        match ended.check("try the streams", Kind::Input) {
            Ok(()) => Ok(None),
            Err(error) if matches!(error.kind(), Kind::Cancelled | Kind::Space) => Err(error),
            Err(_) => Ok(Some(ended.words())),
        }
    }

    /// Takes every candidate to the first of its ways that is accepted, together with the others.
    ///
    /// Halving finds the few that are refused among many that are not.
    pub(super) fn settle(&self, plan: &MuxPlan, candidates: &mut [Candidate<'_>]) -> Result<()> {
        while candidates.iter().any(|candidate| candidate.treatment().is_some()) {
            let Some(said) = self.attempt(&plan.with(candidates))? else { return Ok(()) };
            if let [one] = candidates {
                one.refuse(said);
                continue;
            }
            let (left, right) = candidates.split_at_mut(candidates.len() / 2);
            self.settle(plan, left)?;
            self.settle(plan, right)?;
            return match self.attempt(&plan.with(candidates))? {
                None => Ok(()),
                Some(said) => {
                    let name = plan.container.name();
                    let what = format!("{name} takes its streams one by one, not together: {said}");
                    Err(Error::input(&self.media.path, what))
                }
            };
        }
        Ok(())
    }

    fn out(&self, plan: &MuxPlan) -> Result<PathBuf> {
        let folder = self.scratch.folder;
        let file = tempfile::Builder::new()
            .prefix("trial-")
            .suffix(&format!(".{}", plan.container.extension()))
            .tempfile_in(folder)
            .and_then(|file| file.into_temp_path().keep().map_err(|e| e.error))
            .map_err(|e| Error::io("create a file in", folder, e))?;
        Ok(file)
    }
}
