//! Cutting a job's source into segment objects.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_frame::{PixelFormat, TimeBase, VideoFormat};
use parallax_job::{JobId, MAX_SEGMENTS, Mode, ObjectKey, Segment};
use parallax_media::{
    Container, Damage, Dropped, EncodeSettings, Excerpt, Media, MuxPlan, Scratch, SegmentFile,
    Split, Tools, excerpt, plan_segments_at, probe, sample, scan, split,
};
use parallax_ports::{Chunker, Cut, Error, Kind, MediaError};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::error::Error as ConversionError;
use crate::first_frame::first_time;
use crate::shots::first_of_a_shot;
use crate::source_layout::{already_stereoscopic, declared_views};
use crate::workplace::{Workplace, blocking, unless_cancelled};

/// How sources are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSettings {
    /// Least length of a segment but the last. Defaults to 30 s.
    pub target: Duration,
    /// Most segments of one job, 1 to 99999; longer sources get longer segments. Defaults to 2000.
    pub most: u32,
    /// Somebody has decided what to do about a source that declares two views. Defaults to false:
    /// such a source is refused, for every picture of it would be converted as one view.
    pub views_settled: bool,
    /// Whether the final file's streams are tried first, so that a film whose streams cannot be
    /// joined fails before any of it is converted. Defaults to yes.
    pub rehearse: bool,
    /// What of the source is wanted. Defaults to all of it.
    pub excerpt: Excerpt,
}

impl Default for ChunkSettings {
    fn default() -> Self {
        Self {
            target: Duration::from_secs(30),
            most: 2000,
            views_settled: false,
            rehearse: true,
            excerpt: Excerpt::default(),
        }
    }
}

/// Called with what was mended in a source while it was cut, if anything was.
type Observer = dyn Fn(&Damage) + Send + Sync;

/// A [`Chunker`] on real media.
#[derive(Clone)]
pub struct MediaChunker {
    workplace: Workplace,
    settings: ChunkSettings,
    observer: Arc<Observer>,
}

impl std::fmt::Debug for MediaChunker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaChunker").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl MediaChunker {
    /// A chunker with `settings`.
    pub fn new(workplace: Workplace, settings: ChunkSettings) -> Self {
        Self { workplace, settings, observer: Arc::new(|_| ()) }
    }

    /// Has what was mended in a source told to `observer`.
    #[must_use]
    pub fn with_damage(mut self, observer: impl Fn(&Damage) + Send + Sync + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }
}

#[async_trait]
impl Chunker for MediaChunker {
    async fn plan(
        &self,
        job_id: &JobId,
        mode: Mode,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Cut>, MediaError> {
        let folder = self.workplace.folder()?;
        let source = folder.path().join("source.mp4");
        let uri = self.workplace.input(&ObjectKey::Source(job_id.clone()))?;
        unless_cancelled(cancel, self.workplace.objects.download(&uri, &source)).await?;
        let (tools, settings) = (self.workplace.tools.clone().with_own_damage(), self.settings);
        let log = tools.damage.clone();
        // The segments are made here and not in `publish`: only they tell the exact number.
        let name = self.workplace.source_name(job_id);
        let film = self.workplace.film.clone();
        let made = blocking(cancel, move |cancel| {
            let (starts, split) =
                cut(&tools, &source, folder.path(), settings, &cancel).map_err(|error| {
                    let named = |file: &str| match file {
                        "source.mp4" => name.clone(),
                        piece => format!("{name} ({piece})"),
                    };
                    ConversionError::from(error).naming(folder.path(), named)
                })?;
            if let Some(film) = film {
                film.note(&starts);
            }
            // From here on only the segments are needed.
            let _ = std::fs::remove_file(&source);
            Ok::<_, ConversionError>((folder, split))
        });
        let (folder, split) = made.await??;
        let damage = log.so_far();
        for mended in damage.lines() {
            tracing::warn!(job = %job_id, mended, "the source is damaged");
        }
        if !damage.is_empty() {
            (self.observer)(&damage);
        }
        let total = u32::try_from(split.segments.len()).unwrap_or(u32::MAX);
        if total > MAX_SEGMENTS {
            let name = self.workplace.source_name(job_id);
            let what = format!("{name}: {total} segments; allowed are {MAX_SEGMENTS}");
            return Err(MediaError::Input(what));
        }
        let workplace = self.workplace.clone();
        let job_id = job_id.clone();
        let segments = split.segments;
        Ok(Box::new(Prepared { workplace, job_id, mode, total, segments, _folder: folder }))
    }
}

fn cut(
    tools: &Tools,
    source: &Path,
    folder: &Path,
    settings: ChunkSettings,
    cancel: &CancellationToken,
) -> parallax_media::Result<(Vec<u64>, Split)> {
    let media = probe(tools, source, cancel)?;
    // Segments may lose the headers that tell.
    for lost in media.without_dynamic_hdr()? {
        tracing::warn!(lost, "the source's metadata");
    }
    if !settings.views_settled
        && let Some(views) = declared_views(tools, &media, cancel)?
    {
        return Err(already_stereoscopic(&media, &views));
    }
    if settings.rehearse {
        rehearse(tools, &media, folder, cancel)?;
    }
    let packets = scan(tools, &media, cancel)?;
    // Told once: here, where the film is cut.
    tools.damage.add(&packets.damage);
    let (unit, first) = (media.video.time_base, first_time(&packets));
    let packets = excerpt(packets, &media, &settings.excerpt)?;
    let most = settings.most.clamp(1, MAX_SEGMENTS);
    let plan = plan_segments_at(&packets, unit, settings.target, most, |places| {
        if packets.are_moved() {
            // A part of the file is found by the times that it stores.
            return Ok(None);
        }
        first_of_a_shot(tools, &media, &packets, places, cancel)
    })?;
    let split = split(tools, &media, &packets, &plan, folder, cancel)?;
    Ok((starts_ms(unit, first, &split.segments), split))
}

/// When segments begin, in milliseconds after the film's first frame, which is at `first`.
fn starts_ms(unit: TimeBase, first: i64, segments: &[SegmentFile]) -> Vec<u64> {
    let ms = |segment: &SegmentFile| unit.rescale(segment.start - first, 1000);
    segments.iter().map(|segment| u64::try_from(ms(segment)).unwrap_or(0)).collect()
}

/// Tries the streams of the final file (MP4), which is made when every segment is converted.
fn rehearse(
    tools: &Tools,
    media: &Media,
    folder: &Path,
    cancel: &CancellationToken,
) -> parallax_media::Result<()> {
    let pictures = folder.join("sample.mp4");
    // Who converts the segments, and to what, is not known here; any pictures will do.
    let settings = EncodeSettings { preset: "ultrafast".to_owned(), ..EncodeSettings::default() };
    let format = VideoFormat {
        width: 64,
        height: 64,
        pixels: PixelFormat::YUV420P,
        colour: media.video.format.colour.clone(),
    };
    if let Err(error) = sample(tools, &format, media.video.rate, &settings, &pictures, cancel) {
        if error.kind() != parallax_media::Kind::Tool {
            return Err(error);
        }
        tracing::warn!(%error, "the final file's streams cannot be tried here");
        return Ok(());
    }
    let scratch = Scratch { sample: &pictures, folder };
    let plan = MuxPlan::decide(tools, media, Some(Container::Mp4), scratch, cancel)?;
    for Dropped { index, codec, reason } in &plan.dropped {
        tracing::info!(stream = index, codec, reason, "a stream will be left out");
    }
    let _ = std::fs::remove_file(&pictures);
    Ok(())
}

/// Segments on disk, waiting to be published.
struct Prepared {
    workplace: Workplace,
    job_id: JobId,
    mode: Mode,
    total: u32,
    segments: Vec<SegmentFile>,
    _folder: TempDir,
}

#[async_trait]
impl Cut for Prepared {
    fn total(&self) -> u32 {
        self.total
    }

    async fn publish(&self, cancel: &CancellationToken) -> Result<(), MediaError> {
        let objects = &self.workplace.objects;
        for (index, file) in (0..self.total).zip(&self.segments) {
            let segment = Segment::new(self.job_id.clone(), index, self.total, self.mode)
                .map_err(|e| Error::new(Kind::Rejected, e.to_string()))?;
            let uri = self.workplace.input(&ObjectKey::Segment(segment))?;
            let there = unless_cancelled(cancel, objects.head(&uri)).await?;
            if there.is_none() {
                unless_cancelled(cancel, objects.upload(&file.path, &uri)).await?;
            }
        }
        Ok(())
    }
}
