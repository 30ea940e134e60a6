//! One function decides what the final file will hold, for the check before a conversion and for the
//! joining after it: every way that [`super::streams`] knows for a stream is tried on the real source
//! and the real muxer ([`super::trial`]) until one is taken.

use tokio_util::sync::CancellationToken;

use super::candidate::Candidate;
use super::captions;
use super::edits::{Cut, Cuts};
use super::loss::Loss;
use super::mux_plan::MuxPlan;
use super::streams::{Container, Cost, shown};
use super::tags;
use super::trial::{Scratch, Trial};
use crate::error::{Error, Result, escape};
use crate::media::{Media, Stream, StreamKind};
use crate::programs::Tools;

impl MuxPlan {
    /// Decides about the streams of `media` in `container`; without one it is MP4, or Matroska when
    /// more of a stream is kept there.
    ///
    /// # Errors
    /// `Input` when the streams that are accepted one by one are refused together; `Space`; `Io`;
    /// `Tool`; `Cancelled`.
    pub fn decide(
        tools: &Tools,
        media: &Media,
        container: Option<Container>,
        scratch: Scratch<'_>,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let seen = captions::in_pictures(tools, media, cancel)?;
        let of = |container| {
            let trial = Trial { tools, media, scratch, cancel };
            settled(&trial, container, &seen)
        };
        let first = of(container.unwrap_or(Container::Mp4))?;
        let whole = first.1.iter().all(|candidate| candidate.cost() == Cost::Nothing);
        if container.is_some() || whole {
            return Ok(first.0);
        }
        let mut second = of(Container::Matroska)?;
        let better = first.1.iter().zip(&second.1).filter(|(mp4, other)| other.cost() < mp4.cost());
        let better = better.map(|(mp4, _)| format!("{} ({})", mp4.stream.index, shown(mp4.stream)));
        second.0.because = better.collect();
        Ok(if second.0.because.is_empty() { first.0 } else { second.0 })
    }
}

/// The plan for `container`, tried, and what it costs.
fn settled<'a>(
    trial: &Trial<'a>,
    container: Container,
    seen: &[String],
) -> Result<(MuxPlan, Vec<Candidate<'a>>)> {
    let media = trial.media;
    let Cuts { cuts, losses: uncut } = Cut::all(media, container)?;
    let mut plan = MuxPlan {
        container,
        because: Vec::new(),
        kept: Vec::new(),
        dropped: Vec::new(),
        losses: losses(media, seen).into_iter().chain(uncut).collect(),
        captions: seen.iter().any(|kind| kind == captions::KIND),
        timecode: timecode(media),
        cuts,
    };
    if let Some(timecode) = &plan.timecode
        && trial.attempt(&plan)?.is_some()
    {
        let what = format!("the timecode {}", escape(timecode, 40));
        let reason = format!("{} does not hold it at this frame rate", container.name());
        plan.losses.push(Loss { what, reason });
        plan.timecode = None;
    }
    let others = media.streams.iter().filter(|stream| stream.index != media.video.index);
    let of = |stream: &'a Stream| {
        let cut = plan.cuts.iter().any(|cut| cut.stream == stream.index);
        Candidate::new(media, stream, container, cut)
    };
    let mut candidates: Vec<Candidate<'a>> = others.map(of).collect();
    trial.settle(&plan, &mut candidates)?;
    // Refusals say something of the streams only when the pictures alone are taken.
    if candidates.iter().any(|candidate| candidate.refused.is_some())
        && let Some(said) = trial.attempt(&plan)?
    {
        let what = format!("{} does not take the pictures: {said}", container.name());
        return Err(Error::input(&media.path, what));
    }
    Ok((plan.with(&candidates), candidates))
}

/// What is lost besides streams, whatever the container.
fn losses(media: &Media, seen: &[String]) -> Vec<Loss> {
    let mut losses = Vec::new();
    let mut lose = |what: &str, reason: &str| {
        losses.push(Loss { what: what.to_owned(), reason: reason.to_owned() });
    };
    if has_alpha(&media.video.pixel_name) {
        lose("transparency", "the result is opaque: its pictures are taken as they are below it");
    }
    if media.programs > 1 {
        let what = format!("the grouping of streams in {} programs", media.programs);
        lose(&what, "no container of a result has programs");
    }
    let of_headers = media.stream(media.video.index).map_or(&[][..], |main| &main.side_data);
    let mut kinds: Vec<&String> = of_headers.iter().chain(seen).collect();
    kinds.dedup();
    for kind in kinds {
        match kind.as_str() {
            "Spherical Mapping" => lose("the mark of a sphere", "the result's views are its own"),
            "ICC profile" | "ICC Profile" => lose("the ICC profile", "video has no place for it"),
            "Active format description" => {
                lose("the active format description", "it describes the flat picture");
            }
            "SMPTE 12-1 timecode" => {
                lose("timecodes inside the pictures", "the pictures are encoded anew");
            }
            _ => {}
        }
    }
    losses
}

fn has_alpha(pixels: &str) -> bool {
    ["yuva", "rgba", "argb", "bgra", "abgr", "gbrap", "ya8", "ya16"]
        .iter()
        .any(|with_alpha| pixels.starts_with(with_alpha))
}

/// The timecode of the first frame: of the pictures, of a track of timecodes, or of the file.
fn timecode(media: &Media) -> Option<String> {
    let of = |stream: &Stream| tags::tag(&stream.tags, "timecode").cloned();
    let main = media.stream(media.video.index).and_then(of);
    let track = || media.streams_of(StreamKind::Other).find_map(of);
    let found = main.or_else(track).or_else(|| tags::tag(&media.tags, "timecode").cloned())?;
    let letters = |c: char| c.is_ascii_digit() || matches!(c, ':' | ';' | '.');
    (found.len() <= 16 && found.chars().all(letters)).then_some(found)
}
