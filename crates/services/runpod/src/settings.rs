//! What the platform says in environment variables.

use std::time::Duration;

use parallax_secret::Secret;
use reqwest::header::HeaderValue;

use crate::job::plain_id;
use crate::settings_error::SettingsError;
use crate::template::Template;

/// Heartbeats when the platform does not say how often.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How often the platform may ask for heartbeats, in milliseconds.
const PING_RANGE_MS: std::ops::RangeInclusive<u64> = 1000..=600_000;

/// The value of `Authorization`: the key as it is, without a scheme.
pub(crate) fn authorization(key: &Secret) -> Result<HeaderValue, SettingsError> {
    let visible = !key.expose().is_empty() && key.expose().bytes().all(|b| b.is_ascii_graphic());
    let value = HeaderValue::from_str(key.expose()).ok().filter(|_| visible);
    let why = "RUNPOD_AI_API_KEY: only visible ASCII characters are allowed, at least one";
    let mut value = value.ok_or_else(|| SettingsError::new(why))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Where the platform is and who this worker is to it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `RUNPOD_WEBHOOK_GET_JOB`: jobs are taken here; `$ID` stands for the worker.
    pub take: Template,
    /// `RUNPOD_WEBHOOK_POST_OUTPUT`: results and progress go here; `$ID` stands for the job.
    pub output: Template,
    /// `RUNPOD_WEBHOOK_POST_STREAM`: parts go here. Without it they are gathered in the result.
    pub stream: Option<Template>,
    /// `RUNPOD_WEBHOOK_PING`: heartbeats go here. Without it there are none.
    pub ping: Option<Template>,
    /// `RUNPOD_PING_INTERVAL`, there in milliseconds. Defaults to 10 s.
    pub ping_interval: Duration,
    /// `RUNPOD_AI_API_KEY`.
    pub key: Secret,
    /// `RUNPOD_POD_ID`: this worker's id. Defaults to a random one, without heartbeats.
    pub worker_id: String,
    /// `RUNPOD_POD_HOSTNAME`: stands in error reports. Defaults to `unknown`.
    pub hostname: String,
}

impl Settings {
    /// Reads the platform's variables through `get`; `None` where `RUNPOD_WEBHOOK_GET_JOB` is not
    /// set, that is, outside the platform. An empty variable counts as not set.
    ///
    /// # Errors
    /// Names the variable, what was found, unless it is secret, and what is allowed.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, SettingsError> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let Some(take) = get("RUNPOD_WEBHOOK_GET_JOB") else { return Ok(None) };
        let pod = get("RUNPOD_POD_ID");
        if let Some(id) = pod.as_deref().filter(|id| !plain_id(id)) {
            let shown: String = id.chars().take(64).collect();
            let allowed = "allowed are 1 to 256 visible ASCII characters";
            return Err(SettingsError::new(format!("RUNPOD_POD_ID {shown:?}: {allowed}")));
        }
        let known = pod.is_some();
        let worker = pod.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let template = |name: &str, value: &str| Template::parse(name, value, &worker);
        let of_jobs = |name: &str, value: &str| {
            let template = template(name, value)?;
            let why = "a place for the job is missing: $ID";
            let named = template.names_job();
            named.then_some(template).ok_or_else(|| SettingsError::new(format!("{name}: {why}")))
        };
        let missing =
            |name: &str| SettingsError::new(format!("{name}: missing; the platform sets it"));
        let output = "RUNPOD_WEBHOOK_POST_OUTPUT";
        let output = of_jobs(output, &get(output).ok_or_else(|| missing(output))?)?;
        let stream = "RUNPOD_WEBHOOK_POST_STREAM";
        let stream = get(stream).map(|value| of_jobs(stream, &value)).transpose()?;
        let ping = "RUNPOD_WEBHOOK_PING";
        let ping = get(ping).map(|value| template(ping, &value)).transpose()?;
        let key = get("RUNPOD_AI_API_KEY").ok_or_else(|| missing("RUNPOD_AI_API_KEY"))?;
        let key = Secret::new(key);
        authorization(&key)?;
        Ok(Some(Self {
            take: template("RUNPOD_WEBHOOK_GET_JOB", &take)?,
            output,
            stream,
            ping: ping.filter(|_| known),
            ping_interval: get("RUNPOD_PING_INTERVAL").map_or(Ok(PING_INTERVAL), interval)?,
            key,
            worker_id: worker,
            hostname: get("RUNPOD_POD_HOSTNAME").unwrap_or_else(|| "unknown".to_owned()),
        }))
    }
}

fn interval(text: String) -> Result<Duration, SettingsError> {
    let number = text.trim().parse().ok().filter(|ms| PING_RANGE_MS.contains(ms));
    number.map(Duration::from_millis).ok_or_else(|| {
        let shown: String = text.chars().take(32).collect();
        let allowed = "allowed are 1000 to 600000 milliseconds";
        SettingsError::new(format!("RUNPOD_PING_INTERVAL {shown:?}: {allowed}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const GOOD: [(&str, &str); 7] = [
        ("RUNPOD_WEBHOOK_GET_JOB", "https://api.example/v2/ep/job-take/$ID?gpu=x&t=canary"),
        ("RUNPOD_WEBHOOK_POST_OUTPUT", "https://api.example/job-done/$RUNPOD_POD_ID/$ID?gpu=x"),
        ("RUNPOD_WEBHOOK_POST_STREAM", "https://api.example/job-stream/$RUNPOD_POD_ID/$ID?gpu=x"),
        ("RUNPOD_WEBHOOK_PING", "https://api.example/ping/$RUNPOD_POD_ID?gpu=x"),
        ("RUNPOD_PING_INTERVAL", "1500"),
        ("RUNPOD_AI_API_KEY", "canary-key"),
        ("RUNPOD_POD_ID", "pod-1"),
    ];

    fn read(changes: &[(&'static str, &'static str)]) -> Result<Option<Settings>, SettingsError> {
        let mut variables = BTreeMap::from(GOOD);
        variables.extend(changes.iter().copied());
        Settings::from_env(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn the_platforms_variables_are_read() {
        let settings = read(&[]).unwrap().unwrap();
        assert_eq!(settings.ping_interval, Duration::from_millis(1500));
        assert_eq!(settings.worker_id, "pod-1");
        assert_eq!(settings.hostname, "unknown");
        let output = settings.output.url("j").unwrap();
        assert_eq!(output.as_str(), "https://api.example/job-done/pod-1/j?gpu=x");
        let settings =
            read(&[("RUNPOD_PING_INTERVAL", ""), ("RUNPOD_POD_ID", "")]).unwrap().unwrap();
        assert_eq!(settings.ping_interval, PING_INTERVAL);
        assert_eq!(settings.worker_id.len(), 32);
        assert_eq!(settings.ping, None, "nobody knows this worker");
        assert!(read(&[("RUNPOD_WEBHOOK_GET_JOB", "")]).unwrap().is_none(), "not on the platform");
    }

    #[test]
    fn each_bad_variable_is_named_once() {
        for (name, value) in [
            ("RUNPOD_WEBHOOK_GET_JOB", "nowhere"),
            ("RUNPOD_WEBHOOK_POST_OUTPUT", ""),
            ("RUNPOD_WEBHOOK_POST_OUTPUT", "https://api.example/all"),
            ("RUNPOD_WEBHOOK_POST_STREAM", "https://api.example/all"),
            ("RUNPOD_WEBHOOK_PING", "mailto:canary@example"),
            ("RUNPOD_PING_INTERVAL", "10s"),
            ("RUNPOD_PING_INTERVAL", "999"),
            ("RUNPOD_PING_INTERVAL", "600001"),
            ("RUNPOD_PING_INTERVAL", "-1"),
            ("RUNPOD_AI_API_KEY", ""),
            ("RUNPOD_AI_API_KEY", "canary\nkey"),
            ("RUNPOD_POD_ID", "a b"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name), "{name}={value}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = read(&[]).unwrap().unwrap();
        let header = authorization(&settings.key).unwrap();
        let key = serde_json::to_string(&settings.key).unwrap();
        let shown = format!("{settings:?} {settings:#?} {header:?} {key}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
