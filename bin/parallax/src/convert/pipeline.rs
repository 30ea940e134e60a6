//! The worker's ports for one job on this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use parallax_conversion::{
    ChunkSettings, EngineBackend, Film, MediaAssembler, MediaChunker, Workplace, declaration,
};
use parallax_job::{JobId, JobStatus, ObjectEvent, ObjectKey, Segment, Uri, s3_notification};
use parallax_local::{Deployment, SqliteQueue};
use parallax_media::{DamageLog, WholeFilm, probe, scan, show_path};
use parallax_ports::health::{Beats, Flags};
use parallax_ports::ledger::{Job, SegmentRow, SegmentState};
use parallax_ports::{
    Assembler, Clock, Error, Ids, Kind, Ledger, MediaError, NoMetrics, ObjectStore, Queue,
    SystemClock,
};
use parallax_worker::{Config, Done, Inbox, Operator, Pipeline, Ports, Redrive, Step, redrive};
use tokio_util::sync::CancellationToken;

use super::alarm::{Alarm, Alarmed};
use super::pieces;
use super::progress::Reporter;
use super::request::Request;
use super::state::{Mark, State};
use super::stream_report;

/// An assembler that marks what it has made.
#[derive(Debug)]
struct Marked<A>(A, Mark);

#[async_trait]
impl<A: Assembler> Assembler for Marked<A> {
    async fn assemble(
        &self,
        job_id: &JobId,
        total: u32,
        cancel: &CancellationToken,
    ) -> std::result::Result<(), MediaError> {
        let failed = |error: anyhow::Error| Error::new(Kind::Unavailable, format!("{error:#}"));
        self.1.take_away().map_err(failed)?;
        self.0.assemble(job_id, total, cancel).await?;
        Ok(self.1.set().map_err(failed)?)
    }
}

/// The engine of a request, which tells `reporter` what it does.
fn backend(request: &Request, workplace: &Workplace, reporter: &Arc<Reporter>) -> EngineBackend {
    let (told, watching, measuring) = (reporter.clone(), reporter.clone(), reporter.clone());
    let mending = reporter.clone();
    let repeating = reporter.clone();
    EngineBackend::new(workplace.clone(), request.engine.clone())
        .with_geometry(request.geometry, request.seed)
        .with_output(request.layout, request.encode.clone())
        .with_rendering(request.rendering)
        .with_staging(request.staging)
        .with_pictures(request.pictures, request.full_chroma)
        .with_observer(move |invocation, progress| {
            told.frames(invocation.segment.index, progress.frames);
        })
        .with_stages(move |invocation, stage, frames| {
            watching.stage(invocation.segment.index, stage, frames);
        })
        .with_shots(move |invocation, shot| measuring.shot(invocation.segment.index, shot))
        .with_film(WholeFilm { pictures: request.frames, damage: DamageLog::default() })
        .with_damage(move |invocation, frames, damage| {
            mending.segment_damage(invocation.segment.index, frames, damage);
        })
        .with_retries(move |invocation, retry| {
            repeating.piece_again(invocation.segment.index, retry);
        })
}

/// What cuts the film.
fn chunker(request: &Request, workplace: &Workplace, reporter: &Arc<Reporter>) -> MediaChunker {
    let settings = ChunkSettings {
        target: Duration::from_secs(request.segment_seconds.into()),
        // That was the first thing done.
        rehearse: false,
        views_settled: true,
        excerpt: request.excerpt,
        ..ChunkSettings::default()
    };
    let cutting = reporter.clone();
    MediaChunker::new(workplace.clone(), settings)
        .with_damage(move |damage| cutting.film_damage(damage))
}

/// What joins the results.
fn assembler(request: &Request, workplace: &Workplace, reporter: &Arc<Reporter>) -> MediaAssembler {
    let (told, announced) = (reporter.clone(), request.streams.clone());
    MediaAssembler::new(workplace.clone())
        .with_output(declaration(request.layout), request.matroska())
        .without(request.without.clone())
        .of_excerpt(request.excerpt)
        .with_observer(move |report| stream_report::conclude(&announced, report, &told))
}

/// One job's queues, ledger, objects and loops.
#[derive(Debug)]
pub(crate) struct Embedded {
    pub(crate) local: Deployment,
    pub(crate) pipeline: Arc<Pipeline>,
    assembler: Arc<dyn Assembler>,
    job_id: JobId,
    /// Tries of a segment.
    pub(crate) tries: u32,
}

impl Embedded {
    /// Opens everything below the state folder and repairs what a killed process left.
    pub(crate) async fn open(
        request: &Request,
        state: &State,
        reporter: &Arc<Reporter>,
        alarm: &Alarm,
    ) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let local = Deployment::open(&state.dir, "input", "output", clock.clone()).await?;
        local.recover(&state.dir).await?;
        let workplace = Workplace {
            tools: request.tools.clone(),
            objects: local.objects.clone(),
            buckets: local.buckets.clone(),
            scratch: state.scratch()?,
            film: Some(Film { name: show_path(&request.input), notes: state.notes() }),
        };
        let backend = backend(request, &workplace, reporter);
        let chunker = chunker(request, &workplace, reporter);
        let assembler = Marked(assembler(request, &workplace, reporter), state.mark(request));
        let assembler: Arc<dyn Assembler> = Arc::new(Alarmed(assembler, alarm.clone()));
        let inbox = |name, queue: &Arc<SqliteQueue>| Inbox {
            name,
            queue: queue.clone(),
            dead_letters: Some(local.dead_letters.clone()),
            max_receives: None,
        };
        let ports = Ports {
            ledger: local.ledger.clone(),
            turns: None,
            switches: None,
            objects: local.objects.clone(),
            segments: inbox("segments", &local.segments),
            output_events: inbox("output-events", &local.output_events),
            chunking: Some(inbox("chunking", &local.chunking)),
            reassembly: inbox("reassembly", &local.reassembly),
            backend: Arc::new(Alarmed(backend, alarm.clone())),
            chunker: Arc::new(Alarmed(chunker, alarm.clone())),
            assembler: assembler.clone(),
            metrics: Arc::new(NoMetrics),
            beats: Beats::default(),
            flags: Flags::default(),
            clock,
            clocks: Vec::new(),
            ids: Arc::new(Ids::random()),
        };
        let config = Config {
            max_in_flight: request.jobs,
            poll_wait: Duration::from_millis(500),
            sweep: Duration::from_secs(1),
            unattended: Duration::from_secs(3),
            drain: Duration::from_secs(10),
            ..Config::embedded(local.buckets.clone())
        };
        let tries = config.max_failures;
        let pipeline = Arc::new(Pipeline::new(ports, config)?);
        let job_id = state.job_id.clone();
        Ok(Self { local, pipeline, assembler, job_id, tries })
    }

    /// Sets a job going again of which a segment was given up. The number of segments of one that
    /// is complete, but was joined otherwise than is asked for now: [`Self::join`] is needed.
    pub(crate) async fn take_up(&self, mark: &Mark) -> Result<Option<u32>> {
        let job = self.local.ledger.job(&self.job_id).await?.context("the job was not recorded")?;
        if !mark.is_there() {
            // A final file is taken as proof that the job is complete, whatever it was joined as.
            let uri = self.local.buckets.output.uri(&ObjectKey::Final(self.job_id.clone()))?;
            self.local.objects.delete(&uri).await?;
        }
        match job.status {
            JobStatus::Failed => self.reopen().await.map(|()| None),
            JobStatus::Completed if !mark.is_there() => Ok(job.total_segments),
            _ => Ok(None),
        }
    }

    /// Joins the results, all of which are there.
    pub(crate) async fn join(&self, total: u32, cancel: &CancellationToken) -> Result<()> {
        Ok(self.assembler.assemble(&self.job_id, total, cancel).await?)
    }

    async fn reopen(&self) -> Result<()> {
        let local = &self.local;
        let operator = Operator {
            ledger: local.ledger.clone(),
            switches: local.ledger.clone(),
            pool: "this state folder".to_owned(),
            objects: local.objects.clone(),
            listing: local.objects.clone(),
            buckets: local.buckets.clone(),
            segments: local.segments.clone(),
            output_events: local.output_events.clone(),
            chunking: Some(local.chunking.clone()),
            reassembly: local.reassembly.clone(),
            dead_letters: Vec::new(),
        };
        let job = Some(self.job_id.clone());
        let asked = Redrive { job, queue: None, limit: 0, dry_run: false };
        let mut refused = None;
        let mut tell = |step: Step| {
            if step.done == Done::Refused {
                refused = Some(step.why);
            }
        };
        redrive(&operator, &asked, SystemClock.now(), &mut tell).await?;
        match refused {
            None => Ok(()),
            Some(why) => bail!("cannot be continued: {why}; pass --restart to start over"),
        }
    }

    /// Bytes of the results that `rows` tell of, and what share of the film they are.
    pub(crate) fn results(&self, rows: &[SegmentRow]) -> Result<(u64, f64)> {
        let size = |uri: &Uri| -> Result<u64> {
            Ok(std::fs::metadata(self.local.objects.path(uri)?).map_or(0, |meta| meta.len()))
        };
        let done = || rows.iter().filter(|row| row.state == SegmentState::Done);
        let (mut made, mut of, mut all) = (0, 0, 0);
        for row in done() {
            made += size(&row.output)?;
            of += size(&row.input)?;
        }
        let Some(first) = done().next() else { return Ok((0, 0.0)) };
        for index in 0..first.segment.total {
            let key = ObjectKey::Segment(Segment { index, ..first.segment.clone() });
            all += size(&self.local.buckets.input.uri(&key)?)?;
        }
        Ok((made, of as f64 / all.max(1) as f64))
    }

    /// Segments that are converted, and all of them once that is known.
    pub(crate) async fn converted(&self) -> Result<(usize, Option<u32>)> {
        let ledger = &self.local.ledger;
        let total = ledger.job(&self.job_id).await?.and_then(|job| job.total_segments);
        let rows = ledger.segments(&self.job_id).await?;
        Ok((rows.iter().filter(|row| row.state == SegmentState::Done).count(), total))
    }

    /// Puts the source in its place and asks for it to be cut, unless that was done before.
    pub(crate) async fn begin(&self, request: &Request) -> Result<()> {
        let job = Job::new(self.job_id.clone(), request.mode(), SystemClock.now());
        self.local.ledger.create_job(&job).await?;
        let job = self.local.ledger.job(&self.job_id).await?.context("the job was not recorded")?;
        if job.status >= JobStatus::ChunkingComplete {
            return Ok(());
        }
        let key = ObjectKey::Source(self.job_id.clone());
        let uri = self.local.buckets.input.uri(&key)?;
        if self.local.objects.head(&uri).await?.is_none() {
            // Raises the event by itself.
            self.local.objects.upload(&request.input, &uri).await?;
            return Ok(());
        }
        let event = ObjectEvent {
            bucket: self.local.buckets.input.name().to_owned(),
            key: key.to_string(),
            size: None,
        };
        self.local.chunking.send(&s3_notification(&[event]), &[]).await?;
        Ok(())
    }

    /// Frames in the segments that an earlier process completed; each is told to `reporter`. One
    /// whose result cannot be joined any more is taken back, aloud.
    pub(crate) async fn done_frames(
        &self,
        request: &Request,
        state: &State,
        mark: &Mark,
        reporter: &Reporter,
    ) -> Result<u64> {
        let job = self.local.ledger.job(&self.job_id).await?.context("the job was not recorded")?;
        let joined = job.status == JobStatus::Completed && mark.is_there();
        let mut frames = 0;
        for row in self.local.ledger.segments(&self.job_id).await? {
            if row.state != SegmentState::Done {
                continue;
            }
            if !joined && Some(row.segment.total) == job.total_segments {
                let (tools, path) = (request.tools.clone(), self.local.objects.path(&row.output)?);
                let damage = tokio::task::spawn_blocking(move || pieces::damage(&tools, &path));
                if let Some(why) = damage.await?? {
                    self.convert_again(&row, state).await?;
                    let (number, total) = (row.segment.index + 1, row.segment.total);
                    reporter.warning(&format!(
                        "segment {number} of {total} was converted, but {why}: it is converted again"
                    ));
                    continue;
                }
            }
            let path = self.local.objects.path(&row.input)?;
            let tools = request.tools.clone();
            let count = tokio::task::spawn_blocking(move || {
                let cancel = CancellationToken::new();
                probe(&tools, &path, &cancel).and_then(|media| scan(&tools, &media, &cancel))
            });
            let count = count.await??.shown();
            reporter.done_before(row.segment.index, count);
            frames += count;
        }
        Ok(frames)
    }

    /// Has a completed segment, whose result is damaged, done once more.
    async fn convert_again(&self, row: &SegmentRow, state: &State) -> Result<()> {
        let local = &self.local;
        // What is there would be taken for the new result.
        local.objects.delete(&row.output).await?;
        local.ledger.redo_as_sole_owner(&state.dir, &row.segment, SystemClock.now()).await?;
        // The sweep would find it as well, later.
        let event = ObjectEvent {
            bucket: local.buckets.input.name().to_owned(),
            key: ObjectKey::Segment(row.segment.clone()).to_string(),
            size: None,
        };
        local.segments.send(&s3_notification(&[event]), &[]).await?;
        Ok(())
    }

    /// The file behind the job's final object.
    pub(crate) fn final_file(&self, job_id: &JobId) -> Result<PathBuf> {
        let uri = self.local.buckets.output.uri(&ObjectKey::Final(job_id.clone()))?;
        Ok(self.local.objects.path(&uri)?)
    }
}
