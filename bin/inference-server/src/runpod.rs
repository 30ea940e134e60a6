//! The operations as RunPod's jobs: taken from the platform, or asked for on this machine.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use axum::Router;
use futures::{Stream, stream};
use parallax_runpod::{
    Handler, Job, JobContext, JobError, Options, Output, Reply, Worker, dev, report_unhealthy,
};
use parallax_secret::{Given, Secret, one_line};
use parallax_serving::front::envelope::Envelope;
use parallax_serving::{Failure, Handle, Request, Service};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{Profile, ServiceName, Settings};

/// What a job asks for that names no operation, where conversion is offered and where only pictures are animated.
const DEFAULT_OPERATION: &str = "stereo";
const DEFAULT_OF_ANIMATE: &str = "animate";
/// What the platform lets its workers in by.
const KEY: &str = "RUNPOD_AI_API_KEY";
/// Time between two words about how far a job is.
const PROGRESS: Duration = Duration::from_secs(1);

/// Jobs, each of which is one request.
#[derive(Debug)]
struct Jobs {
    service: Arc<Service>,
    way: Way,
}

/// How jobs may ask.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// As an earlier service was asked, where its operations are offered.
    earlier: Option<Envelope>,
    /// Whether conversion is offered, which is meant where nothing is named.
    stereo: bool,
    /// Whether pictures are animated and nothing else is offered: it is answered as the service was that did so.
    animate: bool,
}

impl Way {
    fn of(settings: &Settings) -> Self {
        let earlier = settings.earlier_perception();
        let stereo = settings.offers(ServiceName::Stereo);
        let animate = settings.offers(ServiceName::Animate) && !stereo && earlier.is_none();
        Self { earlier, stereo, animate }
    }
}

#[async_trait]
impl Handler for Jobs {
    async fn run(&self, job: Job, context: JobContext) -> Result<Reply, JobError> {
        match self.answer(job, context).await {
            // The earlier service failed with a sentence, which its callers look for.
            Err(error) if self.way.animate => {
                let message = match error.error_type.as_str() {
                    "internal" => format!("Internal error: {}", error.message),
                    _ => error.message,
                };
                let error = Some(message.into());
                Ok(Output { value: json!({}), error, ..Output::default() }.into())
            }
            answer => answer,
        }
    }
}

impl Jobs {
    async fn answer(&self, job: Job, context: JobContext) -> Result<Reply, JobError> {
        let (operation, input) = self.way.asked(job.input)?;
        if self.way.animate && self.service.registry().name(&operation).is_none() {
            let shown: String = operation.chars().filter(|c| !c.is_control()).take(64).collect();
            let message = format!("Unknown operation: {shown}. Supported: segment, animate");
            return Err(JobError::new("invalid", message));
        }
        let client = "runpod".to_owned();
        let in_parts = self.service.registry().tells_parts(&operation);
        let request = Request { operation, input, id: Some(job.id), client };
        let handle = self.service.submit(request).await.map_err(failed)?;
        if in_parts {
            return Ok(Reply::parts(parts(handle, context)));
        }
        let mut progress = handle.progress();
        let mut ticks = interval(PROGRESS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                outcome = handle.outcome() => {
                    return outcome.map(|value| Output::new(value).into()).map_err(failed);
                }
                // Dropping the handle leaves the run, which ends unless somebody else waits for it.
                () = context.cancelled().cancelled() => return Err(failed(Failure::cancelled())),
                _ = ticks.tick() => {
                    if progress.has_changed().unwrap_or(false) {
                        context.progress(json!(*progress.borrow_and_update()));
                    }
                }
            }
        }
    }
}

/// What an operation tells before its answer, then `{"result": …}` with the answer.
fn parts(
    handle: Handle,
    context: JobContext,
) -> impl Stream<Item = Result<Value, JobError>> + Send + 'static {
    let parts = handle.parts();
    stream::unfold(Some((handle, context, 0)), move |state| {
        let parts = parts.clone();
        async move {
            let (handle, context, number) = state?;
            let next = context.cancelled().run_until_cancelled(parts.get(number)).await;
            match next {
                Some(Some(part)) => Some((Ok(part), Some((handle, context, number + 1)))),
                Some(None) => {
                    let answer = handle.outcome().await.map_err(failed);
                    Some((answer.map(|answer| json!({ "result": answer })), None))
                }
                None => Some((Err(failed(Failure::cancelled())), None)),
            }
        }
    })
}

impl Way {
    /// The operation that a job names, and its input without that name.
    fn asked(&self, input: Value) -> Result<(String, Value), JobError> {
        let Value::Object(mut fields) = input else {
            return Err(JobError::new("invalid", "input: expected an object"));
        };
        if let Some(earlier) = &self.earlier
            && (!self.stereo || fields.contains_key("data"))
        {
            let operation = fields.remove("operation");
            // Both `data` and what lies beside the operation's name are known.
            let data = fields.remove("data").unwrap_or(Value::Object(fields));
            let whole = json!({ "operation": operation, "data": data });
            return earlier.open(whole).map_err(failed);
        }
        let operation = match fields.remove("operation") {
            None if self.animate => DEFAULT_OF_ANIMATE.to_owned(),
            None => DEFAULT_OPERATION.to_owned(),
            Some(Value::String(name)) => name,
            Some(_) => {
                let message = "operation: expected the name of an operation";
                return Err(JobError::new("invalid", message));
            }
        };
        Ok((operation, Value::Object(fields)))
    }
}

fn failed(failure: Failure) -> JobError {
    JobError::new(failure.kind.as_str(), failure.message)
}

/// This process as a worker of the platform.
#[derive(Debug)]
pub(crate) struct Platform {
    settings: parallax_runpod::Settings,
    worker: Worker,
}

impl Platform {
    /// The platform that the environment names; `None` for other profiles and elsewhere.
    ///
    /// # Errors
    /// Names the variable that cannot work.
    pub(crate) fn of(settings: &Settings, service: &Arc<Service>) -> Result<Option<Self>> {
        if settings.profile != Profile::Runpod {
            return Ok(None);
        }
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (value, file) = (read(KEY).map(Secret::new), read("RUNPOD_AI_API_KEY_FILE"));
        let key = Given::new(KEY, value, file.map(Into::into), one_line)?;
        let found = parallax_runpod::Settings::from_env(|name| match (name, &key) {
            (KEY, Some(key)) => Some(key.now().expose().to_owned()),
            _ => read(name),
        })?;
        let Some(found) = found else { return Ok(None) };
        let options = Options { drain: settings.drain(), ..Options::default() };
        let jobs = Jobs { service: service.clone(), way: Way::of(settings) };
        let worker = Worker::new(found.clone(), options, Arc::new(jobs))?;
        Ok(Some(Self { settings: found, worker }))
    }
}

/// Waits for `load`, then takes jobs until `rest` is cancelled; without a platform it only waits.
/// Cancels `rested` when it is done.
///
/// # Errors
/// As `load`, and when the worker ends by itself.
pub(crate) async fn work(
    platform: Option<Platform>,
    load: impl Future<Output = Result<()>>,
    rest: CancellationToken,
    rested: CancellationToken,
) -> Result<()> {
    let _rested = rested.drop_guard();
    let loaded = tokio::select! {
        loaded = load => loaded,
        () = rest.cancelled() => return Ok(()),
    };
    let Some(Platform { settings, worker }) = platform else { return loaded };
    if let Err(error) = loaded {
        report_unhealthy(&settings, "models", &format!("{error:#}")).await;
        return Err(error);
    }
    info!("taking jobs of the platform");
    let ended = worker.run(rest.clone()).await.context("send heartbeats")?;
    if !ended.left.is_empty() {
        warn!(jobs = ?ended.left, "not finished in time; the platform was told nothing about them");
    }
    if !rest.is_cancelled() {
        bail!("the platform's worker ended: {:?}", ended.reason);
    }
    Ok(())
}

/// The platform's client API over the same operations, for development on one machine.
pub(crate) fn development(settings: &Settings, service: &Arc<Service>) -> Router {
    let execution = Duration::from_secs(settings.run_limit_seconds);
    let limits = dev::Limits { execution, ..dev::Limits::default() };
    let jobs = Jobs { service: service.clone(), way: Way::of(settings) };
    dev::router(Arc::new(jobs), limits, CancellationToken::new())
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use parallax_ports::NoMetrics;
    use parallax_ports::health::{Beats, Flags};
    use parallax_serving::{
        Call, Cost, Executor, ExecutorSettings, ModelPool, Operation, Readiness, Registry,
        ServiceSettings,
    };

    use super::*;

    /// Tells two parts, and fails where it is asked to.
    #[derive(Debug)]
    struct Two;

    #[async_trait]
    impl Operation for Two {
        type Request = Value;
        type Plan = bool;
        type Part = u32;
        type Response = Value;

        fn name(&self) -> &'static str {
            "two"
        }

        fn summary(&self) -> &'static str {
            "Counts."
        }

        fn plan(&self, request: Value) -> Result<bool, Failure> {
            Ok(request["fails"] == true)
        }

        fn cost(&self, _: &bool) -> Cost {
            Cost::LIGHT
        }

        async fn run(&self, fails: bool, call: &Call) -> Result<Value, Failure> {
            call.emit::<Self>(&1)?;
            call.emit::<Self>(&2)?;
            if fails { Err(Failure::internal("asked for")) } else { Ok(json!({ "sum": 3 })) }
        }
    }

    #[tokio::test]
    async fn parts_are_streamed_and_the_answer_comes_last() {
        let beat = Beats::default().register("executor", Duration::from_secs(60));
        let (slots, metrics) = (ExecutorSettings::default(), Arc::new(NoMetrics));
        let executor = Executor::start(slots, ModelPool::new(0), metrics.clone(), beat).unwrap();
        let (readiness, limits) = (Readiness::new(Flags::default()), ServiceSettings::default());
        let registry = Registry::default().with(Two);
        let service = Service::new(registry, executor, readiness, metrics, limits);
        let jobs = Jobs { service, way: Way { earlier: None, stereo: true, animate: false } };
        for fails in [false, true] {
            let input = json!({ "operation": "two", "fails": fails });
            let job = serde_json::from_value(json!({ "id": "a", "input": input })).unwrap();
            let Ok(Reply::Parts(parts)) = jobs.run(job, JobContext::default()).await else {
                panic!("it is told in parts");
            };
            let told: Vec<Result<Value, String>> =
                parts.map(|part| part.map_err(|error| error.error_type)).collect().await;
            let last = if fails {
                Err("internal".to_owned())
            } else {
                Ok(json!({ "result": { "sum": 3 } }))
            };
            assert_eq!(told, [Ok(json!(1)), Ok(json!(2)), last]);
        }
    }

    #[test]
    fn a_job_names_its_operation_or_means_stereo() {
        let asked = |input| Way { earlier: None, stereo: true, animate: false }.asked(input);
        let (operation, input) = asked(json!({"mode": "sbs"})).unwrap();
        assert_eq!((operation.as_str(), input), ("stereo", json!({"mode": "sbs"})));
        let (operation, input) = asked(json!({"operation": "loop", "times": 2})).unwrap();
        assert_eq!((operation.as_str(), input), ("loop", json!({"times": 2})));
        for wrong in [json!([]), json!("stereo"), json!({"operation": 7})] {
            assert_eq!(asked(wrong).unwrap_err().error_type, "invalid");
        }
    }

    #[test]
    fn where_only_pictures_are_animated_a_job_that_names_nothing_means_that() {
        let asked = |input| Way { earlier: None, stereo: false, animate: true }.asked(input);
        let flat = json!({ "image_url": "x" });
        assert_eq!(asked(flat.clone()).unwrap(), ("animate".to_owned(), flat));
        assert_eq!(asked(json!({ "operation": "segment" })).unwrap().0, "segment");
    }

    #[test]
    fn a_job_may_ask_as_the_earlier_service_was_asked() {
        let earlier = Some(parallax_perception::ENVELOPE);
        let both = |input| Way { earlier, stereo: true, animate: false }.asked(input).unwrap();
        let alone = |input| Way { earlier, stereo: false, animate: false }.asked(input).unwrap();
        let whole = json!({ "operation": "health", "data": {} });
        for way in [both(whole.clone()), alone(whole), alone(json!({}))] {
            assert_eq!(way, ("perception_health".to_owned(), json!({})));
        }
        let flat = json!({ "operation": "embed_image", "image_base64": "x" });
        let wanted = ("embed_image".to_owned(), json!({ "image_base64": "x" }));
        assert_eq!((both(flat.clone()), alone(flat)), (wanted.clone(), wanted));
        assert_eq!(both(json!({ "mode": "sbs" })).0, "stereo");
        let unknown =
            Way { earlier, stereo: false, animate: false }.asked(json!({ "operation": "dance" }));
        assert_eq!(unknown.unwrap_err().error_type, "invalid");
    }
}
