//! Joining a job's results into its final object.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use parallax_job::{JobId, ObjectKey};
use parallax_media::{AssembleOptions, Assembled, Declaration, Excerpt, assemble, declared};
use parallax_ports::{Assembler, MediaError};
use tokio_util::sync::CancellationToken;

use crate::error::Error as ConversionError;
use crate::workplace::{Workplace, blocking, unless_cancelled};

/// An [`Assembler`] on real media.
///
/// Unless told otherwise it makes an MP4, as the final object's name says, and declares of its
/// pictures what the first result does.
#[derive(Clone)]
pub struct MediaAssembler {
    workplace: Workplace,
    declaration: Option<Declaration>,
    matroska: bool,
    without: BTreeSet<u32>,
    excerpt: Excerpt,
    observer: Arc<Observer>,
}

/// Called with what the final file holds.
type Observer = dyn Fn(&Assembled) + Send + Sync;

impl fmt::Debug for MediaAssembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaAssembler")
            .field("declaration", &self.declaration)
            .field("matroska", &self.matroska)
            .field("without", &self.without)
            .finish_non_exhaustive()
    }
}

impl MediaAssembler {
    /// An assembler.
    pub fn new(workplace: Workplace) -> Self {
        Self {
            workplace,
            declaration: None,
            matroska: false,
            without: BTreeSet::new(),
            excerpt: Excerpt::default(),
            observer: Arc::new(|_| ()),
        }
    }

    /// Sets what players are told of the pictures, and whether the content is Matroska.
    #[must_use]
    pub fn with_output(mut self, declaration: Declaration, matroska: bool) -> Self {
        (self.declaration, self.matroska) = (Some(declaration), matroska);
        self
    }

    /// Leaves streams of the source out, by their indices.
    #[must_use]
    pub fn without(mut self, streams: BTreeSet<u32>) -> Self {
        self.without = streams;
        self
    }

    /// Takes no more of the source than its results are of.
    #[must_use]
    pub fn of_excerpt(mut self, excerpt: Excerpt) -> Self {
        self.excerpt = excerpt;
        self
    }

    /// Has what became of every stream told to `observer`.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&Assembled) + Send + Sync + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }
}

#[async_trait]
impl Assembler for MediaAssembler {
    async fn assemble(
        &self,
        job_id: &JobId,
        total: u32,
        cancel: &CancellationToken,
    ) -> Result<(), MediaError> {
        let Workplace { tools, objects, .. } = &self.workplace;
        let folder = self.workplace.folder()?;
        let source = folder.path().join("source.mp4");
        let uri = self.workplace.input(&ObjectKey::Source(job_id.clone()))?;
        unless_cancelled(cancel, objects.download(&uri, &source)).await?;
        let mut results = Vec::new();
        for index in 0..total {
            let path = folder.path().join(format!("result-{index}.mp4"));
            let key = ObjectKey::Result { job_id: job_id.clone(), index };
            let uri = self.workplace.output(&key)?;
            unless_cancelled(cancel, objects.download(&uri, &path)).await?;
            results.push(path);
        }
        let out = folder.path().join(if self.matroska { "final.mkv" } else { "final.mp4" });
        let (tools, target) = (tools.clone(), out.clone());
        let told = self.declaration;
        let (without, excerpt) = (self.without.clone(), self.excerpt);
        let workplace = self.workplace.clone();
        let job = job_id.clone();
        // The folder goes along, so that it outlives the work even when this future is dropped.
        let joined = blocking(cancel, move |cancel| {
            let named = |file: &str| match file.strip_prefix("result-") {
                Some(rest) => {
                    let index = rest.split('.').next().and_then(|index| index.parse().ok());
                    let name = workplace.segment_name(&job, index.unwrap_or(0), total);
                    format!("the converted {name}")
                }
                None if file == "source.mp4" => workplace.source_name(&job),
                None => format!("the film made of {}", workplace.source_name(&job)),
            };
            let at = folder.path().to_owned();
            // Without being told, what the results declare of themselves is all that is known:
            // they may have been made anywhere.
            let declaration = match (told, results.first()) {
                (Some(declaration), _) => declaration,
                (None, Some(first)) => declared(&tools, first, &cancel)
                    .map_err(|error| ConversionError::from(error).naming(&at, named))?,
                (None, None) => Declaration::default(),
            };
            let options = AssembleOptions { declaration, without, excerpt };
            let report = assemble(&tools, &results, &source, &target, options, &cancel);
            report
                .map(|report| (folder, report))
                .map_err(|error| ConversionError::from(error).naming(&at, named))
        });
        let (_folder, report) = joined.await??;
        (self.observer)(&report);
        for dropped in &report.dropped {
            tracing::info!(%job_id, stream = dropped.index, codec = dropped.codec,
                reason = dropped.reason, "a stream of the source was left out");
        }
        for loss in &report.losses {
            let (what, reason) = (&loss.what, &loss.reason);
            tracing::info!(%job_id, what, reason, "something of the source was left out");
        }
        for warning in &report.warnings {
            tracing::warn!(%job_id, warning, "the final file's timing");
        }
        let uri = self.workplace.output(&ObjectKey::Final(job_id.clone()))?;
        unless_cancelled(cancel, objects.upload(&out, &uri)).await?;
        Ok(())
    }
}
