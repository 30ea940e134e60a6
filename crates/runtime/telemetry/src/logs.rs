//! Logs to standard error, for people or for machines.
//!
//! The machine's form is one JSON object per line, with the fields of every span around an event
//! beside the event's own: a query for one `job_id` finds every line about that job, whichever
//! span it was in. Inner fields win over outer ones.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt as subscriber};

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object per line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a format.
    #[error("log format {0:?}: allowed are \"text\" and \"json\"")]
    Format(String),
    /// Not a filter.
    #[error(
        "log filter {filter:?}: expected a level or target=level pairs, as in \"info,parallax_worker=debug\""
    )]
    Filter {
        /// The text.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before.
    #[error("logging was set up before")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(Error::Format(other.chars().take(32).collect())),
        }
    }
}

/// Libraries whose words below `info` hold what they send: keys, tokens, signatures. Whatever a filter says,
/// nobody sees those.
const QUIET: [&str; 5] = ["h2", "hyper", "hyper_util", "reqwest", "rustls"];
/// The beginning of the names of others.
const QUIET_FAMILY: &str = "aws_";

/// Whether what is said there at that level holds nothing that somebody sends.
fn may_be_heard(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    let quiet = library.starts_with(QUIET_FAMILY) || QUIET.contains(&library);
    !quiet || *metadata.level() <= Level::INFO
}

/// Sends this process's events to standard error, but for what libraries say of what they send. Once per
/// process.
///
/// # Errors
/// When the filter is not understood or logging was set up before.
pub fn init(format: Format, filter: &str) -> Result<(), Error> {
    let filter = parse(filter)?;
    match format {
        Format::Text => {
            let colours = std::io::stderr().is_terminal();
            let lines = subscriber().with_ansi(colours).with_writer(std::io::stderr);
            lines.with_env_filter(filter).finish().with(filter_fn(may_be_heard)).try_init()?;
        }
        Format::Json => json(filter, std::io::stderr).try_init()?,
    }
    Ok(())
}

/// A subscriber that writes JSON lines.
fn json(
    filter: EnvFilter,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync + 'static {
    let lines = subscriber().with_ansi(false).with_writer(writer);
    let lines = lines.fmt_fields(JsonFields::new()).event_format(Flat).with_env_filter(filter);
    lines.finish().with(filter_fn(may_be_heard))
}

fn parse(filter: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(filter).map_err(|source| Error::Filter { filter: filter.to_owned(), source })
}

/// One JSON object per event.
struct Flat;

impl<S> FormatEvent<S, JsonFields> for Flat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    JsonFields: for<'w> FormatFields<'w>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            let fields = fields.and_then(|fields| serde_json::from_str(&fields.fields).ok());
            if let Some(Value::Object(fields)) = fields {
                line.extend(fields);
            }
        }
        event.record(&mut Fields(&mut line));
        if let Some(span) = context.lookup_current() {
            line.insert("span".to_owned(), span.name().into());
        }
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        line.insert("timestamp".to_owned(), time.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// An event's fields, into a map.
struct Fields<'m>(&'m mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing::{Instrument, info, info_span, warn};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, work: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = json(parse(filter).unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, work);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    #[test]
    fn fields_of_spans_stand_beside_those_of_the_event() {
        let lines = logged("info", || {
            let job = info_span!("job", job_id = "j-1", attempt = 1, late = tracing::field::Empty);
            let _job = job.enter();
            job.record("late", "known now");
            let segment = info_span!("segment", segment_index = 7, attempt = 2);
            let _segment = segment.enter();
            info!(seconds = 1.5, ok = true, error = ?"it's \"so\"\n", "multi\nline {}", "漢");
        });
        let line = &lines[0];
        for (name, value) in [
            ("job_id", Value::from("j-1")),
            ("segment_index", 7.into()),
            ("attempt", 2.into()),
            ("late", "known now".into()),
            ("seconds", 1.5.into()),
            ("ok", true.into()),
            ("error", "\"it's \\\"so\\\"\\n\"".into()),
            ("message", "multi\nline 漢".into()),
            ("level", "INFO".into()),
            ("span", "segment".into()),
            ("target", "parallax_telemetry::logs::tests".into()),
        ] {
            assert_eq!(line[name], value, "{name} in {line}");
        }
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    }

    #[test]
    fn the_filter_decides_and_a_bad_one_is_named() {
        let lines = logged("warn", || {
            info!("quiet");
            warn!("loud");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "loud");
        let error = parse("info,worker=loudest").unwrap_err();
        assert!(error.to_string().contains("info,worker=loudest"), "{error}");
        assert!("xml".parse::<Format>().is_err());
        assert_eq!("json".parse::<Format>().unwrap(), Format::Json);
    }

    #[test]
    fn libraries_keep_what_they_send_to_themselves_whatever_the_filter_says() {
        let all = "trace,hyper=trace,aws_smithy_runtime::client=trace,[{job_id}]=trace";
        let lines = logged(all, || {
            let job = info_span!("job", job_id = "j-1");
            let _job = job.enter();
            for level in ["debug", "info"] {
                let said = |target: &str| format!("{level} of {target}");
                match level {
                    "debug" => {
                        tracing::debug!(target: "hyper::proto::h1", "{}", said("hyper"));
                        tracing::trace!(target: "aws_smithy_runtime::client", "{}", said("aws"));
                        tracing::trace!(target: "rustls", "{}", said("rustls"));
                        tracing::trace!(target: "hyperbole", "{}", said("others"));
                    }
                    _ => tracing::info!(target: "hyper::proto::h1", "{}", said("hyper")),
                }
            }
        });
        let told: Vec<&str> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(told, ["debug of others", "info of hyper"]);
    }

    #[tokio::test]
    async fn spans_follow_futures() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = json(parse("info").unwrap(), move || writer.clone());
        let _guard = tracing::subscriber::set_default(subscriber);
        let work = async {
            tokio::task::yield_now().await;
            info!("inside");
        };
        work.instrument(info_span!("segment", job_id = "j-2")).await;
        info!("outside");
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let of_job: Vec<bool> = text.lines().map(|line| line.contains("\"j-2\"")).collect();
        assert_eq!(of_job, [true, false]);
    }
}
