//! Inference in this process.

use std::sync::Arc;

use async_trait::async_trait;
use parallax_job::Mode;
use parallax_media::{EncodeSettings, Tools};
use parallax_ports::{Custody, InferenceBackend, Invocation, Invoked, ObjectStore, Result};
use parallax_stereo::{Engine, Geometry, Layout, Run, Stage, Watch};
use tokio_util::sync::CancellationToken;

use crate::convert::{Conversion, Progress, Report, convert_segment};
use crate::workplace::{Workplace, blocking, unless_cancelled};

/// Called with the invocation and how far it is; must return quickly.
type Observer = dyn Fn(&Invocation, Progress) + Send + Sync;

/// Called with the invocation and the frames that a stage of the engine has done; likewise.
type StageObserver = dyn Fn(&Invocation, Stage, u64) + Send + Sync;

/// An [`InferenceBackend`] that runs an engine here.
pub struct EngineBackend {
    workplace: Workplace,
    engine: Arc<dyn Engine>,
    geometry: Geometry,
    seed: u64,
    side_by_side: Layout,
    encode: EncodeSettings,
    observer: Arc<Observer>,
    stages: Arc<StageObserver>,
}

impl std::fmt::Debug for EngineBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBackend")
            .field("engine", &self.engine)
            .field("geometry", &self.geometry)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl EngineBackend {
    /// A backend with default geometry, seed 0, full side by side and default encoder settings.
    pub fn new(workplace: Workplace, engine: Arc<dyn Engine>) -> Self {
        Self {
            workplace,
            engine,
            geometry: Geometry::default(),
            seed: 0,
            side_by_side: Layout::FullSbs,
            encode: EncodeSettings::default(),
            observer: Arc::new(|_, _| ()),
            stages: Arc::new(|_, _, _| ()),
        }
    }

    /// Sets the stereo geometry and the seed.
    #[must_use]
    pub fn with_geometry(mut self, geometry: Geometry, seed: u64) -> Self {
        (self.geometry, self.seed) = (geometry, seed);
        self
    }

    /// Sets what `Mode::Sbs` means (full or half) and how results are encoded.
    #[must_use]
    pub fn with_output(mut self, side_by_side: Layout, encode: EncodeSettings) -> Self {
        (self.side_by_side, self.encode) = (side_by_side, encode);
        self
    }

    /// Has every step of progress told to `observer`.
    #[must_use]
    pub fn with_observer(
        mut self,
        observer: impl Fn(&Invocation, Progress) + Send + Sync + 'static,
    ) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Has every step within the engine told to `observer`.
    #[must_use]
    pub fn with_stages(
        mut self,
        observer: impl Fn(&Invocation, Stage, u64) + Send + Sync + 'static,
    ) -> Self {
        self.stages = Arc::new(observer);
        self
    }

    fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.workplace.objects
    }
}

#[async_trait]
impl InferenceBackend for EngineBackend {
    fn custody(&self) -> Custody {
        Custody::Caller
    }

    async fn invoke(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<Invoked> {
        let folder = self.workplace.folder()?;
        let (input, output) = (folder.path().join("in.mp4"), folder.path().join("out.mp4"));
        unless_cancelled(cancel, self.objects().download(&invocation.input, &input)).await?;
        let layout = match invocation.segment.mode {
            Mode::Anaglyph => Layout::Anaglyph,
            Mode::Sbs => self.side_by_side,
        };
        let tools: Tools = self.workplace.tools.clone();
        let (engine, encode) = (Arc::clone(&self.engine), self.encode.clone());
        let (geometry, seed) = (self.geometry, self.seed);
        let (observer, told) = (Arc::clone(&self.observer), invocation.clone());
        let result = output.clone();
        let (stages, watched) = (Arc::clone(&self.stages), invocation.clone());
        let watch = Watch::new(move |stage, frames| stages(&watched, stage, frames));
        let scratch = Some(folder.path().to_owned());
        let work = blocking(cancel, move |cancel| {
            let conversion = Conversion { input: &input, output: &output, layout, encode };
            let run = Run { geometry, seed, scratch, watch, cancel };
            let progress = |progress| observer(&told, progress);
            let report = convert_segment(&tools, &conversion, &*engine, &run, &progress);
            report.map(|report| (folder, report))
        });
        let (_folder, report): (_, Report) = work.await??;
        unless_cancelled(cancel, self.objects().upload(&result, &invocation.output)).await?;
        tracing::debug!(segment = %invocation.segment, frames = report.frames, "converted");
        Ok(Invoked::Finished)
    }
}
