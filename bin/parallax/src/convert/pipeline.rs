//! The worker's ports for one job on this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use parallax_conversion::{
    ChunkSettings, EngineBackend, MediaAssembler, MediaChunker, Workplace, declaration,
};
use parallax_job::{JobId, JobStatus, ObjectEvent, ObjectKey, s3_notification};
use parallax_local::{Deployment, SqliteQueue};
use parallax_media::{probe, scan};
use parallax_ports::health::Beats;
use parallax_ports::ledger::{Job, SegmentState};
use parallax_ports::{Clock, Ids, Ledger, NoMetrics, ObjectStore, Queue, SystemClock};
use parallax_worker::{Config, Inbox, Pipeline, Ports};
use tokio_util::sync::CancellationToken;

use super::alarm::{Alarm, Alarmed};
use super::progress::Reporter;
use super::request::Request;
use super::state::State;

/// One job's queues, ledger, objects and loops.
#[derive(Debug)]
pub(crate) struct Embedded {
    pub(crate) local: Deployment,
    pub(crate) pipeline: Arc<Pipeline>,
    job_id: JobId,
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
        };
        let (told, watching, measuring) = (reporter.clone(), reporter.clone(), reporter.clone());
        let repeating = reporter.clone();
        let backend = EngineBackend::new(workplace.clone(), request.engine.clone())
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
            .with_retries(move |invocation, retry| {
                repeating.retry(invocation.segment.index, retry);
            });
        let told = reporter.clone();
        let assembler = MediaAssembler::new(workplace.clone())
            .with_output(declaration(request.layout), request.matroska())
            .with_observer(move |report| {
                for dropped in &report.dropped {
                    let (index, codec, reason) = (dropped.index, &dropped.codec, &dropped.reason);
                    told.warning(&format!("stream {index} ({codec}) is left out: {reason}"));
                }
                for kept in &report.kept {
                    if let Some(codec) = kept.converted_to {
                        let (index, from) = (kept.index, &kept.codec);
                        told.warning(&format!(
                            "stream {index} is converted from {from} to {codec}"
                        ));
                    }
                }
                report.warnings.iter().for_each(|warning| told.warning(warning));
            });
        let settings = ChunkSettings {
            target: Duration::from_secs(request.segment_seconds.into()),
            ..ChunkSettings::default()
        };
        let inbox = |name, queue: &Arc<SqliteQueue>| Inbox {
            name,
            queue: queue.clone(),
            dead_letters: Some(local.dead_letters.clone()),
        };
        let ports = Ports {
            ledger: local.ledger.clone(),
            objects: local.objects.clone(),
            segments: inbox("segments", &local.segments),
            output_events: inbox("output-events", &local.output_events),
            chunking: Some(inbox("chunking", &local.chunking)),
            reassembly: inbox("reassembly", &local.reassembly),
            backend: Arc::new(Alarmed(backend, alarm.clone())),
            chunker: Arc::new(Alarmed(
                MediaChunker::new(workplace.clone(), settings),
                alarm.clone(),
            )),
            assembler: Arc::new(Alarmed(assembler, alarm.clone())),
            metrics: Arc::new(NoMetrics),
            beats: Beats::default(),
            clock,
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
        let pipeline = Arc::new(Pipeline::new(ports, config)?);
        let job_id = state.job_id.clone();
        Ok(Self { local, pipeline, job_id })
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

    /// Frames in the segments that an earlier process completed.
    pub(crate) async fn done_frames(&self, request: &Request) -> Result<u64> {
        let mut frames = 0;
        for row in self.local.ledger.segments(&self.job_id).await? {
            if row.state != SegmentState::Done {
                continue;
            }
            let path = self.local.objects.path(&row.input)?;
            let tools = request.tools.clone();
            let count = tokio::task::spawn_blocking(move || {
                let cancel = CancellationToken::new();
                probe(&tools, &path, &cancel).and_then(|media| scan(&tools, &media, &cancel))
            });
            frames += count.await??.shown();
        }
        Ok(frames)
    }

    /// The file behind the job's final object.
    pub(crate) fn final_file(&self, job_id: &JobId) -> Result<PathBuf> {
        let uri = self.local.buckets.output.uri(&ObjectKey::Final(job_id.clone()))?;
        Ok(self.local.objects.path(&uri)?)
    }
}
