//! The conversion itself, on the engine's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parallax_conversion::{
    Conversion, Error as ConversionError, Report, Surroundings, convert_segment,
};
use parallax_media::{DecodeOptions, EncodeSettings, Tools};
use parallax_ports as ports;
use parallax_stereo::{Engine, Layout, Run};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{STEREO_MODEL, StereoModel};
use crate::engine::Models;
use crate::operations::inside::Inside;
use crate::{Failure, FailureKind};

/// The part of a request that runs on the engine's thread.
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
        models: &mut Models,
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
    let text = error.to_string().to_ascii_lowercase();
    text.contains("out of memory") || text.contains("out_of_memory")
}

/// What a caller is told: of a bad input why it is bad, without the server's own paths.
pub(super) fn failure(error: ConversionError, source: &Path) -> Failure {
    let error = ports::Error::from(error);
    let folder = source.parent().unwrap_or(source).display().to_string();
    let text = error.chain().replace(&format!("{folder}/in.mp4"), "the segment");
    let text = text.replace(&folder, "");
    match error.kind() {
        ports::Kind::Cancelled => Failure::cancelled(),
        ports::Kind::Rejected => Failure::field("input_uri", text),
        ports::Kind::Unavailable => {
            let message = "there is no room for the result, or ffmpeg is missing";
            Failure::new(FailureKind::Unavailable, message).with_detail(text)
        }
        _ => Failure::internal(text),
    }
}
