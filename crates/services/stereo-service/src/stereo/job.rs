//! The conversion itself, on the executor's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parallax_conversion::{
    Conversion, Error as ConversionError, Report, Surroundings, convert_segment, refuse_views,
};
use parallax_media::{DecodeOptions, EncodeSettings, Tools};
use parallax_ports as ports;
use parallax_serving::{Failure, FailureKind, ModelPool};
use parallax_stereo::{Engine, Error as StereoError, Layout, Run};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::model::{STEREO_MODEL, StereoModel};
use crate::inside::Inside;

/// The part of a request that runs on the executor's thread.
pub(super) struct Job {
    pub(super) around: Surroundings,
    pub(super) tools: Tools,
    pub(super) layout: Layout,
    pub(super) encode: EncodeSettings,
    /// What is asked of the engine.
    pub(super) run: Run,
    pub(super) source: PathBuf,
    pub(super) result: PathBuf,
}

impl Job {
    pub(super) fn run(
        &self,
        models: &mut ModelPool,
        cancel: &CancellationToken,
        inside: &Arc<Inside>,
    ) -> Result<(Report, &'static str), Failure> {
        inside.begin();
        let model = models.get::<StereoModel>(STEREO_MODEL)?;
        let once = || self.convert(&*model.0, cancel, inside);
        let outcome = match once() {
            Err(error) if is_out_of_memory(&error) && models.evict_others(STEREO_MODEL) => {
                warn!(%error, "memory ran out; trying again without the other models");
                inside.retried();
                once()
            }
            outcome => outcome,
        };
        inside.end();
        let report = outcome.map_err(|error| failure(error, &self.source))?;
        Ok((report, model.0.name()))
    }

    fn convert(
        &self,
        engine: &dyn Engine,
        cancel: &CancellationToken,
        inside: &Arc<Inside>,
    ) -> Result<Report, ConversionError> {
        refuse_views(&self.tools, &self.source, cancel)?;
        let encode = self.encode.clone();
        let conversion = Conversion {
            input: &self.source,
            output: &self.result,
            layout: self.layout,
            encode,
            decode: DecodeOptions::default(),
            full_chroma: false,
            around: &self.around,
        };
        let run = Run {
            scratch: self.source.parent().map(Path::to_owned),
            watch: inside.watch(),
            cancel: cancel.clone(),
            ..self.run.clone()
        };
        convert_segment(&self.tools, &conversion, engine, &run, &|now| {
            inside.converted(now.frames, now.total, now.fps);
        })
    }
}

fn is_out_of_memory(error: &ConversionError) -> bool {
    matches!(error, ConversionError::Engine(StereoError::OutOfMemory(_)))
}

/// What a caller is told: of a bad input why it is bad, without the server's own paths.
pub(super) fn failure(error: ConversionError, source: &Path) -> Failure {
    let no_numbers = matches!(error, ConversionError::Engine(StereoError::NotFinite { .. }));
    let error = ports::Error::from(error);
    let folder = source.parent().unwrap_or(source).display().to_string();
    let text = error.chain().replace(&format!("{folder}/in.mp4"), "the segment");
    let text = text.replace(&folder, "");
    match error.kind() {
        ports::Kind::Cancelled => Failure::cancelled(),
        // No field is to blame, and asking again does not help.
        ports::Kind::Rejected if no_numbers => Failure::new(FailureKind::Invalid, text),
        ports::Kind::Rejected => Failure::field("input_uri", text),
        ports::Kind::Unavailable => {
            let message = "there is no room for the result, or ffmpeg is missing";
            Failure::new(FailureKind::Unavailable, message).with_detail(text)
        }
        _ => Failure::internal(text),
    }
}

#[cfg(test)]
mod tests {
    use parallax_stereo::{NotFinite, Odd, Stage};

    use super::*;

    #[test]
    fn memory_that_ran_out_is_known_by_its_kind_and_not_by_its_words() {
        let full = StereoError::OutOfMemory("12 MiB are free, 900 MiB are needed".to_owned());
        assert!(is_out_of_memory(&ConversionError::Engine(full)));
        let other = StereoError::Failed("out of memory of a name like that".to_owned());
        assert!(!is_out_of_memory(&ConversionError::Engine(other)));
    }

    #[test]
    fn networks_that_give_no_numbers_blame_no_field_and_are_not_asked_again() {
        let what = NotFinite {
            stage: Stage::Depth,
            source: "the denoiser in f32".to_owned(),
            place: "frames 0 to 4".to_owned(),
            found: Odd { nan: 3, infinite: 0, values: 9 },
        };
        let error = StereoError::NotFinite { what, advice: "the weights are damaged".to_owned() };
        let failure = failure(ConversionError::Engine(error), Path::new("/scratch/in.mp4"));
        assert_eq!((failure.kind.status(), &failure.field), (400, &None));
        assert!(failure.message.contains("depth: the denoiser in f32 gave 3 NaN"), "{failure}");
    }
}
