//! Backends and media work that need no cloud: what every platform opens in the same way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use parallax_backends::{Http, Stub, http};
use parallax_conversion::{EngineBackend, Workplace};
use parallax_engine_spec::Choices;
use parallax_job::Buckets;
use parallax_media::Tools;
use parallax_ports::{InferenceBackend, ObjectStore};
use parallax_worker::{Role, Roles};

use crate::backend::Backend;
use crate::config::{Platform, Settings};

/// Whether a place for intermediate files is needed: a read-only root has none.
///
/// # Errors
/// When the platform is in doubt.
pub(crate) fn needs_scratch(settings: &Settings) -> Result<bool> {
    let local = settings.platform()? == Platform::Local;
    Ok(local || has_media_work(settings, settings.roles.as_ref()))
}

fn has_media_work(settings: &Settings, roles: Option<&Roles>) -> bool {
    let engine = matches!(settings.inference_backend, Backend::Engine(_));
    engine || roles.is_some_and(|r| r.has(Role::Chunking) || r.has(Role::Reassembly))
}

/// Where media work is done. ffmpeg must be there only for those who do some.
pub(super) fn workplace(
    settings: &Settings,
    roles: &Roles,
    objects: Arc<dyn ObjectStore>,
    buckets: &Buckets,
    scratch: &Path,
) -> Result<Option<Workplace>> {
    if !has_media_work(settings, Some(roles)) {
        return Ok(None);
    }
    let tools = Tools::find().context("chunking, reassembly and engines in the process need it")?;
    let tools = tools.for_film(settings.damaged);
    let scratch: PathBuf = scratch.to_owned();
    Ok(Some(Workplace { tools, objects, buckets: buckets.clone(), scratch, film: None }))
}

/// A backend that needs no cloud.
pub(super) fn backend(
    settings: &Settings,
    objects: &Arc<dyn ObjectStore>,
    workplace: Option<&Workplace>,
) -> Result<Arc<dyn InferenceBackend>> {
    match settings.inference_backend {
        Backend::Stub => Ok(Arc::new(Stub::new(objects.clone()))),
        Backend::Engine(spec) => {
            let workplace = workplace.context("INFERENCE_BACKEND: engines need ffmpeg")?;
            let engine = (spec.select)(&Choices::default())
                .and_then(|engine| engine.prepare(None))
                .and_then(|prepared| prepared.open())
                .context("INFERENCE_BACKEND")?;
            Ok(Arc::new(EngineBackend::new(workplace.clone(), engine)))
        }
        Backend::Http => {
            let urls = settings.http.inference_http_url.clone();
            if urls.is_empty() {
                bail!("INFERENCE_HTTP_URL is not set: INFERENCE_BACKEND=http needs it");
            }
            let asked = &settings.http;
            let answer = asked.inference_http_answer_seconds;
            let total = asked.inference_http_total_seconds.unwrap_or(answer + 60);
            if total < answer {
                bail!(
                    "INFERENCE_HTTP_TOTAL_SECONDS {total}: at least INFERENCE_HTTP_ANSWER_SECONDS, \
                     which is {answer}"
                );
            }
            let http = http::Settings {
                urls,
                token: asked.token()?,
                allow_plain: asked.inference_http_allow_plain,
                connect_limit: Duration::from_secs(asked.inference_http_connect_seconds),
                answer_limit: Duration::from_secs(answer),
                progress_limit: Duration::from_secs(asked.inference_http_progress_seconds),
                total_limit: Duration::from_secs(total),
            };
            Ok(Arc::new(Http::new(&http).context("INFERENCE_HTTP_URL")?))
        }
        Backend::Sagemaker => bail!("INFERENCE_BACKEND=sagemaker needs PLATFORM=aws"),
    }
}
