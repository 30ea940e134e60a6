//! Inference in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::Mode;
use parallax_media::{Damage, DamageLog, DecodeOptions, EncodeSettings, WholeFilm};
use parallax_ports::{Custody, InferenceBackend, Invocation, Invoked, Kind, ObjectStore, Result};
use parallax_stereo::{
    Engine, Geometry, Layout, Reach, Rendering, Retry, Run, ShotReport, Stage, Staging, Watch,
};
use tokio_util::sync::CancellationToken;

use crate::convert::{Conversion, Progress, Report, convert_segment};
use crate::lead_in::{LeadIn, Preceding, Surroundings, after};
use crate::workplace::{Workplace, blocking, unless_cancelled};

/// Called with the invocation and how far it is; must return quickly.
type Observer = dyn Fn(&Invocation, Progress) + Send + Sync;

/// Called with the invocation and the frames that a stage of the engine has done; likewise.
type StageObserver = dyn Fn(&Invocation, Stage, u64) + Send + Sync;

/// Called with the invocation and a shot that is over; likewise.
type ShotObserver = dyn Fn(&Invocation, &ShotReport) + Send + Sync;

/// Called with the invocation, its frames and what was mended in them, if anything was; likewise.
type DamageObserver = dyn Fn(&Invocation, u64, &Damage) + Send + Sync;

/// Called with the invocation and why a piece of its work is done again; likewise.
type RetryObserver = dyn Fn(&Invocation, &Retry) + Send + Sync;

/// How long a segment waits for the one after it, which is published right after it, and how often it
/// looks.
const PUBLISHED: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);

/// An [`InferenceBackend`] that runs an engine here.
pub struct EngineBackend {
    workplace: Workplace,
    engine: Arc<dyn Engine>,
    geometry: Geometry,
    seed: u64,
    rendering: Rendering,
    staging: Staging,
    side_by_side: Layout,
    anaglyph: Layout,
    encode: EncodeSettings,
    decode: DecodeOptions,
    full_chroma: bool,
    observer: Arc<Observer>,
    stages: Arc<StageObserver>,
    shots: Arc<ShotObserver>,
    film: Option<WholeFilm>,
    damage: Arc<DamageObserver>,
    retries: Arc<RetryObserver>,
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
            rendering: Rendering::default(),
            staging: Staging::default(),
            side_by_side: Layout::FullSbs,
            anaglyph: Layout::Anaglyph,
            encode: EncodeSettings::default(),
            decode: DecodeOptions::default(),
            full_chroma: false,
            observer: Arc::new(|_, _| ()),
            stages: Arc::new(|_, _, _| ()),
            shots: Arc::new(|_, _| ()),
            film: None,
            damage: Arc::new(|_, _, _| ()),
            retries: Arc::new(|_, _| ()),
        }
    }

    /// Sets the stereo geometry and the seed.
    #[must_use]
    pub fn with_geometry(mut self, geometry: Geometry, seed: u64) -> Self {
        (self.geometry, self.seed) = (geometry, seed);
        self
    }

    /// Sets what `Mode::Anaglyph` means, if `layout` is one, else what `Mode::Sbs` means, and how
    /// results are encoded.
    #[must_use]
    pub fn with_output(mut self, layout: Layout, encode: EncodeSettings) -> Self {
        *(if layout.is_anaglyph() { &mut self.anaglyph } else { &mut self.side_by_side }) = layout;
        self.encode = encode;
        self
    }

    /// Sets how pairs are drawn.
    #[must_use]
    pub fn with_rendering(mut self, rendering: Rendering) -> Self {
        self.rendering = rendering;
        self
    }

    /// Sets what is decided shot by shot.
    #[must_use]
    pub fn with_staging(mut self, staging: Staging) -> Self {
        self.staging = staging;
        self
    }

    /// Sets what happens to the source's pictures first, and whether anaglyphs have their chroma
    /// at luma resolution.
    #[must_use]
    pub fn with_pictures(mut self, decode: DecodeOptions, full_chroma: bool) -> Self {
        (self.decode, self.full_chroma) = (decode, full_chroma);
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

    /// Has every shot told to `observer`, once it is over.
    #[must_use]
    pub fn with_shots(
        mut self,
        observer: impl Fn(&Invocation, &ShotReport) + Send + Sync + 'static,
    ) -> Self {
        self.shots = Arc::new(observer);
        self
    }

    /// Has the damage of all segments count together, as that of `film`. Without it segments are of
    /// films that nobody knows the length of, and none is mostly damage.
    #[must_use]
    pub fn with_film(mut self, film: WholeFilm) -> Self {
        self.film = Some(film);
        self
    }

    /// Has what was mended in each segment told to `observer`, with the segment's frames.
    #[must_use]
    pub fn with_damage(
        mut self,
        observer: impl Fn(&Invocation, u64, &Damage) + Send + Sync + 'static,
    ) -> Self {
        self.damage = Arc::new(observer);
        self
    }

    /// Has every piece of work that is done again told to `observer`.
    #[must_use]
    pub fn with_retries(
        mut self,
        observer: impl Fn(&Invocation, &Retry) + Send + Sync + 'static,
    ) -> Self {
        self.retries = Arc::new(observer);
        self
    }

    fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.workplace.objects
    }

    /// Fetches what precedes the segment, of which `segment` is a copy, to its folder.
    async fn before(
        &self,
        invocation: &Invocation,
        segment: &Path,
        reach: Reach,
        cancel: &CancellationToken,
    ) -> Result<Vec<Preceding>> {
        let mut lead_in = LeadIn::of(&invocation.input, segment, reach);
        while let Some((uri, path)) = lead_in.wants() {
            match unless_cancelled(cancel, self.objects().download(&uri, &path)).await {
                // Somebody removed it. A visible seam is better than no result.
                Err(error) if error.kind() == Kind::NotFound => {
                    tracing::warn!(segment = %invocation.segment, %uri, "nothing precedes it");
                    break;
                }
                fetched => fetched?,
            }
            let tools = self.workplace.tools.clone();
            lead_in = blocking(cancel, move |cancel| lead_in.took(&tools, &cancel)).await??;
        }
        Ok(lead_in.files())
    }

    /// Fetches what follows the segment, of which `segment` is a copy, to its folder.
    async fn after(
        &self,
        invocation: &Invocation,
        segment: &Path,
        reach: Reach,
        cancel: &CancellationToken,
    ) -> Result<Option<PathBuf>> {
        let Some(uri) = after(&invocation.input).filter(|_| reach.ahead > 0) else {
            return Ok(None);
        };
        let path = segment.with_file_name("after.mp4");
        let mut waited = Duration::ZERO;
        loop {
            match unless_cancelled(cancel, self.objects().download(&uri, &path)).await {
                Err(error) if error.kind() == Kind::NotFound && waited < PUBLISHED => {
                    waited += LOOK;
                    let pause = async {
                        tokio::time::sleep(LOOK).await;
                        Ok(())
                    };
                    unless_cancelled(cancel, pause).await?;
                }
                // Somebody removed it, or publishing was given up.
                Err(error) if error.kind() == Kind::NotFound => {
                    tracing::warn!(segment = %invocation.segment, %uri, "nothing follows it");
                    return Ok(None);
                }
                fetched => {
                    fetched?;
                    return Ok(Some(path));
                }
            }
        }
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
        let (geometry, seed, rendering) = (self.geometry, self.seed, self.rendering);
        let staging = self.staging;
        let reach = self.engine.reach(&Run { rendering, staging, ..Run::default() });
        let around = Surroundings {
            before: self.before(invocation, &input, reach, cancel).await?,
            after: self.after(invocation, &input, reach, cancel).await?,
        };
        let layout = match invocation.segment.mode {
            Mode::Anaglyph => self.anaglyph,
            Mode::Sbs => self.side_by_side,
        };
        let unknown = || WholeFilm { pictures: u64::MAX, damage: DamageLog::default() };
        let film = self.film.clone().unwrap_or_else(unknown);
        let tools = self.workplace.tools.for_part(&film);
        let (engine, encode) = (Arc::clone(&self.engine), self.encode.clone());
        let (decode, full_chroma) = (self.decode, self.full_chroma);
        let (observer, told) = (Arc::clone(&self.observer), invocation.clone());
        let result = output.clone();
        let (stages, watched) = (Arc::clone(&self.stages), invocation.clone());
        let (shots, measured) = (Arc::clone(&self.shots), invocation.clone());
        let (retries, again) = (Arc::clone(&self.retries), invocation.clone());
        let watch = Watch::new(move |stage, frames| stages(&watched, stage, frames))
            .with_shots(move |shot| shots(&measured, shot))
            .with_retries(move |retry| retries(&again, retry));
        let at = folder.path().to_owned();
        let scratch = Some(at.clone());
        let work = blocking(cancel, move |cancel| {
            let (input, output) = (input.as_path(), output.as_path());
            let around = &around;
            let conversion =
                Conversion { input, output, layout, encode, decode, full_chroma, around };
            let run = Run { geometry, rendering, staging, seed, scratch, watch, cancel };
            let progress = |progress| observer(&told, progress);
            let report = convert_segment(&tools, &conversion, &*engine, &run, &progress);
            report.map(|report| (folder, report))
        });
        let (_folder, report): (_, Report) = work.await?.map_err(|error| {
            let segment = &invocation.segment;
            let name = self.workplace.segment_name(&segment.job_id, segment.index, segment.total);
            error.naming(&at, |file| match file.starts_with("out.mp4") {
                true => format!("the result of {name}"),
                false => name.clone(),
            })
        })?;
        for mended in report.damage.lines() {
            tracing::warn!(segment = %invocation.segment, mended, "the source is damaged");
        }
        if !report.damage.is_empty() {
            (self.damage)(invocation, report.frames, &report.damage);
        }
        unless_cancelled(cancel, self.objects().upload(&result, &invocation.output)).await?;
        tracing::debug!(segment = %invocation.segment, frames = report.frames, "converted");
        Ok(Invoked::Finished)
    }
}
